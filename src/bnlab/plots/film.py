"""Films of what enters the nonlinearities."""

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.animation import FuncAnimation
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from bnlab.bins import HISTOGRAM_EDGES
from bnlab.plots.inputs import chosen_sites, histograms, inputs_of, saturation, those_with
from bnlab.plots.picture import Picture
from bnlab.plots.style import LABELS, style
from bnlab.plots.table import check_metric, is_accuracy

ACROSS = 4  # arms in a row of an animation
SECONDS = 10  # that an animation takes, about


@dataclass(frozen=True)
class Layer:
    """A layer's inputs at each step (S,) at which they were recorded, all seeds together."""

    name: str
    steps: NDArray[np.int64]
    counts: NDArray[np.float64]  # (S, bins)
    saturated: NDArray[np.float64]  # (S,) share of inputs


@dataclass(frozen=True)
class Arm:
    """What a film shows of an arm."""

    title: str
    paint: str
    layers: list[Layer]
    score: "pd.Series[float]"  # median over runs, by step
    limits: tuple[float, float]  # beyond which an input is saturated


def film(
    picture: Picture, site: str | None = None, statistics: str = "population", metric: str = "test/accuracy"
) -> FuncAnimation:
    """How every layer's inputs (or those of one `site`) are distributed: a frame for each step that was recorded.

    The arms stand side by side. Raises `ConfigError` where no histograms were recorded.
    """
    sites, arms, steps = _scenes(picture, site, statistics, metric)
    columns = min(len(arms), ACROSS)
    rows = -(-len(arms) // columns)
    with style():
        size = (max(3.2 * columns, 5.6), (0.7 * len(sites) + 0.8) * rows + 0.9)
        figure = Figure(figsize=size)  # unknown to pyplot, which would keep it until it is closed
        axes = figure.subplots(rows, columns, squeeze=False)
        for ax in axes.flat[len(arms) :]:
            ax.set_axis_off()
        figure.supxlabel(_caption(picture.records, statistics, metric), fontsize=8)
        heading = figure.suptitle("", fontsize=12)

        def draw(step: int) -> list[Artist]:
            for ax, arm in zip(axes.flat, arms, strict=False):
                ax.clear()
                ridges(ax, arm, sites, step)
                ax.set_title(f"{textwrap.fill(arm.title, 36)}\n{_score(arm, step, metric)}")
            heading.set_text(f"step {step:,}")
            return [heading]

        draw(steps[-1])
        figure.draw_without_rendering()
        figure.set_layout_engine("none")  # panels keep their places while the text in them changes
        per_second = max(2, round(len(steps) / SECONDS))
        frames = [*steps, *[steps[-1]] * (2 * per_second)]  # the end stays for two seconds
        return FuncAnimation(figure, draw, frames=frames, interval=1000 / per_second)


def ridges(ax: Axes, arm: Arm, sites: Sequence[str], step: int) -> None:
    """The distribution of each layer's inputs as last recorded by `step`: the first layer on top, each of one height.

    What is saturated is darker, its share stands on the right. Nothing is drawn where all inputs are nan.
    """
    low, high = arm.limits
    middles = (HISTOGRAM_EDGES[1:] + HISTOGRAM_EDGES[:-1]) / 2
    floors = {site: len(sites) - 1 - k for k, site in enumerate(sites)}
    for layer in arm.layers:
        now = int(np.searchsorted(layer.steps, step, side="right")) - 1
        floor, counts = floors[layer.name], layer.counts[now]
        if now < 0 or not counts.any():
            continue
        top = floor + 0.85 * counts / counts.max()
        for heights, alpha in ((top, 0.35), (np.where((middles < low) | (middles > high), top, floor), 0.9)):
            ax.stairs(heights, HISTOGRAM_EDGES, baseline=floor, fill=True, color=arm.paint, alpha=alpha, lw=0)
        if counts.sum() == layer.counts[0].sum():  # else some inputs are nan, and the share is of all
            share = f"{100 * layer.saturated[now]:.0f} %"
            ax.text(HISTOGRAM_EDGES[-1], floor + 0.45, share, ha="right", fontsize=7, color="0.35")
    for edge in arm.limits:
        if np.isfinite(edge):
            ax.axvline(edge, color="black", lw=0.7, ls="--")
    ax.set(xlim=(HISTOGRAM_EDGES[0], HISTOGRAM_EDGES[-1]), ylim=(-0.05, len(sites)), xticks=[-10, -5, 0, 5, 10])
    ax.set_yticks(list(floors.values()), [site.removesuffix(".act") for site in sites])
    ax.grid(False)


def _scenes(picture: Picture, site: str | None, statistics: str, metric: str) -> tuple[list[str], list[Arm], list[int]]:
    """The sites, the arms, and all steps at which any of them was recorded."""
    check_metric(picture.records, metric)
    sites = chosen_sites(picture.records, "histogram", site)
    arms = []
    for arm, runs in those_with(picture.records, "histogram").groupby("arm", observed=True):
        layers = [layer for name in sites for layer in _layer(runs, name, statistics)]
        score = runs.groupby("step")[metric].median()
        arms.append(Arm(str(arm), picture.colours[str(arm)], layers, score, saturation(runs)[:2]))
    return sites, arms, sorted({int(step) for arm in arms for layer in arm.layers for step in layer.steps})


def _layer(runs: pd.DataFrame, site: str, statistics: str) -> list[Layer]:
    """The layer at `site`; none where a net has fewer layers."""
    inputs = inputs_of(runs, site, statistics, "histogram")
    if inputs.empty:
        return []
    saturated = inputs_of(inputs, site, statistics, "saturated").groupby("step")["inputs/saturated"].mean()
    return [Layer(site, *histograms(inputs, "inputs/histogram"), saturated.to_numpy())]


def _score(arm: Arm, step: int, metric: str) -> str:
    """What `metric` was when last recorded by `step`: "97.8 %"; empty where it was not."""
    known = arm.score[arm.score.index <= step]
    if known.empty or not np.isfinite(known.iloc[-1]):
        return ""
    return f"{100 * known.iloc[-1]:.1f} %" if is_accuracy(metric) else f"{known.iloc[-1]:.3g}"


def _caption(table: pd.DataFrame, statistics: str, metric: str) -> str:
    return (
        f"input of the nonlinearity ({statistics} statistics; the outermost bins hold what lies beyond)\n"
        f"dashed: {saturation(table)[2]}, beyond: share on the right; above each panel: {LABELS.get(metric, metric)}"
    )
