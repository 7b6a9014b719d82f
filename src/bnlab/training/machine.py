"""Getting one process ready to train: threads, memory, the matrix kernel, the compiler."""

import ctypes
import os
import subprocess
import sys
import sysconfig
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

from bnlab import provenance
from bnlab.config import Hardware

# Updates of a run after which compiling is earned back: it takes as long as 10,000 steps of a plain loop, and saves
# a third of one at each; of a net that fills a core alone, 30 ms at each. A slower machine is slower at both
PAYS_BACK, PAYS_BACK_ALONE = 30_000, 1_000


@dataclass(frozen=True)
class Machine:
    """What trains, and how; `kernel` names the matrix product, for the record; `tell` says a line to the user."""

    device: torch.device
    kernel: str
    tell: Callable[[str], object] = lambda line: print(line, file=sys.stderr, flush=True)


@cache
def no_compiler(device: str) -> str:
    """Why `torch.compile` cannot work here, tried on next to nothing; empty where it may.

    On a CPU it needs a C++ compiler and Python's headers, and these alone are asked: to import torch's own compiler
    takes seconds and 300 MB, in a process that may not train itself. Elsewhere a stack's first step will tell.
    """
    if device != "cpu" or os.name != "posix":
        return ""
    compiler = os.environ.get("CXX", "clang++" if sys.platform == "darwin" else "g++")  # which torch takes
    headers = f"-I{sysconfig.get_path('include')}"
    try:
        with TemporaryDirectory() as scratch:
            command = [compiler, "-x", "c++", "-shared", "-fPIC", headers, "-", "-o", f"{scratch}/tried.so"]
            tried = subprocess.run(command, input="#include <Python.h>\n", capture_output=True, encoding="utf-8")
    except OSError as error:
        return f"{error.filename}: {error.strerror}"
    return f"{compiler}: {tried.stderr.strip().splitlines()[-1:] or 'fails'}" if tried.returncode else ""


def lacks_bf16(device: str) -> bool:
    """Whether this is an x86 CPU without instructions for bfloat16.

    Products of bfloat16 are several times slower there than of float32, and less exact than where they have hardware:
    torch's convolution adds up gradients in bfloat16.
    """
    capable: Mapping[str, Any] = torch.cpu.get_capabilities() if device == "cpu" else {}
    native = ("avx512_bf16", "amx_bf16", "avx10_2")
    return capable.get("architecture") == "x86_64" and not any(capable.get(name) for name in native)


def prepare(hardware: Hardware, threads: int | None = None) -> Machine:
    """Set this process up, once, before its first stack; `threads` for torch's own, None for one a core.

    Whatever `OMP_NUM_THREADS` says: other threads give other bits.
    """
    torch.set_num_threads(threads or provenance.cores())
    _keep_freed_pages()
    name = ("cuda" if torch.cuda.is_available() else "cpu") if hardware.device == "auto" else hardware.device
    device = torch.device(name)
    kernel = _choose_kernel() if hardware.matmul == "auto" and device.type == "cpu" else "default"
    return Machine(device, kernel)


def _keep_freed_pages() -> None:
    """Ask glibc to keep big freed blocks: else each step maps and faults in fresh pages, at 3-5 times the cost."""
    if sys.platform != "linux":
        return
    libc = ctypes.CDLL(None)
    if hasattr(libc, "mallopt"):
        m_trim_threshold, m_mmap_threshold = -1, -3
        libc.mallopt(m_mmap_threshold, 1 << 30)
        libc.mallopt(m_trim_threshold, 1 << 30)


def gather_pages() -> None:
    """Have Linux (6.1 or newer) put the heap's pages of 4 kB together into huge ones of 2 MB, once it has grown.

    What a stack's step touches is thousands of pages, more than a CPU's TLB knows; as huge ones they are a few. It made
    steps 4 to 20 % faster on a Zen 3. Where it cannot be done, nothing happens.
    """
    if sys.platform != "linux":
        return
    huge, madv_collapse = 1 << 21, 25
    for line in Path("/proc/self/maps").read_bytes().splitlines():
        if line.endswith(b"[heap]"):
            first, end = (int(address, 16) for address in line.split()[0].split(b"-"))
            first, end = -(-first // huge) * huge, end // huge * huge
            if first < end:
                ctypes.CDLL(None).madvise(ctypes.c_void_p(first), ctypes.c_size_t(end - first), madv_collapse)


def _choose_kernel() -> str:
    """oneDNN's matrix product where it is faster and as exact as fp32, else torch's default.

    It is faster on CPUs with AVX-512 (twice as fast on Zen 5, where the default keeps to AVX2), and 7 % slower without
    (Zen 3). The switch allows it to round to bfloat16. CPUs without bfloat16 matrix units (AMX) compute in fp32 all the
    same; with AMX the products really lose 16 bits. So the error is measured.
    """
    if "AVX512" not in torch.backends.cpu.get_cpu_capability():
        return "default"
    matmul: Any = torch.backends.mkldnn.matmul  # type: ignore[attr-defined]
    before = matmul.fp32_precision
    default = _product_error()
    matmul.fp32_precision = "bf16"
    if _product_error() <= 4 * default:  # bfloat16 would be at 2,000 times
        return "oneDNN, fp32-exact"
    matmul.fp32_precision = before
    return "default"


def _product_error() -> float:
    """Largest error of fp32 products of the shapes that training uses, against float64."""
    generator = torch.Generator().manual_seed(0)
    worst = 0.0
    for runs, m, k, n in [(8, 60, 784, 100), (8, 60, 100, 100), (8, 100, 60, 784), (1, 2000, 784, 100)]:
        a = torch.randn(runs, m, k, generator=generator)
        b = torch.randn(runs, k, n, generator=generator)
        exact = a.double() @ b.double()
        worst = max(worst, float((torch.bmm(a, b) - exact).abs().max() / exact.std()))
    return worst
