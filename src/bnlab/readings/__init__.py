"""The vocabulary of claims: what is read off the runs of one arm, one number a seed.

A reading is `(runs, …terms) -> DataFrame` with a row a seed and the columns `lo` and `hi`: the same where the number is
exact, an interval where a grid or the end of training hides the rest. `runs` are records as `bnlab.runs.load` gives
them. Several runs of one seed, of cells that tied, are averaged. A new reading is a function and a line in `READINGS`.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import numpy as np
import pandas as pd

from bnlab.config import ConfigError, checked, construct
from bnlab.readings.by_seed import When, at_moment, each_run, each_seed, mean_by_seed
from bnlab.readings.measured import (
    Array,
    Columns,
    Pool,
    as_tested,
    column,
    matching,
    series,
    stack_lists,
    wanted_percentiles,
)
from bnlab.readings.percentiles import Pick, moved, moves, path, travelled

__all__ = ["READINGS", "Array", "Pick", "check", "columns", "in_unit", "read", "value", "where_all_trained"]
__all__ += ["as_tested", "column", "matching", "moved", "series", "stack_lists", "travelled", "wanted_percentiles"]


def value(
    runs: pd.DataFrame,
    of: Columns,
    pool: Pool = "mean",
    minus: str | None = None,
    log: Literal[2, 10] | None = None,
    at: When = "end",
    best_by: str | None = None,
    against_start: bool = False,
) -> pd.DataFrame:
    """A measured column, or several pooled, at a moment; `minus` another; as it is, as logarithms, against the start.

    The moment may be a step, the first at which other columns pass their targets, or the best: by the column's own
    numbers, or by those of `best_by`; `mean` is over all moments. Anything, [−∞, ∞], where it is no number, where the
    moment never comes, or where a run did not train and `minus` asks for a gap.
    """

    def of_run(run: pd.DataFrame) -> tuple[float, float]:
        if minus is not None and run["outcome"].iloc[0] != "trained":
            return -math.inf, math.inf
        numbers = series(run, of, pool, log) - (0 if minus is None else series(run, minus, pool, log))
        judge = numbers if best_by is None else series(run, best_by)
        number = at_moment(run, numbers, at, judge) - (numbers[0] if against_start else 0)
        return (number, number) if math.isfinite(number) else (-math.inf, math.inf)

    return each_run(runs, of_run)


def steps_to(runs: pd.DataFrame, of: Columns, target: float) -> pd.DataFrame:
    """Updates until a column first passes `target`: after the moment before and by the first at which it has.

    Never is [last step, ∞). Less than one update counts as one.
    """

    def of_run(run: pd.DataFrame) -> tuple[float, float]:
        steps, passed = run["step"].to_numpy(dtype=float), np.flatnonzero(series(run, of) >= target)
        if len(passed) == 0:
            return float(steps[-1]), math.inf
        return float(max(steps[max(passed[0] - 1, 0)], 1)), float(max(steps[passed[0]], 1))

    return each_run(runs, of_run)


def share(runs: pd.DataFrame, of: Columns, above: float, at: When = "end") -> pd.DataFrame:
    """1 for a run whose column is above a limit at a moment, else 0: what share of the seeds gets there."""
    numbers = value(runs, of, at=at)
    reached = ((numbers["lo"] > above) & np.isfinite(numbers["lo"])).astype(float)
    return pd.DataFrame({"lo": reached, "hi": reached})


def shortfall(
    runs: pd.DataFrame, knob: str, of: Columns, low: float = -math.inf, high: float = math.inf
) -> pd.DataFrame:
    """By how much the end lies below the seed's best, mean over the grid of `knob` (from `low` to `high`, both in)."""

    def of_seed(ends: "pd.Series[float]") -> tuple[float, float]:
        loss = float((ends.max() - ends[(ends.index >= low) & (ends.index <= high)]).mean())
        return loss, loss

    return each_seed(runs, knob, of, of_seed)


def range_within(runs: pd.DataFrame, knob: str, of: Columns, within: float) -> pd.DataFrame:
    """Decades of `knob`, in one piece around the seed's best, that end within so much of it.

    From the values that do to those next to them that do not; without bound where the range reaches an end of the grid.
    Where no run of a seed trains, all are alike and its range is not to be seen: [0, ∞).
    """

    def of_seed(ends: "pd.Series[float]") -> tuple[float, float]:
        at, good = np.log10(ends.index.to_numpy(dtype=float)), ends.to_numpy() >= ends.max() - within
        low = high = int(np.argmax(ends.to_numpy()))
        while low > 0 and good[low - 1]:
            low -= 1
        while high < len(good) - 1 and good[high + 1]:
            high += 1
        below = at[low - 1] if low > 0 else -math.inf
        above = at[high + 1] if high < len(good) - 1 else math.inf
        return float(at[high] - at[low]), float(above - below)

    found = each_seed(runs, knob, of, of_seed)
    found.loc[~found.index.isin(runs.loc[runs["outcome"] == "trained", "seed"])] = (0, math.inf)
    return found


