"""What the page of the ledger shows beside words: intervals on axes, and figures small enough to travel inside it."""

import math
import re
from base64 import b64encode
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from itertools import product
from pathlib import Path
from typing import Any

from PIL import Image

from bnlab import explorer, live

LARGEST = 42_000  # bytes of a figure on the page
WIDTHS, QUALITIES = (1400, 1000), (80, 65, 50, 35)  # pixels, and WebP's; the first pair that is not too large
VERDICTS = {"UNDECIDED": "OPEN"}  # that are one where the page sorts and colours
ANSWERS = {
    "REPRODUCED": "yes",
    "DIRECTION": "yes, but maybe small",
    "NULL": "no difference that matters",
    "CONTRADICTED": "the opposite",
    "OPEN": "open",
}
OWN = "no paper"  # the source of a claim that names none
MATTERS = re.compile(r"(\S+)(?: times)?(?: off)? would matter$")
PAPER = re.compile(r"[A-ZÀ-Þ][\w-]+(?: & [A-ZÀ-Þ][\w-]+| et al\.)?,? \d{4}")
FACTORS = (  # ticks of an axis of factors, from close to wide: mantissas, of every how manieth power of ten
    ((1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 8), 1),
    *(((1, 1.5, 2, 3, 5, 7), 1), ((1, 2, 5), 1), ((1, 3), 1), ((1,), 1), ((1,), 2), ((1,), 4)),
)

Question = Mapping[str, Any]  # of a verdict.json


@dataclass(frozen=True)
class Axis:
    """From `low` to `high`, in what `bend` makes of a number."""

    low: float
    high: float
    ticks: list[tuple[float, str]]
    bend: Callable[[float], float] = float

    def at(self, x: float) -> float:
        """Where a number lies, in percent of the axis."""
        return round(100 * (self.bend(x) - self.low) / (self.high - self.low), 2)


@dataclass(frozen=True)
class Strip:
    """An interval on an axis, with ±δ; all places in percent of the axis."""

    low: float
    high: float
    estimate: float | None
    zero: float
    band: tuple[float, float]  # where it begins, and how long it is
    unbounded: tuple[bool, bool]  # below, and above
    ticks: list[tuple[float, str]]


def shared_axis(questions: Iterable[Question]) -> Axis:
    """For effects in units of δ: linear near 0, logarithmic far from it, as they go from a tenth of δ to a hundred."""
    ends = [x / q["delta"] for q in questions if q["delta"] for x in _ends(q)]
    low, high = math.asinh(min([-5.0, *ends])) - 0.4, math.asinh(max([10.0, *ends])) + 0.4
    ticks = [(float(x), f"{x}".replace("-", "−")) for x in (-100, -10, -1, 0, 1, 10, 100)]
    return Axis(low, high, ticks, math.asinh)


def own_axis(question: Question) -> Axis:
    """For an effect in the unit in which its number is told."""
    ends = [*_ends(question), -question["delta"], question["delta"]]
    pad = 0.07 * (max(ends) - min(ends))
    low, high = min(ends) - pad, max(ends) + pad
    base = factor(question)
    if base:
        ticks = [(math.log(x, base), f"×{x:g}") for x in _round_factors(base**low, base**high)]
    else:
        ticks = [(x, f"{x:g}".replace("-", "−")) for x in _round_numbers(low, high)]
    if "theory:" in question["shown"]:  # then the effect is what is off it
        ticks = [(x, said if x else "theory") for x, said in ticks]
    return Axis(low, high, ticks)


def strip(question: Question, axis: Axis, unit: float = 1.0) -> Strip | None:
    """A question's interval on an axis whose numbers are multiples of `unit`; None where nothing would matter."""
    if not question["delta"]:
        return None
    (low, high), middle = question["interval"], question["estimate"]
    begin, end = (axis.at(sign * question["delta"] / unit) for sign in (-1, 1))
    ticks = [(axis.at(x), said) for x, said in axis.ticks]
    return Strip(
        low=0.0 if low is None else axis.at(low / unit),
        high=100.0 if high is None else axis.at(high / unit),
        estimate=None if middle is None else axis.at(middle / unit),
        zero=axis.at(0),
        band=(begin, round(end - begin, 2)),
        unbounded=(low is None, high is None),
        ticks=[(x, said) for x, said in ticks if 0 <= x <= 100],
    )


