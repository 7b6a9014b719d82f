"""fig1a_best_rate: BN's gain with each arm at its own best rate and initial scale (the question of IS15 Fig. 1a)."""

from typing import Any

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.figure import Figure

from bnlab import plots, stats
from bnlab.claims import cells

COLUMNS = cells.COLUMNS


def effect(table: pd.DataFrame, rule: dict[str, Any], regime: str) -> stats.Effect:
    """Each regime is a part of the map (all of it, or one initial scale), in which each arm picks its best cell."""
    return stats.paired(cells.gains(starting(table, rule["regimes"][regime].get("init", {})), rule))


def starting(table: pd.DataFrame, init: dict[str, Any]) -> pd.DataFrame:
    """The runs that start as the knobs of `init` say."""
    for key, value in init.items():
        table = table[table[f"init.{key}"] == value]
    return table


def facts(table: pd.DataFrame, rule: dict[str, Any]) -> list[dict[str, Any]]:
    """A row for each regime: where each arm is best, and what it gets there on the test set; so, too, where it ties."""
    rows = []
    for regime, terms in rule["regimes"].items():
        row = {"regime": regime}
        for arm in ("none", "batch"):
            first, *tied = (
                _told(cell, rule) for cell in cells.best_cells(starting(table, terms.get("init", {})), arm, rule)
            )
            row[plots.name(arm)] = f"{first} (tied: {'; '.join(tied)})" if tied else first
        rows.append(row)
    return rows


def _told(cell: pd.DataFrame, rule: dict[str, Any]) -> str:
    return f"{plots.percent(cell[rule['metric']])} % at rate {cell[rule['knob']].iloc[0]:g}, {cells.start(cell)}"


def draw(table: pd.DataFrame, rule: dict[str, Any]) -> dict[str, Figure]:
    """The map of each arm, and the difference of their best cells at each scale."""
    last = plots.final(table).sort_values(["init.name", "init.sigma"], ascending=[False, True])
    last = last.assign(start=[cells.start(last.iloc[[i]]) for i in range(len(last))])
    with plots.style():
        figure, axes = plt.subplots(1, 3, figsize=(12, 4.1), width_ratios=[1, 1, 0.8], layout="constrained")
        for ax, arm in zip(axes, ("none", "batch"), strict=False):
            mesh = plots.heat_map(
                ax, last[last["norm.name"] == arm], rule["knob"], "start", rule["choose"], rule["within"], plots.TOP
            )
            ax.set(title=plots.name(arm), ylabel="initial weights")
        figure.colorbar(mesh, ax=axes[:2], label="validation accuracy, mean over seeds", extend="min")
        figure.legend(
            handles=plots.heat_legend(last, rule["choose"], rule["within"]), loc="outside lower left", ncols=4
        )
        gain = {
            regime: cells.gains(starting(table, terms.get("init", {})), rule)
            for regime, terms in rule["regimes"].items()
        }
        plots.differences(axes[2], gain, cells.first_delta(rule))
        axes[2].set(xlabel="percentage points", title="gain of BN on the test set")
        plots.say_setting(figure, table, rule)
    return {"figure": figure}
