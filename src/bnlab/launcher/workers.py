"""Stacks spread over worker processes, or trained here one after another."""

import multiprocessing
import os
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Any

from bnlab import runs
from bnlab.config import Config, ConfigError
from bnlab.launcher.board import WAITING, Bar, Board
from bnlab.launcher.grouping import Work
from bnlab.launcher.one_stack import Stopped, train_stack
from bnlab.launcher.one_study import run_study
from bnlab.provenance import Stamp
from bnlab.training.machine import Machine, prepare

POLL = 0.2  # seconds between two looks at the workers' progress
GRACE = 5.0  # seconds that a worker has to stop
ATTEMPTS = 3  # a stack whose worker dies so often is given up

Failures = dict[str, str]  # why, by folder name of a run


class Terminated(BaseException):
    """The command got SIGTERM; what was being trained has written checkpoints, if it came to it within `GRACE`."""


def train_all(stacks: Sequence[Work], processes: int, stamp: Stamp, progress: bool) -> Failures:
    """Train them all, in so many processes; the names of the runs that failed, with the reason.

    Every run gets the `stamp` of the command, as the code may be edited while it trains. Raises `Terminated` after
    SIGTERM.
    """
    hardware = stacks[0].configs[0].hardware
    context = multiprocessing.get_context("forkserver")  # a clean process that imports once, for all workers
    board = Board(stacks, context.RawArray) if processes > 1 else Board(stacks)
    bar = Bar(stacks, board, progress)
    with _sigterm() as terminated, bar.tqdm:
        if processes == 1:
            threads = None if hardware.workers == "auto" else hardware.workers
            return _train_here(stacks, prepare(hardware, threads), stamp, bar, terminated)
        return _train_in_workers(stacks, processes, context, stamp, bar, terminated)


@contextmanager
def _sigterm() -> Iterator[threading.Event]:
    """An event that SIGTERM sets, instead of ending the process in the middle of an update."""
    terminated = threading.Event()
    with _handling(signal.SIGTERM, lambda *_: terminated.set()):
        yield terminated


@contextmanager
def _handling(number: signal.Signals, handler: Any) -> Iterator[None]:
    """Handle a signal so, where Python can: in the main thread. One that the shell has ignored stays so."""
    if threading.current_thread() is not threading.main_thread() or signal.getsignal(number) is signal.SIG_IGN:
        yield
        return
    before = signal.signal(number, handler)
    try:
        yield
    finally:
        signal.signal(number, before)


@contextmanager
def _holding(*numbers: signal.Signals) -> Iterator[None]:
    """Have these signals wait; a process that is started meanwhile never gets them, unless it asks for them."""
    signal.pthread_sigmask(signal.SIG_BLOCK, numbers)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, numbers)


def _train_here(
    stacks: Sequence[Work], machine: Machine, stamp: Stamp, bar: Bar, terminated: threading.Event
) -> Failures:
    failed: Failures = {}
    with _sigint() as interrupted:
        for number, work in enumerate(stacks):

            def tick(step: int, number: int = number, size: int = len(work.configs)) -> None:
                bar.board.progress[number] = step * size
                bar.moved()
                if terminated.is_set() or interrupted.is_set():
                    raise Stopped

            def saw(k: int, record: dict[str, Any], number: int = number) -> None:
                bar.board.saw(number, k, record)
                bar.saw()

            try:
                failed |= _attempt(work, machine, stamp, tick, saw)
            except Stopped:
                raise (KeyboardInterrupt if interrupted.is_set() else Terminated) from None
    return failed


@contextmanager
def _sigint() -> Iterator[threading.Event]:
    """An event that Ctrl-C sets; a second one does not wait for the update to end.

    An exception that arises anywhere is lost now and then: Python ignores what is raised in a finalizer.
    """
    interrupted = threading.Event()

    def interrupt(*_: object) -> None:
        if interrupted.is_set():
            raise KeyboardInterrupt
        interrupted.set()

    with _handling(signal.SIGINT, interrupt):
        yield interrupted


def _attempt(
    work: Work, machine: Machine, stamp: Stamp, tick: Callable[[int], object], saw: Callable[[int, Any], object]
) -> Failures:
    """Train a stack; what goes wrong with it is reported by run and harms no other stack."""
    try:
        (run_study if work.configs[0].study else train_stack)(work, machine, stamp, tick, saw)
    except ConfigError as error:
        return _failures(work, str(error))
    except Exception as error:  # whatever it is, the other stacks go on, and it is told at the end
        return _failures(work, f"{type(error).__name__}: {' '.join(str(error).split())[:300]}")
    return {}


def _failures(work: Work, reason: str) -> Failures:
    return {runs.folder(config).name: reason for config in work.configs if not runs.finished(config)}


# ---- in a worker ------------------------------------------------------------------------------------------


