"""fig1a_best_rate: BN's gain with each arm at its own best rate and initial scale (the question of IS15 Fig. 1a)."""

from typing import Any

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.figure import Figure

from bnlab import plots, stats

COLUMNS = ["validation/accuracy", "test/accuracy", "train/accuracy", "train/batch_loss"]
START = ["init.name", "init.sigma", "init.gain"]


def judge(table: pd.DataFrame, rule: dict[str, Any]) -> list[stats.Judgement]:
    """Each regime is a part of the map (all of it, or one initial scale), in which each arm picks its best cell."""
    judged = []
    for regime, terms in rule["regimes"].items():
        gain = gains(table, rule, terms.get("init", {}))
        judged.append(stats.judge(regime, terms["statistic"], terms["delta"], stats.paired(gain)))
    return judged


def gains(table: pd.DataFrame, rule: dict[str, Any], init: dict[str, Any]) -> list[float]:
    """Batch minus none, each in its best cell among those that start as `init` says, in points, one a seed."""
    none, batch = (best(table, arm, rule, init).set_index("seed")[rule["metric"]] for arm in ("none", "batch"))
    return list(100 * (batch - none))


def best(table: pd.DataFrame, arm: str, rule: dict[str, Any], init: dict[str, Any]) -> pd.DataFrame:
    """The last records, one a seed, of the arm's cell (rate and start) with the highest mean of `rule["choose"]`.

    Of cells that tie, the first: starts by name and number, then the lowest rate.
    """
    return _best_cells(table, arm, rule, init)[0]


def _best_cells(table: pd.DataFrame, arm: str, rule: dict[str, Any], init: dict[str, Any]) -> list[pd.DataFrame]:
    """All cells that are best; several where they tie."""
    ends = plots.final(table[table["norm.name"] == arm])
    for key, value in init.items():
        ends = ends[ends[f"init.{key}"] == value]
    knobs = [knob for knob in [*START, rule["knob"]] if knob in ends]
    cells = [cell for _, cell in ends.groupby(knobs, dropna=False)]
    means = [float(cell[rule["choose"]].fillna(0).mean()) for cell in cells]
    return [cell for cell, mean in zip(cells, means, strict=True) if mean >= max(means) - plots.TIE]


def facts(table: pd.DataFrame, rule: dict[str, Any]) -> list[dict[str, Any]]:
    """A row for each regime: where each arm is best, and what it gets there on the test set; so, too, where it ties."""
    rows = []
    for regime, terms in rule["regimes"].items():
        row = {"regime": regime}
        for arm in ("none", "batch"):
            first, *tied = (_told(cell, rule) for cell in _best_cells(table, arm, rule, terms.get("init", {})))
            row[plots.name(arm)] = f"{first} (tied: {'; '.join(tied)})" if tied else first
        rows.append(row)
    return rows


def _told(cell: pd.DataFrame, rule: dict[str, Any]) -> str:
    return f"{plots.percent(cell[rule['metric']])} % at rate {cell[rule['knob']].iloc[0]:g}, {start(cell)}"


def start(runs: pd.DataFrame) -> str:
    """How these runs' weights start: "σ = 0.1", "1/√fan-in"."""
    first = runs.iloc[0]
    if first["init.name"] == "gaussian":
        return f"σ = {first['init.sigma']:g}"
    gain = "" if first["init.gain"] == 1 else f"{first['init.gain']:g}·"
    return f"{gain}1/√fan-in"


def draw(table: pd.DataFrame, rule: dict[str, Any]) -> dict[str, Figure]:
    """The map of each arm, and the difference of their best cells at each scale."""
    ends = plots.final(table).sort_values(["init.name", "init.sigma"], ascending=[False, True])
    ends = ends.assign(start=[start(ends.iloc[[i]]) for i in range(len(ends))])
    with plots.style():
        figure, axes = plt.subplots(1, 3, figsize=(12, 4.1), width_ratios=[1, 1, 0.8], layout="constrained")
        for ax, arm in zip(axes, ("none", "batch"), strict=False):
            mesh = plots.heat_map(
                ax, ends[ends["norm.name"] == arm], rule["knob"], "start", rule["choose"], rule["within"], plots.TOP
            )
            ax.set(title=plots.name(arm), ylabel="initial weights")
        figure.colorbar(mesh, ax=axes[:2], label="validation accuracy, mean over seeds", extend="min")
        figure.legend(
            handles=plots.heat_legend(ends, rule["choose"], rule["within"]), loc="outside lower left", ncols=4
        )
        gain = {regime: gains(table, rule, terms.get("init", {})) for regime, terms in rule["regimes"].items()}
        plots.differences(axes[2], gain, next(iter(rule["regimes"].values()))["delta"])
        axes[2].set(xlabel="percentage points", title="gain of BN on the test set")
        figure.suptitle(plots.setting(table, rule), fontsize=9, color="0.35")
    return {"figure": figure}
