"""regularisation: an example's output depends on its batch mates, and dropout can go (IS15 §3.4)."""

from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bnlab import plots, stats
from bnlab.claims import cells

Setting = tuple[str, float, int]  # arm, dropout, batch size
MATES = "output/batch_mates"
COLUMNS = [*cells.COLUMNS, MATES]


def effect(table: pd.DataFrame, rule: dict[str, Any], regime: str) -> stats.Effect:
    """Each regime asks one thing, of settings that are each at their best rate."""
    return stats.paired(list(answer(table, rule, rule["regimes"][regime]["asks"])))


def answer(table: pd.DataFrame, rule: dict[str, Any], asks: str) -> "pd.Series[float]":
    """What a regime asks for, in percentage points, by seed."""
    large, small = rule["batch_sizes"]
    if asks == "mates":
        return cells.percent(best(table, rule, "batch", 0, large), MATES)
    if asks == "dropout":
        return _dropouts_gain(table, rule, "none") - _dropouts_gain(table, rule, "batch")
    if asks == "gap":
        return gap(best(table, rule, "none", 0, large)) - gap(best(table, rule, "batch", 0, large))
    less = {
        arm: gap(best(table, rule, arm, 0, large)) - gap(best(table, rule, arm, 0, small)) for arm in ("none", "batch")
    }
    return less["batch"] - less["none"]


def _dropouts_gain(table: pd.DataFrame, rule: dict[str, Any], arm: str) -> "pd.Series[float]":
    """Test accuracy with dropout minus without, in points, by seed."""
    batch_size = rule["batch_sizes"][0]
    without, using = (
        cells.percent(best(table, rule, arm, p, batch_size), rule["metric"]) for p in (0, rule["dropout"])
    )
    return using - without


def gap(ends: pd.DataFrame) -> "pd.Series[float]":
    """Training minus test accuracy at the end, in points, by seed; nan where none trained."""
    return cells.percent(ends, "train/accuracy") - cells.percent(ends, "test/accuracy")


def best(table: pd.DataFrame, rule: dict[str, Any], arm: str, dropout: float, batch_size: int) -> pd.DataFrame:
    """The last records of a setting's runs at its best rate, one a seed."""
    return cells.best(_of_setting(table, arm, dropout, batch_size), arm, rule)


def _of_setting(table: pd.DataFrame, arm: str, dropout: float, batch_size: int) -> pd.DataFrame:
    matches = (table["norm.name"] == arm) & (table["model.dropout"] == dropout) & (table["batch_size"] == batch_size)
    return table[matches]


def settings(rule: dict[str, Any]) -> list[Setting]:
    """All there are, in the order in which they are told."""
    arms = [(arm, dropout) for arm in ("none", "batch") for dropout in (0, rule["dropout"])]
    return [(*arm, batch_size) for batch_size in rule["batch_sizes"] for arm in arms]


def facts(table: pd.DataFrame, rule: dict[str, Any]) -> list[dict[str, Any]]:
    """A row for each setting: its best rate, what it gets there, the gap, what batch mates have to say, other rates.

    The last, which the rule does not ask for, show what the gap owes to how far a net gets.
    """
    rows = []
    for setting in settings(rule):
        ends = best(table, rule, *setting)
        rows.append(
            {
                "setting": _told(*setting),
                "best rate": _rate(ends, table, rule),
                "final training accuracy, %": f"{plots.percent(ends['train/accuracy'])} (sd)",
                "test, %": f"{plots.percent(ends[rule['metric']])} (sd)",
                "gap, points": f"{plots.percent(gap(ends) / 100)} (sd)",
                "training accuracy and gap at other rates": _elsewhere(table, rule, setting, ends),
                "variance of logits by batch mates, %": f"{100 * ends[MATES].mean():.2f}",
                "runs": cells.outcomes(ends),
            }
        )
    return rows


def _elsewhere(table: pd.DataFrame, rule: dict[str, Any], setting: Setting, ends: pd.DataFrame) -> str:
    """Means over seeds, at each rate but that of `ends`."""
    others = plots.final(_of_setting(table, *setting))
    means = others[~others["run"].isin(ends["run"])].groupby(rule["knob"])[["train/accuracy", rule["metric"]]].mean()
    return "; ".join(
        f"{100 * train:.2f}, {100 * (train - test):.2f} at {rate:g}" for rate, train, test in means.itertuples()
    )


