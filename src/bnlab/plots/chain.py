"""The chain as a picture: boxes one below the other, and beside them what speaks for and against each link."""

import textwrap
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch

from bnlab.chain import Card, Evidence, Stage
from bnlab.plots.answers import PAINT
from bnlab.plots.style import style

WIDTH, BOX, TALL, GAP, LINE = 10.4, 1.75, 0.6, 0.22, 0.165  # inches; a line is of 8 points
CARD = (WIDTH - BOX - 4 * GAP) / 2
CHARACTERS, BOLD = 60, 54  # that have room on a line of a card
NARROW = 0.75  # of small letters, against bold ones
PAINTS = {"for": PAINT["REPRODUCED"], "against": PAINT["CONTRADICTED"], "open": "0.4"}
STATES = {"holds": PAINTS["for"], "does not hold": PAINTS["against"], "holds in part": "#8a5a00", "open": "0.4"}
NO_BREAK = "\u00a0"
HEADS = {"seen": "↓ nets side by side", "cut": "✂ put in, or taken away"}


class Line(NamedTuple):
    """A line of a card: what stands on its left, and on its right in small letters."""

    left: str
    right: str = ""
    paint: str = "0.15"
    bold: bool = False


def chain(stages: Sequence[Stage]) -> Figure:
    """The boxes of the argument, its arrows in the colour of what the ledger says of them, and their cards."""
    heights = [max([0.9, *(_height(card) for card in stage.cards)]) for stage in stages]
    with style():
        figure = plt.figure(figsize=(WIDTH, sum(heights) + GAP * (len(stages) + 1)), layout="none")
        ax = figure.add_axes((0, 0, 1, 1))
        ax.set(xlim=(0, WIDTH), ylim=(figure.get_figheight(), 0))
        ax.set_axis_off()
        top = GAP
        for stage, height in zip(stages, heights, strict=True):
            _draw(ax, stage, top, height, last=stage is stages[-1])
            top += height + GAP
    return figure


def _draw(ax: Axes, stage: Stage, top: float, height: float, last: bool) -> None:
    """A box, the arrow to the next one, and its cards."""
    _frame(ax, GAP, top, BOX, TALL, "black", "0.95")
    label = textwrap.fill(stage.box, 20)
    ax.text(GAP + BOX / 2, top + TALL / 2, label, ha="center", va="center", fontsize=9, weight="bold")
    for card in stage.cards:
        _draw_card(ax, card, 2 * GAP + BOX + (card.kind == "cut") * (CARD + GAP), top)
    if not last:
        _arrow(ax, top + TALL, top + height + GAP, [card.state for card in stage.cards if card.kind == "seen"])


def _draw_card(ax: Axes, card: Card, left: float, top: float) -> None:
    _frame(ax, left, top, CARD, _height(card), STATES[card.state], "white")
    for row, line in enumerate(_lines(card)):
        y, weight = top + 0.1 + (row + 0.5) * LINE, "bold" if line.bold else "normal"
        ax.text(left + 0.12, y, line.left, fontsize=8, color=line.paint, weight=weight, va="center")
        ax.text(left + CARD - 0.12, y, line.right, fontsize=6.5, color=line.paint, ha="right", va="center")


def _arrow(ax: Axes, start: float, end: float, states: Sequence[str]) -> None:
    """To the next box; with no state for it, nobody has asked."""
    at, state = GAP + BOX / 2, states[0] if states else "not asked yet"
    look = {"arrowstyle": "-|>", "color": STATES.get(state, "0.7"), "lw": 2.2, "mutation_scale": 16}
    ax.annotate("", (at, end - 0.02), (at, start + 0.03), arrowprops=look)
    said = textwrap.fill(state, 10)
    ax.text(at + 0.1, (start + end) / 2, said, fontsize=8, color=look["color"], weight="bold", va="center")


def _frame(ax: Axes, left: float, top: float, width: float, height: float, edge: str, face: str) -> None:
    ax.add_patch(
        FancyBboxPatch((left, top), width, height, boxstyle="round,pad=0,rounding_size=0.06", ec=edge, fc=face, lw=1.2)
    )


def _height(card: Card) -> float:
    return 0.2 + LINE * len(list(_lines(card)))


def _lines(card: Card) -> Iterator[Line]:
    yield Line(HEADS[card.kind], paint="0.4")
    for part in textwrap.wrap(f"{card.sentence}: {card.state}", BOLD):
        yield Line(part, paint=STATES[card.state], bold=True)
    for each in card.evidence:
        yield from _of_evidence(each)


def _of_evidence(each: Evidence) -> Iterator[Line]:
    for part in textwrap.wrap(each.said, CHARACTERS):
        yield Line(part)
    *first, last = textwrap.wrap(f"{each.answer}: {each.number.replace(' ', NO_BREAK)}", BOLD)
    for part in first:
        yield Line(part, paint=PAINTS[each.speaks], bold=True)
    beside = len(last) + NARROW * len(each.claim) < BOLD
    yield Line(last, each.claim if beside else "", PAINTS[each.speaks], bold=True)
    if not beside:
        yield Line("", each.claim, PAINTS[each.speaks])
