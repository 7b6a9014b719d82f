"""The pictures that any set of runs can be drawn as; claims compose theirs from the same parts.

Parts draw on an `Axes` from the table that `bnlab.runs.load` gives; whole figures end in `_figure`.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import QuadMesh
from matplotlib.figure import Figure
from numpy.typing import NDArray

from bnlab.config import HISTOGRAM_EDGES, ConfigError

# Okabe & Ito's colours, told apart by colour-blind eyes
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


# ---- parts ------------------------------------------------------------------------------------------------


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
            face = paint if outcome == "trained" else "none" if outcome == "stuck" else paint
            ax.scatter(
                seen[knob], seen[metric].fillna(0), s=16, marker=marker, edgecolors=paint, facecolors=face, lw=0.8
            )
    if values[0] > 0:
        ax.set_xscale("log")
    ax.set(xlabel=knob, ylabel=f"final {LABELS.get(metric, metric)}")


def final(table: pd.DataFrame) -> pd.DataFrame:
    """The last record of each run."""
    return table[table["step"] == table["steps"]]


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


def stack_lists(column: "pd.Series[Any]") -> NDArray[np.float64]:
    """A column of equally nested lists as one array, rows first."""
    return np.array([np.array(list(row), dtype=float) if np.ndim(row[0]) == 0 else _nested(row) for row in column])


def _nested(row: Any) -> NDArray[np.float64]:
    return np.array([np.asarray(part, dtype=float) for part in row])


# ---- whole figures ----------------------------------------------------------------------------------------


def curves_figure(table: pd.DataFrame, metric: str, by: Sequence[str] | None = None) -> Figure:
    """Learning curves of any set of runs, coloured by `by`: by default, by the knobs in which the runs differ."""
    if metric not in table:
        numbers = [column for column in columns_of(table.select_dtypes("number")) if column.count("/") == 1]
        raise ConfigError(f"metric={metric}: not in these runs; they have {', '.join(numbers)}")
    with style():
        figure, ax = plt.subplots(figsize=(6.4, 4.2))
        curves(ax, table, metric, by or differing(table))
        log_steps(ax, table)
        ax.legend(loc="best")
        ax.set_title(subtitle(table))
    return figure


def response_figure(table: pd.DataFrame, metric: str, knob: str | None = None) -> Figure:
    """Where runs end over a swept knob: by default the number in which they differ most."""
    knob = knob or _most_swept(table)
    if knob not in table or metric not in table:
        raise ConfigError(f"{knob if knob not in table else metric}: not in these runs")
    with style():
        figure, ax = plt.subplots(figsize=(6.4, 4.2))
        response(ax, table, knob, metric)
        ax.legend(loc="best")
        ax.set_title(subtitle(table))
    return figure


def _most_swept(table: pd.DataFrame) -> str:
    columns = columns_of(table)
    knobs = [c for c in columns[: columns.index("outcome")] if c != "seed" and pd.api.types.is_numeric_dtype(table[c])]
    counts = {knob: len(table[knob].drop_duplicates()) for knob in knobs if table[knob].notna().all()}
    best = max(counts, key=lambda knob: counts[knob], default="")
    if counts.get(best, 0) < 2:
        raise ConfigError("these runs differ in no number but the seed: sweep one, say optimizer.lr=0.01,0.1,1")
    return best


def percentiles_figure(table: pd.DataFrame, site: str, statistics: str) -> Figure:
    """The inputs of a layer's first units and of the whole layer over training: a row of panels for each arm."""
    by = differing(table)
    arms = list(table.groupby(by, sort=False, dropna=False))
    whole, units = f"{site}/{statistics}/percentiles", f"{site}/{statistics}/unit_percentiles"
    _need(table, whole, units)
    percentiles = wanted_percentiles(table)
    count = stack_lists(table[units].dropna().head(1)).shape[1]
    with style():
        figure, axes = plt.subplots(
            len(arms),
            count + 1,
            figsize=(1.9 * (count + 1), 2.2 * len(arms)),
            sharex=True,
            sharey=True,
            squeeze=False,
        )
        for row, (arm, runs) in zip(axes, arms, strict=True):
            first = _with(runs[runs["run"] == runs["run"].iloc[0]], whole)
            for panel, ax in enumerate(row):
                unit = None if panel == count else panel
                column = whole if unit is None else units
                percentile_bands(ax, first, column, percentiles, unit, colour(arm[0]))
                ax.set_title("whole layer" if unit is None else f"unit {unit + 1}")
                log_steps(ax, table)
            row[0].set_ylabel(f"{describe(by, arm)}\ninput of the nonlinearity")
        figure.supxlabel(f"steps ({site}, {statistics} statistics, seed {table['seed'].min()})", fontsize=9)
    return figure