def largest(runs: pd.DataFrame, knob: str, of: Columns, above: float) -> pd.DataFrame:
    """log10 of the largest value of `knob` at which a run ends above a limit: [last that did, first that did not)."""

    def of_seed(ends: "pd.Series[float]") -> tuple[float, float]:
        at = np.concatenate([[-math.inf], np.log10(ends.index.to_numpy(dtype=float)), [math.inf]])
        trained = np.flatnonzero(ends.to_numpy() > above)
        last = int(trained[-1]) + 1 if len(trained) else 0
        return float(at[last]), float(at[last + 1])

    return each_seed(runs, knob, of, of_seed)


def slope(
    runs: pd.DataFrame,
    of: Columns,
    along: str = "step",
    pool: Pool = "mean",
    log: Literal[2, 10] | None = None,
    log_along: bool = False,
    low: float = -math.inf,
    high: float = math.inf,
) -> pd.DataFrame:
    """The slope of a column over the records of a run, or of where runs end over a knob: least squares, one a seed.

    With `log` of the column it is the logarithm of a factor for each step; with `log_along` too, the exponent of a law.
    From `low` to `high` of what it goes along, both in. Anything, [−∞, ∞], where fewer than two points are numbers.
    """
    if along not in runs:
        raise ConfigError(f"along={along}: not a knob of these runs")
    points = runs if along == "step" else runs[runs["step"] == runs["steps"]]
    points = points[(points[along] >= low) & (points[along] <= high)]

    def of_points(own: pd.DataFrame) -> tuple[float, float]:
        x, y = own[along].to_numpy(dtype=float), series(own, of, pool, log)
        with np.errstate(divide="ignore"):
            x = np.log(x) / math.log(log or 10) if log_along else x
        known = np.isfinite(x) & np.isfinite(y)
        if len(np.unique(x[known])) < 2:
            return -math.inf, math.inf
        found = float(np.polyfit(x[known], y[known], 1)[0])
        return found, found

    if along == "step":
        return each_run(points, of_points)
    return mean_by_seed(
        {(int(own["seed"].iloc[0]), ""): of_points(own) for _, own in points.groupby("seed", sort=True)}
    )


def where_all_trained(runs: pd.DataFrame, paired_by: Sequence[str]) -> pd.DataFrame:
    """Without the runs of which one that is alike in the seed and in the knobs `paired_by` did not train."""
    cells = runs.groupby(["seed", *paired_by], dropna=False)["outcome"]
    return runs[cells.transform(lambda outcomes: bool((outcomes == "trained").all()))]


def read(name: str, terms: Mapping[str, Any], runs: pd.DataFrame) -> pd.DataFrame:
    """The reading `name` of `READINGS`, with `terms` checked by its signature."""
    found: pd.DataFrame = construct(READINGS, "read", {"name": name, **terms}, runs=runs)
    return found


def in_unit(reading: Mapping[str, Any], runs: pd.DataFrame) -> pd.DataFrame:
    """What a YAML's `read` and terms read, times 100 where its `in` says points or per cent."""
    return read(reading["read"], _terms(reading), runs) * (100 if reading.get("in") else 1)


def _terms(reading: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in reading.items() if key not in ("read", "in")}


def check(where: str, reading: Mapping[str, Any]) -> None:
    """Raise `ConfigError`, one line that begins with `where`, for a YAML's `read`, terms and `in` that are wrong."""
    if (name := reading.get("read")) not in READINGS:
        raise ConfigError(f"{where}.read={name}: not known here; choose one of {', '.join(READINGS)}")
    if reading.get("in") not in (None, "points", "%"):
        raise ConfigError(f"{where}.in={reading['in']}: choose one of points, %")
    checked(READINGS, where, {"name": name, **_terms(reading)}, {"runs"})


def columns(reading: Mapping[str, Any]) -> list[str]:
    """The columns, or patterns of such, that a reading's terms name."""
    of, at = reading.get("of", []), reading.get("at")
    names = [of] if isinstance(of, str) else list(of)
    others = [reading[key] for key in ("minus", "best_by") if key in reading]
    return [*names, *others, *(at if isinstance(at, dict) else [])]


READINGS: dict[str, Callable[..., pd.DataFrame]] = {
    "value": value,
    "steps_to": steps_to,
    "share": share,
    "shortfall": shortfall,
    "range_within": range_within,
    "largest": largest,
    "path": path,
    "slope": slope,
    "moves": moves,
}
