"""results/bench/figure: the sides as bars, and ours over the number of runs, depth and width. Needs no torch."""

from statistics import median

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator

from benchmarks import summary
from benchmarks.summary import NORMS, Results, Row, rows_of
from bnlab.plots import colour, name, style

BARS = {
    "tutorial\nloop": summary.tutorial,
    "in\nmemory": summary.in_memory,
    "JAX\nalone": summary.jax_alone,
    "JAX\nat best": summary.jax,
    "ours\nalone": summary.alone,
    "ours\nstacked": summary.stacked,
}
LABEL = "µs a step of a run"


def draw(results: Results) -> Figure:
    """Four panels; one whose part was not measured stays empty."""
    with style():
        figure, ((bars, runs), (depth, width)) = plt.subplots(2, 2, figsize=(9, 6.4))
        _bars(bars, results)
        _over_runs(runs, results)
        _over_shape(depth, results, "depth", "width")
        _over_shape(width, results, "width", "depth")
    return figure


def _bars(ax: Axes, results: Results) -> None:
    for i, norm in enumerate(NORMS):
        for k, side in enumerate(BARS.values()):
            row = side(results, norm)
            if row:
                us = 1e6 * median(row["seconds"])
                ax.bar(k + 0.4 * (i - 0.5), us, 0.38, color=colour(norm), label=name(norm) if k == 0 else None)
                ax.annotate(f"{us:,.0f}", (k + 0.4 * (i - 0.5), us), ha="center", va="bottom", fontsize=6)
    ax.set_xticks(range(len(BARS)), BARS, fontsize=7)
    ax.set(ylabel=LABEL, title="One step of the paper's net, on the whole machine")
    _log_scales(ax, [])
    ax.set_ylim(bottom=ax.get_ylim()[0] / 3)  # a bar has no foot on a log scale; the shortest is still to be seen
    _legend(ax)


def _over_runs(ax: Axes, results: Results) -> None:
    sizes: list[int] = []
    for norm in NORMS:
        paint = colour(norm)
        every = rows_of(results, "steps", norm=norm, side="ours", seeds="shared")
        alone_or_more = [_fastest_of(every, "runs", size) for size in sorted({row["runs"] for row in every})]
        _line(ax, alone_or_more, "runs", paint, "o-", f"ours, {name(norm)}")
        maps = rows_of(results, "steps", norm=norm, side="jax", seeds="shared")
        _line(ax, maps, "runs", paint, "s--", f"JAX, {name(norm)}")
        loop = summary.in_memory(results, norm)
        if loop:
            ax.axhline(1e6 * median(loop["seconds"]), color=paint, ls=":", label=f"in memory, {name(norm)}")
        sizes += [row["runs"] for row in [*every, *maps]]
    ax.set(xlabel="runs of a sweep", ylabel=LABEL, title="Over the number of runs")
    _log_scales(ax, sizes)
    _legend(ax)


def _over_shape(ax: Axes, results: Results, over: str, other: str) -> None:
    rows = results.get("shapes", [])
    fixed = _most_common([row[other] for row in rows])
    for norm in NORMS:
        for side, marker in (("in memory", ":"), ("ours", "o-")):
            seen = [row for row in rows if (row["side"], row["norm"], row[other]) == (side, norm, fixed)]
            lines = [_fastest_of(seen, over, size) for size in sorted({row[over] for row in seen})]
            _line(ax, lines, over, colour(norm), marker, f"{side}, {name(norm)}")
    label = {"depth": "hidden layers", "width": "units in each hidden layer"}[over]
    ax.set(xlabel=label, ylabel=LABEL, title=f"Over {over} ({other} {fixed})")
    _log_scales(ax, [row[over] for row in rows if row[other] == fixed])
    _legend(ax)


def _log_scales(ax: Axes, sizes: list[int]) -> None:
    """Microseconds on a log scale with plain numbers; so, too, `sizes`, where there are any, with a tick for each."""
    ax.set_yscale("log")
    ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    ax.yaxis.set_major_formatter("{x:,.0f}")
    ax.yaxis.set_minor_formatter("")
    if sizes:
        ax.set_xscale("log")
        ax.set_xticks(sorted(set(sizes)), [str(size) for size in sorted(set(sizes))])
        ax.xaxis.set_minor_locator(NullLocator())


def _legend(ax: Axes) -> None:
    if ax.get_legend_handles_labels()[0]:
        ax.legend(fontsize=6)


def _fastest_of(rows: list[Row], column: str, value: int) -> Row:
    return min((row for row in rows if row[column] == value), key=lambda row: median(row["seconds"]))


def _line(ax: Axes, rows: list[Row], over: str, paint: str, marker: str, label: str) -> None:
    """Medians, and bars from quartile to quartile."""
    if not rows:
        return
    middle, low, high = 1e6 * np.array([summary.quartiles(row["seconds"]) for row in rows]).T
    spread = [middle - low, high - middle]
    ax.errorbar([row[over] for row in rows], middle, spread, fmt=marker, color=paint, ms=3, lw=1.2, label=label)


def _most_common(values: list[int]) -> int | None:
    return max(set(values), key=values.count, default=None)
