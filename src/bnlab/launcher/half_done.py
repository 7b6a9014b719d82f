"""Stacks that were begun and not ended: their checkpoints, who is at work on them, and how to go on."""

import errno
import hashlib
import json
import re
import shutil
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock, Timeout

from bnlab import atomic, runs
from bnlab.config import Config, ConfigError
from bnlab.launcher.grouping import Work, on_cuda
from bnlab.training import checkpoint
from bnlab.training.stack import Stack

NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)
FOLDER = ".bnlab"  # below `out`; holds nothing that is a result


class Checkpoints:
    """The checkpoints of one stack, below `out/.bnlab/stacks`; `code` is the hash of that which trains it."""

    def __init__(self, work: Work, code: str):
        self.work, self.code, self.every = work, code, work.configs[0].hardware.checkpoint
        self.names = [runs.folder(config).name for config in work.configs]
        self.key = hashlib.sha256("\n".join(self.names).encode()).hexdigest()[:12]
        self.path = _stacks(work.configs[0].out) / self.key
        self.last = time.monotonic()  # a clock that nobody sets

    def restore(self, stack: Stack, moments: Sequence[int]) -> int:
        """Put `stack` where its newest good checkpoint was, and return its step; 0 where there is none.

        A checkpoint is good if it is whole and every unfinished run has the records of all moments before it, from this
        stack: those of another differ in the last bits.
        """
        unfinished = [config for config in self.work.configs if not runs.finished(config)]
        ours = (self.path / "stack.json").is_file() and all(runs.stack_of(config) == self.key for config in unfinished)
        for step, state in checkpoint.load(self.path) if ours else []:
            before = [moment for moment in moments if moment < step]
            held = [[record["step"] for record in runs.records(runs.folder(config))] for config in unfinished]
            if all(steps[: len(before)] == before for steps in held):
                stack.load(state)
                return step
        self.forget()  # or what is not believed would be taken for newer than what is to come
        return 0

    def due(self) -> bool:
        return time.monotonic() - self.last >= self.every

    def save(self, stack: Stack, step: int) -> None:
        """Write a checkpoint; the runs' records must be on disk already."""
        if not (self.path / "stack.json").exists():
            how = {"compiled": stack.program.compiled, "threads": torch.get_num_threads(), "code": self.code}
            how |= _computed_by(self.work.configs[0])
            self.path.mkdir(parents=True, exist_ok=True)
            atomic.write(self.path / "stack.json", json.dumps({"runs": self.names, **how}, indent=2).encode())
        checkpoint.save(self.path, step, stack.state())
        self.last = time.monotonic()

    def forget(self) -> None:
        """The stack has ended."""
        shutil.rmtree(self.path, ignore_errors=True)


def half_done(configs: Sequence[Config], code: str) -> list[Work]:
    """The stacks below the configs' folders that were begun, with nothing but `configs` in them, and not ended.

    They go on with the members, in the order and with the threads with which they were begun: else they would give
    other bits. Of several that share a run the last goes on; the checkpoints of others are of no use any more, and
    deleted. Raises `ConfigError` for one that other code than `code` began, or that began on another device, or with
    another `hardware.matmul`.
    """
    by_name = {runs.folder(config): config for config in configs}
    found: list[Work] = []
    for out in sorted({config.out for config in configs}):
        for file in sorted(_stacks(out).glob("*/stack.json")):
            about = _about(file)
            members = [by_name.get(Path(out) / name) for name in about["runs"]]
            known = [config for config in members if config is not None]
            unfinished = [config for config in known if not runs.finished(config)]
            if len(known) == len(members):
                if any(runs.stack_of(config) != file.parent.name for config in unfinished) or not unfinished:
                    shutil.rmtree(file.parent, ignore_errors=True)
                elif about["code"] != code:
                    raise ConfigError(
                        f"{file.parent} was begun by other code ({about['code']}; here {code}): "
                        "another out= starts over beside it"
                    )
                elif other := {
                    key: about[key] for key, now in _computed_by(known[0]).items() if about.get(key, now) != now
                }:
                    words = " ".join(f"hardware.{key}={value}" for key, value in other.items())
                    raise ConfigError(f"{file.parent} was begun with {words}: say so, or another out= starts over")
                else:
                    found.append(Work(known, bool(about["compiled"]), about.get("threads")))
    return found


def delete(path: Path) -> None:
    """Delete the run in the folder `path`, no other file in it, and the checkpoints of its stack if that is half-done.

    Raises `ConfigError` where another process trains it.
    """
    with _held([path]):
        if there := checkpoints_of(path):
            shutil.rmtree(there, ignore_errors=True)
        for name in reversed(runs.FILES):  # the config last: without it, what is left would not be found again
            for file in (path / name, *path.glob(f"{name}.*.part")):
                file.unlink(missing_ok=True)
        if not any(path.iterdir()):
            path.rmdir()


def checkpoints_of(path: Path) -> Path | None:
    """The folder of the checkpoints of the stack of the run in the folder `path`; None where there are none."""
    key = str(runs.glance(path)["stack"])
    there = _stacks(str(path.parent)) / key
    return there if re.fullmatch("[0-9a-f]{12}", key) and there.is_dir() else None


def locked(configs: Sequence[Config]) -> AbstractContextManager[None]:
    """Hold the runs against other processes; the system lets go of them if this one dies.

    Where the file system has no locks, nothing is held, which is said once. Raises `ConfigError` where another process
    holds one.
    """
    return _held([runs.folder(config) for config in configs])


@contextmanager
def _held(folders: Sequence[Path]) -> Iterator[None]:
    with ExitStack() as held:
        for folder in folders:
            path = folder.parent / FOLDER / "locks" / f"{folder.name}.lock"
            path.parent.mkdir(parents=True, exist_ok=True)
            lock = FileLock(path, fallback_to_soft=False)  # a soft lock outlives a process that is killed
            try:
                held.enter_context(lock.acquire(blocking=False))
            except Timeout:
                raise ConfigError("another command is training it right now") from None
            except OSError as error:
                if error.errno not in NO_LOCKS:
                    raise
                _tell_of_no_locks(str(folder.parent))
        yield


@lru_cache
def _tell_of_no_locks(out: str) -> None:
    print(f"out={out}: this file system has no locks: start no second command there meanwhile", file=sys.stderr)


def _computed_by(config: Config) -> dict[str, str]:
    """The settings that decide a run's last bits, beside its identity and what `Work` keeps."""
    return {"matmul": config.hardware.matmul, "device": "cuda" if on_cuda(config.hardware) else "cpu"}


def _about(file: Path) -> dict[str, Any]:
    """What a stack.json holds; of one that is not as it was written, a stack of no runs."""
    try:
        about: dict[str, Any] = json.loads(file.read_bytes())
        whole = about.keys() >= {"compiled", "code"} and all(isinstance(name, str) for name in about["runs"])
    except (OSError, ValueError, AttributeError, KeyError, TypeError):
        whole = False
    return about if whole else {"runs": []}


def _stacks(out: str) -> Path:
    return Path(out) / FOLDER / "stacks"
