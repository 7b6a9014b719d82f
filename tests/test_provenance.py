"""What computes a run, and when it counts as changed."""

import math
import shutil
import subprocess
from pathlib import Path

import pytest

from bnlab import provenance
from bnlab.provenance import PACKAGE, source_hash


@pytest.fixture
def package(tmp_path) -> Path:
    """A copy of the code, to change."""
    return Path(shutil.copytree(PACKAGE, tmp_path / "bnlab", ignore=shutil.ignore_patterns("__pycache__")))


def edit(file: Path, old: str, new: str) -> None:
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new, 1))


def test_the_hash_is_that_of_the_code_that_runs(package):
    assert provenance.code() == source_hash(PACKAGE) == source_hash(package)
    assert len(provenance.code()) == 12
    assert int(provenance.code(), 16) >= 0


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("class NoNorm", "# y = x\n\n\nclass NoNorm"),
        ('"""No normalisation: y = x."""', '"""Nothing is normalised."""'),
        ('    """No normalisation: y = x."""\n', ""),
        ('"""Batch Normalization as in the paper', '"""As in the paper, Batch Normalization'),
        ("super().__init__(1, width, eps)", "super().__init__(\n            1, width, eps\n        )"),
    ],
    ids=["comment", "docstring", "no docstring", "docstring of the module", "formatting"],
)
def test_what_does_not_compute_does_not_count(old, new, package):
    before = source_hash(package)
    edit(package / "norms.py", old, new)
    assert source_hash(package) == before


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("norms.py", "super().__init__(1, width, eps)", "super().__init__(2, width, eps)"),
        ("models.py", "TOGETHER = 8", "TOGETHER = 9"),
        ("starts.py", "module.bias.zero_()", "module.bias.fill_(1)"),
        ("keyed.py", "self.key + 1", "self.key + 2"),
        ("studies/isometry.py", "cosine**0.5", "cosine"),
        ("bins.py", "97", "98"),
        ("measure/outcome.py", "STUCK = 1.5", "STUCK = 1.6"),
        ("training/loop.py", "CHUNK = 200", "CHUNK = 201"),
        ("data/dataset.py", "default_rng(20150211)", "default_rng(20150212)"),
    ],
)
def test_what_decides_what_a_run_records_counts(file, old, new, package):
    before = source_hash(package)
    edit(package / file, old, new)
    assert source_hash(package) != before


def test_a_word_that_is_no_docstring_counts(package):
    before = source_hash(package)
    edit(package / "norms.py", '"group": GroupNorm', '"groups": GroupNorm')
    assert source_hash(package) != before


@pytest.mark.parametrize("file", ["runs.py", "report.py", "plots/style.py", "claims/__init__.py", "tracking.py"])
def test_what_reads_and_draws_does_not_count(file, package):
    before = source_hash(package)
    with (package / file).open("a") as source:
        source.write("X = 1\n")
    assert source_hash(package) == before


def repository(folder: Path) -> str:
    """A git repository with a commit of everything in a folder; the commit."""
    for words in (["init", "-q"], ["add", "."], ["commit", "-qm", "all"], ["rev-parse", "HEAD"]):
        line = ["git", "-c", "user.name=one", "-c", "user.email=one@here", *words]
        told = subprocess.run(line, cwd=folder, capture_output=True, encoding="utf-8", check=True).stdout
    return told.strip()


def test_the_commit_is_that_of_the_checkout_and_of_no_repository_around_it(tmp_path, monkeypatch):
    checkout = tmp_path / "around" / "checkout"
    shutil.copytree(PACKAGE, checkout / "src" / "bnlab", ignore=shutil.ignore_patterns("__pycache__"))
    around = repository(tmp_path / "around")
    monkeypatch.setattr(provenance, "REPOSITORY", checkout)
    said = provenance.commit.__wrapped__
    assert said() == {"commit": None, "dirty": None}
    own = repository(checkout)
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "around" / ".git"))
    monkeypatch.setenv("GIT_INDEX_FILE", str(tmp_path / "around" / ".git" / "index"))
    assert said() == {"commit": own, "dirty": False}
    assert own != around
    (checkout / "src" / "new.py").touch()
    assert said() == {"commit": own, "dirty": True}


def write_tree(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(f"{text}\n")
    return root


V2 = {
    "proc/self/cgroup": "0::/slice/job",
    "sys/fs/cgroup/slice/cpu.max": "150000 100000",
    "sys/fs/cgroup/slice/memory.max": "max",
    "sys/fs/cgroup/slice/job/cpu.max": "max 100000",
    "sys/fs/cgroup/slice/job/memory.max": "1000000",
}
V1 = {  # of a container, whose own group is the root of what it sees
    "proc/self/cgroup": "5:name=systemd:/docker/f00\n4:cpuacct,cpu:/docker/f00\n2:memory:/docker/f00\n0::/",
    "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "150000",
    "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000",
    "sys/fs/cgroup/memory/memory.limit_in_bytes": "1000000",
}
NO_LIMIT = {
    "proc/self/cgroup": "2:cpu:/a name with: spaces",
    "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1",
    "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000",
}


@pytest.mark.parametrize(
    ("files", "cores", "memory"),
    [(V2, 1.5, 1e6), (V1, 1.5, 1e6), (NO_LIMIT, math.inf, math.inf), ({}, math.inf, math.inf)],
    ids=["v2", "v1", "no limit", "no groups"],
)
def test_what_control_groups_leave_a_process(files, cores, memory, tmp_path, monkeypatch):
    found = provenance.allowed(write_tree(tmp_path, files))
    assert found == (cores, memory)
    there = provenance.cores(), provenance.memory()
    monkeypatch.setattr(provenance, "allowed", lambda: found)
    assert provenance.cores() == min(there[0], 2 if cores == 1.5 else there[0])
    assert provenance.memory() == min(there[1], memory)
