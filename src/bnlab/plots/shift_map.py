"""Internal covariate shift as a map: time across, a knob upwards, a column for each net, rows for the definitions."""

from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection, QuadMesh
from matplotlib.colors import Colormap, LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from bnlab import readings
from bnlab.plots.heat import outline
from bnlab.plots.picture import Picture
from bnlab.plots.style import LABELS, colour, short

MOST = 5  # doublings at which colours end
ROWS = {  # by whose definition
    "spread": "Ioffe & Szegedy:\ndistributions move,\nover their spread",
    "absolute": "Ioffe & Szegedy:\ndistributions move,\nabsolute",
    "relative": "Santurkar et al.:\ngradient changes,\n‖G − G′‖ over ‖G‖",
    "cosine": "Santurkar et al.:\ngradient turns,\nangle of G and G′",
}


def shift_map(
    picture: Picture, arms: tuple[str, str], across: list[str], y: str, distributions: str, gradients: str
) -> Figure:
    """Both definitions of shift: the ratio of two arms' numbers over time and the knob `y`, mean over seeds.

    A column for each net that the knobs `across` tell apart. `distributions`: a column of percentiles, between one
    moment and the next; `gradients/relative` and `gradients/cosine` at each. Hatched where no seed has both arms train.
    """
    table = picture.of(arms)
    nets = list(table.groupby(across, sort=False))
    size = (2.1 * len(nets) + 1.4, 1.5 * len(ROWS) + 1.6)
    figure, axes = plt.subplots(len(ROWS), len(nets), figsize=size, sharex=True, sharey=True, squeeze=False)
    paints = [colour(table.loc[table["arm"] == arm, "norm.name"].iloc[0]) for arm in arms]
    colours = LinearSegmentedColormap.from_list("arms", [paints[1], "#f7f7f7", paints[0]]).with_extremes(bad="0.8")
    for row, (what, label) in zip(axes, ROWS.items(), strict=True):
        of = distributions if what in ("spread", "absolute") else f"{gradients}/{what}"
        for ax, (_, own) in zip(row, nets, strict=True):
            mesh = _draw(ax, _ratios(own, arms, y, of, what), sorted(own["step"].unique()), colours)
        row[0].set_ylabel(f"{label}\n\n{LABELS.get(y, y)}", fontsize=8)
    for ax, (net, _) in zip(axes[0], nets, strict=True):
        ax.set_title(", ".join(map(_named, across, net)))
    for ax in axes[-1]:
        ax.set_xlabel("steps")
    _explain(figure, mesh, arms)
    return figure


def _ratios(own: pd.DataFrame, arms: tuple[str, str], y: str, of: str, what: str) -> pd.DataFrame:
    """log2 of one arm over the other: a row for each value of `y` and each seed, a column for each moment or move.

    nan where one of both did not train.
    """
    one, other = (
        pd.DataFrame(
            {
                key: _numbers(run.sort_values("step"), of, what)
                for key, run in own[own["arm"] == arm].groupby([y, "seed"])
            }
        ).T
        for arm in arms
    )
    return one - other


def _numbers(run: pd.DataFrame, of: str, what: str) -> readings.Array:
    trained = 1 if (run["outcome"] == "trained").all() else np.nan
    if what in ("spread", "absolute"):
        return trained * readings.moved(run, of, "all", what)
    seen = readings.series(run, of)
    with np.errstate(divide="ignore", invalid="ignore"):  # of a net that is dead
        return trained * np.log2(np.arccos(np.minimum(seen, 1)) if what == "cosine" else seen)


def _draw(ax: Axes, ratios: pd.DataFrame, steps: list[int], colours: Colormap) -> QuadMesh:
    """Cells of moves lie between two moments, of what is measured at a moment around it."""
    cells = np.ma.masked_invalid(ratios.groupby(level=0).mean().to_numpy())
    left = 0.5 * (len(steps) - cells.shape[1] - 1)
    x = np.arange(cells.shape[1] + 1) + left
    mesh = ax.pcolormesh(x, np.arange(len(cells) + 1), cells, cmap=colours, vmin=-MOST, vmax=MOST)
    turns = [[(i + left, j) for i, j in edge] for edge in outline(np.ma.filled(cells > 0, False))]
    ax.add_collection(LineCollection(turns, colors="black", lw=0.8))
    _mark_seeds(ax, ratios.notna().any(axis=1).groupby(level=0), x)
    ticks = [at for at, step in enumerate(steps) if step == 0 or np.log10(step).is_integer()]
    ax.set_xticks(ticks, [f"{steps[at]:,}" for at in ticks], fontsize=7)
    ax.set_yticks(np.arange(len(cells)) + 0.5, list(map(short, ratios.index.unique(0))), fontsize=7)
    ax.set_xlim(-0.5, len(steps) - 0.5)
    ax.grid(False)
    return mesh


def _mark_seeds(ax: Axes, trained: "pd.api.typing.SeriesGroupBy[Any, Any]", x: readings.Array) -> None:
    """Rows in which both nets train with no seed, and of others how many do, if not all."""
    for row, (count, seeds) in enumerate(zip(trained.sum(), trained.size(), strict=True)):
        if count == 0:
            ax.add_patch(Rectangle((x[0], row), x[-1] - x[0], 1, fc="0.92", ec="0.6", hatch="////", lw=0))
        elif count < seeds:
            ax.text(1.01, row + 0.5, str(count), transform=ax.get_yaxis_transform(), fontsize=6, va="center")


def _explain(figure: Figure, mesh: QuadMesh, arms: tuple[str, str]) -> None:
    bar = figure.colorbar(mesh, ax=figure.axes, orientation="horizontal", extend="both", aspect=60, pad=0.02)
    ticks = range(-MOST, MOST + 1)
    bar.set_ticks(list(ticks), labels=["the same" if k == 0 else f"{2 ** abs(k)} times" for k in ticks])
    bar.ax.tick_params(labelsize=8)
    ends = (
        f"←  {arms[1]} shifts more, as Ioffe & Szegedy have it",
        f"{arms[0]} shifts more, as Santurkar et al. have it  →",
    )
    marks = "black: the sign turns; hatched: no seed with which both nets train; small numbers: so many do, if not all"
    bar.set_label(f"{ends[0]}          {ends[1]}\n{marks}", fontsize=8)


def _named(knob: str, value: Any) -> str:
    return short(value) if isinstance(value, str) else f"{knob.rpartition('.')[2]} {short(value)}"
