"""What computes a run: the commit, the code, the machine."""

import hashlib
import os
import platform
import subprocess
from functools import lru_cache
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).parents[2]


@lru_cache
def commit() -> dict[str, Any]:
    """The commit of the code that runs, and whether it has uncommitted changes; None outside a checkout."""

    def git(*words: str) -> str:
        return subprocess.run(
            ["git", "-C", str(REPOSITORY), *words], capture_output=True, text=True, check=True
        ).stdout.strip()

    try:
        code = ("src", "scripts", "configs", "pyproject.toml", "requirements.lock")
        return {"commit": git("rev-parse", "HEAD"), "dirty": bool(git("status", "--porcelain", "--", *code))}
    except (OSError, subprocess.CalledProcessError):
        return {"commit": None, "dirty": None}


@lru_cache
def code() -> str:
    """12 hexadecimal digits over the source that decides what a run records: data, networks, engine, measurements.

    Not over what files of other thoughts add to it: `HISTOGRAM_EDGES`, and the words for how a run ended.
    """
    here = Path(__file__).parent
    networks = [here / f"{name}.py" for name in ("models", "norms", "dropout")]
    parts = [here / "data", *networks, here / "training", here / "measure"]
    files = sorted(file for part in parts for file in (part.rglob("*.py") if part.is_dir() else [part]))
    digest = hashlib.sha256()
    for file in files:
        digest.update(file.relative_to(here).as_posix().encode() + b"\0" + file.read_bytes() + b"\0")
    return digest.hexdigest()[:12]


@lru_cache
def hardware() -> str:
    """One line that says on what a run was computed: "AMD EPYC (family 26, model 2), 2 cores"."""
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        pairs = [line.split(":", 1) for line in cpuinfo.read_text().splitlines() if ":" in line]
        of_last = {key.strip(): value.strip() for key, value in pairs}
        if "model name" in of_last:  # on ARM there is none
            # The name alone may be that of a whole family: one "AMD EPYC" can be twice as fast as another.
            model = f"{of_last['model name']} (family {of_last.get('cpu family')}, model {of_last.get('model')})"
    return f"{model}, {cores()} cores"


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def memory() -> int:
    """Bytes of memory that this machine has."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
