"""before_or_after: BN belongs before the nonlinearity, as Wu + b is more Gaussian than u (IS15 §3.2)."""

from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator
from numpy.typing import NDArray

from bnlab import plots, stats
from bnlab.claims import cells

LAYERS = range(2, 7)
SHAPES = ["skewness", "excess_kurtosis", "sparsity"]
TOLD = {"skewness": "absolute skewness", "excess_kurtosis": "absolute excess kurtosis", "sparsity": "share of zeros"}
COLUMNS = [
    *cells.COLUMNS,
    *(f"hidden{k}.conv/{side}/{shape}" for k in LAYERS for side in ("inputs", "outputs") for shape in SHAPES),
]
POSITION = "model.norm_position"


def effect(table: pd.DataFrame, rule: dict[str, Any], regime: str) -> stats.Effect:
    """One regime asks whether the net does better so, the others whether the reason given is true."""
    shape = rule["regimes"][regime].get("shape")
    return stats.paired(shape_gains(table, rule, shape) if shape else gains(table, rule))


def gains(table: pd.DataFrame, rule: dict[str, Any]) -> list[float]:
    """Before minus after, each at its best rate, in points, one a seed."""
    before, after = (best(table, position, rule).set_index("seed")[rule["metric"]] for position in ("before", "after"))
    return list(100 * (before - after))


def shape_gains(table: pd.DataFrame, rule: dict[str, Any], shape: str) -> list[float]:
    """By how much u is less Gaussian than Wu + b, mean over layers, one a seed: points of sparsity, else log2."""
    u, x = shapes(best(table, "before", rule).sort_values("seed"), rule, shape)
    each = 100 * (u - x) if shape == "sparsity" else np.log2(u / x)
    return list(each.mean(axis=1))


def shapes(records: pd.DataFrame, rule: dict[str, Any], shape: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Of u and of Wu + b: (records, layers)."""
    u, x = (
        records[[f"hidden{k}.conv/{side}/{shape}" for k in rule["layers"]]].to_numpy() for side in ("inputs", "outputs")
    )
    return u, x


def best(table: pd.DataFrame, position: str, rule: dict[str, Any]) -> pd.DataFrame:
    """The last records of a position's runs at its best rate, one a seed."""
    return cells.best(table[table[POSITION] == position], "batch", rule)


def facts(table: pd.DataFrame, rule: dict[str, Any]) -> list[dict[str, Any]]:
    """A row for each position: its best rate, what it gets there, and the shapes of u and Wu + b, mean over layers."""
    rows = []
    for position in ("before", "after"):
        cell, ends = best(table, position, rule), plots.final(table[table[POSITION] == position])
        rate, test = cell[rule["knob"]].iloc[0], plots.percent(cell[rule["metric"]])
        others = ends[ends[rule["knob"]] != rate].groupby(rule["knob"])[rule["metric"]].mean()
        row = {
            "BN": f"{position} the nonlinearity",
            "final test accuracy, %": f"{test} (sd) at rate {rate:g}",
            "at other rates": ", ".join(f"{100 * mean:.2f} at {other:g}" for other, mean in others.items()),
        }
        for shape in SHAPES:
            u, x = shapes(cell, rule, shape)
            row[f"{TOLD[shape]}, u and Wu + b"] = f"{u.mean():.2f}, {x.mean():.2f}"
        rows.append(row)
    return rows


def draw(table: pd.DataFrame, rule: dict[str, Any]) -> dict[str, Figure]:
    """Where runs end over the rate, and the shapes of u and of Wu + b over training in the net with BN before."""
    cell = table[table["run"].isin(best(table, "before", rule)["run"])]
    with plots.style():
        figure, axes = plt.subplots(1, 1 + len(SHAPES), figsize=(13, 3.4), layout="constrained")
        plots.response(axes[0], table, rule["knob"], rule["metric"], by=[POSITION])
        plots.tick_values(axes[0], table[rule["knob"]])
        axes[0].set(title="BN before or after the nonlinearity")
        axes[0].legend(loc="lower right")
        for ax, shape in zip(axes[1:], SHAPES, strict=True):
            both = zip(shapes(cell, rule, shape), ("u", "Wu + b"), ("#E6AB02", "#56B4E9"), strict=True)
            for values, label, paint in both:
                by_step = pd.Series(values.mean(axis=1)).groupby(cell["step"].to_numpy())
                ax.fill_between(by_step.min().index, by_step.min(), by_step.max(), color=paint, alpha=0.18, lw=0)
                ax.plot(by_step.median(), color=paint, lw=1.8, label=label)
            plots.log_steps(ax, table)
            ax.set(title=TOLD[shape], xlabel="steps")
            if shape == "sparsity":
                ax.set_ylim(0, None)
            else:  # single units make it hundreds
                ax.set_yscale("log")
                ax.yaxis.set(
                    major_locator=LogLocator(subs=(1, 2, 5)), major_formatter="{x:g}", minor_locator=NullLocator()
                )
        axes[1].set_ylabel("mean over units and layers 2 to 6")
        axes[1].legend(loc="best")
        plots.say_setting(figure, table, rule)
    return {"figure": figure}
