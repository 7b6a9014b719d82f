"""What a command shows while it trains: how far it is, how fast, how long it will take, and how well its arms do."""

import math
import sys
from collections.abc import Callable, Sequence
from itertools import accumulate
from typing import Any

from tqdm import tqdm

from bnlab.launcher.arms import now
from bnlab.launcher.grouping import Work

WAITING = -1  # progress of a stack that no worker has taken yet
A_LINE_EACH = 60.0  # seconds, where there is no terminal
IN_A_LOG = "{desc}: {percentage:.0f} % of {total:,}{unit}, {elapsed} so far, {remaining} left{postfix}"


class Board:
    """The `progress` of all stacks, in updates of runs, and the last test accuracy of each run.

    `array` makes it of numbers that processes share. They have no locks, as a process that is killed never lets go of
    one.
    """

    def __init__(self, stacks: Sequence[Work], array: Callable[[str, list[Any]], Any] = lambda kind, values: values):
        self.first = [0, *accumulate(len(work.configs) for work in stacks)]
        self.progress = array("q", [WAITING] * len(stacks))
        self.accuracy = array("d", [math.nan] * self.first[-1])

    def saw(self, number: int, k: int, record: dict[str, Any]) -> None:
        """Run `k` of stack `number` was looked at."""
        self.accuracy[self.first[number] + k] = record.get("test/accuracy", math.nan)


class Bar:
    """A bar that shows a board: tqdm's on a terminal, else a line now and then; nothing if not `wanted`."""

    def __init__(self, stacks: Sequence[Work], board: Board, wanted: bool):
        self.board, self.arms = board, [config.arm for work in stacks for config in work.configs]
        terminal = sys.stderr.isatty()
        log: dict[str, Any] = {"file": _Lines(), "mininterval": A_LINE_EACH, "delay": A_LINE_EACH, "miniters": 1}
        self.tqdm = tqdm(
            total=sum(work.configs[0].steps * len(work.configs) for work in stacks),
            unit=" studies" if stacks[0].configs[0].study else " updates",
            desc="run" if len(self.arms) == 1 else f"{len(self.arms)} runs",
            disable=not wanted,
            smoothing=0.05,
            **({"dynamic_ncols": True} if terminal else log | {"bar_format": IN_A_LOG, "maxinterval": A_LINE_EACH}),
        )

    def moved(self) -> None:
        """Updates were made."""
        self.tqdm.update(sum(max(made, 0) for made in self.board.progress) - self.tqdm.n)

    def saw(self) -> None:
        """Runs were looked at."""
        self.tqdm.set_postfix_str(now(self.arms, self.board.accuracy), refresh=False)


class _Lines:
    """Standard error as a log: whole lines, in place of one that is written over again and again."""

    def write(self, text: str) -> None:
        if line := text.strip():
            print(line, file=sys.stderr)

    def flush(self) -> None:
        sys.stderr.flush()
