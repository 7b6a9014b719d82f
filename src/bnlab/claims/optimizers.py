"""optimizers: does BN's gain survive an adaptive optimizer? (IS15 §4.1 names none.)"""

from typing import Any

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.figure import Figure

from bnlab import plots, stats
from bnlab.claims import cells

COLUMNS = cells.COLUMNS
NAMES = {"sgd": "SGD", "adam": "Adam", "adagrad": "Adagrad", "nadam": "NAdam"}
SHOWN = 0.05  # of accuracy, from the best run down


def effect(table: pd.DataFrame, rule: dict[str, Any], regime: str) -> stats.Effect:
    """Each regime is an optimizer, under which each arm has its own best rate."""
    return stats.paired(gains(table, regime, rule))


def gains(table: pd.DataFrame, optimizer: str, rule: dict[str, Any]) -> list[float]:
    """Batch minus none under this optimizer, each at its best rate, in points, one a seed."""
    return cells.gains(_under(table, optimizer), rule)


def facts(table: pd.DataFrame, rule: dict[str, Any]) -> list[dict[str, Any]]:
    """A row for each optimizer: each arm's best rate, the test accuracy there, and at how many rates all runs train."""
    rows = []
    for optimizer in rule["regimes"]:
        row = {"optimizer": NAMES[optimizer]}
        for arm in ("none", "batch"):
            of_arm = _under(table, optimizer)
            cell = cells.best(of_arm, arm, rule)
            ends = plots.final(of_arm[of_arm["norm.name"] == arm])
            trained = ends.groupby(rule["knob"])[rule["metric"]].min() >= rule["trains"]
            accuracy = f"{plots.percent(cell[rule['metric']])} % at rate {cell[rule['knob']].iloc[0]:g}"
            row[plots.name(arm)] = f"{accuracy}; trains at {trained.sum()} of {len(trained)} rates"
        rows.append(row)
    return rows


def draw(table: pd.DataFrame, rule: dict[str, Any]) -> dict[str, Figure]:
    """Where runs end over the rate near the top, a panel for each optimizer; and the differences at the best rates."""
    names = list(rule["regimes"])
    with plots.style():
        figure, axes = plt.subplot_mosaic(
            [[*names[:2], "gain"], [*names[2:], "gain"]], figsize=(12, 5.6), width_ratios=[1, 1, 0.9]
        )
        top = plots.final(table)[rule["metric"]].max()
        for optimizer in names:
            plots.response(axes[optimizer], _under(table, optimizer), rule["knob"], rule["metric"])
            axes[optimizer].set(title=NAMES[optimizer], ylim=(top - SHOWN, top + 0.005))
        axes[names[0]].legend(loc="lower left")
        gain = {NAMES[optimizer]: gains(table, optimizer, rule) for optimizer in names}
        plots.differences(axes["gain"], gain, cells.first_delta(rule))
        axes["gain"].set(xlabel="points of test accuracy", title="at best rates, with − without BN")
        below = f"runs more than {100 * SHOWN:g} points below the best are not shown"
        plots.say_setting(figure, table, rule, below)
    return {"figure": figure}


def _under(table: pd.DataFrame, optimizer: str) -> pd.DataFrame:
    return table[table["optimizer.name"] == optimizer]
