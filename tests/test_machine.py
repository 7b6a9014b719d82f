"""What is done to a process before it trains, and while it does."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from bnlab import provenance
from bnlab.config import Hardware
from bnlab.training.machine import prepare

HUGE = Path("/sys/kernel/mm/transparent_hugepage/enabled")
GATHER = """
import torch
from pathlib import Path
from bnlab.config import Hardware
from bnlab.training.machine import prepare
from bnlab.training.machine import gather_pages
prepare(Hardware(device="cpu", matmul="default"), 1)
x = torch.arange(2**24)  # 128 MB
gather_pages()
kb = [int(line.split()[1]) for line in Path("/proc/self/smaps_rollup").read_text().splitlines() if "AnonHuge" in line]
print(kb[0] / 1024, torch.equal(x, torch.arange(2**24)))
"""


@pytest.mark.skipif(not HUGE.exists() or "[never]" in HUGE.read_text(), reason="this system has no huge pages to give")
def test_the_heap_is_put_on_huge_pages_and_keeps_what_it_holds():
    done = subprocess.run([sys.executable, "-c", GATHER], capture_output=True, text=True, check=True)
    megabytes, same = done.stdout.split()
    assert same == "True"
    if float(megabytes) == 0:
        pytest.skip("this kernel does not put pages together on request")
    assert float(megabytes) >= 100


def test_a_run_alone_uses_the_cores_that_there_are_whatever_the_environment_says(monkeypatch, request):
    request.addfinalizer(lambda: torch.set_num_threads(1))
    torch.set_num_threads(1)  # as with OMP_NUM_THREADS=1
    monkeypatch.setattr(provenance, "cores", lambda: 3)
    prepare(Hardware(device="cpu", matmul="default"))
    assert torch.get_num_threads() == 3
