"""Whole figures of any set of runs."""

from collections.abc import Sequence

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.figure import Figure

from bnlab.config import ConfigError
from bnlab.plots.parts import curves, distribution, log_steps, percentile_bands, response
from bnlab.plots.style import colour, describe, style
from bnlab.plots.table import columns_of, differing, knobs_of, measured, need, stack_lists, subtitle, wanted_percentiles


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
    knobs = [knob for knob in knobs_of(table) if pd.api.types.is_numeric_dtype(table[knob])]
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
    need(table, whole, units)
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
            first = measured(runs[runs["seed"] == runs["seed"].min()], whole)  # the seed that the label names
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
                mesh = distribution(ax, measured(runs, column), column)
                ax.set_title(f"{describe(by, arm)}: {column.split('.')[0]}")
                log_steps(ax, table)
            row[0].set_ylabel("input of the nonlinearity")
        figure.colorbar(mesh, ax=axes, label="density", shrink=0.7)
        figure.supxlabel("steps (dashed: σ(x) = 0.05 and 0.95)", fontsize=9)
    return figure
