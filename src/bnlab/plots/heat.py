"""Heat maps: a metric at the end of the runs, over two knobs."""

from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection, QuadMesh
from matplotlib.colors import LogNorm, Normalize
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from bnlab.plots.style import FAILED, LABELS, MARKERS, short
from bnlab.plots.table import check_metric, counted, final, is_accuracy

# Markers that show on dark cells and on light ones
ON_CELLS: dict[str, Any] = {"ls": "", "mfc": "white", "mec": "black", "mew": 0.6}
TIE = 1e-9  # means of the same numbers in another order differ by less
MOST_UPRIGHT = 12  # values of x that have room side by side


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
        failed = final(runs).loc[final(runs)["outcome"] == outcome, [x, y]].drop_duplicates()
        at = [axis.get_indexer(pd.Index(failed[knob])) for axis, knob in ((values.columns, x), (values.index, y))]
        ax.plot(at[0] + 0.8, at[1] + 0.22, marker=MARKERS[outcome], ms=4, **ON_CELLS)
    upright = values.shape[1] <= MOST_UPRIGHT
    ax.set_xticks(np.arange(values.shape[1]) + 0.5, list(map(short, values.columns)), rotation=0 if upright else 90)
    ax.set_yticks(np.arange(values.shape[0]) + 0.5, list(map(short, values.index)))
    ax.set(xlabel=LABELS.get(x, x), ylabel=LABELS.get(y, y))
    ax.grid(False)
    return mesh


def cells(runs: pd.DataFrame, x: str, y: str, metric: str) -> pd.DataFrame:
    """The mean of `metric` at the end of the runs for each pair of values: a row for each of `y`, a column of `x`.

    Numbers ascending; words as they first came. Raises `ConfigError` where it was not measured.
    """
    check_metric(runs, metric)
    ends = final(runs)
    ends = ends.assign(value=counted(ends[metric], metric))
    values = ends.pivot_table(index=y, columns=x, values="value", sort=False)
    for axis in (0, 1):
        if pd.api.types.is_numeric_dtype(values.axes[axis]):
            values = values.sort_index(axis=axis)
    return values


def _mark_best(ax: Axes, values: "np.ma.MaskedArray[tuple[int, int], np.dtype[np.float64]]", within: float) -> None:
    best = float(values.max())
    ax.add_collection(
        LineCollection(outline(np.ma.filled(values >= best - within, False)), colors="black", lw=1.6, clip_on=False)
    )
    rows, columns = np.nonzero(np.ma.filled(values >= best - TIE, False))
    ax.plot(columns + 0.5, rows + 0.5, marker="*", ms=10, **ON_CELLS)


def outline(cells: NDArray[np.bool_]) -> list[list[tuple[int, int]]]:
    """The edges between cells that are True and those that are not, of a grid of unit cells."""
    across = np.argwhere(np.diff(np.pad(cells, ((1, 1), (0, 0))), axis=0))
    upwards = np.argwhere(np.diff(np.pad(cells, ((0, 0), (1, 1))), axis=1))
    return [[(j, i), (j + 1, i)] for i, j in across] + [[(j, i), (j, i + 1)] for i, j in upwards]


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


def scale_of(arms: list[pd.DataFrame], x: str, y: str, metric: str) -> Normalize:
    """Colours from the lowest to the highest cell of any arm; logarithmic where losses span decades."""
    values = np.concatenate([cells(runs, x, y, metric).to_numpy(dtype=float).ravel() for runs in arms])
    values = values[np.isfinite(values)]
    low, high = (values.min(), values.max()) if len(values) else (0.0, 1.0)
    return LogNorm(low, high) if low > 0 and high > 30 * low and not is_accuracy(metric) else Normalize(low, high)
