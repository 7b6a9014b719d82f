"""table3_steps_to_baseline: BN, and BN at higher rates, against the plain net's best (IS15 Fig. 2 and 3)."""

from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bnlab import plots, stats
from bnlab.claims import max_stable_rate

COLUMNS = ["validation/accuracy", "test/accuracy", "train/accuracy", "train/batch_loss"]


def judge(table: pd.DataFrame, rule: dict[str, Any]) -> list[stats.Judgement]:
    """Each regime compares two arms: `sooner`, in steps to the plain net's best, or `higher`, in best accuracy."""
    judged = []
    for regime, terms in rule["regimes"].items():
        if "sooner" in terms:
            fast, slow = (times_to_baseline(table, arm, rule) for arm in terms["sooner"])
            effect = stats.speedup(slow, fast)
        else:
            one, other = (best_accuracy(table, arm, rule) for arm in terms["higher"])
            effect = stats.paired(list(100 * (one - other)))
        judged.append(stats.judge(regime, terms["statistic"], terms["delta"], effect))
    return judged


def runs_of(table: pd.DataFrame, arm: str, rule: dict[str, Any]) -> pd.DataFrame:
    """The records of the runs of an arm: a norm, and a multiple of the base rate."""
    norm, times = rule["arms"][arm]["norm"], rule["arms"][arm]["times"]
    found: pd.DataFrame = table[(table["norm.name"] == norm) & np.isclose(table[rule["knob"]], times * rule["base"])]
    return found


def best_accuracy(table: pd.DataFrame, arm: str, rule: dict[str, Any]) -> "pd.Series[float]":
    """The highest that a run of the arm was seen at, by seed."""
    best: pd.Series[float] = runs_of(table, arm, rule).groupby("seed")[rule["metric"]].max()
    return best


def times_to_baseline(table: pd.DataFrame, arm: str, rule: dict[str, Any]) -> stats.Times:
    """First step at which a run was seen at the best of the plain run of its seed; censored at the run's end."""
    runs = runs_of(table, arm, rule)
    target = runs["seed"].map(best_accuracy(table, "plain", rule))
    first = runs[runs[rule["metric"]] >= target].groupby("seed")["step"].min().reindex(np.sort(runs["seed"].unique()))
    return stats.Times(first.fillna(runs["steps"].iloc[0]).to_numpy(dtype=float), first.notna().to_numpy())


def facts(table: pd.DataFrame, rule: dict[str, Any]) -> list[dict[str, Any]]:
    """A row for each arm, the paper's numbers beside ours."""
    rows = []
    for arm, terms in rule["arms"].items():
        times = times_to_baseline(table, arm, rule)
        rows.append(
            {
                "arm": arm,
                "rate": f"{terms['times'] * rule['base']:g}",
                "reach the plain net's best": f"{times.arrived.sum()} of {len(times.steps)}",
                "at step (median)": _median(times),
                "in the paper, million steps": terms["paper"][0],
                "best test accuracy, %": f"{plots.percent(best_accuracy(table, arm, rule))} (sd)",
                "in the paper, %": terms["paper"][1],
                "runs": max_stable_rate.outcomes(plots.final(runs_of(table, arm, rule))),
            }
        )
    return rows


def _median(times: stats.Times) -> str:
    middle = float(np.median(np.where(times.arrived, times.steps, np.inf)))
    return f"{middle:,.0f}" if np.isfinite(middle) else "never"


def draw(table: pd.DataFrame, rule: dict[str, Any]) -> dict[str, Figure]:
    """The curves, and when each run reaches the plain net's best."""
    shown = table.sort_values(["norm.name", rule["knob"]], ascending=[False, True])
    with plots.style():
        figure, (curves, times) = plt.subplots(1, 2, figsize=(11, 4), width_ratios=[1.4, 1])
        plots.curves(curves, shown, rule["metric"], by=["norm.name", rule["knob"]])
        baseline = float(best_accuracy(table, "plain", rule).mean())
        curves.axhline(baseline, color="0.4", lw=0.8, ls=":")
        title = "dotted: the plain net's best, mean over seeds"
        curves.set(ylim=(0, None), xlim=(0, table["steps"].iloc[0]), title=title)
        curves.legend(loc="lower right", fontsize=7)
        _arrivals(times, table, rule)
        figure.suptitle(plots.setting(table, rule), fontsize=8, color="0.35")
    return {"figure": figure}


def _arrivals(ax: Axes, table: pd.DataFrame, rule: dict[str, Any]) -> None:
    """A point for each run that reaches its seed's plain best; those that do not are triangles at the end."""
    for y, (arm, terms) in enumerate(rule["arms"].items()):
        times, paint = times_to_baseline(table, arm, rule), plots.colour(terms["norm"])
        spread = y + np.linspace(-0.2, 0.2, len(times.steps))
        ax.plot(times.steps[times.arrived], spread[times.arrived], "o", ms=4, color=paint)
        ax.plot(times.steps[~times.arrived], spread[~times.arrived], ">", ms=5, mfc="none", color=paint, clip_on=False)
    ax.set_yticks(range(len(rule["arms"])), list(rule["arms"]))
    ax.invert_yaxis()
    ax.set(
        xlim=(0, table["steps"].iloc[0]), xlabel="steps", title="first seen at the plain net's best (triangle: never)"
    )
