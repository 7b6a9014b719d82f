"""Processes that keep sides and run them on command, and rounds in which sides take turns."""

import multiprocessing
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

from tqdm import tqdm

from benchmarks import Side
from benchmarks.page import Row
from bnlab.launcher.workers import end_with_parent

SETTLE = 0.03  # seconds between two sides: threads stop spinning, loaders stop fetching ahead
Factory = Callable[..., Side]
Arguments = Sequence[tuple[Any, ...]]


@dataclass(frozen=True)
class Way:
    """One way to run a side: `factory(*arguments[i])` in process i, all at once. `row`: what is known beforehand."""

    row: Row
    factory: Factory
    arguments: Arguments

    @property
    def team(self) -> tuple[str, int | None]:
        """Ways share processes where their code and their number of threads are the same."""
        return self.factory.__module__, self.row["threads"]


class Team(ExitStack):
    """`size` processes that run their sides at the same time, and end with this context manager."""

    def __init__(self, size: int = 1):
        super().__init__()
        spawn = multiprocessing.get_context("spawn")
        self.members = [self.enter_context(ProcessPoolExecutor(1, spawn, end_with_parent)) for _ in range(size)]

    def build(self, name: str, way: Way) -> None:
        """Keep a way's side i in member i, under this name; members beyond the last have none."""
        pairs = zip(self.members, way.arguments, strict=False)
        for future in [member.submit(_build, name, way.factory, given) for member, given in pairs]:
            future.result()

    def time(self, name: str, steps: int) -> float:
        """Wall seconds for a unit of work, from the start of the first to the end of the last member."""
        begins, ends, work = zip(*self.ask(_run, name, steps), strict=True)
        return float((max(ends) - min(begins)) / sum(work))

    def ask(self, function: Callable[..., Any], *arguments: Any) -> list[Any]:
        """What `function` returns in each member, called at the same time."""
        return [future.result() for future in [member.submit(function, *arguments) for member in self.members]]


def in_turns(ways: Sequence[Way], rounds: int, seconds: float) -> list[Row]:
    """The ways' rows, each with the `seconds` of a unit of work in every round; every other round goes backwards.

    Each is timed for about `seconds` a round.
    """
    sizes = {way.team: len(way.arguments) for way in sorted(ways, key=lambda way: len(way.arguments))}  # the largest
    with ExitStack() as running:
        teams = {kind: running.enter_context(Team(size)) for kind, size in sizes.items()}
        team_of = [teams[way.team] for way in ways]
        for k, way in enumerate(tqdm(ways, "building", mininterval=2)):
            team_of[k].build(str(k), way)
        steps = [_steps(team, str(k), seconds) for k, team in enumerate(tqdm(team_of, "warming up", mininterval=2))]
        times: list[list[float]] = [[] for _ in ways]
        for turn in tqdm(range(rounds), "measuring"):
            for k in range(len(ways))[:: 1 if turn % 2 == 0 else -1]:
                times[k].append(float(f"{team_of[k].time(str(k), steps[k]):.5g}"))  # more digits are noise
                time.sleep(SETTLE)
    return [{**way.row, "seconds": seen} for way, seen in zip(ways, times, strict=True)]


def _steps(team: Team, name: str, seconds: float) -> int:
    """How many steps fill so many seconds, tried once everything is warm."""
    team.time(name, 1)  # compiles
    steps, spent = 1, 0.0
    while spent <= seconds / 4:
        steps *= 2
        begin = time.perf_counter()
        team.time(name, steps)
        spent = time.perf_counter() - begin
    return max(1, round(steps * seconds / spent))


_sides: dict[str, Side] = {}  # of a member, as are the two functions below


def _build(name: str, factory: Factory, arguments: tuple[Any, ...]) -> None:
    _sides[name] = factory(*arguments)


def _run(name: str, steps: int) -> tuple[float, float, float]:
    """Begin and end (of a clock that all processes share) and the work done; nothing for a side one does not have."""
    begin = time.perf_counter()
    work = _sides[name](steps) if name in _sides else 0.0
    return begin, time.perf_counter(), work
