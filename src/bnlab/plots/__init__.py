"""The pictures that any set of runs can be drawn as; claims compose theirs from the same parts."""

from bnlab.plots.figures import curves_figure, distributions_figure, percentiles_figure, response_figure
from bnlab.plots.parts import curves, distribution, heat_map, log_steps, percentile_bands, response
from bnlab.plots.style import STYLE, colour, describe, name, save, style
from bnlab.plots.table import differing, final, setting, stack_lists, wanted_percentiles

__all__ = [
    "STYLE",
    "colour",
    "curves",
    "curves_figure",
    "describe",
    "differing",
    "distribution",
    "distributions_figure",
    "final",
    "heat_map",
    "log_steps",
    "name",
    "percentile_bands",
    "percentiles_figure",
    "response",
    "response_figure",
    "save",
    "setting",
    "stack_lists",
    "style",
    "wanted_percentiles",
]
