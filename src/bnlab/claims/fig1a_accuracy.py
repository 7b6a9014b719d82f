"""fig1a_accuracy: BN trains faster and ends higher (IS15 Fig. 1a)."""

from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bnlab import plots, stats
from bnlab.claims import cells

COLUMNS = [
    "test/accuracy",
    "test/loss",
    "train/accuracy",
    "train/loss",
    "train/batch_loss",
    "validation/accuracy",
]
METRIC = "test/accuracy"


def effect(table: pd.DataFrame, rule: dict[str, Any], regime: str) -> stats.Effect:
    """Final accuracy paired by seed, or steps to the regime's target as censored times."""
    target = rule["regimes"][regime].get("target")
    if target is None:
        return stats.paired((100 * gains(table)).to_list())
    none, batch = (times_to(_arm(table, arm), target) for arm in ("none", "batch"))
    return stats.speedup(none, batch)


def facts(table: pd.DataFrame, rule: dict[str, Any]) -> list[dict[str, Any]]:
    """Final accuracy of each arm, and how many of its runs reach each target, by which step (median of all runs)."""
    rows = []
    for arm in ("none", "batch"):
        runs = _arm(table, arm)
        final = plots.percent(plots.final(runs)[METRIC])
        row = {"arm": plots.name(arm), "final test accuracy, %": f"{final} (sd)"}
        for terms in rule["regimes"].values():
            if "target" in terms:
                row[f"reach {terms['target']:.0%}"] = _arrivals(times_to(runs, terms["target"]))
        rows.append(row)
    return rows


def _arrivals(times: stats.Times) -> str:
    median = times.median()
    when = f"median step {median:,.0f}" if np.isfinite(median) else "median never"
    return f"{times.arrived.sum()} of {len(times.steps)}, {when}"


def gains(table: pd.DataFrame) -> "pd.Series[float]":
    """Final test accuracy, batch minus none, by seed."""
    final = plots.final(table).pivot_table(index="seed", columns="norm.name", values=METRIC, dropna=False)
    return final["batch"] - final["none"]


def times_to(arm: pd.DataFrame, target: float) -> stats.Times:
    """When test accuracy reaches `target`, in each run; censored at the run's end."""
    return cells.times_to(arm, METRIC, dict.fromkeys(arm["seed"], target))


def draw(table: pd.DataFrame, rule: dict[str, Any]) -> dict[str, Figure]:
    """The paper's panel, the same over log steps with the targets, and the differences that the verdict rests on."""
    with plots.style():
        figure, (paper, log, difference) = plt.subplots(1, 3, figsize=(11, 3.6), width_ratios=[1, 1, 0.7])
        plots.curves(paper, table, METRIC)
        paper.set(ylim=_zoom(table), title="as in the paper: test accuracy", xlim=(0, table["steps"].iloc[0]))
        paper.legend(loc="lower right")
        plots.curves(log, table, METRIC)
        plots.log_steps(log, table)
        log.set(ylim=(0, 1.02), title="the same, from the first step")
        for terms in rule["regimes"].values():
            if "target" in terms:
                _mark(log, table, terms["target"])
        plots.differences(difference, {"": (100 * gains(table)).to_list()}, rule["regimes"]["ends higher"]["delta"])
        difference.set(xlabel="percentage points", title="final accuracy, with − without BN")
        plots.say_setting(figure, table, rule)
    return {"figure": figure}


def _zoom(table: pd.DataFrame) -> tuple[float, float]:
    """The paper's axis, from 0.7, unless a run ends below it."""
    return (0.7 if plots.final(table)[METRIC].min() > 0.7 else 0.0), 1.0


def _mark(ax: Axes, table: pd.DataFrame, target: float) -> None:
    """A dotted line at the target, and a tick where each arm's median run reaches it."""
    ax.axhline(target, color="0.4", lw=0.6, ls=":")
    for arm in ("none", "batch"):
        median = times_to(_arm(table, arm), target).median()
        if np.isfinite(median):
            ax.plot([median], [target], "|", color=plots.colour(arm), ms=9, mew=1.6)


def _arm(table: pd.DataFrame, norm: str) -> pd.DataFrame:
    return table[table["norm.name"] == norm]
