"""The vocabulary of claims: what is read off the runs of one arm, one number a seed.

A reading is `(runs, …terms) -> DataFrame` with a row a seed and the columns `lo` and `hi`: the same where the number is
exact, an interval where a grid or the end of training hides the rest. `runs` are records as `bnlab.runs.load` gives
them. Several runs of one seed, of cells that tied, are averaged. A new reading is a function and a line in `READINGS`.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from fnmatch import fnmatchcase
from itertools import pairwise
from typing import Annotated, Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import Field

from bnlab.config import ConfigError, checked, construct

Array = NDArray[np.float64]
Columns = str | list[str]  # measured columns; * stands for any layer
Step = Annotated[int, Field(ge=0)]
Share = Annotated[float, Field(ge=0, le=1)]
# Of {column: target} the first moment at which all are passed
When = Literal["end", "start", "best", "mean"] | Step | dict[str, float]
Pool = Literal["mean", "max", "sum"]
Pick = list[float] | Literal["all"]  # percentiles, or all that were measured
OF_A_RUN = ("run", "seed", "step", "outcome", "measure.percentiles")  # beside what was measured


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
        number = _at(run, numbers, at, judge) - (numbers[0] if against_start else 0)
        return (number, number) if math.isfinite(number) else (-math.inf, math.inf)

    return _each_run(runs, of_run)


def steps_to(runs: pd.DataFrame, of: Columns, target: float) -> pd.DataFrame:
    """Updates until a column first passes `target`: after the moment before and by the first at which it has.

    Never is [last step, ∞). Less than one update counts as one.
    """

    def of_run(run: pd.DataFrame) -> tuple[float, float]:
        steps, passed = run["step"].to_numpy(dtype=float), np.flatnonzero(series(run, of) >= target)
        if len(passed) == 0:
            return float(steps[-1]), math.inf
        return float(max(steps[max(passed[0] - 1, 0)], 1)), float(max(steps[passed[0]], 1))

    return _each_run(runs, of_run)


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

    return _each_seed(runs, knob, of, of_seed)


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

    found = _each_seed(runs, knob, of, of_seed)
    found.loc[~found.index.isin(runs.loc[runs["outcome"] == "trained", "seed"])] = (0, math.inf)
    return found


def largest(runs: pd.DataFrame, knob: str, of: Columns, above: float) -> pd.DataFrame:
    """log10 of the largest value of `knob` at which a run ends above a limit: [last that did, first that did not)."""

    def of_seed(ends: "pd.Series[float]") -> tuple[float, float]:
        at = np.concatenate([[-math.inf], np.log10(ends.index.to_numpy(dtype=float)), [math.inf]])
        trained = np.flatnonzero(ends.to_numpy() > above)
        last = int(trained[-1]) + 1 if len(trained) else 0
        return float(at[last]), float(at[last + 1])

    return _each_seed(runs, knob, of, of_seed)


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
        return _each_run(points, of_points)
    return _by_seed({(int(own["seed"].iloc[0]), ""): of_points(own) for _, own in points.groupby("seed", sort=True)})


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

    return _each_run(runs, of_run)


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

    return _each_run(runs, of_run)


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


# ---- columns ----------------------------------------------------------------------------------------------


def series(run: pd.DataFrame, of: Columns, pool: Pool = "mean", log: Literal[2, 10] | None = None) -> Array:
    """The numbers of runs (records,), of several columns pooled; their logarithms are."""
    names = [name for pattern in ([of] if isinstance(of, str) else of) for name in matching(run, pattern)]
    pooled: Any = {"mean": np.mean, "max": np.max, "sum": np.sum}[pool]
    numbers = np.array([column(run, name).to_numpy(dtype=float) for name in names])
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(pooled(numbers if log is None else np.log(numbers) / math.log(log), axis=0))


def matching(run: pd.DataFrame, pattern: str) -> list[str]:
    """The columns that a name with * stands for, in the order of layers; of layers that a net has not, none.

    Raises `ConfigError` where there is none.
    """
    if "*" not in pattern:
        return [pattern]
    found = [str(name) for name in run.columns if fnmatchcase(str(name), pattern)]
    if not found:
        raise _not_measured(run, pattern)
    return [name for name in found if column(run, name).notna().any()] or found


def column(run: pd.DataFrame, name: str) -> "pd.Series[Any]":
    """A measured column of runs; batch statistics of a net that has none are those it is tested with.

    Raises `ConfigError` where there is neither.
    """
    there = [each for each in (name, as_tested(name)) if each in run]
    if not there:
        raise _not_measured(run, name)
    return run[there[-1] if run[there[0]].isna().all() else there[0]]


def _not_measured(run: pd.DataFrame, name: str) -> ConfigError:
    brief = ", ".join(str(column) for column in run.columns if str(column).count("/") == 1)
    return ConfigError(f"of={name}: not measured in these runs; they have {brief}")


def as_tested(name: str) -> str:
    """The column of a net that has no batch statistics, in the place of one of these."""
    return name.replace("/batch/", "/population/")


def stack_lists(lists: "pd.Series[Any]") -> Array:
    """A column of equally nested lists as one array, rows first."""
    return np.array([np.array(list(row), dtype=float) for row in lists])


def wanted_percentiles(table: pd.DataFrame) -> list[float]:
    """The percentiles that the runs recorded."""
    return [float(p) for p in str(table["measure.percentiles"].iloc[0]).strip("[]").split(",")]


# ---- moments, runs and seeds ------------------------------------------------------------------------------


def _at(run: pd.DataFrame, numbers: Array, at: When, judge: Array) -> float:
    """One of a run's numbers; nan where the moment never comes. The best is where `judge` is highest, first."""
    if at == "best":
        return float(numbers[np.nanargmax(judge)]) if np.isfinite(judge).any() else math.nan
    if at == "mean":
        return float(np.mean(numbers))
    if isinstance(at, dict):
        passed = np.all([series(run, name) >= target for name, target in at.items()], axis=0)
        return float(numbers[np.argmax(passed)]) if passed.any() else math.nan
    steps = run["step"].to_numpy()
    there = np.flatnonzero(steps == {"end": steps[-1], "start": 0}.get(str(at), at))
    return float(numbers[there[0]]) if len(there) else math.nan