class Worker:
    """What a worker trains with, and what it shares: the `board` of all stacks, and `stop`, a flag for all workers."""

    def __init__(self, machine: Machine, stamp: Stamp, board: Board, stop: Any, told: Any):
        self.stamp, self.board, self.stop, self.told = stamp, board, stop, told
        self.machine = replace(machine, tell=self.tell)
        self.at_work: int | None = None  # the number of its stack

    def train(self, number: int, work: Work) -> Failures:
        """What failed of stack number `number`. Raises `Stopped` when told to stop."""
        self.at_work = number
        self.board.progress[number] = 0

        def tick(step: int) -> None:
            if self.stop.value:
                self.board.progress[number] = WAITING  # it was another's worker that died
                raise Stopped
            self.board.progress[number] = step * len(work.configs)

        return _attempt(work, self.machine, self.stamp, tick, partial(self.board.saw, number))

    def tell(self, line: str) -> None:
        """Say a line that others may have said already, or at this moment: of all workers the first alone says it."""
        if not self.told.value:
            self.told.value = 1
            print(line, file=sys.stderr, flush=True)

    def end_soon_after_stop(self) -> None:
        """Told to stop, it writes a checkpoint after the updates at hand; one that compiles does not get there."""
        while not self.stop.value:
            time.sleep(POLL)
        time.sleep(GRACE)
        if self.at_work is not None:
            self.board.progress[self.at_work] = WAITING  # it was another's worker that died
        os._exit(1)


_worker: Worker  # this process's; a pool hands what is shared to a process as it starts, and to no task


def _start_worker(config: Config, stamp: Stamp, board: Board, stop: Any, told: Any) -> None:
    global _worker
    end_with_parent()
    _worker = Worker(prepare(config.hardware, threads=1), stamp, board, stop, told)
    threading.Thread(target=_worker.end_soon_after_stop, daemon=True).start()
    signal.signal(signal.SIGTERM, lambda *_: _say_stop(stop))
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})


def _work(number: int, work: Work) -> Failures:
    return _worker.train(number, work)


def _say_stop(stop: Any) -> None:
    stop.value = 1


def end_with_parent() -> None:
    """Have this worker end when its parent does: one whose parent was killed would wait for work forever."""
    threading.Thread(target=_wait_for_parent, daemon=True).start()


def _wait_for_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


# ---- in their parent --------------------------------------------------------------------------------------


def _train_in_workers(
    stacks: Sequence[Work], processes: int, context: Any, stamp: Stamp, bar: Bar, terminated: threading.Event
) -> Failures:
    """As `_train_here`. Where a worker dies, its stack goes on from its checkpoint in a new one."""
    failed: Failures = {}
    deaths: Counter[int] = Counter()
    compiler = ["torch._dynamo"] if any(work.compiled for work in stacks) else []
    context.set_forkserver_preload(["bnlab.launcher", *compiler])
    progress = bar.board.progress

    def look() -> None:
        bar.saw()
        bar.moved()

    left = list(range(len(stacks)))
    while left:
        pool = _Pool(context, processes, stacks, stamp, bar.board, terminated)
        ended = pool.train(left, look)
        failed |= {name: reason for failures in ended.values() for name, reason in failures.items()}
        left = [number for number in left if number not in ended]
        deaths.update(number for number in left if progress[number] != WAITING)
        for number in [number for number in left if deaths[number] == ATTEMPTS]:
            failed |= _failures(stacks[number], f"its worker died, {ATTEMPTS} times")
            left.remove(number)
        for number in left:
            progress[number] = WAITING
    return failed


class _Pool:
    """Workers, until all stacks are trained or one of the workers dies."""

    def __init__(
        self,
        context: Any,
        processes: int,
        stacks: Sequence[Work],
        stamp: Stamp,
        board: Board,
        terminated: threading.Event,
    ):
        self.stop, self.stacks, self.terminated = context.RawValue("b", 0), stacks, terminated
        start = (stacks[0].configs[0], stamp, board, self.stop, context.RawValue("b", 0))
        self.executor = ProcessPoolExecutor(processes, context, _start_worker, start)

    def train(self, numbers: Sequence[int], look: Callable[[], object]) -> dict[int, Failures]:
        """What failed of each stack that came to its end; those that are missing were in work or waiting."""
        ended: dict[int, Failures] = {}
        with self.executor:
            try:
                pending = self._submit(numbers)
                while pending:
                    finished, _ = wait(pending, timeout=POLL, return_when=FIRST_COMPLETED)
                    look()
                    for future in finished:
                        number = pending.pop(future)
                        if not isinstance(future.exception(), BrokenProcessPool):
                            ended[number] = future.result()
                    if self.terminated.is_set():
                        raise Terminated
            except Stopped:  # a worker got SIGTERM: it is meant for all
                self._end()
                raise Terminated from None
            except BaseException:
                self._end()
                raise
        return ended

    def _submit(self, numbers: Sequence[int]) -> dict[Future[Failures], int]:
        """Start the workers; Ctrl-C is heard when they have started, a second one at once.

        Ctrl-C and SIGTERM reach the whole group. Workers inherit that Ctrl-C is not for them, and the server they are
        forked from that SIGTERM is not for it: with the server gone its workers would count as dead.
        """
        with _sigint() as interrupted, _holding(signal.SIGINT, signal.SIGTERM):
            pending = {self.executor.submit(_work, n, self.stacks[n]): n for n in numbers}
        if interrupted.is_set():
            raise KeyboardInterrupt
        return pending

    def _end(self) -> None:
        _say_stop(self.stop)
        self.executor.shutdown(wait=False, cancel_futures=True)
