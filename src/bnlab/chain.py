"""The argument for BN as a chain: what each of its links, and each cut through it, rests on in a ledger."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

import yaml

STATES = {("for",): "holds", ("against",): "does not hold", ("against", "for"): "holds in part"}  # else open
KINDS = ("seen", "cut")
OTHER = {"for": "against", "against": "for"}


@dataclass(frozen=True)
class Evidence:
    """A claim's question and its answer; `speaks` of the card's sentence: for it, against it, or open."""

    claim: str
    said: str
    answer: str
    number: str  # with its interval
    seeds: int
    speaks: str
    but: str


@dataclass(frozen=True)
class Card:
    """A sentence, of a link (`seen`) or of an intervention (`cut`), and what speaks for it and against it."""

    kind: str
    sentence: str
    evidence: list[Evidence]

    @property
    def state(self) -> str:
        """`holds`, `does not hold`, `holds in part`, or `open`, by all evidence that is decided."""
        return STATES.get(tuple(sorted({each.speaks for each in self.evidence} - {"open"})), "open")


@dataclass(frozen=True)
class Stage:
    """A box of the chain and its cards."""

    box: str
    cards: list[Card]


def words() -> list[dict[str, Any]]:
    """The chain's own words, as `templates/chain.yaml` has them."""
    text = files("bnlab").joinpath("templates/chain.yaml").read_text(encoding="utf-8")
    found: list[dict[str, Any]] = yaml.safe_load(text)
    return found


def stages(verdicts: Sequence[Mapping[str, Any]]) -> list[Stage]:
    """The chain, from the verdicts of a ledger; cards of which it has no evidence are left out. Empty without any."""
    asked = {v["claim"]: v["questions"] for v in verdicts if not v["asked_of"]}
    found = [
        Stage(stage["box"], [card for kind in KINDS if (card := _card(kind, stage[kind], asked)).evidence])
        for stage in words()
    ]
    return found if any(stage.cards for stage in found) else []


def _card(kind: str, told: Mapping[str, Any], asked: Mapping[str, Sequence[Mapping[str, Any]]]) -> Card:
    """A card with the evidence that the ledger has."""
    evidence = [
        _evidence(each, question)
        for each in told["evidence"]
        for at, question in enumerate(asked.get(each["claim"], []))
        if each.get("question", question["question"] if at == 0 else None) == question["question"]
    ]
    return Card(kind, told["sentence"], evidence)


def _evidence(each: Mapping[str, Any], question: Mapping[str, Any]) -> Evidence:
    yes = each.get("speaks", "for")
    speaks = {"REPRODUCED": yes, "CONTRADICTED": OTHER[yes], "NULL": each.get("same", OTHER[yes])}
    return Evidence(
        claim=each["claim"],
        said=each["said"],
        answer=question["answer"].partition(":")[0],
        number=question["shown"].partition(";")[0],
        seeds=question["seeds"],
        speaks=speaks.get(question["verdict"], "open"),
        but=each.get("but", ""),
    )