def _each_run(runs: pd.DataFrame, of_run: Callable[[pd.DataFrame], tuple[float, float]]) -> pd.DataFrame:
    """`of_run` of the records of each run, by seed; the mean over the runs of a seed."""
    kept = [name for name in runs if "/" in str(name) or name in OF_A_RUN]  # to cut all knobs takes twice as long
    each = {str(run["run"].iloc[0]): run for run in _cut(runs[kept])}
    return _by_seed({(int(each[name]["seed"].iloc[0]), name): of_run(each[name]) for name in sorted(each)})


def _cut(runs: pd.DataFrame) -> list[pd.DataFrame]:
    """The records of each run, in order of steps. Cut, as groups are slow, and sorted only where they have to be."""
    names, steps = runs["run"].to_numpy(), runs["step"].to_numpy()
    edges = [0, *(np.flatnonzero(names[1:] != names[:-1]) + 1).tolist(), len(runs)]
    backwards = (names[1:] == names[:-1]) & (steps[1:] < steps[:-1])
    if len(runs) and (backwards.any() or len(edges) - 1 > len(set(names))):
        return _cut(runs.sort_values(["run", "step"], kind="stable"))
    return [runs.iloc[begin:end] for begin, end in pairwise(edges) if end > begin]


def _each_seed(
    runs: pd.DataFrame, knob: str, of: Columns, of_seed: Callable[["pd.Series[float]"], tuple[float, float]]
) -> pd.DataFrame:
    """`of_seed` of where a seed's runs end, by value of `knob`, ascending; what is no number counts as the worst."""
    if knob not in runs:
        raise ConfigError(f"knob={knob}: not a knob of these runs")
    ends = runs[runs["step"] == runs["steps"]]
    at_end = ends.assign(end=np.nan_to_num(series(ends, of)))
    by_seed = {
        int(own["seed"].iloc[0]): own.groupby(knob)["end"].mean().sort_index() for _, own in at_end.groupby("seed")
    }
    return _by_seed({(seed, ""): of_seed(own) for seed, own in by_seed.items()})


def _by_seed(read: dict[tuple[int, str], tuple[float, float]]) -> pd.DataFrame:
    index = pd.Index([seed for seed, _ in read], name="seed")
    bounds = pd.DataFrame(list(read.values()), index=index, columns=["lo", "hi"], dtype=float)
    return bounds.groupby("seed").mean()


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
