"""Parts: each draws on an `Axes`, from the table that `bnlab.runs.load` gives, some of it in its `arm`."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import QuadMesh

from bnlab.bins import HISTOGRAM_EDGES
from bnlab.plots.inputs import histograms, saturation
from bnlab.plots.style import FAILED, MARKERS, label, seeds_or_runs
from bnlab.plots.table import check_metric, counted, final, is_accuracy
from bnlab.readings import stack_lists

MOST_TICKS = 9
THOUSANDS = "{x:,.0f}"  # of steps


def curves(ax: Axes, table: pd.DataFrame, metric: str, colours: Mapping[str, str]) -> None:
    """`metric` over steps: a thin line for each run, the band from lowest to highest, and the median.

    A cross marks where a run was last measured before it diverged. Its accuracy goes on, at chance, and counts in the
    median. Raises `ConfigError` where it was not measured.
    """
    check_metric(table, metric)
    for arm, runs in table.dropna(subset=[metric]).groupby("arm", observed=True):
        paint = colours[str(arm)]
        across = runs.pivot_table(index="step", columns="run", values=metric, sort=True)
        across = across.interpolate(method="index", limit_area="inside")  # runs may be recorded at different steps
        ax.fill_between(across.index, across.min(axis=1), across.max(axis=1), color=paint, alpha=0.18, lw=0)
        ax.plot(across.index, across, color=paint, lw=0.4, alpha=0.5)
        ax.plot(across.index, across.median(axis=1), color=paint, lw=1.8, label=f"{arm} ({seeds_or_runs(runs)})")
        last = runs[(runs["step"] < runs["diverged_at"]) & np.isfinite(runs[metric])].groupby("run").last()
        if len(last):
            ax.plot(last["step"], last[metric], MARKERS["diverged"], color=paint, ms=4, mew=0, zorder=3, clip_on=False)
    tell_endings(ax, table[table["outcome"] == "diverged"])
    ax.set(xlabel="steps", ylabel=label(metric))
    ax.xaxis.set_major_formatter(THOUSANDS)


def response(ax: Axes, table: pd.DataFrame, knob: str, metric: str, colours: Mapping[str, str]) -> None:
    """`metric` at the end of each run against a swept `knob`: every run a point, the median and the range of each arm.

    Runs that ended stuck at chance or diverged are hollow or crosses, wherever they lie; those that have no number lie
    on the edge of the panel, and count as the worst. Raises `ConfigError` where it was not measured.
    """
    check_metric(table, metric)
    ends = final(table)
    ends = ends.assign(**{metric: ends[metric].replace(np.inf, np.nan)})
    values = np.sort(ends[knob].unique())
    for arm, runs in ends.groupby("arm", observed=True):
        paint = colours[str(arm)]
        by_value = counted(runs[metric], metric).groupby(runs[knob])
        low, high, middle = (
            of.reindex(values).replace(np.inf, np.nan) for of in (by_value.min(), by_value.max(), by_value.median())
        )
        ax.fill_between(values, low, high, color=paint, alpha=0.15, lw=0)
        ax.plot(values, middle, color=paint, lw=1.8, label=arm)
        for outcome in MARKERS:
            seen = runs[runs["outcome"] == outcome]
            ax.scatter(seen[knob], seen[metric], **marker(outcome, paint))
            lost = seen[seen[metric].isna()]
            if len(lost):
                edge = np.full(len(lost), 0.0 if is_accuracy(metric) else 1.0)
                across = ax.get_xaxis_transform()
                ax.scatter(lost[knob], edge, transform=across, clip_on=False, zorder=3, **marker(outcome, paint))
    tell_endings(ax, ends)
    knob_axis(ax, values)
    ax.set(xlabel=label(knob), ylabel=f"final {label(metric)}")


def log_if_wide(ax: Axes, values: "pd.Series[float]", metric: str) -> None:
    """A logarithmic axis for a metric without bounds that spans decades, as losses do where runs diverge."""
    there = values[np.isfinite(values)]
    if len(there) and not is_accuracy(metric) and there.min() > 0 and there.max() > 30 * there.min():
        ax.set_yscale("log")


def tell_endings(ax: Axes, table: pd.DataFrame) -> None:
    """Have the legend say what the marks of runs that failed mean, where there are such runs."""
    for outcome in FAILED:
        if (table["outcome"] == outcome).any():
            ax.scatter([], [], label=FAILED[outcome], **marker(outcome, "0.3"))


def marker(outcome: str, paint: str) -> dict[str, Any]:
    """How `Axes.scatter` shows a run that ended so: a point, hollow if stuck, a cross if diverged."""
    face = "none" if outcome == "stuck" else paint
    return {"s": 16, "marker": MARKERS[outcome], "edgecolors": paint, "facecolors": face, "lw": 0.8}


def knob_axis(ax: Axes, values: "np.ndarray[Any, Any]") -> None:
    """A logarithmic axis, where the values of a knob, ascending, span a decade; 0 has a place at its left end."""
    positive = values[values > 0]
    if values[0] < 0 or len(positive) == 0 or positive[-1] < 10 * positive[0]:
        return
    if values[0] > 0:
        ax.set_xscale("log")
    else:
        ax.set_xscale("symlog", linthresh=positive[0], linscale=0.5)


def tick_values(ax: Axes, knob: "pd.Series[float]") -> None:
    """A tick for each value of the knob, where they are few."""
    values = np.sort(knob.unique())
    if len(values) <= MOST_TICKS:
        ax.set_xticks(values, [f"{value:g}" for value in values])
        ax.set_xticks([], minor=True)


def log_steps(ax: Axes, table: pd.DataFrame, decades: int = 1) -> None:
    """A logarithmic axis of steps, with a place for step 0 at its left end and a tick at every so many decades."""
    ax.set_xscale("symlog", linthresh=1, linscale=0.3)
    ax.set_xlim(0, table["step"].max())
    ax.set_xticks([10**k for k in range(0, int(np.log10(max(table["step"].max(), 1))) + 1, decades)])
    ax.xaxis.set_major_formatter(THOUSANDS)


def percentile_bands(
    ax: Axes, run: pd.DataFrame, column: str, percentiles: Sequence[float], unit: int | None, paint: str
) -> None:
    """Median, 15–85 % and 1–99 % bands (those measured) of one run's inputs, of one unit or of all."""
    values = stack_lists(run[column])
    values = values if unit is None else values[:, unit]
    steps = run["step"].to_numpy()
    for low, high, alpha in ((1, 99, 0.12), (15, 85, 0.3)):
        if low in percentiles and high in percentiles:
            a, b = (values[:, list(percentiles).index(p)] for p in (low, high))
            ax.fill_between(steps, a, b, color=paint, alpha=alpha, lw=0)
    for p in (15, 50, 85):
        if p in percentiles:
            weight = 1.8 if p == 50 else 0.8
            ax.plot(steps, values[:, list(percentiles).index(p)], color=paint, lw=weight)


def distribution(ax: Axes, table: pd.DataFrame, column: str, limit: float = 10.0) -> QuadMesh:
    """How a layer's inputs are distributed over training: density (shade) of values (height) over steps.

    All runs of `table` together, nothing where all of them are nan; dashed lines mark where the nonlinearity saturates.
    """
    steps, counts = histograms(table, column)
    with np.errstate(invalid="ignore"):
        density = counts / counts.sum(axis=1, keepdims=True) / np.diff(HISTOGRAM_EDGES)
    middles = np.sqrt(np.maximum(steps[:-1], 0.5) * steps[1:])
    edges = np.concatenate([[0.0], middles, [steps[-1]]])
    mesh = ax.pcolormesh(
        edges, HISTOGRAM_EDGES, density.T, cmap="magma_r", vmin=0, vmax=0.5, rasterized=True, shading="flat"
    )
    for edge in saturation(table)[:2]:
        if np.isfinite(edge):
            ax.axhline(edge, color="black", lw=0.8, ls="--")
    ax.set(ylim=(-limit, limit))
    ax.grid(False)
    return mesh
