"""From the records of runs to one number a seed, as an interval [lo, hi]."""

import math
from collections.abc import Callable
from itertools import pairwise
from typing import Annotated, Literal

import numpy as np
import pandas as pd
from pydantic import Field

from bnlab.config import ConfigError
from bnlab.readings.measured import Array, Columns, series

Step = Annotated[int, Field(ge=0)]
# Of {column: target} the first moment at which all are passed
When = Literal["end", "start", "best", "mean"] | Step | dict[str, float]
OF_A_RUN = ("run", "seed", "step", "outcome", "measure.percentiles")  # beside what was measured


def at_moment(run: pd.DataFrame, numbers: Array, at: When, judge: Array) -> float:
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


def each_run(runs: pd.DataFrame, of_run: Callable[[pd.DataFrame], tuple[float, float]]) -> pd.DataFrame:
    """`of_run` of the records of each run, by seed; the mean over the runs of a seed."""
    kept = [name for name in runs if "/" in str(name) or name in OF_A_RUN]  # to cut all knobs takes twice as long
    each = {str(run["run"].iloc[0]): run for run in _cut(runs[kept])}
    return mean_by_seed({(int(each[name]["seed"].iloc[0]), name): of_run(each[name]) for name in sorted(each)})


def _cut(runs: pd.DataFrame) -> list[pd.DataFrame]:
    """The records of each run, in order of steps. Cut, as groups are slow, and sorted only where they have to be."""
    names, steps = runs["run"].to_numpy(), runs["step"].to_numpy()
    edges = [0, *(np.flatnonzero(names[1:] != names[:-1]) + 1).tolist(), len(runs)]
    backwards = (names[1:] == names[:-1]) & (steps[1:] < steps[:-1])
    if len(runs) and (backwards.any() or len(edges) - 1 > len(set(names))):
        return _cut(runs.sort_values(["run", "step"], kind="stable"))
    return [runs.iloc[begin:end] for begin, end in pairwise(edges) if end > begin]


def each_seed(
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
    return mean_by_seed({(seed, ""): of_seed(own) for seed, own in by_seed.items()})


def mean_by_seed(read: dict[tuple[int, str], tuple[float, float]]) -> pd.DataFrame:
    index = pd.Index([seed for seed, _ in read], name="seed")
    bounds = pd.DataFrame(list(read.values()), index=index, columns=["lo", "hi"], dtype=float)
    return bounds.groupby("seed").mean()
