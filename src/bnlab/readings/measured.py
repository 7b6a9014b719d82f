"""Measured columns of runs, as numbers."""

import math
from fnmatch import fnmatchcase
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bnlab.config import ConfigError

Array = NDArray[np.float64]
Columns = str | list[str]  # measured columns; * stands for any layer
Pool = Literal["mean", "max", "sum"]


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
