"""docs/findings.md is typed by hand: its numbers are those of the verdicts that it shows, its caveats the claims'."""

import json
import math
import re
from collections.abc import Iterator
from functools import lru_cache

import pytest
from conftest import README, verdict_of

from bnlab.claims.claim import Question, load, names

FINDINGS = (README.parent / "docs" / "findings.md").read_text(encoding="utf-8")
NAMES = names()
NUMBER = r"−?\d(?:[\d,]*\d)?(?:\.\d+)?"
# (1.2 to 1.5), and what stands before it in such as (1.3 times; 1.2 to 1.5)
INTERVAL = re.compile(rf"(?:(?<=\()({NUMBER})(?: times| points| of it)?[;,] )?({NUMBER}) to ({NUMBER})")
EFFECT = re.compile(rf"(?<![\w.,−])({NUMBER}) (?:times|points|decades)")
OF_NO_VERDICT = {
    "shift_map": {"32"},  # where its colours end
    "minibatch_gradient": {"51", "70"},  # examples a second, of results/bench
    "hessian_outliers": {"2.25"},  # on another machine
    "auto_rate": {"28"},  # of weights, in its runs
}
IN_BRACKETS = re.compile(r"\((?:[^()]|\([^()]*\))*\)")


def sections() -> Iterator[tuple[list[str], str]]:
    """The claims that each heading's part, or each point of a list, links to, and its text on one line."""
    for part in re.split(r"^(?=#|- )", FINDINGS, flags=re.MULTILINE):
        links = re.findall(r"results/(?:README.md#)?(\w+)[/)]", part)
        yield [name for name in dict.fromkeys(links) if name in NAMES], " ".join(part.split())


def intervals() -> list[tuple[list[str], str, tuple[str, ...]]]:
    """Each with the claims that it may be of, what is told, and its numbers as they are typed."""
    return [
        (claims, bracket, found.groups())
        for claims, text in sections()
        for bracket in IN_BRACKETS.findall(text)
        for found in INTERVAL.finditer(bracket)
    ]


@lru_cache
def answers(name: str) -> list[tuple[float, ...]]:
    """Estimate, lower and upper end of each question of a claim, in each way in which one may tell it."""
    judged = verdict_of(name)["questions"]
    return [told for each in judged for told in ways(load(name).questions[each["question"]], each)]


@lru_cache
def told_by(name: str) -> list[float]:
    """All numbers of a claim's verdict: of its answers, and in its table."""
    in_table = re.findall(NUMBER, json.dumps(verdict_of(name)["table"], ensure_ascii=False))
    return [x for told in answers(name) for x in told] + [as_number(typed) for typed in in_table]


def ways(question: Question, judged: dict) -> Iterator[tuple[float, ...]]:
    base, theory = question.factor(), question.theory() or 0
    raw = [math.nan if x is None else theory + x for x in (judged["estimate"], *judged["interval"])]
    middle, low, high = (base**x for x in raw) if base else raw
    yield middle, low, high
    yield -middle, -high, -low  # of the other of two arms
    yield 100 * middle, 100 * low, 100 * high  # in per cent
    if base:
        yield 1 / middle, 1 / high, 1 / low  # how many times smaller
    elif question.terms.get("log"):
        yield tuple(float(question.terms["log"]) ** x for x in (middle, low, high))
    if question.under is not None:
        yield question.under - middle, question.under - high, question.under - low


def rounds_to(x: float, typed: str | None) -> bool:
    if typed is None:
        return True
    thousands = len(typed) - len(typed.rstrip("0")) if "," in typed else 0  # 17,000 is 16,936
    last = 10.0 ** (thousands - len(typed.partition(".")[2]))
    return abs(x - as_number(typed)) <= last / 2 + 1e-9


def as_number(typed: str) -> float:
    return float(typed.replace("−", "-").replace(",", ""))


def test_each_interval_is_that_of_a_question():
    found = intervals()
    assert len(found) > 130
    assert [
        f"{told} is of none of {claims}"
        for claims, told, typed in found
        if not any(all(map(rounds_to, numbers, typed)) for name in claims for numbers in answers(name))
    ] == []


def test_each_effect_is_a_number_of_a_verdict():
    effects = [(claims, typed) for claims, text in sections() if claims for typed in EFFECT.findall(text)]
    assert len(effects) > 120
    assert [
        f"{typed} is of none of {claims}"
        for claims, typed in effects
        if not any(typed in OF_NO_VERDICT.get(name, ()) for name in claims)
        and not any(rounds_to(abs(x), typed.strip("−")) for name in claims for x in told_by(name))
    ] == []


@pytest.mark.parametrize("name", NAMES)
def test_what_bids_caution_says_the_same_in_the_findings_and_in_the_claim(name):
    caveat = load(name).caveat
    assert caveat is None or f"Caveat: {caveat}." in " ".join(FINDINGS.split())
