"""max_stable_rate: without BN a net diverges at rates that it takes with BN (Bjorck et al. 2018, §3)."""

from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from bnlab import plots, stats
from bnlab.claims import cells

COLUMNS = cells.COLUMNS


def effect(table: pd.DataFrame, rule: dict[str, Any], regime: str) -> stats.Effect:
    """Each regime is a depth; paired by seed."""
    return stats.paired(gains(table, rule["regimes"][regime]["depth"], rule), rule["resolution"])


def gains(table: pd.DataFrame, depth: int, rule: dict[str, Any]) -> list[float]:
    """Decades by which the largest rate with BN lies above that without, one a seed.

    Where a seed trains at no rate without BN, the smallest rate bounds the gain from below.
    """
    of_depth = table[table["model.depth"] == depth]
    smallest = float(np.log10(table[rule["knob"]].min()))
    return list(limits(of_depth, "batch", rule) - limits(of_depth, "none", rule).fillna(smallest))


def limits(table: pd.DataFrame, arm: str, rule: dict[str, Any]) -> "pd.Series[float]":
    """log10 of the largest rate at which a run of the arm ended `trained`, by seed; nan where none did.

    The grid bounds it from below where it is the grid's largest.
    """
    ends = plots.final(table[table["norm.name"] == arm])
    trained = ends[ends["outcome"] == "trained"]
    largest = trained.groupby("seed")[rule["knob"]].max().reindex(np.sort(ends["seed"].unique()))
    limit: pd.Series[float] = np.log10(largest)
    return limit


def facts(table: pd.DataFrame, rule: dict[str, Any]) -> list[dict[str, Any]]:
    """A row for each depth: the largest rate that trains, over seeds, and how runs ended, over all rates."""
    rows = []
    for terms in rule["regimes"].values():
        of_depth = table[table["model.depth"] == terms["depth"]]
        row: dict[str, Any] = {"layers": terms["depth"]}
        for arm in ("none", "batch"):
            largest = limits(of_depth, arm, rule)
            ends = plots.final(of_depth[of_depth["norm.name"] == arm])
            row[plots.name(arm)] = f"{_range(10**largest)}; of {len(ends)} runs {cells.outcomes(ends)}"
        rows.append(row)
    return rows


def _range(rates: "pd.Series[float]") -> str:
    low, high, nowhere = rates.min(), rates.max(), int(rates.isna().sum())
    if nowhere == len(rates):
        return "trains at no rate"
    most = f"trains up to {low:.2g}" if low == high else f"trains up to {low:.2g} to {high:.2g}"
    return f"{most} ({nowhere} of {len(rates)} seeds at no rate)" if nowhere else most


def draw(table: pd.DataFrame, rule: dict[str, Any]) -> dict[str, Figure]:
    """Where runs end over the rate, a panel for each depth, and the differences that the verdict rests on."""
    with plots.style():
        figure, axes = plt.subplots(1, len(rule["regimes"]) + 1, figsize=(14, 3.8), layout="constrained")
        for ax, (regime, terms) in zip(axes, rule["regimes"].items(), strict=False):
            plots.response(ax, table[table["model.depth"] == terms["depth"]], rule["knob"], rule["metric"])
            ax.set(title=regime, ylim=(0, None))
        axes[0].legend(loc="lower left")
        gain = {regime: gains(table, terms["depth"], rule) for regime, terms in rule["regimes"].items()}
        plots.differences(axes[-1], gain, cells.first_delta(rule), rule["resolution"])
        axes[-1].set(xlabel="decades", title="largest rate that trains, BN − none")
        plots.say_setting(figure, table, rule)
    return {"figure": figure}