def _rate(ends: pd.DataFrame, table: pd.DataFrame, rule: dict[str, Any]) -> str:
    """What the setting is best at; an end of the grid, beyond which it may be better still, is called so."""
    rate, tried = ends[rule["knob"]].iloc[0], table[rule["knob"]]
    end = {tried.min(): ", the smallest tried", tried.max(): ", the largest tried"}
    return f"{rate:g}{end.get(rate, '')}"


def _told(arm: str, dropout: float, batch_size: int) -> str:
    return f"{plots.name(arm)}{', dropout' if dropout else ''}, batches of {batch_size}"


def draw(table: pd.DataFrame, rule: dict[str, Any]) -> dict[str, Figure]:
    """Test accuracy and gap of each setting at its best rate, the gap at all rates, and batch mates in training."""
    with plots.style():
        # With unequal widths the last bits of the layout, and so the SVG's bytes, were not the same in each process
        figure, axes = plt.subplots(1, 4, figsize=(16, 3.9), layout="constrained")
        ends = {setting: best(table, rule, *setting) for setting in settings(rule)}
        _seeds(axes[0], {setting: runs[rule["metric"]] for setting, runs in ends.items()}, ends)
        _seeds(
            axes[1], {setting: runs["train/accuracy"] - runs[rule["metric"]] for setting, runs in ends.items()}, ends
        )
        axes[0].set_yticks(range(len(ends)), [_told(*setting) for setting in ends])
        axes[1].tick_params(labelleft=False)
        axes[0].set(xlabel="final test accuracy, %", title="each setting at its best rate")
        axes[1].set(xlabel="training − test accuracy, points", title="gap (bar: mean over seeds)")
        _gap_over_fit(axes[2], table, rule)
        shown = pd.concat([table[table["run"].isin(ends[("batch", 0, size)]["run"])] for size in rule["batch_sizes"]])
        plots.curves(axes[3], shown, MATES, by=["batch_size"])
        axes[3].set(ylim=(0, None), ylabel="share of the variance of logits", title="batch mates, with BN")
        axes[3].legend(loc="best")
        plots.tell_endings(axes[0], pd.concat(ends.values()))
        if axes[0].get_legend_handles_labels()[1]:
            axes[0].legend(loc="best")
        plots.say_setting(figure, table, rule)
    return {"figure": figure}


def _gap_over_fit(ax: Axes, table: pd.DataFrame, rule: dict[str, Any]) -> None:
    """Every run without dropout that trained, at whatever rate: what the gap owes to how far a net gets."""
    for arm, dropout, size in settings(rule):
        ends = plots.final(_of_setting(table, arm, dropout, size))
        trained = ends[ends["outcome"] == "trained"]
        if dropout == 0:
            mark = {"marker": "o" if size == rule["batch_sizes"][0] else "^"}
            looks = plots.marker("trained", plots.colour(arm)) | mark
            ax.scatter(cells.percent(trained, "train/accuracy"), gap(trained), label=_told(arm, 0, size), **looks)
    ax.set(xlabel="final training accuracy, %", ylabel="training − test accuracy, points")
    ax.set_title("gap at all rates, no dropout")
    ax.legend(loc="upper left", fontsize=7)


def _seeds(ax: Axes, shares: "dict[Setting, pd.Series[float]]", ends: dict[Setting, pd.DataFrame]) -> None:
    """A row for each setting: its seeds in percent, marked by how they ended, and their mean as a bar."""
    for y, (setting, of_seeds) in enumerate(shares.items()):
        for outcome, values in (100 * of_seeds).groupby(ends[setting]["outcome"]):
            ax.scatter(values, np.full(len(values), y), **plots.marker(str(outcome), plots.colour(setting[0])))
        ax.plot([100 * of_seeds.mean()] * 2, [y - 0.3, y + 0.3], color="black", lw=1.2)
    ax.invert_yaxis()
