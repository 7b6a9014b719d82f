"""What computes a run: the commit, the code, the machine."""

import ast
import hashlib
import math
import os
import platform
import subprocess
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

PACKAGE = Path(__file__).parent
REPOSITORY = PACKAGE.parents[1]
# What a run records is decided by these
DECIDES = (
    *("bins.py", "data", "dropout.py", "keyed.py", "layers.py", "measure", "models.py", "norms.py"),
    *("sample.py", "starts.py", "studies", "training"),
)
DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


@dataclass(frozen=True)
class Stamp:
    """What computes a run: the hash of the code, its commit, and whether that has uncommitted changes."""

    code: str
    commit: str | None
    dirty: bool | None


def stamp() -> Stamp:
    """That of the code which this process has loaded."""
    return Stamp(code(), **commit())


@lru_cache
def commit() -> dict[str, Any]:
    """The commit of the code that runs, and whether it has uncommitted changes; None outside a checkout."""

    def git(*words: str) -> str:
        # Of this very folder: of no repository above it, and none that the environment names
        line = ["git", "-C", str(REPOSITORY), "--git-dir=.git", "--work-tree=.", *words]
        env = {key: value for key, value in os.environ.items() if not key.startswith("GIT_")}
        return subprocess.run(line, env=env, capture_output=True, encoding="utf-8", check=True).stdout.strip()

    try:
        code = ("src", "scripts", "configs", "pyproject.toml", "requirements.lock")
        return {
            "commit": git("rev-parse", "HEAD"),
            "dirty": bool(git("status", "--porcelain", "--untracked-files", "--", *code)),
        }
    except (OSError, subprocess.CalledProcessError):
        return {"commit": None, "dirty": None}


@lru_cache
def code() -> str:
    """The `source_hash` of the code that this process runs."""
    return source_hash(PACKAGE)


def source_hash(package: Path) -> str:
    """12 hexadecimal digits over what, in the folder `package`, `DECIDES` what a run records.

    Over its syntax: comments, docstrings and formatting do not count.
    """
    digest = hashlib.sha256()
    for file in sorted(package.rglob("*.py")):
        name = file.relative_to(package)
        if name.parts[0] in DECIDES:
            digest.update(f"{name.as_posix()}\0{_syntax(file.read_bytes())}\0".encode())
    return digest.hexdigest()[:12]


def _syntax(source: bytes) -> str:
    """The syntax tree of a module, without docstrings."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, DOCUMENTED) and ast.get_docstring(node, clean=False) is not None:
            del node.body[0]
    return ast.dump(tree)


@lru_cache
def hardware() -> str:
    """One line that says on what a run was computed: "AMD EPYC (family 26, model 2), 2 cores"."""
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        pairs = [line.split(":", 1) for line in cpuinfo.read_text(encoding="utf-8").splitlines() if ":" in line]
        of_last = {key.strip(): value.strip() for key, value in pairs}
        if "model name" in of_last:  # on ARM there is none
            # The name alone may be that of a whole family: one "AMD EPYC" can be twice as fast as another.
            model = f"{of_last['model name']} (family {of_last.get('cpu family')}, model {of_last.get('model')})"
    return f"{model}, {cores()} cores"


def cores() -> int:
    """Cores that this process may use."""
    there = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return math.ceil(min(there, allowed()[0]))


def memory() -> int:
    """Bytes of memory that this process may use."""
    return int(min(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"), allowed()[1]))


@lru_cache
def allowed(root: Path = Path("/")) -> tuple[float, float]:
    """Cores and bytes of memory that Linux's control groups (v1 and v2) leave this process; infinite without a limit.

    So are containers, services and a cluster's jobs held. A group's limit is also that of all groups in it.
    """
    cores = memory = math.inf
    for line in _text(root / "proc/self/cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        group = Path(path.lstrip("/"))
        for tree in controllers.split(","):  # v2 has one tree, without a name
            for folder in (root / "sys/fs/cgroup" / tree / part for part in (group, *group.parents)):
                of_cpu = [folder / name for name in ("cpu.max", "cpu.cfs_quota_us", "cpu.cfs_period_us")]
                quota, period = _text(*of_cpu).split() or ("max", "1")
                if quota not in ("max", "-1"):
                    cores = min(cores, int(quota) / int(period))
                limits = _text(folder / "memory.max", folder / "memory.limit_in_bytes").split()
                memory = min([memory, *(int(limit) for limit in limits if limit != "max")])
    return cores, memory


def _text(*files: Path) -> str:
    """What stands in those of these files that can be read."""
    text = ""
    for file in files:
        with suppress(OSError):
            text += file.read_text(encoding="utf-8")
    return text
