"""fig1a_accuracy: BN trains faster and ends higher (IS15 Fig. 1a)."""

from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bnlab import plots, stats

COLUMNS = [
    "test/accuracy",
    "test/loss",
    "train/accuracy",
    "train/loss",
    "train/batch_loss",
    "validation/accuracy",
]
METRIC = "test/accuracy"


def judge(table: pd.DataFrame, rule: dict[str, Any]) -> list[stats.Judgement]:
    """Final accuracy paired by seed, and steps to each target as censored times."""
    judged = []
    for regime, terms in rule["regimes"].items():
        if "target" in terms:
            none, batch = (times_to(_arm(table, arm), terms["target"]) for arm in ("none", "batch"))
            effect = stats.speedup(none, batch)
        else:
            effect = stats.paired((100 * gains(table)).to_list())
        judged.append(stats.judge(regime, terms["statistic"], terms["delta"], effect))
    return judged


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
    median = _median(times)
    when = f"median step {median:,.0f}" if np.isfinite(median) else "median never"
    return f"{times.arrived.sum()} of {len(times.steps)}, {when}"


def _median(times: stats.Times) -> float:
    """Of all runs; infinite where fewer than half arrive."""
    return float(np.median(np.where(times.arrived, times.steps, np.inf)))


def gains(table: pd.DataFrame) -> "pd.Series[float]":
    """Final test accuracy, batch minus none, by seed."""
    final = plots.final(table).pivot_table(index="seed", columns="norm.name", values=METRIC, dropna=False)
    return final["batch"] - final["none"]


def times_to(arm: pd.DataFrame, target: float) -> stats.Times:
    """First measured step at which test accuracy is at least `target`, of each run; censored at the run's end."""
    by_seed = arm[arm[METRIC] >= target].groupby("seed")["step"].min().reindex(arm["seed"].unique())
    arrived = by_seed.notna().to_numpy()
    return stats.Times(by_seed.fillna(arm["steps"].iloc[0]).to_numpy(dtype=float), arrived)


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
        _differences(difference, table, rule["regimes"]["ends higher"]["delta"])
        figure.suptitle(plots.setting(table, rule), fontsize=9, color="0.35")
    return {"figure": figure}


def _zoom(table: pd.DataFrame) -> tuple[float, float]:
    """The paper's axis, from 0.7, unless a run ends below it."""
    return (0.7 if plots.final(table)[METRIC].min() > 0.7 else 0.0), 1.0


def _mark(ax: Axes, table: pd.DataFrame, target: float) -> None:
    """A dotted line at the target, and a tick where each arm's median run reaches it."""
    ax.axhline(target, color="0.4", lw=0.6, ls=":")
    for arm in ("none", "batch"):
        median = _median(times_to(_arm(table, arm), target))
        if np.isfinite(median):
            ax.plot([median], [target], "|", color=plots.colour(arm), ms=9, mew=1.6)


def _differences(ax: Axes, table: pd.DataFrame, delta: float) -> None:
    d = 100 * gains(table)
    effect = stats.paired(d.to_list())
    ax.axhspan(-delta, delta, color="0.88", lw=0, label=f"too small to matter (±{delta})")
    ax.axhline(0, color="0.4", lw=0.8)
    ax.plot(np.linspace(-0.25, 0.25, len(d)), d, "o", ms=4, color="0.35", label="one seed")
    if np.isfinite([effect.lo, effect.hi]).all():
        errors = [[effect.estimate - effect.lo], [effect.hi - effect.estimate]]
        ax.errorbar([0.5], [effect.estimate], errors, fmt="D", ms=5, capsize=4, color="black", label="mean, 95 %")
    ax.set(xlim=(-0.5, 0.8), xticks=[], ylabel="percentage points", title="final accuracy, with − without BN")
    ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.02), fontsize=7)


def _arm(table: pd.DataFrame, norm: str) -> pd.DataFrame:
    return table[table["norm.name"] == norm]
