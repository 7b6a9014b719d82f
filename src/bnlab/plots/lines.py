"""Panels of lines: columns over training, over a knob, or over a net's layers; medians and ranges over seeds."""

import pandas as pd
from matplotlib.axes import Axes

from bnlab import readings
from bnlab.plots.arms import arms_of
from bnlab.plots.parts import log_steps as steps_on_a_log_axis
from bnlab.plots.picture import Picture
from bnlab.plots.style import LABELS
from bnlab.plots.table import final


def lines(axes: list[Axes], picture: Picture, arm: str, of: dict[str, str], log: bool = False, title: str = "") -> None:
    """Several columns of one arm over training, each pooled over layers: median and range over seeds."""
    (ax,) = axes
    own = picture.of([arm])
    for (label, columns), paint in zip(of.items(), ("#E6AB02", "#56B4E9", "#009E73", "#CC79A7"), strict=False):
        by_step = pd.Series(readings.series(own, columns), own.index).groupby(own["step"])
        ax.fill_between(by_step.min().index, by_step.min(), by_step.max(), color=paint, alpha=0.2, lw=0)
        ax.plot(by_step.median(), color=paint, lw=1.8, label=label)
    steps_on_a_log_axis(ax, own)
    ax.set(title=title, xlabel="steps")
    if log:
        ax.set_yscale("log")
    ax.legend(loc="best", fontsize=7)


def law(
    axes: list[Axes],
    picture: Picture,
    of: str,
    labels: list[str],
    along: str = "step",
    log: bool = True,
    log_along: bool = False,
    theory: dict[str, float] = {},  # noqa: B006  (pydantic copies it)
    begin: float = 0,
    bottom: float | None = None,
    title: str = "",
    arms: list[str] | None = None,
) -> None:
    """A column over a run's records, or where runs end over a knob, with theory's line for some arms.

    `theory`: an exponent where both axes are logarithmic, a factor for each step where one is, else a slope. Its line
    begins at the arm's median there, at `begin` or the first point after. `bottom`: where the axis begins.
    """
    (ax,), table = axes, picture.of(arms)
    points = table if along == "step" else final(table)
    for arm in arms_of(points):
        own = points[points["arm"] == arm].groupby(along)[of]
        middle, paint = own.median(), picture.colours[arm]
        ax.fill_between(middle.index, own.min(), own.max(), color=paint, alpha=0.2, lw=0)
        ax.plot(middle, "o-" if len(middle) < 20 else "-", ms=3, color=paint, lw=1.6, label=arm)
        if arm in theory:
            x = middle.index[middle.index >= begin].to_numpy(dtype=float)
            y0, rate = float(middle[x[0]]), theory[arm]
            y = (
                y0 * (x / x[0]) ** rate
                if log and log_along
                else y0 * rate ** (x - x[0])
                if log
                else y0 + rate * (x - x[0])
            )
            said = f"slope {rate:.4g}" if log_along or not log else f"×{rate:.4g} each"
            ax.plot(x, y, "--", color="black", lw=1, label=f"theory, {arm}: {said}")
    ax.set(xlabel=labels[0], ylabel=labels[1], title=title)
    if log:
        ax.set_yscale("log")
    if log_along:
        ax.set_xscale("log")
    if bottom is not None:
        ax.set_ylim(bottom=bottom)
    ax.legend(loc="best", fontsize=7)


def by_layer(
    axes: list[Axes], picture: Picture, of: str, label: str = "", title: str = "", arms: list[str] | None = None
) -> None:
    """Where runs end, layer by layer: a column with * in the place of the layer; logarithmic."""
    (ax,) = axes
    for arm, own in picture.arms(arms).items():
        ends = final(own)
        columns = readings.matching(ends, of)
        values = pd.concat([readings.column(ends, name).rename(k) for k, name in enumerate(columns, start=1)], axis=1)
        values = values.dropna(axis=1, how="all")
        ax.fill_between(values.columns, values.min(), values.max(), color=picture.colours[arm], alpha=0.2, lw=0)
        ax.plot(values.median(), "o-", ms=3, color=picture.colours[arm], lw=1.6, label=arm)
        ax.set_xticks(list(values.columns))
    ax.set(yscale="log", title=title, xlabel="layer", ylabel=label or LABELS.get(of, of))
    ax.legend(loc="best", fontsize=7)
