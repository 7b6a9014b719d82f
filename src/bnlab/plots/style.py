"""The look of every figure: colours, names, and how one is saved."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from bnlab.config import ConfigError

COLOURS = {"none": "#D55E00", "batch": "#0072B2", "layer": "#009E73", "group": "#CC79A7"}
MORE_COLOURS = ["#E69F00", "#56B4E9", "#000000", "#F0E442"]
NAMES = {"none": "without BN", "batch": "with BN", "layer": "layer norm", "group": "group norm"}
SATURATION = float(np.log(0.95 / 0.05))  # |x| beyond which σ(x) < 0.05 or > 0.95
MARKERS = {"trained": "o", "stuck": "o", "diverged": "X"}  # how a run ended
LABELS = {
    "test/accuracy": "test accuracy",
    "validation/accuracy": "validation accuracy",
    "train/accuracy": "training accuracy",
    "test/loss": "test loss (nats)",
    "train/batch_loss": "training loss (nats)",
}

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
    "legend.frameon": False,
    "svg.hashsalt": "bnlab",  # the same figure is the same bytes
}


@contextmanager
def style() -> Iterator[None]:
    """The look of every figure here."""
    with plt.rc_context(STYLE):  # type: ignore[arg-type]
        yield


def save(figure: Figure, path: Path) -> None:
    """Write PNG, SVG or PDF by the ending of `path`; the same figure gives the same bytes."""
    dates = {".svg": {"Date": None}, ".pdf": {"CreationDate": None}, ".png": {"Software": None}}
    if path.suffix not in dates:
        raise ConfigError(f"{path}: a figure is .png, .svg or .pdf")
    path.parent.mkdir(parents=True, exist_ok=True)
    with style():
        figure.savefig(path, metadata=dates[path.suffix])
    plt.close(figure)


def colour(arm: object, index: int = 0) -> str:
    """The colour of an arm: a norm's own, else one by position."""
    return COLOURS.get(str(arm), MORE_COLOURS[index % len(MORE_COLOURS)])


def name(arm: object) -> str:
    """An arm as a legend says it."""
    return NAMES.get(str(arm), str(arm))


def describe(by: Sequence[str], arm: Sequence[Any]) -> str:
    """An arm by the knobs in which it differs: "with BN, lr 0.1"."""
    return ", ".join(
        name(value) if knob.endswith(".name") else f"{knob.rpartition('.')[2]} {value}"
        for knob, value in zip(by, arm, strict=True)
        if not pd.isna(value)  # a knob that this arm's kind does not have
    )
