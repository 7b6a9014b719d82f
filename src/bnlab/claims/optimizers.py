"""optimizers: does BN's gain survive an adaptive optimizer? (IS15 §4.1 names none.)"""

from typing import Any

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.figure import Figure

from bnlab import plots, stats
from bnlab.claims import fig1a_best_rate

COLUMNS = ["validation/accuracy", "test/accuracy", "train/accuracy", "train/batch_loss"]
NAMES = {"sgd": "SGD", "adam": "Adam", "adagrad": "Adagrad", "nadam": "NAdam"}


def judge(table: pd.DataFrame, rule: dict[str, Any]) -> list[stats.Judgement]:
    """Each regime is an optimizer, under which each arm has its own best rate."""
    return [
        stats.judge(regime, terms["statistic"], terms["delta"], stats.paired(gains(table, regime, rule)))
        for regime, terms in rule["regimes"].items()
    ]


def gains(table: pd.DataFrame, optimizer: str, rule: dict[str, Any]) -> list[float]:
    """Batch minus none under this optimizer, each at its best rate, in points, one a seed."""
    return fig1a_best_rate.gains(_under(table, optimizer), rule, {})


def facts(table: pd.DataFrame, rule: dict[str, Any]) -> list[dict[str, Any]]:
    """A row for each optimizer: each arm's best rate, the test accuracy there, and at how many rates all runs train."""
    rows = []
    for optimizer in rule["regimes"]:
        row = {"optimizer": NAMES[optimizer]}
        for arm in ("none", "batch"):
            of_arm = _under(table, optimizer)
            cell = fig1a_best_rate.best(of_arm, arm, rule, {})
            ends = plots.final(of_arm[of_arm["norm.name"] == arm])
            trained = ends.groupby(rule["knob"])[rule["metric"]].min() >= rule["trains"]
            accuracy = f"{plots.percent(cell[rule['metric']])} % at rate {cell[rule['knob']].iloc[0]:g}"
            row[plots.name(arm)] = f"{accuracy}; trains at {trained.sum()} of {len(trained)} rates"
        rows.append(row)
    return rows


def draw(table: pd.DataFrame, rule: dict[str, Any]) -> dict[str, Figure]:
    """Where runs end over the rate, a panel for each optimizer; and the differences at the best rates."""
    with plots.style():
        figure, axes = plt.subplots(1, len(rule["regimes"]) + 1, figsize=(15, 3.4), layout="constrained")
        for ax, optimizer in zip(axes, rule["regimes"], strict=False):
            plots.response(ax, _under(table, optimizer), rule["knob"], rule["metric"])
            ax.set(title=NAMES[optimizer], ylim=(0, 1.02))
        axes[0].legend(loc="lower left")
        gain = {NAMES[optimizer]: gains(table, optimizer, rule) for optimizer in rule["regimes"]}
        plots.differences(axes[-1], gain, next(iter(rule["regimes"].values()))["delta"])
        axes[-1].set(xlabel="points of test accuracy", title="at best rates, with − without BN")
        figure.suptitle(plots.setting(table, rule), fontsize=9, color="0.35")
    return {"figure": figure}


def _under(table: pd.DataFrame, optimizer: str) -> pd.DataFrame:
    return table[table["optimizer.name"] == optimizer]
