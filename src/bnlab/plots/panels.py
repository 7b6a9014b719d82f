"""The panels that figures are made of, by name: what a claim's answers and any set of runs can be drawn as.

A panel is `(axes, picture, …terms) -> None`; one of several axes, side by side, says how many. A claim's YAML names
panels and their terms; a new panel is a function and a line in `PANELS`. A whole figure of its own is in `WHOLE`.
"""

import math
import textwrap
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator

from bnlab import readings
from bnlab.config import ConfigError, checked, construct
from bnlab.plots.answers import answers
from bnlab.plots.arms import arms_of
from bnlab.plots.heat import heat_legend, heat_map, scale_of
from bnlab.plots.layers import distributions, percentiles
from bnlab.plots.lines import by_layer, law, lines
from bnlab.plots.parts import THOUSANDS, log_if_wide, marker, tell_endings, tick_values
from bnlab.plots.parts import curves as draw_curves
from bnlab.plots.parts import log_steps as steps_on_a_log_axis
from bnlab.plots.parts import response as draw_response
from bnlab.plots.picture import Picture, middles
from bnlab.plots.shift_map import shift_map
from bnlab.plots.style import LABELS, say_setting, start_of, style
from bnlab.plots.table import final, is_accuracy

WIDTH, HEIGHT, ROW = 4.2, 3.9, 0.42  # inches: of a panel, and of a row of answers
ACROSS = 4  # maps in a row, where nothing else is drawn


def curves(
    axes: list[Axes],
    picture: Picture,
    of: str = "test/accuracy",
    log_steps: bool = False,
    bottom: float | None = 0.0,
    title: str = "",
    arms: list[str] | None = None,
) -> None:
    """A column over training steps, of every run; `bottom`: of an accuracy's axis, where no run ends below it.

    With no `bottom` limits follow the data, and losses that span decades have a logarithmic axis; so in `response`.
    """
    (ax,), table = axes, picture.of(arms)
    draw_curves(ax, table, of, picture.colours)
    if log_steps:
        steps_on_a_log_axis(ax, table)
    else:
        ax.set_xlim(0, table["steps"].max())
    if bottom is None:
        log_if_wide(ax, table[of], of)
    elif is_accuracy(of):
        ax.set_ylim(bottom if final(table)[of].min() > bottom else 0.0, 1.0)
    ax.set_title(title)
    ax.legend(loc="best", fontsize=7)


def seeds(
    axes: list[Axes], picture: Picture, reading: dict[str, Any], title: str = "", arms: list[str] | None = None
) -> None:
    """A row for each arm: what is read of each seed (▷ where that is never), and the median."""
    (ax,), of_arms = axes, picture.arms(arms)
    for y, (arm, own) in enumerate(of_arms.items()):
        read, paint = readings.in_unit(reading, own), picture.colours[arm]
        spread = y + np.linspace(-0.22, 0.22, len(read))
        never = np.isinf(read["hi"].to_numpy()) & np.isfinite(read["lo"].to_numpy())
        ax.plot(middles(read)[~never], spread[~never], "o", ms=3.5, color=paint)
        ax.plot(read["lo"][never], spread[never], ">", ms=5, mfc="none", color=paint)
        middle = float(np.median(np.where(never, np.inf, middles(read))))
        if math.isfinite(middle):
            ax.plot([middle] * 2, [y - 0.32, y + 0.32], color="black", lw=1.4)
    if reading.get("read") == "steps_to":
        ax.set_xscale("log")
        ax.xaxis.set(major_locator=LogLocator(subs=(1, 2, 5)), major_formatter="{x:,.0f}", minor_locator=NullLocator())
    ax.set_yticks(range(len(of_arms)), list(of_arms))
    unit = "steps; " if reading.get("read") == "steps_to" else ""
    ax.set(ylim=(len(of_arms) - 0.5, -0.5), title=title, xlabel=f"{unit}bar: median of seeds")


def response(
    axes: list[Axes],
    picture: Picture,
    knob: str,
    of: str = "test/accuracy",
    top: float | None = None,
    bottom: float | None = 0.0,
    title: str = "",
    arms: list[str] | None = None,
) -> None:
    """Where runs end over a knob; of an accuracy's axis the `bottom`, or `top`: only so much from the best run down."""
    (ax,), table = axes, picture.of(arms)
    draw_response(ax, table, knob, of, picture.colours)
    tick_values(ax, table[knob])
    ax.tick_params(axis="x", labelsize=7)
    best = float(final(table)[of].max())
    if bottom is None:
        log_if_wide(ax, final(table)[of], of)
    elif is_accuracy(of):
        ax.set_ylim(*((bottom, 1.02) if top is None else (best - top, best + 0.1 * top)))
    ax.set_title(title)
    if top is None:
        ax.legend(loc="best", fontsize=7)