def distributions_figure(table: pd.DataFrame) -> Figure:
    """Every layer's inputs over training, a row of panels for each arm, all its seeds together."""
    by = differing(table)
    arms = list(table.groupby(by, sort=False, dropna=False))
    columns = sorted(c for c in columns_of(table) if c.endswith("/population/histogram"))
    if not columns:
        raise ConfigError("these runs hold no histograms: train with `activations` in measure.what")
    with style():
        figure, axes = plt.subplots(
            len(arms),
            len(columns),
            figsize=(3 * len(columns), 2.5 * len(arms)),
            sharex=True,
            sharey=True,
            squeeze=False,
        )
        for row, (arm, runs) in zip(axes, arms, strict=True):
            for ax, column in zip(row, columns, strict=True):
                mesh = distribution(ax, _with(runs, column), column)
                ax.set_title(f"{describe(by, arm)}: {column.split('.')[0]}")
                log_steps(ax, table)
            row[0].set_ylabel("input of the nonlinearity")
        figure.colorbar(mesh, ax=axes, label="density", shrink=0.7)
        figure.supxlabel("steps (dashed: σ(x) = 0.05 and 0.95)", fontsize=9)
    return figure


def differing(table: pd.DataFrame) -> list[str]:
    """The knobs in which runs differ, other than the seed; `norm.name` where they differ in none."""
    columns = columns_of(table)
    knobs = [c for c in columns[: columns.index("outcome")] if c not in ("run", "seed")]
    names = [c for c in knobs if c.endswith(".name")]
    chosen = [c for c in [*names, *knobs] if len(table[c].drop_duplicates()) > 1]
    if "norm.name" in chosen:  # a norm's own knobs come and go with it
        chosen = [c for c in chosen if c == "norm.name" or not c.startswith("norm.") or _varies_within(table, c)]
    return list(dict.fromkeys(chosen)) or ["norm.name"]


def _varies_within(table: pd.DataFrame, knob: str) -> bool:
    return any(len(arm[knob].drop_duplicates()) > 1 for _, arm in table.groupby("norm.name"))


def setting(table: pd.DataFrame, rule: dict[str, Any]) -> str:
    """A claim's setting, with the steps and the data that this table really has."""
    return f"{rule['setting']}; {table['steps'].iloc[0]:,} steps, {table['data.name'].iloc[0]}"


def subtitle(table: pd.DataFrame) -> str:
    """What the runs have in common, in a few words."""
    return ", ".join(str(table[c].iloc[0]) for c in ("data.name", "model.name", "optimizer.name"))


def wanted_percentiles(table: pd.DataFrame) -> list[float]:
    """The percentiles that the runs recorded."""
    return [float(p) for p in str(table["measure.percentiles"].iloc[0]).strip("[]").split(",")]


def _need(table: pd.DataFrame, *columns: str) -> None:
    for column in columns:
        if column not in table:
            sites = sorted({c.split("/")[0] for c in columns_of(table) if c.endswith("/percentiles")})
            raise ConfigError(f"{column} was not measured; sites with percentiles: {', '.join(sites) or 'none'}")


def columns_of(table: pd.DataFrame) -> list[str]:
    """Column names, all of which are strings here."""
    return [str(column) for column in table.columns]


def _with(runs: pd.DataFrame, column: str) -> pd.DataFrame:
    return runs[runs[column].notna()]
