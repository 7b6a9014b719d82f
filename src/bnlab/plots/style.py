"""The look of every figure: colours, names, and how one is saved."""

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.animation import Animation
from matplotlib.figure import Figure

from bnlab.config import ConfigError

# Okabe and Ito's palette without its yellow, which is lost on white; then Paul Tol's muted one: both for all eyes
COLOURS = {"none": "#D55E00", "batch": "#0072B2", "layer": "#009E73", "group": "#CC79A7"}
COLOURS |= {"center": "#000000", "scale": "#E69F00"}
MORE_COLOURS = ["#56B4E9", "#882255", "#999933", "#7F7F7F"]
NO_NORMS = [
    "#117733",
    "#AA4499",
    "#999933",
    "#000000",
    "#44AA99",
    "#882255",
    "#CC6677",
    "#88CCEE",
    "#332288",
    "#7F7F7F",
]
NAMES = {"none": "without BN", "batch": "with BN", "layer": "layer norm", "group": "group norm"}
MARKERS = {"trained": "o", "stuck": "o", "diverged": "X"}  # how a run ended
FAILED = {"stuck": "stuck at chance", "diverged": "diverged"}
LABELS = {  # of knobs and of measured columns; * stands for any layer
    "optimizer.lr": "learning rate",
    "study.lr_weights": "rate of the hidden layers' weights",
    "init.sigma": "σ of the initial weights",
    "init.gain": "initial weights, times 1/√fan-in",
    "test/accuracy": "test accuracy",
    "validation/accuracy": "validation accuracy",
    "train/accuracy": "training accuracy",
    "test/loss": "test loss (nats)",
    "train/batch_loss": "training loss (nats)",
    "*/saturated": "share of inputs saturated",
    "*/slope": "mean slope of the nonlinearity",
    "*/differs": "share of the second moment",
    "*/gradient_norm": "gradient norm ‖∂L/∂W‖",
    "*/shift/relative": "‖G − G′‖ / ‖G‖",
    "*/shift/cosine": "cosine of G and G′",
    "landscape/smoothness": "‖Δg‖ / ‖Δx‖, largest",
    "landscape/loss_range": "highest − lowest loss (nats)",
    "landscape/gradient_change": "‖Δg‖, largest",
}
_SIGMOID, _TANH = float(np.log(0.95 / 0.05)), float(np.arctanh(0.9))
SATURATION = {  # (low, high): inputs beyond them count as saturated, here and in what is measured
    "sigmoid": (-_SIGMOID, _SIGMOID, "σ(x) = 0.05 and 0.95"),
    "tanh": (-_TANH, _TANH, "tanh x = −0.9 and 0.9"),
    "relu": (0.0, np.inf, "x = 0"),
}
CHARACTERS_PER_INCH = 16  # of 8 points
ENDINGS = (".png", ".svg", ".pdf")
FILM_ENDINGS = (".gif",)

STYLE: dict[str, Any] = {
    "figure.dpi": 150,
    "figure.constrained_layout.use": True,
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 10,
    "axes.grid": True,
    "grid.alpha": 0.25,
    "grid.linewidth": 0.6,
    "legend.edgecolor": "none",  # a frame that lets words be read over lines
    "legend.framealpha": 0.8,
    "svg.hashsalt": "bnlab",  # the same figure is the same bytes
}


@contextmanager
def style() -> Iterator[None]:
    """The look of every figure here, whatever the user's own settings."""
    with plt.style.context(STYLE, after_reset=True):
        yield


def save(drawing: Figure | Animation, path: Path) -> None:
    """Write a figure as PNG, SVG or PDF, an animation as GIF; the same drawing gives the same bytes.

    Raises `ConfigError` where the ending of `path` is none of these.
    """
    check_ending(path, FILM_ENDINGS if isinstance(drawing, Animation) else ENDINGS)
    path.parent.mkdir(parents=True, exist_ok=True)
    with style():
        if isinstance(drawing, Animation):
            drawing.save(path, writer="pillow", dpi=100)
        else:
            dates = {".svg": {"Date": None}, ".pdf": {"CreationDate": None}, ".png": {"Software": None}}
            drawing.savefig(path, metadata=dates[path.suffix])
            plt.close(drawing)


def check_ending(path: Path, allowed: Sequence[str]) -> None:
    """Raises `ConfigError`, which names those allowed, where `path` has another ending."""
    if path.suffix not in allowed:
        *most, last = allowed
        raise ConfigError(
            f"{path}: {'a figure' if most else 'a film'} is {', '.join(most)}{' or ' if most else ''}{last}"
        )


def colour(arm: object, index: int = 0) -> str:
    """The colour of an arm: a norm's own, else one by position."""
    return COLOURS.get(str(arm), MORE_COLOURS[index % len(MORE_COLOURS)])


def label(column: str) -> str:
    """What an axis says of a knob or a measured column; the column itself where nothing is known of it."""
    return next((words for pattern, words in LABELS.items() if fnmatchcase(column, pattern)), column)


def short(value: object) -> str:
    """A knob's value as an axis says it: "0.1", "1e+06", "with BN"."""
    return f"{value:g}" if isinstance(value, float) else NAMES.get(str(value), str(value))


def seeds_or_runs(runs: pd.DataFrame) -> str:
    """How many there are, as a legend says it: "6 seeds", or "24 runs" where they differ in more than that."""
    count = runs["run"].nunique()
    kind = "seed" if count == runs["seed"].nunique() else "run"
    return f"{count} {kind}{'' if count == 1 else 's'}"


def say_setting(figure: Figure, table: pd.DataFrame, setting: str) -> None:
    """Above a figure: its setting, with the steps and the data that this table really has."""
    steps = f"{' or '.join(f'{count:,}' for count in sorted(table['steps'].unique()))} steps"
    on = f"{'' if steps in setting else f'{steps}, '}{' or '.join(table['data.name'].unique())}"
    said = setting if "study.name" in table else f"{setting}; {on}"
    line = int(CHARACTERS_PER_INCH * figure.get_size_inches()[0])
    figure.suptitle(textwrap.fill(said, line), fontsize=8, color="0.35")


def start_of(table: pd.DataFrame) -> pd.DataFrame:
    """With a column `start`, how a run's weights begin: "σ = 0.1", "1/√fan-in"; in order of these."""
    starts = table[[name for name in ("init.name", "init.sigma", "init.gain") if name in table]].drop_duplicates()
    starts = starts.sort_values(list(starts.columns), ascending=[False] + [True] * (len(starts.columns) - 1))
    named = starts.assign(start=[_start(row) for row in starts.to_dict("records")])
    return named.merge(table, on=list(starts.columns), how="right").sort_values(
        "start", key=lambda column: column.map({word: i for i, word in enumerate(named["start"])}), kind="stable"
    )


def _start(row: Mapping[Any, Any]) -> str:
    if row["init.name"] == "gaussian":
        return f"σ = {row['init.sigma']:g}"
    gain = "" if row["init.gain"] == 1 else f"{row['init.gain']:g}·"
    return f"{gain}1/√fan-in"