def heat(
    axes: list[Axes],
    picture: Picture,
    x: str,
    y: str,
    of: str = "validation/accuracy",
    within: float = 0.01,
    low: float | None = 0.9,
    high: float = 0.98,
) -> None:
    """Where runs of the pilot end over two knobs (`start`: how weights begin), a map for each arm.

    Colours go from `low` to `high`, or with no `low` from the lowest to the highest cell.
    """
    table = start_of(picture.pilot) if "start" in (x, y) else picture.pilot
    maps = [(arm, table[table["arm"] == arm]) for arm in arms_of(picture.pilot)]
    scale = scale_of([own for _, own in maps], x, y, of) if low is None else Normalize(low, high)
    for ax, (arm, own) in zip(axes, maps, strict=True):
        mesh = heat_map(ax, own, x, y, of, within, scale)
        title = textwrap.fill(arm, 30) if picture.pilot is picture.records else f"{arm} (pilot)"
        ax.set(title=title, ylabel="initial weights" if y == "start" else LABELS.get(y, y))
        ax.tick_params(labelsize=7)
    figure = axes[0].get_figure()
    assert figure
    ends = "neither" if low is None else "min"
    figure.colorbar(mesh, ax=axes, label=f"{LABELS.get(of, of)}, mean", extend=ends, shrink=0.8)
    axes[0].legend(
        handles=heat_legend(table, of, within), loc="upper left", bbox_to_anchor=(0, -0.2), ncols=2, fontsize=7
    )


def paths(
    axes: list[Axes],
    picture: Picture,
    of: str,
    pick: readings.Pick = [15, 50, 85],  # noqa: B006  (pydantic copies it)
    scale: str = "absolute",
    start: int = 0,
    title: str = "",
) -> None:
    """How far percentiles have travelled by each step, of every seed, and the median."""
    (ax,) = axes
    for arm, own in picture.arms().items():
        runs = [run.sort_values("step") for _, run in own[own["step"] >= start].groupby("run")]
        if not runs:  # shorter than that
            continue
        ways = [readings.travelled(run, of, pick, scale) for run in runs]
        for way in ways:
            ax.plot(runs[0]["step"], way, color=picture.colours[arm], lw=0.4, alpha=0.5)
        ax.plot(runs[0]["step"], np.median(ways, axis=0), color=picture.colours[arm], lw=1.8, label=arm)
    ax.set_xscale("log")
    ax.xaxis.set_major_formatter(THOUSANDS)
    unit = "half its 15–85 % spread" if scale == "spread" else "units of the input"
    ax.set(title=title, xlabel="steps", ylabel=f"distance travelled ({unit})", ylim=(0, None))
    ax.legend(loc="upper left", fontsize=7)


def scatter(
    axes: list[Axes],
    picture: Picture,
    x: dict[str, Any],
    y: dict[str, Any],
    labels: list[str],
    title: str = "",
    pilot: bool = False,
    arms: list[str] | None = None,
) -> None:
    """Two readings of each run against each other; of all cells that were tried with `pilot`."""
    (ax,), table = axes, picture.pilot if pilot else picture.records
    for arm in [arm for arm in arms_of(table) if arms is None or arm in arms]:
        for _, run in table[table["arm"] == arm].groupby("run"):
            place = [float(middles(readings.in_unit(reading, run))[0]) for reading in (x, y)]
            ax.scatter(*place, **marker(str(run["outcome"].iloc[0]), picture.colours[arm]))
        ax.scatter([], [], label=arm, **marker("trained", picture.colours[arm]))
    tell_endings(ax, table)
    ax.set(xlabel=labels[0], ylabel=labels[1], title=title)
    ax.legend(loc="best", fontsize=7)


def draw(panels: Sequence[Any], picture: Picture) -> Figure:
    """A row of panels, or a whole figure, with the picture's setting above."""
    named = [_named(panel) for panel in panels]
    with style():
        if named[0][0] in WHOLE:
            figure: Figure = construct(WHOLE, "figure", {"name": named[0][0], **named[0][1]}, picture=picture)
        else:
            figure = _row(named, picture)
        say_setting(figure, picture.records, picture.setting)
    return figure


