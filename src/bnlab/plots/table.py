"""The columns of the table of runs that plots draw from."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from bnlab import runs
from bnlab.config import ConfigError


def final(table: pd.DataFrame) -> pd.DataFrame:
    """The last record of each run."""
    return table[table["step"] == table["steps"]]


def columns_of(table: pd.DataFrame) -> list[str]:
    """Column names, all of which are strings here."""
    return [str(column) for column in table.columns]


def knobs_of(table: pd.DataFrame) -> list[str]:
    """The columns that are knobs of the runs, the seed apart."""
    return [knob for knob in runs.knobs(table) if knob != "seed"]


def check_knobs(table: pd.DataFrame, knobs: Sequence[str]) -> None:
    """Raises `ConfigError` for what is no knob of these runs."""
    known = [*knobs_of(table), "seed", "outcome"]
    for knob in knobs:
        if knob not in known:
            raise ConfigError(f"{knob}: no knob of these runs; they have {', '.join(known)}")


def check_metric(table: pd.DataFrame, metric: str) -> None:
    """Raises `ConfigError`, which lists those there are, for a metric that these runs do not have."""
    numbers = [column for column in columns_of(table.select_dtypes("number")) if "/" in column]
    if metric not in numbers:
        brief = [column for column in numbers if column.count("/") == 1]
        raise ConfigError(f"metric={metric}: not in these runs; they have {', '.join(brief)}")


def is_number(column: "pd.Series[Any]") -> bool:
    """Whether a knob's values are numbers, and not words or yes and no."""
    return pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column)


def is_accuracy(metric: str) -> bool:
    """Whether more of `metric` is better, at most 1."""
    return metric.endswith("accuracy")


def counted(values: "pd.Series[Any]", metric: str) -> "pd.Series[Any]":
    """`values` of `metric` with the worst there is for those that are no number: a run that diverged is no gap."""
    return values.fillna(0 if is_accuracy(metric) else np.inf)


def subtitle(table: pd.DataFrame) -> str:
    """What the runs have in common, in a few words, and how many they are."""
    common = [c for c in ("study.name", "model.name", "optimizer.name") if c in table and len(table[c].unique()) == 1]
    number = count(table)
    return ", ".join([*(str(table[c].iloc[0]) for c in common), f"{number} run{'' if number == 1 else 's'}"])


def count(table: pd.DataFrame) -> int:
    """How many runs there are; one that lies in two folders that are compared is two."""
    return len(table[[c for c in ("folder", "run") if c in table]].drop_duplicates())
