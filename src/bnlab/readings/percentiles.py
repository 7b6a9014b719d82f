"""How far the percentiles of a layer's inputs move while a net learns."""

import math
from collections.abc import Sequence
from typing import Literal

import numpy as np
import pandas as pd

from bnlab.config import ConfigError
from bnlab.readings.by_seed import Step, each_run
from bnlab.readings.measured import Array, column, stack_lists, wanted_percentiles

Pick = list[float] | Literal["all"]  # percentiles, or all that were measured


def path(
    runs: pd.DataFrame,
    of: str,
    pick: Pick = [15, 50, 85],  # noqa: B006  (pydantic copies it)
    scale: Literal["absolute", "spread"] = "absolute",
    start: Step = 0,
) -> pd.DataFrame:
    """How far percentiles of a layer's inputs travel, moment by moment, from the step `start` on.

    Mean over the percentiles `pick`, and over units where the column has units. `spread`: each unit's way over its own
    spread, half of what lies between the outer two of `pick`, mean over the same moments; of `all`, between the 15th
    and the 85th. Over `all` of an even grid (0.5, 1.5, … 99.5) a step is the 1-Wasserstein distance between two
    moments.
    """

    def of_run(run: pd.DataFrame) -> tuple[float, float]:
        seen = run[run["step"] >= start]
        length = float(travelled(seen, of, pick, scale)[-1]) if len(seen) else math.nan
        return (length, length) if math.isfinite(length) else (-math.inf, math.inf)

    return each_run(runs, of_run)


def moves(
    runs: pd.DataFrame,
    of: str,
    pick: Pick = [15, 50, 85],  # noqa: B006  (pydantic copies it)
    scale: Literal["absolute", "spread"] = "absolute",
    log: Literal[2, 10] = 2,
) -> pd.DataFrame:
    """Logarithm of how far percentiles of a layer's inputs move from one moment to the next, mean over moments.

    As `path` measures it, but `spread` is each unit's own at these two moments.
    """

    def of_run(run: pd.DataFrame) -> tuple[float, float]:
        number = float(np.mean(moved(run, of, pick, scale, log)))
        return (number, number) if math.isfinite(number) else (-math.inf, math.inf)

    return each_run(runs, of_run)


def moved(run: pd.DataFrame, of: str, pick: Pick, scale: str, log: int = 2) -> Array:
    """The logarithm of each move of one run (moments − 1,), as `moves` measures it."""
    steps, half_spreads = _steps_and_spreads(run, of, pick)
    with np.errstate(divide="ignore", invalid="ignore"):  # a unit that stands still
        by_unit = steps / (half_spreads[1:] + half_spreads[:-1]) * 2 if scale == "spread" else steps
        return np.asarray(np.log(by_unit.mean(axis=1)) / math.log(log))


def travelled(run: pd.DataFrame, of: str, pick: Pick, scale: str) -> Array:
    """The way so far at each moment of one run (moments,), as `path` measures it."""
    steps, half_spreads = _steps_and_spreads(run, of, pick)
    with np.errstate(divide="ignore", invalid="ignore"):  # a unit that stands still
        by_unit = steps / half_spreads.mean(axis=0) if scale == "spread" else steps
    return np.concatenate([[0.0], np.cumsum(by_unit.mean(axis=1))])


def _steps_and_spreads(run: pd.DataFrame, of: str, pick: Pick) -> tuple[Array, Array]:
    """How far each unit moves between moments (moments − 1, units), and half its spread at each (moments, units)."""
    seen = stack_lists(column(run, of))
    seen = seen[:, None] if seen.ndim == 2 else seen  # (moments, units, percentiles)
    measured = wanted_percentiles(run)
    picked = measured if pick == "all" else list(pick)
    if not set(picked) <= set(measured):
        raise ConfigError(f"pick={pick}: of these runs the percentiles {measured} were measured")
    low, high = (_nearest(measured, p) for p in ((15, 85) if pick == "all" else (picked[0], picked[-1])))
    steps = np.abs(np.diff(seen[:, :, [measured.index(p) for p in picked]], axis=0)).mean(axis=2)
    return steps, (seen[:, :, high] - seen[:, :, low]) / 2


def _nearest(measured: Sequence[float], wanted: float) -> int:
    return int(np.argmin(np.abs(np.array(measured) - wanted)))