def _row(named: Sequence[tuple[str, dict[str, Any]]], picture: Picture) -> Figure:
    counts = [len(arms_of(picture.pilot)) if name == "heat" else 1 for name, _ in named]
    across = sum(counts) if len(named) > 1 else min(sum(counts), ACROSS)
    down = -(-sum(counts) // across)
    answered = len(picture.asked) if any(name == "answers" for name, _ in named) else 0
    size = (max(WIDTH * across, 7.0), max(HEIGHT * down, ROW * answered + 1.3))
    # Equal widths: with others the last bits of the layout were not the same in each process
    figure, axes = plt.subplots(down, across, figsize=size, layout="constrained", squeeze=False)
    left = list(axes.flat)
    for (name, terms), count in zip(named, counts, strict=True):
        own, left = left[:count], left[count:]
        construct(PANELS, "figure", {"name": name, **terms}, axes=own, picture=picture)
    for ax in left:
        ax.set_axis_off()
    if len(figure.axes) == 1:
        _legend_beside(figure.axes[0])
    _say_once(figure.axes)
    return figure


def _say_once(axes: Sequence[Axes]) -> None:
    """Take legends away that say nothing that one further left does not: they cover curves. An arm has one colour."""
    said: set[str] = set()
    for ax in axes:
        if legend := ax.get_legend():
            own = {text.get_text().partition(" (")[0] for text in legend.get_texts()}
            if own <= said:
                legend.remove()
            said |= own


def _legend_beside(ax: Axes) -> None:
    """Where a panel stands alone, which long labels leave no room for."""
    if legend := ax.get_legend():
        legend.set_loc("upper left")
        legend.set_bbox_to_anchor((1.02, 1), ax.transAxes)
        for text in legend.get_texts():
            text.set_text(textwrap.fill(text.get_text(), 30))


def check(panels: Sequence[Any], arms: Collection[str]) -> None:
    """Raise `ConfigError`, one line, for a panel that is not known or has terms wrong for a claim with `arms`."""
    for name, terms in map(_named, panels):
        where = f"claim.figure.{name}"
        if "name" in terms:
            raise ConfigError(f"{where}.name: not a term of a panel")
        if name in WHOLE and len(panels) > 1:
            raise ConfigError(f"{where}: a figure of its own; name no panel beside it")
        tables = WHOLE if name in WHOLE else {**PANELS, **WHOLE}
        checked(tables, where if name in tables else "claim.figure", {"name": name, **terms}, {"axes", "picture"})
        for key, reading in _readings(terms).items():
            readings.check(f"{where}.{key}", reading)
        unknown = {*(terms.get("arms") or []), terms.get("arm")} - {*arms, None}
        if unknown:
            raise ConfigError(f"{where}: there is no arm {', '.join(sorted(unknown))}; the arms are {', '.join(arms)}")


def _named(panel: Any) -> tuple[str, dict[str, Any]]:
    """A panel's name and terms: `answers`, or `{curves: {of: test/loss}}`."""
    if not isinstance(panel, Mapping) or len(panel) != 1:
        return str(panel), {}
    ((name, terms),) = panel.items()
    if not isinstance(terms, Mapping):
        raise ConfigError(f"claim.figure.{name}={terms}: give its terms as KEY: VALUE")
    return str(name), dict(terms)


def _readings(terms: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Those of a panel's terms that are readings."""
    return {key: terms[key] for key in ("reading", "x", "y") if isinstance(terms.get(key), dict)}


def columns(panels: Sequence[Any]) -> list[str]:
    """The measured columns, or patterns of such, that these panels draw."""
    found: list[str] = []
    for name, terms in map(_named, panels):
        of = terms.get("of", [])
        found += list(of.values()) if isinstance(of, dict) else readings.columns({"of": of})
        found += [column for reading in _readings(terms).values() for column in readings.columns(reading)]
        found += NEEDS.get(name, [])
        if name == "shift_map":
            found += [terms["distributions"], *(f"{terms['gradients']}/{what}" for what in ("relative", "cosine"))]
    return found


NEEDS = {  # columns that no term names
    "percentiles": ["*.act/population/percentiles", "*.act/population/unit_percentiles"],
    "distributions": ["*.act/population/histogram"],
}
PANELS: dict[str, Callable[..., None]] = {
    "curves": curves,
    "answers": answers,
    "seeds": seeds,
    "response": response,
    "heat": heat,
    "paths": paths,
    "scatter": scatter,
    "by_layer": by_layer,
    "law": law,
    "lines": lines,
}
WHOLE: dict[str, Callable[..., Figure]] = {
    "percentiles": percentiles,
    "distributions": distributions,
    "shift_map": shift_map,
}
