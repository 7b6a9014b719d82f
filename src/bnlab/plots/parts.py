"""Parts: each draws on an `Axes`, from the table that `bnlab.runs.load` gives."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection, QuadMesh
from numpy.typing import NDArray

from bnlab.config import HISTOGRAM_EDGES
from bnlab.plots.style import LABELS, MARKERS, SATURATION, colour, describe, name
from bnlab.plots.table import final, stack_lists

CELL_MARKERS = {"stuck": ".", "diverged": "x"}  # in a heat map


def curves(ax: Axes, table: pd.DataFrame, metric: str, by: Sequence[str] = ("norm.name",)) -> None:
    """`metric` over steps: a thin line for each run, the band from lowest to highest, and the median."""
    for i, (arm, runs) in enumerate(table.dropna(subset=[metric]).groupby(list(by), sort=False, dropna=False)):
        paint = colour(arm[0], i) if len(by) == 1 else f"C{i % 10}"
        across = runs.pivot_table(index="step", columns="run", values=metric, sort=True)
        ax.fill_between(across.index, across.min(axis=1), across.max(axis=1), color=paint, alpha=0.18, lw=0)
        ax.plot(across.index, across, color=paint, lw=0.4, alpha=0.5)
        label = f"{describe(by, arm)} ({across.shape[1]} seeds)"
        ax.plot(across.index, across.median(axis=1), color=paint, lw=1.8, label=label)
    ax.set(xlabel="steps", ylabel=LABELS.get(metric, metric))


def response(ax: Axes, table: pd.DataFrame, knob: str, metric: str, arm_knob: str = "norm.name") -> None:
    """`metric` at the end of each run against a swept `knob`: every run a point, the median and the range of each arm.

    Runs that ended stuck at chance or diverged are hollow or crosses, wherever they lie.
    """
    ends = final(table)
    values = np.sort(ends[knob].unique())
    for i, (arm, runs) in enumerate(ends.groupby(arm_knob, sort=False)):
        paint = colour(arm, i)
        by_value = runs.groupby(knob)[metric]
        ax.fill_between(
            values, by_value.min().reindex(values), by_value.max().reindex(values), color=paint, alpha=0.15, lw=0
        )
        ax.plot(values, by_value.median().reindex(values), color=paint, lw=1.8, label=name(arm))
        for outcome, marker in MARKERS.items():
            seen = runs[runs["outcome"] == outcome]
            face = "none" if outcome == "stuck" else paint
            ax.scatter(
                seen[knob], seen[metric].fillna(0), s=16, marker=marker, edgecolors=paint, facecolors=face, lw=0.8
            )
    if values[0] > 0:
        ax.set_xscale("log")
    ax.set(xlabel=knob, ylabel=f"final {LABELS.get(metric, metric)}")


def heat_map(ax: Axes, runs: pd.DataFrame, x: str, y: str, metric: str, within: float = 0.01) -> QuadMesh:
    """`metric` at the end of the runs, mean over seeds, over two knobs: a cell for each pair of their values.

    A line surrounds the cells within `within` of the best one, which a star marks. A dot marks cells in which a run
    ended stuck, a cross those in which one diverged; a run that has no number counts as 0.
    """
    ends = final(runs)
    ends = ends.assign(value=ends[metric].fillna(0), **{kind: ends["outcome"] == kind for kind in CELL_MARKERS})
    values = _in_order(ends.pivot_table(index=y, columns=x, values="value", sort=False))
    mesh = ax.pcolormesh(values.to_numpy(), cmap="viridis", vmin=0, vmax=1, edgecolors="white", lw=0.5)
    good = (values >= np.nanmax(values.to_numpy()) - within).to_numpy()
    ax.add_collection(LineCollection(_outline(good), colors="black", lw=1.6))
    row, column = np.unravel_index(np.nanargmax(values.to_numpy()), values.shape)
    ax.plot(column + 0.5, row + 0.5, "*", ms=9, color="white", mec="black", mew=0.6)
    for kind, marker in CELL_MARKERS.items():
        share = ends.pivot_table(index=y, columns=x, values=kind, sort=False).reindex_like(values)
        rows, columns = np.nonzero(share.fillna(0).to_numpy() > 0)
        ax.plot(columns + 0.75, rows + 0.25, marker, ms=3, color="white", mew=0.8)
    ax.set_xticks(np.arange(values.shape[1]) + 0.5, [_short(value) for value in values.columns])
    ax.set_yticks(np.arange(values.shape[0]) + 0.5, [_short(value) for value in values.index])
    ax.set(xlabel=x, ylabel=y)
    ax.grid(False)
    return mesh


def _in_order(values: pd.DataFrame) -> pd.DataFrame:
    """Numbers ascending; words as they first came."""
    for axis in (0, 1):
        if pd.api.types.is_numeric_dtype(values.axes[axis]):
            values = values.sort_index(axis=axis)
    return values


def _short(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _outline(cells: NDArray[np.bool_]) -> list[list[tuple[int, int]]]:
    """The edges between cells that are True and those that are not, of a grid of unit cells."""
    edges: list[list[tuple[int, int]]] = []
    padded = np.pad(cells, 1)
    for i, j in zip(*np.nonzero(padded[1:, :] != padded[:-1, :]), strict=True):
        edges.append([(j - 1, i), (j, i)])
    for i, j in zip(*np.nonzero(padded[:, 1:] != padded[:, :-1]), strict=True):
        edges.append([(j, i - 1), (j, i)])
    return edges


def log_steps(ax: Axes, table: pd.DataFrame) -> None:
    """A logarithmic axis of steps, with a place for step 0 at its left end."""
    ax.set_xscale("symlog", linthresh=1, linscale=0.3)
    ax.set_xlim(0, table["step"].max())
    ax.set_xticks([10**k for k in range(int(np.log10(max(table["step"].max(), 1))) + 1)])


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

    All runs of `table` together; dashed lines mark where a sigmoid saturates.
    """
    totals = table.groupby("step")[column].agg(lambda rows: stack_lists(rows).sum(axis=0))
    counts = stack_lists(totals)
    density = counts / counts.sum(axis=1, keepdims=True) / np.diff(HISTOGRAM_EDGES)
    steps = totals.index.to_numpy(dtype=float)
    middles = np.sqrt(np.maximum(steps[:-1], 0.5) * steps[1:])
    edges = np.concatenate([[0.0], middles, [steps[-1]]])
    mesh = ax.pcolormesh(
        edges, HISTOGRAM_EDGES, density.T, cmap="magma_r", vmin=0, vmax=0.5, rasterized=True, shading="flat"
    )
    for edge in (-SATURATION, SATURATION):
        ax.axhline(edge, color="black", lw=0.8, ls="--")
    ax.set(ylim=(-limit, limit))
    ax.grid(False)
    return mesh
