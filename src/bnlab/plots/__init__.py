"""The pictures that any set of runs can be drawn as; claims compose theirs from the same parts."""

from bnlab.plots.arms import differing, swept_numbers
from bnlab.plots.figures import curves_figure, response_figure
from bnlab.plots.film import film_animation, film_figure
from bnlab.plots.gather import gather, only
from bnlab.plots.heat import TIE, TOP, heat_legend, heat_map, heatmap_figure
from bnlab.plots.inputs import stack_lists, wanted_percentiles
from bnlab.plots.layers import distributions_figure, percentiles_figure
from bnlab.plots.parts import (
    curves,
    differences,
    distribution,
    log_steps,
    marker,
    percentile_bands,
    response,
    tell_endings,
    tick_values,
)
from bnlab.plots.style import (
    ENDINGS,
    FILM_ENDINGS,
    STYLE,
    check_ending,
    colour,
    name,
    save,
    say_setting,
    setting,
    style,
)
from bnlab.plots.table import final, percent

__all__ = [
    "ENDINGS",
    "FILM_ENDINGS",
    "STYLE",
    "TIE",
    "TOP",
    "check_ending",
    "colour",
    "curves",
    "curves_figure",
    "differences",
    "differing",
    "distribution",
    "distributions_figure",
    "film_animation",
    "film_figure",
    "final",
    "gather",
    "heat_legend",
    "heat_map",
    "heatmap_figure",
    "log_steps",
    "marker",
    "name",
    "only",
    "percent",
    "percentile_bands",
    "percentiles_figure",
    "response",
    "response_figure",
    "save",
    "say_setting",
    "setting",
    "stack_lists",
    "style",
    "swept_numbers",
    "tell_endings",
    "tick_values",
    "wanted_percentiles",
]
