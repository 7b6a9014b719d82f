"""The panel that a verdict rests on: each question's effect, its interval, and what would be too small to matter."""

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter

from bnlab.plots.picture import Asked, Picture, middles

PAINT = {"REPRODUCED": "#00694b", "CONTRADICTED": "#a8320a"}  # other verdicts are grey


def answers(axes: list[Axes], picture: Picture) -> None:
    """A row for each question: every seed, the mean with its interval, and what would be too small to matter.

    In the question's own unit where all share one, else in units of what would matter.
    """
    (ax,), asked = axes, list(picture.asked.values())
    alike = len({(each.delta, each.base) for each in asked}) == 1
    scales = [1.0 if alike else each.delta for each in asked]
    delta = asked[0].delta if alike else 1.0
    ax.axvspan(-delta, delta, color="0.9", lw=0)
    ax.axvline(0, color="0.4", lw=0.8)
    left, right = _limits(asked, scales, delta)
    for y, (each, scale) in enumerate(zip(asked, scales, strict=True)):
        seeds = middles(each.effect) / scale
        ax.plot(seeds, y + np.linspace(0.14, 0.34, len(seeds)), ".", ms=3, color="0.6", clip_on=True)
        ends = (each.answer.lo, each.answer.hi)
        low, high = (np.clip(end / scale, left, right) for end in ends)
        paint = PAINT.get(each.answer.verdict, "0.25")
        ax.plot([low, high], [y, y], color=paint, lw=1.6)
        for end, place, arrow in zip(ends, (low, high), "<>", strict=True):
            ax.plot([place], [y], "|" if math.isfinite(end) else arrow, color=paint, ms=8 if math.isfinite(end) else 4)
        if math.isfinite(each.answer.estimate):
            ax.plot([each.answer.estimate / scale], [y], "D", ms=4, color=paint)
    ax.set_yticks(range(len(asked)), list(picture.asked), fontsize=8)
    ax.set(ylim=(len(asked) - 0.5, -0.6), xlim=(left, right), title="answers: mean [interval], and seeds")
    _name_unit(ax, asked[0] if alike else None)


def _limits(asked: Sequence[Asked], scales: Sequence[float], delta: float) -> tuple[float, float]:
    pairs = list(zip(asked, scales, strict=True))
    ends = [x / scale for each, scale in pairs for x in (each.answer.lo, each.answer.hi, *middles(each.effect))]
    there = [x for x in ends if math.isfinite(x)] + [-1.4 * delta, 1.4 * delta]
    room = 0.06 * (max(there) - min(there))
    return min(there) - room, max(there) + room


def _name_unit(ax: Axes, one: Asked | None) -> None:
    if one is None:
        unit = "effect, in units of what would matter"
    elif one.base:
        base = one.base
        ax.set_xticks([math.log(factor, base) for factor in _factors(*(base**end for end in ax.get_xlim()))])
        ax.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"×{base**x:.3g}"))
        unit = "factor"
    else:
        unit = one.unit or "effect"
    ax.set_xlabel(f"{unit}\ngrey: too small to matter")


def _factors(low: float, high: float) -> list[float]:
    """Round factors between these: as few as will do."""
    for digits in ((1,), (1, 3), (1, 2, 5), (1, 1.5, 2, 3, 5, 7)):
        found = [digit * 10.0**k for k in range(-12, 13) for digit in digits if low <= digit * 10.0**k <= high]
        if len(found) >= 4:
            break
    return found
