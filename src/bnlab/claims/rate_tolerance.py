"""rate_tolerance: BN lets the learning rate be raised (IS15 abstract, §3.3)."""

from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bnlab import plots, stats
from bnlab.claims import cells

COLUMNS = cells.COLUMNS


def effect(table: pd.DataFrame, rule: dict[str, Any], regime: str) -> stats.Effect:
    """Both statistics are numbers of each arm and seed, in decades; paired by seed."""
    none, batch = (per_seed(table, arm, STATISTICS[regime], rule) for arm in ("none", "batch"))
    return stats.paired((batch - none).to_list(), rule["resolution"])


def width(ends: "pd.Series[float]", rule: dict[str, Any]) -> float:
    """Decades of the unbroken range around the best value of the knob that ends within `rule["within"]` of it.

    `ends`: final metric by value of the knob, ascending. The grid bounds it from below where the range reaches its end.
    """
    good = ends.fillna(0).to_numpy() >= ends.max() - rule["within"]
    best = int(np.argmax(ends.fillna(0).to_numpy()))
    low = high = best
    while low > 0 and good[low - 1]:
        low -= 1
    while high < len(good) - 1 and good[high + 1]:
        high += 1
    return float(np.log10(ends.index[high] / ends.index[low]))


def limit(ends: "pd.Series[float]", rule: dict[str, Any]) -> float:
    """log10 of the largest value of the knob at which the net trains; nan where it trains at none."""
    trained = ends.index[ends.fillna(0) >= rule["trains"]]
    return float(np.log10(trained[-1])) if len(trained) else float("nan")


STATISTICS = {"wider range": width, "higher limit": limit}


def per_seed(table: pd.DataFrame, arm: str, statistic: Any, rule: dict[str, Any]) -> "pd.Series[float]":
    """`statistic` of the arm's ends over the grid of the rule's knob, by seed."""
    ends = plots.final(table[table["norm.name"] == arm])
    grid = ends.pivot_table(index="seed", columns=rule["knob"], values=rule["metric"], dropna=False)
    return pd.Series({seed: statistic(ends_of_seed, rule) for seed, ends_of_seed in grid.iterrows()})


def facts(table: pd.DataFrame, rule: dict[str, Any]) -> list[dict[str, Any]]:
    """A row for each rate: where each arm ends, on validation, mean over seeds, and how many runs train."""
    ends = plots.final(table)
    rows = []
    for value, at in ends.groupby(rule["knob"]):
        row: dict[str, Any] = {"rate": f"{value:g}"}
        for arm in ("none", "batch"):
            runs = at[at["norm.name"] == arm]
            trained = int((runs[rule["metric"]] >= rule["trains"]).sum())
            row[plots.name(arm)] = f"{100 * runs[rule['metric']].mean():.2f} % ({trained} of {len(runs)} trained)"
        rows.append(row)
    return rows


def draw(table: pd.DataFrame, rule: dict[str, Any]) -> dict[str, Figure]:
    """Where runs end over the rate, whole and near the top."""
    with plots.style():
        figure, (whole, top) = plt.subplots(1, 2, figsize=(10, 3.8))
        for ax in (whole, top):
            plots.response(ax, table, rule["knob"], rule["metric"])
        whole.set(ylim=(0, 1.02), title="final validation accuracy")
        whole.axhline(rule["trains"], color="0.4", lw=0.6, ls=":")
        whole.legend(loc="lower left")
        _mark_tolerated(top, table, rule)
        plots.say_setting(figure, table, rule)
    return {"figure": figure}


def _mark_tolerated(ax: Axes, table: pd.DataFrame, rule: dict[str, Any]) -> None:
    """The last points, with a dotted line a point below each arm's best median."""
    best = 0.0
    for arm, runs in plots.final(table).groupby("norm.name"):
        top = float(runs.groupby(rule["knob"])[rule["metric"]].median().max())
        ax.axhline(top - rule["within"], color=plots.colour(arm), lw=0.8, ls=":")
        best = max(best, top)
    ax.set(ylim=(best - 0.06, best + 0.005), title="the same near the top; dotted: 1 point below the arm's best")
