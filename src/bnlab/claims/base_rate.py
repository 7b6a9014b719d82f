"""base_rate: the plain conv net's best rate, and whether it trains at five times that (IS15 §4.2.2)."""

from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from bnlab import plots, stats
from bnlab.claims import cells, max_stable_rate

COLUMNS = cells.COLUMNS
ARM = "none"


def effect(table: pd.DataFrame, rule: dict[str, Any], regime: str) -> stats.Effect:
    """The one regime: how far the raised rate lies above what each seed's runs take."""
    beyond = np.log10(rule["times"] * best_rate(table, rule)) - max_stable_rate.limits(table, ARM, rule)
    return stats.paired(list(beyond), rule["resolution"])


def best_rate(table: pd.DataFrame, rule: dict[str, Any]) -> float:
    """The rate with the highest mean of `rule["choose"]`; of those that tie, the lowest."""
    return float(cells.best(table, ARM, rule)[rule["knob"]].iloc[0])


def facts(table: pd.DataFrame, rule: dict[str, Any]) -> list[dict[str, Any]]:
    """A row for each rate: where it ends on validation, and what became of the runs."""
    rows = []
    best = best_rate(table, rule)
    for rate, runs in plots.final(table).groupby(rule["knob"]):
        rows.append(
            {
                "rate": f"{rate:g}, the best" if rate == best else f"{rate:g}",
                "final validation accuracy, %": f"{plots.percent(runs[rule['metric']])} (sd)",
                "runs": cells.outcomes(runs),
            }
        )
    return rows


def draw(table: pd.DataFrame, rule: dict[str, Any]) -> dict[str, Figure]:
    """Where runs end over the rate, with the best and five times the best marked."""
    with plots.style():
        figure, ax = plt.subplots(figsize=(7.5, 4))
        plots.response(ax, table, rule["knob"], rule["metric"])
        best = best_rate(table, rule)
        for rate, text in ((best, "best"), (rule["times"] * best, f"×{rule['times']}")):
            ax.axvline(rate, color="0.4", lw=0.8, ls=":")
            ax.annotate(text, (rate, 1), xycoords=("data", "axes fraction"), ha="center", va="bottom", fontsize=8)
        ax.set(ylim=(0, None))
        ax.legend(loc="lower left")
        plots.say_setting(figure, table, rule)
    return {"figure": figure}
