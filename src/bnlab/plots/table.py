"""What plots ask of the table of runs."""

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bnlab.config import ConfigError


def final(table: pd.DataFrame) -> pd.DataFrame:
    """The last record of each run."""
    return table[table["step"] == table["steps"]]


def differing(table: pd.DataFrame) -> list[str]:
    """The knobs in which runs differ, other than the seed; `norm.name` where they differ in none."""
    knobs = knobs_of(table)
    names = [c for c in knobs if c.endswith(".name")]
    chosen = [c for c in [*names, *knobs] if len(table[c].drop_duplicates()) > 1]
    if "norm.name" in chosen:  # a norm's own knobs come and go with it
        chosen = [c for c in chosen if c == "norm.name" or not c.startswith("norm.") or _varies_within(table, c)]
    return list(dict.fromkeys(chosen)) or ["norm.name"]


def knobs_of(table: pd.DataFrame) -> list[str]:
    """The columns that are knobs of the runs, the seed apart; `runs.load` puts them before `outcome`."""
    columns = columns_of(table)
    return [c for c in columns[: columns.index("outcome")] if c not in ("run", "seed")]


def _varies_within(table: pd.DataFrame, knob: str) -> bool:
    return any(len(arm[knob].drop_duplicates()) > 1 for _, arm in table.groupby("norm.name"))


def setting(table: pd.DataFrame, rule: dict[str, Any]) -> str:
    """A claim's setting, with the steps and the data that this table really has."""
    return f"{rule['setting']}; {table['steps'].iloc[0]:,} steps, {table['data.name'].iloc[0]}"


def subtitle(table: pd.DataFrame) -> str:
    """What the runs have in common, in a few words."""
    return ", ".join(str(table[c].iloc[0]) for c in ("data.name", "model.name", "optimizer.name"))


def wanted_percentiles(table: pd.DataFrame) -> list[float]:
    """The percentiles that the runs recorded."""
    return [float(p) for p in str(table["measure.percentiles"].iloc[0]).strip("[]").split(",")]


def need(table: pd.DataFrame, *columns: str) -> None:
    for column in columns:
        if column not in table:
            sites = sorted({c.split("/")[0] for c in columns_of(table) if c.endswith("/percentiles")})
            raise ConfigError(f"{column} was not measured; sites with percentiles: {', '.join(sites) or 'none'}")


def columns_of(table: pd.DataFrame) -> list[str]:
    """Column names, all of which are strings here."""
    return [str(column) for column in table.columns]


def measured(runs: pd.DataFrame, column: str) -> pd.DataFrame:
    return runs[runs[column].notna()]


def stack_lists(column: "pd.Series[Any]") -> NDArray[np.float64]:
    """A column of equally nested lists as one array, rows first."""
    return np.array([np.array(list(row), dtype=float) if np.ndim(row[0]) == 0 else _nested(row) for row in column])


def _nested(row: Any) -> NDArray[np.float64]:
    return np.array([np.asarray(part, dtype=float) for part in row])
