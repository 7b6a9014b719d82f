"""Stacks spread over worker processes, or trained here one after another."""

import multiprocessing
import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from typing import Any

from tqdm import tqdm

from bnlab import runs
from bnlab.config import Config
from bnlab.launcher.grouping import Work, workers
from bnlab.launcher.one_stack import train_stack
from bnlab.training import Machine, prepare

POLL = 0.2  # seconds between two looks at the workers' progress


class Stopped(BaseException):
    """The sweep was told to stop."""


def train_all(stacks: Sequence[Work], progress: bool) -> dict[str, str]:
    """Train them all; the names of the runs that failed, with the reason."""
    hardware = stacks[0].configs[0].hardware
    many = sum(len(work.configs) for work in stacks)
    total = sum(work.configs[0].steps * len(work.configs) for work in stacks)
    count = workers(hardware, len(stacks))
    with tqdm(
        total=total,
        unit=" updates",
        desc="run" if many == 1 else f"{many} runs",
        disable=not progress,
        smoothing=0.05,
    ) as bar:
        if count == 1:
            threads = None if hardware.workers == "auto" else hardware.workers
            return _train_here(stacks, prepare(hardware, threads), bar.update)
        return _train_in_workers(stacks, count, bar)


def _train_here(stacks: Sequence[Work], machine: Machine, tick: Callable[[int], object]) -> dict[str, str]:
    failed: dict[str, str] = {}
    for work in stacks:
        failed |= _attempt(work, machine, tick)
    return failed


def _attempt(work: Work, machine: Machine, tick: Callable[[int], object]) -> dict[str, str]:
    """Train a stack; what goes wrong with it is reported by run and harms no other stack."""
    try:
        train_stack(work.configs, machine, work.compiled, tick)
    except Exception as error:  # whatever it is, the other stacks go on, and it is told at the end
        reason = f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
        return {runs.folder(config).name: reason for config in work.configs}
    return {}


_shared: Any = None  # in a worker: its machine, the counter of updates, and the flag that says stop


def _start_worker(config: Config, done: Any, stop: Any) -> None:
    global _shared
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _shared = (prepare(config.hardware, threads=1), done, stop)


def _end_with_parent() -> None:
    """A worker whose parent was killed would wait for work forever."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _work(work: Work) -> dict[str, str]:
    machine, done, stop = _shared

    def tick(count: int) -> None:
        with done.get_lock():
            done.value += count
        if stop.is_set():
            raise Stopped

    return _attempt(work, machine, tick)


def _train_in_workers(stacks: Sequence[Work], count: int, bar: "tqdm[Any]") -> dict[str, str]:
    context = multiprocessing.get_context("spawn")
    done, stop = context.Value("q", 0), context.Event()
    start = (stacks[0].configs[0], done, stop)
    failed: dict[str, str] = {}
    with ProcessPoolExecutor(count, context, _start_worker, start) as pool:
        pending: dict[Future[dict[str, str]], Work] = {pool.submit(_work, work): work for work in stacks}
        try:
            while pending:
                finished, _ = wait(pending, timeout=POLL, return_when=FIRST_COMPLETED)
                bar.update(done.value - bar.n)
                for future in finished:
                    work = pending.pop(future)
                    error = future.exception()
                    lost = {runs.folder(config).name: f"its worker died ({error})" for config in work.configs}
                    failed |= lost if error else future.result()
        except BaseException:
            stop.set()
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return failed
