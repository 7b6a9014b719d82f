"""The chain: its words name what claims ask, its states follow from verdicts, and its picture can be read."""

from itertools import combinations
from typing import Any

import pytest
from matplotlib.text import Text

from bnlab import chain
from bnlab.claims.claim import load, names
from bnlab.plots.chain import chain as draw

EVIDENCE = [each for stage in chain.words() for kind in chain.KINDS for each in stage[kind]["evidence"]]
EXPECTED: set[str] = set()  # claims that the chain has a place for, before they are asked
LONGEST = {
    "answer": "the opposite, but it may be too small to matter",
    "shown": "at least 0.000123 times [0.000123, 12.3]",
}


def verdict(claim: str, **changes: Any) -> dict[str, Any]:
    """Of a claim as its YAML asks it, the same answer to every question."""
    answer = {"answer": "yes", "verdict": "REPRODUCED", "shown": "2 times [1.5, 3]; 1.5 would matter", "seeds": 6}
    return {
        "claim": claim,
        "asked_of": "",
        "questions": [{"question": q, **answer, **changes} for q in load(claim).questions],
    }


def cards(*verdicts: dict[str, Any]) -> dict[str, chain.Card]:
    return {card.sentence: card for stage in chain.stages(verdicts) for card in stage.cards}


@pytest.mark.parametrize("each", EVIDENCE, ids=lambda each: each["said"])
def test_the_chain_names_what_claims_ask(each):
    assert set(each) <= {"claim", "question", "said", "speaks", "same", "but"}
    if each["claim"] in EXPECTED - set(names()):
        return
    asked = load(each["claim"]).questions
    assert each.get("question", next(iter(asked))) in asked


@pytest.mark.parametrize(
    ("claim", "sentence", "states"),
    [  # of yes, no difference that matters, the opposite, open
        (
            "plateau_is_collapse",
            "Another account: examples look alike to the upper layers",
            ["holds", "does not hold"] * 2,
        ),
        (
            "once_at_the_start",
            "To normalise once, before the first update, does it too",
            ["does not hold", "holds"] * 2,
        ),
        ("center_or_scale", "What counts in BN is that it divides by the spread", ["holds in part"] * 3),
    ],
)
def test_what_a_sentence_rests_on_decides_whether_it_holds(claim, sentence, states):
    verdicts = ["REPRODUCED", "NULL", "CONTRADICTED"]
    found = [cards(verdict(claim, verdict=each))[sentence].state for each in verdicts]
    assert found == [states[0], states[1], states[1]]
    for undecided in ("OPEN", "DIRECTION", "UNDECIDED"):
        assert cards(verdict(claim, verdict=undecided))[sentence].state == "open"


def test_a_card_holds_the_answers_that_there_are():
    (card,) = cards(verdict("plateau_is_collapse", answer="open so far: look 1 of it", seeds=12)).values()
    (told,) = card.evidence
    assert (told.claim, told.answer, told.number, told.seeds) == (
        "plateau_is_collapse",
        "open so far",
        "2 times [1.5, 3]",
        12,
    )
    renamed = verdict("plateau_is_collapse") | {"claim": "mine"}
    of_another_norm = verdict("plateau_is_collapse") | {"asked_of": "layer in the place of BN"}
    assert chain.stages([renamed]) == chain.stages([of_another_norm]) == chain.stages([]) == []


@pytest.mark.parametrize("changes", [{}, LONGEST], ids=["short", "longest"])
def test_no_words_of_the_picture_overlap(changes):
    there = {each["claim"] for each in EVIDENCE} & set(names())
    figure = draw(chain.stages([verdict(claim, **changes) for claim in sorted(there)]))
    figure.draw_without_rendering()
    words = [text for text in figure.findobj(Text) if text.get_text()]
    boxes = {text: text.get_window_extent().shrunk(1, 0.8) for text in words}  # letters are lower than their line
    assert len(words) > 60
    assert all(
        box.x0 > 0 and box.x1 < figure.bbox.x1 and box.y0 > 0 and box.y1 < figure.bbox.y1 for box in boxes.values()
    )
    assert not [(a.get_text(), b.get_text()) for a, b in combinations(words, 2) if boxes[a].overlaps(boxes[b])]
    frames = [patch.get_window_extent() for patch in figure.axes[0].patches]
    inside = [text for text in words if any(f.x0 < boxes[text].x0 and boxes[text].x1 < f.x1 for f in frames)]
    assert len(inside) >= len(words) - 5  # the words beside arrows stand outside
