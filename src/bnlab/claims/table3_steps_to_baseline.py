"""table3_steps_to_baseline: BN, and BN at higher rates, against the plain net's best (IS15 Fig. 2 and 3)."""

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
    """Each regime compares two arms: `sooner`, in steps to the plain net's best, or `higher`, in best accuracy."""
    terms = rule["regimes"][regime]
    if "sooner" in terms:
        fast, slow = (times_to_baseline(table, arm, rule) for arm in terms["sooner"])
        return stats.speedup(slow, fast)
    one, other = (best_accuracy(table, arm, rule) for arm in terms["higher"])
    return stats.paired(list(100 * (one - other)))


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
    """Step at which a run reaches the plain net's best, interpolated between looks; censored at the run's end."""
    return cells.times_to(runs_of(table, arm, rule), rule["metric"], targets(table, rule))


def targets(table: pd.DataFrame, rule: dict[str, Any]) -> "pd.Series[float]":
    """For each seed the mean best of the other seeds' plain runs, those that trained; nan where none did.

    Its own best would be reached by the plain run of a seed for certain, and by an equal run in half of all cases.
    """
    best, ends = best_accuracy(table, "plain", rule), plots.final(runs_of(table, "plain", rule)).set_index("seed")
    best = best.where(ends["outcome"] == "trained")
    others: pd.Series[float] = (best.sum() - best.fillna(0)) / (best.count() - best.notna())
    return others


def facts(table: pd.DataFrame, rule: dict[str, Any]) -> list[dict[str, Any]]:
    """A row for each arm, the paper's numbers beside ours."""
    rows = []
    for arm, terms in rule["arms"].items():
        times, seen = times_to_baseline(table, arm, rule), best_accuracy(table, arm, rule)
        rows.append(
            {
                "arm": arm,
                "rate": _rate(arm, rule),
                "reach the plain net's best": f"{times.arrived.sum()} of {len(times.steps)}",
                "at step (median)": _median(times, targets(table, rule)),
                "in the paper, million steps": terms["paper"][0],
                "best test accuracy, %": f"{plots.percent(seen)} (sd)",
                "lowest and highest": f"{100 * seen.min():.1f}, {100 * seen.max():.1f}",
                "in the paper, %": terms["paper"][1],
                "runs": cells.outcomes(plots.final(runs_of(table, arm, rule))),
            }
        )
    return rows


def _rate(arm: str, rule: dict[str, Any]) -> str:
    return f"{rule['arms'][arm]['times'] * rule['base']:g}"


def _median(times: stats.Times, to_reach: "pd.Series[float]") -> str:
    """Of all runs, whether they arrive or not."""
    if to_reach.isna().all():
        return "no target"
    if not times.arrived.any():
        return "never"
    return f"{times.median():,.0f}" if np.isfinite(times.median()) else f"after {times.steps.max():,.0f}"


def draw(table: pd.DataFrame, rule: dict[str, Any]) -> dict[str, Figure]:
    """The curves, and when each run reaches the plain net's best."""
    shown = table.sort_values(["norm.name", rule["knob"]], ascending=[False, True])
    with plots.style():
        figure, (curves, times) = plt.subplots(1, 2, figsize=(11, 4), width_ratios=[1.4, 1])
        plots.curves(curves, shown, rule["metric"], by=["norm.name", rule["knob"]])
        baseline = float(targets(table, rule).mean())
        curves.axhline(baseline, color="0.4", lw=0.8, ls=":")
        title = "dotted: the plain net's best, mean over seeds"
        curves.set(ylim=(0, None), xlim=(0, table["steps"].iloc[0]), title=title)
        figure.legend(*curves.get_legend_handles_labels(), loc="outside lower center", ncols=3)
        _arrivals(times, table, rule)
        plots.say_setting(figure, table, rule)
    return {"figure": figure}


def _arrivals(ax: Axes, table: pd.DataFrame, rule: dict[str, Any]) -> None:
    """A point for each run that reaches the plain net's best; those that do not are triangles past the end."""
    for y, (arm, terms) in enumerate(rule["arms"].items()):
        times, paint = times_to_baseline(table, arm, rule), plots.colour(terms["norm"])
        spread = y + np.linspace(-0.2, 0.2, len(times.steps))
        ax.plot(times.steps[times.arrived], spread[times.arrived], "o", ms=4, color=paint)
        ax.plot(1.03 * times.steps[~times.arrived], spread[~times.arrived], ">", ms=5, mfc="none", color=paint)
    ax.set_yticks(range(len(rule["arms"])), [f"{arm}, lr {_rate(arm, rule)}" for arm in rule["arms"]])
    ax.invert_yaxis()
    ax.set(xlim=(0, 1.06 * table["steps"].iloc[0]), xlabel="steps", title="reaches the plain net's best (▷ never)")
