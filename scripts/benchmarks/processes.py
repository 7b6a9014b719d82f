"""Processes that keep sides and run them on command, and rounds in which sides take turns."""

import multiprocessing
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from typing import Any

from tqdm import tqdm

from bnlab.launcher.workers import end_with_parent

Side = Callable[
    [int], float
]  # makes about so many steps, returns the work done: run-steps, floating-point operations, …

LEAST = 20  # steps at a time, of most sides
SETTLE = 0.03  # seconds between two sides: threads stop spinning, loaders stop fetching ahead


class Team:
    """`size` processes that run their sides at the same time. A context manager: they end with it."""

    def __init__(self, size: int = 1):
        spawn = multiprocessing.get_context("spawn")
        self.members = [ProcessPoolExecutor(1, spawn, end_with_parent) for _ in range(size)]

    def __enter__(self) -> "Team":
        return self

    def __exit__(self, *error: object) -> None:
        for member in self.members:
            member.shutdown(cancel_futures=True)

    def build(self, name: str, factory: Callable[..., Side], arguments: Sequence[tuple[Any, ...]]) -> None:
        """Keep `factory(*arguments[i])` as the side `name` of member i; members beyond the last have none."""
        pairs = zip(self.members, arguments, strict=False)
        for future in [member.submit(_build, name, factory, given) for member, given in pairs]:
            future.result()

    def time(self, name: str, steps: int) -> float:
        """Wall seconds for a unit of work, from the start of the first to the end of the last member."""
        done = [member.submit(_run, name, steps) for member in self.members]
        begins, ends, work = zip(*(future.result() for future in done), strict=True)
        return float((max(ends) - min(begins)) / sum(work))

    def ask(self, function: Callable[..., Any], *arguments: Any) -> list[Any]:
        """What `function` returns in each member, called at the same time."""
        return [future.result() for future in [member.submit(function, *arguments) for member in self.members]]


@dataclass(frozen=True)
class Entry:
    """A side of a team, timed for about `seconds` in each round, and for `least` steps at least."""

    team: Team
    name: str
    seconds: float
    least: int = LEAST


def alternate(entries: Mapping[str, Entry], rounds: int, what: str) -> dict[str, list[float]]:
    """Seconds per unit of work of every entry in every round; every other round goes backwards."""
    steps = {label: _steps(entry) for label, entry in tqdm(entries.items(), f"{what}: warming up", mininterval=2)}
    times: dict[str, list[float]] = {label: [] for label in entries}
    with tqdm(total=rounds * len(entries), desc=f"{what}: {rounds} rounds", mininterval=2) as bar:
        for k in range(rounds):
            for label, entry in list(entries.items())[:: 1 if k % 2 == 0 else -1]:
                times[label].append(entry.team.time(entry.name, steps[label]))
                time.sleep(SETTLE)
                bar.update()
    return times


def _steps(entry: Entry) -> int:
    """How many steps fill the entry's seconds, tried once everything is warm."""
    entry.team.time(entry.name, entry.least)
    start = time.perf_counter()
    entry.team.time(entry.name, entry.least)
    return max(entry.least, round(entry.least * entry.seconds / (time.perf_counter() - start)))


# ---- in a member ------------------------------------------------------------------------------------------

_sides: dict[str, Side] = {}


def _build(name: str, factory: Callable[..., Side], arguments: tuple[Any, ...]) -> None:
    _sides[name] = factory(*arguments)


def _run(name: str, steps: int) -> tuple[float, float, float]:
    """Begin and end (of a clock that all processes share) and the work done; nothing for a side one does not have."""
    begin = time.perf_counter()
    work = _sides[name](steps) if name in _sides else 0.0
    return begin, time.perf_counter(), work
