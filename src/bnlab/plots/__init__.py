"""The pictures that any set of runs can be drawn as; claims compose theirs from the same parts."""

from bnlab.plots.arms import differing, swept_numbers
from bnlab.plots.figures import curves_figure, response_figure
from bnlab.plots.film import film_animation, film_figure
from bnlab.plots.gather import gather, only
from bnlab.plots.heat import TIE, TOP, heat_legend, heat_map, heatmap_figure
from bnlab.plots.layers import distributions_figure, percentiles_figure
from bnlab.plots.parts import (
    curves,
    distribution,
    log_steps,
    marker,
    percentile_bands,
    response,
    tell_endings,
    tick_values,
)
from bnlab.plots.picture import Asked, Picture
from bnlab.plots.style import (
    ENDINGS,
    FILM_ENDINGS,
    STYLE,
    check_ending,
    colour,
    name,
    save,
    say_setting,
    style,
)
from bnlab.plots.table import final

__all__ = [
    "ENDINGS",
    "FILM_ENDINGS",
    "STYLE",
    "TIE",
    "TOP",
    "Asked",
    "Picture",
    "check_ending",
    "colour",
    "curves",
    "curves_figure",
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
    "percentile_bands",
    "percentiles_figure",
    "response",
    "response_figure",
    "save",
    "say_setting",
    "style",
    "swept_numbers",
    "tell_endings",
    "tick_values",
]
