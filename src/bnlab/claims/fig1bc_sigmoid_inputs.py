"""fig1bc_sigmoid_inputs: with BN the {15, 50, 85}th percentiles of a sigmoid's input stay put (IS15 Fig. 1b,c)."""

from itertools import product
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from bnlab import plots, stats

SITES = ["hidden1.act", "hidden2.act", "hidden3.act"]
COLUMNS = [
    "train/batch_loss",
    "test/accuracy",
    *(
        f"{site}/{statistics}/{name}"
        for site in SITES
        for statistics in ("population", "batch")
        for name in ("percentiles", "unit_percentiles", "histogram", "saturated")
        if not (statistics == "batch" and name == "histogram")
    ),
]
FROM = (0, 100, 1000, 2000)  # steps
Array = NDArray[np.float64]


def effect(table: pd.DataFrame, rule: dict[str, Any], regime: str) -> stats.Effect:
    """Total drift of each run's percentiles; none over batch, paired by seed, as log2."""
    terms = rule["regimes"][regime]
    none, batch = (np.array([drift(run, rule, terms).sum() for run in _runs(table, arm)]) for arm in ("none", "batch"))
    with np.errstate(divide="ignore", invalid="ignore"):
        return stats.paired(np.log2(none / batch))


def facts(table: pd.DataFrame, rule: dict[str, Any]) -> list[dict[str, Any]]:
    """Of each layer's units, and of the rule's layer as a whole: drift from several steps on, and saturation."""
    rows = []
    shown = [*((site, "unit_percentiles") for site in SITES), (rule["site"], "percentiles")]
    from_steps = ", ".join(f"{step:,}" for step in FROM)
    for (site, inputs), arm in product(shown, ("none", "batch")):
        runs = _runs(table, arm)
        of = "whole layer" if inputs == "percentiles" else "five units"
        row: dict[str, Any] = {"inputs": f"{site.split('.')[0]}, {of}", "arm": plots.name(arm)}
        for statistics in ("population", "batch"):
            terms = {"inputs": inputs, "statistics": statistics}
            drifts = [np.mean([_drift_from(step, run, rule, terms, site) for run in runs]) for step in FROM]
            row[f"drift from step {from_steps} on, {statistics}"] = ", ".join(f"{each:.1f}" for each in drifts)
        saturated = [run.set_index("step")[f"{site}/population/saturated"] for run in runs]
        shares = [np.mean([share.loc[:step].iloc[-1] for share in saturated]) for step in (*FROM[1:], None)]
        row[f"layer saturated at step {', '.join(f'{step:,}' for step in FROM[1:])}, end, %"] = ", ".join(
            f"{100 * share:.1f}" for share in shares
        )
        rows.append(row)
    return rows


def _drift_from(step: int, run: pd.DataFrame, rule: dict[str, Any], terms: dict[str, Any], site: str) -> float:
    return float(drift(run, rule, terms, site)[run["step"].to_numpy()[1:] > step].sum())


def drift(run: pd.DataFrame, rule: dict[str, Any], terms: dict[str, Any], site: str | None = None) -> Array:
    """How far the percentiles move from each snapshot to the next, in units of half the earlier one's 15-85 spread.

    Mean over the three percentiles, and over units where `terms` asks for units. Shape (snapshots − 1,).
    """
    values = snapshots(run, rule, terms, site)  # (snapshots, units, 3)
    half_spread = (values[:-1, :, 2] - values[:-1, :, 0]) / 2
    moved = np.abs(np.diff(values, axis=0)).mean(axis=2)
    return np.asarray((moved / half_spread).mean(axis=1))


def snapshots(run: pd.DataFrame, rule: dict[str, Any], terms: dict[str, Any], site: str | None = None) -> Array:
    """The rule's percentiles of a run at each of its snapshots: (snapshots, units, percentiles).

    Without BN the network has no batch statistics, and both kinds are the same.
    """
    statistics = terms["statistics"] if run["norm.name"].iloc[0] == "batch" else "population"
    values = plots.stack_lists(run[f"{site or rule['site']}/{statistics}/{terms['inputs']}"])
    values = values[:, None] if terms["inputs"] == "percentiles" else values
    measured = plots.wanted_percentiles(run)
    return values[:, :, [measured.index(p) for p in rule["percentiles"]]]


def _runs(table: pd.DataFrame, arm: str) -> list[pd.DataFrame]:
    """The runs of an arm, in the order of their seeds."""
    return [run.sort_values("step") for _, run in table[table["norm.name"] == arm].groupby("seed")]


def draw(table: pd.DataFrame, rule: dict[str, Any]) -> dict[str, Figure]:
    """`figure`: units as in the paper. `distributions`: what it could not show. `drift`: beside the loss."""
    with plots.style():
        return {
            "figure": _units(table, rule),
            "distributions": plots.distributions_figure(table),
            "drift": _drift_beside_loss(table, rule),
        }


def _units(table: pd.DataFrame, rule: dict[str, Any]) -> Figure:
    """The inputs of five units of the last hidden layer and of the layer as a whole; one seed, same scales."""
    figure = plots.percentiles_figure(table, rule["site"], "population")
    figure.suptitle("15, 50 and 85th percentiles (lines; wide band 1-99) of a sigmoid's inputs over training")
    return figure


def _drift_beside_loss(table: pd.DataFrame, rule: dict[str, Any]) -> Figure:
    """Drift so far of each layer, and the loss: a net that does not learn does not drift either."""
    figure, axes = plt.subplots(1, len(SITES) + 1, figsize=(12, 3.2))
    plots.curves(axes[0], table, "train/batch_loss")
    axes[0].set_title("training loss")
    axes[0].legend(loc="lower left", fontsize=7)
    terms = {"inputs": "unit_percentiles", "statistics": "population"}
    for ax, site in zip(axes[1:], SITES, strict=True):
        for arm in ("none", "batch"):
            _paths(ax, table, rule, terms, site, arm)
        ax.set(title=f"drift so far, {site.split('.')[0]}", xlabel="steps", ylabel="half 15-85 spreads travelled")
        ax.set_ylim(bottom=0)
    for ax in axes:
        plots.log_steps(ax, table)
    top = max(ax.get_ylim()[1] for ax in axes[1:])
    for ax in axes[1:]:
        ax.set_ylim(0, top)
    return figure


def _paths(ax: Axes, table: pd.DataFrame, rule: dict[str, Any], terms: dict[str, Any], site: str, arm: str) -> None:
    paths = []
    for run in _runs(table, arm):
        paths.append(np.concatenate([[0.0], np.cumsum(drift(run, rule, terms, site))]))
        ax.plot(run["step"], paths[-1], color=plots.colour(arm), lw=0.4, alpha=0.5)
    ax.plot(run["step"], np.median(paths, axis=0), color=plots.colour(arm), lw=1.8, label=plots.name(arm))