def own_strip(question: Question) -> Strip | None:
    """A question's interval in the unit in which its number is told."""
    return strip(question, own_axis(question)) if question["delta"] else None


def factor(question: Question) -> float | None:
    """The base of the logarithm in which an effect is computed that is told as a number of times; else None."""
    delta = MATTERS.search(question["shown"]) if " times [" in question["shown"] else None
    return float(delta[1]) ** (1 / question["delta"]) if delta else None


def _ends(question: Question) -> list[float]:
    return [x for x in (*question["interval"], question["estimate"]) if x is not None]


def _round_factors(low: float, high: float) -> list[float]:
    """The most round numbers that are no more than six."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for mantissas, every in FACTORS:
        found = [m * 10.0**power for power in powers if power % every == 0 for m in mantissas]
        if len(within := [x for x in found if low <= x <= high]) <= 6:
            break
    return within


def _round_numbers(low: float, high: float) -> list[float]:
    """At most some eight multiples of 1, 2 or 5 times a power of ten."""
    rough = (high - low) / 8
    ten = 10.0 ** math.floor(math.log10(rough))
    step = next(m * ten for m in (1, 2, 5, 10) if m * ten >= rough)
    return [round(i * step, 10) for i in range(math.ceil(low / step), math.floor(high / step) + 1)]


@dataclass(frozen=True)
class Figure:
    """A figure as the page holds it."""

    uri: str
    width: int
    height: int


def figure(path: Path) -> Figure:
    """A committed PNG as WebP of at most `LARGEST` bytes, in a data URI. The same file gives the same bytes."""
    with Image.open(path) as opened:
        drawn = opened.convert("RGB")
    for width, quality in product(WIDTHS, QUALITIES):
        small = drawn.copy()
        small.thumbnail((width, drawn.height), Image.Resampling.LANCZOS)
        buffer = BytesIO()
        small.save(buffer, "WEBP", quality=quality)
        if buffer.tell() <= LARGEST:
            break
    return Figure(f"data:image/webp;base64,{b64encode(buffer.getvalue()).decode()}", *small.size)


def sort_of(verdict: str) -> str:
    """The kind of answer, a key of `ANSWERS`."""
    return VERDICTS.get(verdict, verdict)


def paper(source: str) -> str:
    """The paper that a claim's source names first, as "Ioffe & Szegedy 2015"."""
    named = PAPER.search(source)
    return named[0] if named else OWN


def matters(shown: str) -> str:
    """What would matter, of a question's number as it is told."""
    return shown.rpartition("; ")[2]


FILTERS = {
    "sort_of": sort_of,
    "paper": paper,
    "matters": matters,
    "own_strip": own_strip,
}


def contents(results: Path, found: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What the templates of the page are filled with, beside the chapters; `found` are the verdicts, with figures."""
    axis = shared_axis(question for verdict in found for question in verdict["questions"])
    return {
        "live": live.live_section(),
        "explorer": explorer.packed(results),
        "by_name": {verdict["claim"]: verdict for verdict in found},
        "runs": sum(verdict["runs"] for verdict in found),
        "answers": ANSWERS,
        "tally": Counter(sort_of(verdict["verdict"]) for verdict in found),
        "papers": sorted({paper(verdict["source"]) for verdict in found}),
        "axis": strip({"delta": 1.0, "interval": [0.0, 0.0], "estimate": 0.0}, axis),
        "in_deltas": lambda question: strip(question, axis, question["delta"]),
        "figures": {
            f"{verdict['claim']}/{name}": figure(results / verdict["claim"] / name)
            for verdict in found
            for name in verdict["figures"]
        },
    }
