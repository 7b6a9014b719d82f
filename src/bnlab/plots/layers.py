"""Figures of what enters the nonlinearities over training: a row of panels for each arm."""

import textwrap

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from bnlab.plots.inputs import chosen_sites, inputs_of, saturation, those_with
from bnlab.plots.parts import distribution, log_steps, percentile_bands
from bnlab.plots.picture import Picture
from bnlab.readings import stack_lists, wanted_percentiles


def percentiles(picture: Picture, site: str | None = None, statistics: str = "population") -> Figure:
    """The inputs of a layer's first units and of the whole layer over training, of the first run of each arm.

    `site`: which nonlinearity, by default the last. Raises `ConfigError` where it was not recorded.
    """
    table = picture.records
    site = chosen_sites(table, "percentiles", site)[-1]
    for what in ("percentiles", "unit_percentiles"):
        table = inputs_of(table, site, statistics, what)
    arms = [(str(arm), _first(runs)) for arm, runs in table.groupby("arm", observed=True)]
    count = min(stack_lists(run["inputs/unit_percentiles"].head(1)).shape[1] for _, run in arms)
    figure, axes = plt.subplots(
        len(arms),
        count + 1,
        figsize=(1.9 * (count + 1), 2.2 * len(arms)),
        sharex=True,
        sharey=True if _comparable([run for _, run in arms]) else "row",
        squeeze=False,
    )
    for row, (arm, run) in zip(axes, arms, strict=True):
        for panel, ax in enumerate(row):
            unit = None if panel == count else panel
            column = "inputs/percentiles" if unit is None else "inputs/unit_percentiles"
            percentile_bands(ax, run, column, wanted_percentiles(run), unit, picture.colours[arm])
            ax.set_title("whole layer" if unit is None else f"unit {unit + 1}")
            log_steps(ax, table, decades=2)
        row[0].set_ylabel(f"{textwrap.fill(arm, 26)}\ninput of the nonlinearity")
    seeds = " and ".join(sorted({str(run["seed"].iloc[0]) for _, run in arms}))
    figure.supxlabel(f"steps ({site}, {statistics} statistics, seed {seeds})", fontsize=9)
    return figure


def _first(runs: pd.DataFrame) -> pd.DataFrame:
    """The run with the lowest seed; one of them, where an arm pools several settings."""
    first: str = runs.sort_values("seed", kind="stable")["run"].iloc[0]
    return runs.loc[runs["run"] == first]


def _comparable(runs: list[pd.DataFrame]) -> bool:
    """Whether one scale shows all of them: a net that blows up would leave the others flat."""
    spans = [np.nanmax(np.abs(stack_lists(run["inputs/percentiles"])), initial=1e-9) for run in runs]
    return bool(max(spans) < 10 * min(spans))


def distributions(
    picture: Picture, site: str | None = None, statistics: str = "population", arms: list[str] | None = None
) -> Figure:
    """Every layer's inputs (or those of one `site`) over training, all seeds of an arm together."""
    sites = chosen_sites(picture.of(arms), "histogram", site)
    table = those_with(picture.of(arms), "histogram")
    drawn = list(table.groupby("arm", observed=True))
    figure, axes = plt.subplots(
        len(drawn),
        len(sites),
        figsize=(3 * len(sites) + (1.2 if len(sites) == 1 else 0), 2.5 * len(drawn)),
        sharex=True,
        sharey=True,
        squeeze=False,
    )
    for row, (arm, runs) in zip(axes, drawn, strict=True):
        for ax, layer in zip(row, sites, strict=True):
            inputs = inputs_of(runs, layer, statistics, "histogram")
            if inputs.empty:  # a net with fewer layers
                ax.set_axis_off()
                continue
            mesh = distribution(ax, inputs, "inputs/histogram")
            ax.set_title(textwrap.fill(f"{arm}: {layer.removesuffix('.act')}", 30))
            log_steps(ax, table, decades=2)
        row[0].set_ylabel("input of the nonlinearity")
    figure.colorbar(mesh, ax=axes, label="density", shrink=0.7, aspect=10 * len(drawn), extend="max")
    figure.supxlabel(f"steps ({statistics} statistics; dashed: {saturation(table)[2]})", fontsize=9)
    return figure
