"""What several claims ask of cells, runs of one setting: which is an arm's best, how they start, how they ended."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from bnlab import plots, stats

COLUMNS = ["validation/accuracy", "test/accuracy", "train/accuracy", "train/batch_loss"]  # most claims need no others
START = ["init.name", "init.sigma", "init.gain"]


def best(table: pd.DataFrame, arm: str, rule: dict[str, Any]) -> pd.DataFrame:
    """The last records, one a seed, of the arm's cell (rate and start) with the highest mean of `rule["choose"]`.

    Of cells that tie, the first: starts by name and number, then the lowest rate.
    """
    return best_cells(table, arm, rule)[0]


def best_cells(table: pd.DataFrame, arm: str, rule: dict[str, Any]) -> list[pd.DataFrame]:
    """All cells that are best; several where they tie."""
    ends = plots.final(table[table["norm.name"] == arm])
    knobs = [knob for knob in [*START, rule["knob"]] if knob in ends]
    cells = [cell for _, cell in ends.groupby(knobs, dropna=False)]
    means = [float(cell[rule["choose"]].fillna(0).mean()) for cell in cells]
    return [cell for cell, mean in zip(cells, means, strict=True) if mean >= max(means) - plots.TIE]


def percent(ends: pd.DataFrame, metric: str) -> "pd.Series[float]":
    """`metric` of these runs in percent, by seed; nan where none of them trained, as chance is nothing to compare."""
    values: pd.Series[float] = 100 * ends.set_index("seed")[metric]
    return values if (ends["outcome"] == "trained").any() else values * math.nan


def gains(table: pd.DataFrame, rule: dict[str, Any]) -> list[float]:
    """Batch minus none, each in its best cell, in points, one a seed."""
    none, batch = (best(table, arm, rule).set_index("seed")[rule["metric"]] for arm in ("none", "batch"))
    return list(100 * (batch - none))


def times_to(runs: pd.DataFrame, metric: str, targets: "Mapping[Any, float] | pd.Series[float]") -> stats.Times:
    """When each run, one a seed, first has `metric` at its seed's target: between two looks on the line through them.

    Censored at its end, where it never does. The crossing of a target that is nan is never.
    """
    by_seed = runs.sort_values("step").groupby("seed")
    steps = np.array([_reaches(run["step"], run[metric], targets[seed]) for seed, run in by_seed])
    arrived = np.isfinite(steps)
    return stats.Times(np.where(arrived, steps, runs["steps"].iloc[0]), arrived)


def _reaches(step: "pd.Series[int]", seen: "pd.Series[float]", target: float) -> float:
    """nan where it never does."""
    x, y = step.to_numpy(dtype=float), seen.to_numpy(dtype=float)
    at = np.flatnonzero(y >= target)
    if len(at) == 0:
        return math.nan
    i = at[0]
    return float(x[0] if i == 0 else np.interp(target, y[i - 1 : i + 1], x[i - 1 : i + 1]))


def start(runs: pd.DataFrame) -> str:
    """How these runs' weights start: "σ = 0.1", "1/√fan-in"."""
    first = runs.iloc[0]
    if first["init.name"] == "gaussian":
        return f"σ = {first['init.sigma']:g}"
    gain = "" if first["init.gain"] == 1 else f"{first['init.gain']:g}·"
    return f"{gain}1/√fan-in"


def outcomes(ends: pd.DataFrame) -> str:
    """How many runs ended how: "1 stuck, 5 trained"."""
    counts = ends["outcome"].value_counts()
    return ", ".join(f"{counts[key]} {key}" for key in sorted(counts.index))


def first_delta(rule: dict[str, Any]) -> float:
    """δ of the first regime, for figures of regimes that share it."""
    return float(next(iter(rule["regimes"].values()))["delta"])
