"""Whole figures of any set of runs: how they learn, and where they end."""

import textwrap
from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bnlab.config import ConfigError
from bnlab.plots.arms import count_arms, differing, few_arms, swept_numbers
from bnlab.plots.parts import curves, log_steps, response, tick_values
from bnlab.plots.style import style
from bnlab.plots.table import check_knobs, check_metric, final, is_accuracy, is_number, subtitle


def curves_figure(table: pd.DataFrame, metric: str, by: Sequence[str] | None = None) -> Figure:
    """Learning curves of any set of runs, coloured by `by`.

    By default that is the knobs in which the runs differ; with very many settings one of them, as the title then says.
    """
    check_metric(table, metric)
    by = few_arms(table, by)
    with style():
        figure, ax = plt.subplots(figsize=(7.6, 4.2))
        curves(ax, table, metric, by)
        log_steps(ax, table)
        _log_if_wide(ax, table[metric], metric)
        _legend(figure)
        ax.set_title(_title(table, by, differing(table)))
    return figure


def response_figure(
    table: pd.DataFrame, metric: str, knob: str | None = None, by: Sequence[str] | None = None
) -> Figure:
    """Where runs end over a swept knob, by default the number in which they differ most; coloured as curves are.

    Raises `ConfigError` where they differ in no number, or `knob` is none.
    """
    knob = knob or _most_swept(table)
    check_knobs(table, [knob])
    check_metric(table, metric)
    if not is_number(table[knob]):
        raise ConfigError(f"{knob}: not a number; swept here: {', '.join(swept_numbers(table)) or 'none'}")
    table = table[table[knob].notna()]
    by = few_arms(table, by, without=[knob])
    with style():
        figure, ax = plt.subplots(figsize=(7.6, 4.2))
        response(ax, table, knob, metric, by)
        tick_values(ax, table[knob])
        _log_if_wide(ax, final(table)[metric], metric)
        _legend(figure)
        ax.set_title(_title(table, by, differing(table, [knob])))
    return figure


def _legend(figure: Figure) -> None:
    """Beside the panel, which long labels leave no room for."""
    for text in figure.legend(loc="outside right upper").get_texts():
        text.set_text(textwrap.fill(text.get_text(), 26))


def _most_swept(table: pd.DataFrame) -> str:
    numbers = swept_numbers(table)
    if not numbers:
        raise ConfigError("these runs differ in no number but the seed: sweep one, say optimizer.lr=0.01,0.1,1")
    return numbers[0]


def _title(table: pd.DataFrame, by: Sequence[str], apart: Sequence[str]) -> str:
    """What the runs have in common; and, where colours pool runs that are `apart`, by what they are coloured."""
    pooled = count_arms(table, apart) > count_arms(table, by)
    coloured = f"\n{count_arms(table, apart)} settings, coloured by {', '.join(by)}" if pooled else ""
    return subtitle(table) + coloured


def _log_if_wide(ax: Axes, values: "pd.Series[float]", metric: str) -> None:
    """A logarithmic axis for a metric without bounds that spans decades, as losses do where runs diverge."""
    there = values[np.isfinite(values)]
    if len(there) and not is_accuracy(metric) and there.min() > 0 and there.max() > 30 * there.min():
        ax.set_yscale("log")
