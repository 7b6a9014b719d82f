"""Heat maps: a metric at the end of the runs, over two knobs."""

import textwrap
from collections.abc import Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection, QuadMesh
from matplotlib.colors import LogNorm, Normalize
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from bnlab.config import ConfigError
from bnlab.plots.arms import all_arms, count_arms, differing, swept_numbers
from bnlab.plots.style import FAILED, LABELS, MARKERS, describe, short, style
from bnlab.plots.table import check_knobs, check_metric, count, counted, final, is_accuracy, subtitle

ON_CELLS: dict[str, Any] = {
    "ls": "",
    "mfc": "white",
    "mec": "black",
    "mew": 0.6,
}  # markers that show on dark cells and on light ones
TOP = Normalize(0.9, 0.98)  # accuracies of MNIST nets that trained; those that did not are all the same dark
TIE = 1e-9  # means of the same numbers in another order differ by less


def heatmap_figure(
    table: pd.DataFrame,
    metric: str,
    knobs: Sequence[str] | None = None,
    by: Sequence[str] | None = None,
    within: float = 0.01,
) -> Figure:
    """Where runs end over two `knobs` (x, y), by default the numbers in which they differ most: a panel for each arm.

    Raises `ConfigError` where the runs differ in fewer than two numbers.
    """
    x, y = knobs or _two_most_swept(table)
    if x == y:
        raise ConfigError(f"{x}: a map needs two different knobs")
    check_knobs(table, [x, y])
    check_metric(table, metric)
    table = table[table[x].notna() & table[y].notna()]
    by = all_arms(table, by, without=(x, y))
    arms = list(table.groupby(by, sort=False, dropna=False))
    columns = min(len(arms), 4)
    rows = -(-len(arms) // columns)
    wide, high = (max(low, 0.36 * table[knob].nunique() + 0.8) for knob, low in ((x, 2.6), (y, 2.0)))
    with style():
        figure, axes = plt.subplots(
            rows, columns, figsize=(max(wide * columns + 1, 4.5), high * rows + 0.8), squeeze=False
        )
        scale = _scale(table, x, y, metric, by)
        for ax, (arm, runs) in zip(axes.flat, arms, strict=False):
            mesh = heat_map(ax, runs, x, y, metric, within, scale)
            ax.set_title(textwrap.fill(describe(by, arm), 30))
        for ax in axes.flat[len(arms) :]:
            ax.set_axis_off()
        figure.colorbar(mesh, ax=axes, label=f"final {LABELS.get(metric, metric)}")
        figure.legend(
            handles=heat_legend(table, metric, within), loc="outside lower center", ncols=4 if columns > 1 else 2
        )
        pooled = differing(table, without=[x, y, *by]) if count_arms(table, [x, y, *by, "seed"]) < count(table) else []
        over = " and ".join(["seeds", *pooled])
        figure.suptitle(f"{subtitle(table)}; mean over {over}", fontsize=9, color="0.35")
    return figure


def heat_map(ax: Axes, runs: pd.DataFrame, x: str, y: str, metric: str, within: float, scale: Normalize) -> QuadMesh:
    """`metric` at the end of the runs, mean over seeds, over two knobs: a cell for each pair of their values.

    A line surrounds the cells within `within` of the best one, which a star marks (all of them, if several tie): the
    highest accuracy, else the lowest value. A circle marks cells in which a run ended stuck, a cross those in which one
    diverged; a run that has no number counts as the worst, and its cell is grey where that has no mean. `scale`: of the
    colours.
    """
    values = cells(runs, x, y, metric)
    shown = np.ma.masked_invalid(values.to_numpy(dtype=float))
    colours = plt.get_cmap("viridis" if is_accuracy(metric) else "viridis_r").with_extremes(bad="0.8")
    mesh = ax.pcolormesh(shown, cmap=colours, norm=scale, edgecolors="white", lw=0.5)
    if shown.count():
        _mark_best(ax, shown if is_accuracy(metric) else -shown, within)
    for outcome in FAILED:
        failed = _with_outcome(runs, x, y, outcome).reindex_like(values)
        rows, columns = np.nonzero(failed.fillna(0).to_numpy() > 0)
        ax.plot(columns + 0.8, rows + 0.22, marker=MARKERS[outcome], ms=4, **ON_CELLS)
    ax.set_xticks(np.arange(values.shape[1]) + 0.5, [short(value) for value in values.columns])
    ax.set_yticks(np.arange(values.shape[0]) + 0.5, [short(value) for value in values.index])
    ax.set(xlabel=LABELS.get(x, x), ylabel=LABELS.get(y, y))
    ax.grid(False)
    return mesh


def cells(runs: pd.DataFrame, x: str, y: str, metric: str) -> pd.DataFrame:
    """The mean of `metric` at the end of the runs for each pair of values: a row for each of `y`, a column of `x`."""
    ends = final(runs)
    ends = ends.assign(value=counted(ends[metric], metric))
    return _in_order(ends.pivot_table(index=y, columns=x, values="value", sort=False))


def _with_outcome(runs: pd.DataFrame, x: str, y: str, outcome: str) -> pd.DataFrame:
    """The share of runs that ended so, for each pair of values."""
    ends = final(runs)
    ends = ends.assign(value=(ends["outcome"] == outcome).astype(float))
    return ends.pivot_table(index=y, columns=x, values="value", sort=False)


def _mark_best(ax: Axes, values: "np.ma.MaskedArray[tuple[int, int], np.dtype[np.float64]]", within: float) -> None:
    best = float(values.max())
    ax.add_collection(
        LineCollection(_outline(np.ma.filled(values >= best - within, False)), colors="black", lw=1.6, clip_on=False)
    )
    rows, columns = np.nonzero(np.ma.filled(values >= best - TIE, False))
    ax.plot(columns + 0.5, rows + 0.5, marker="*", ms=10, **ON_CELLS)


def heat_legend(table: pd.DataFrame, metric: str, within: float) -> list[Artist]:
    """What the line and the marks of heat maps mean, those that there are: handles for a legend."""
    much = f"{100 * within:g} point{'' if within == 0.01 else 's'}" if is_accuracy(metric) else f"{within:g}"
    outcomes = set(final(table)["outcome"])
    failed = {MARKERS[outcome]: f"a run {words}" for outcome, words in FAILED.items() if outcome in outcomes}
    marks = {"*": "best", **failed}
    return [
        Line2D([], [], color="black", lw=1.6, label=f"within {much} of the best"),
        *(
            Line2D([], [], marker=mark, ms=9 if mark == "*" else 4, label=words, **ON_CELLS)
            for mark, words in marks.items()
        ),
    ]


def _scale(table: pd.DataFrame, x: str, y: str, metric: str, by: Sequence[str]) -> Normalize:
    """Colours from the lowest to the highest cell of any arm; logarithmic where losses span decades."""
    arms = table.groupby(list(by), dropna=False)
    values = np.concatenate([cells(runs, x, y, metric).to_numpy(dtype=float).ravel() for _, runs in arms])
    values = values[np.isfinite(values)]
    low, high = (values.min(), values.max()) if len(values) else (0.0, 1.0)
    return LogNorm(low, high) if low > 0 and high > 30 * low and not is_accuracy(metric) else Normalize(low, high)


def _two_most_swept(table: pd.DataFrame) -> tuple[str, str]:
    numbers = swept_numbers(table)
    if len(numbers) < 2:
        raise ConfigError(
            f"a heat map is over two swept numbers, and these runs differ in {', '.join(numbers) or 'none'} "
            "beside the seed: sweep two, or name them with --knobs"
        )
    return numbers[0], numbers[1]


def _in_order(values: pd.DataFrame) -> pd.DataFrame:
    """Numbers ascending; words as they first came."""
    for axis in (0, 1):
        if pd.api.types.is_numeric_dtype(values.axes[axis]):
            values = values.sort_index(axis=axis)
    return values


def _outline(cells: NDArray[np.bool_]) -> list[list[tuple[int, int]]]:
    """The edges between cells that are True and those that are not, of a grid of unit cells."""
    edges: list[list[tuple[int, int]]] = []
    padded = np.pad(cells, 1)
    for i, j in zip(*np.nonzero(padded[1:, :] != padded[:-1, :]), strict=True):
        edges.append([(j - 1, i), (j, i)])
    for i, j in zip(*np.nonzero(padded[:, 1:] != padded[:, :-1]), strict=True):
        edges.append([(j, i - 1), (j, i)])
    return edges
