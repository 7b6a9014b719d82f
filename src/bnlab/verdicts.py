"""The verdict rule: repeated confidence intervals at a few looks, and five verdicts.

An effect is positive in the claimed direction; each seed gives it as an interval [lo, hi]. At look k of K the interval
of its mean is I_k = ⋂_{j≤k} [mean lo − t·s_lo/√n_j, mean hi + t·s_hi/√n_j], t Student's quantile at 1 − α_j/2, with
α_j ∝ j and .05 in sum: repeated confidence intervals (Jennison & Turnbull 1984, 1989) whose error is spent look by look
(Lan & DeMets 1983), by the union bound. So all of them together hold the truth with 95 %, whenever one stops.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import special  # not scipy.stats, which takes a second to import

Array = NDArray[np.float64]
Interval = tuple[Any, Any]  # two numbers, or two arrays of them
ERROR = 0.05  # of all looks of a question together
WORDS = {
    "REPRODUCED": "yes",
    "DIRECTION": "yes, but it may be too small to matter",
    "NULL": "no difference that matters",
    "CONTRADICTED": "the opposite",
    "OPEN": "open",
}


AGREEING = {"NULL": "REPRODUCED", "REPRODUCED": "CONTRADICTED", "DIRECTION": "OPEN"}  # where theory's value is claimed


@dataclass(frozen=True)
class Answer:
    """What the rule says of one question at the last look that was needed, or that there are seeds for."""

    verdict: str  # "" where it is not decided and looks are left
    lo: float
    hi: float
    estimate: float  # the middle of the mean interval; infinite or nan where that has none
    seeds: int
    looks: int
    p: float  # of "there is no effect", at that look alone


def spending(looks: int, questions: int = 1) -> list[float]:
    """The error that each look spends, of one of so many questions that share `ERROR`."""
    return [ERROR * (k + 1) / sum(range(1, looks + 1)) / questions for k in range(looks)]


def agreement(found: Answer) -> Answer:
    """The answer where no effect is what is claimed, as of what is measured less what theory says."""
    return replace(found, verdict=AGREEING.get(found.verdict, found.verdict))


def answer(
    effect: pd.DataFrame, delta: float, looks: Sequence[int], questions: int = 1, until: int | None = None
) -> Answer:
    """The answer from `effect` (seeds, ascending; columns lo and hi).

    It is looked at after the first `looks` seeds, until it is decided; with `until`, at exactly so many looks, as a
    question is for which no further seeds are drawn.
    """
    lo, hi, verdict = -math.inf, math.inf, ""
    there = [n for n in looks if n <= len(effect)][:until]
    for k, n in enumerate(there):
        lo, hi = intersection((lo, hi), interval(effect.iloc[:n], spending(len(looks), questions)[k]))
        verdict = decide(lo, hi, delta, last=k + 1 == (until or len(looks)))
        if lo > hi or (verdict and until is None):
            there = there[: k + 1]
            break
    if not there:
        return Answer("", lo, hi, math.nan, len(effect), 0, 1.0)
    seen = effect.iloc[: there[-1]]
    return Answer(verdict, lo, hi, _middle(seen), there[-1], len(there), p_value(seen))


def decide(lo: float, hi: float, delta: float, last: bool) -> str:
    """The verdict on an interval; empty where the next look may tell more.

    An empty one, as the looks of skewed numbers may leave, is OPEN.
    """
    if lo > hi:
        return "OPEN"
    if lo > delta:
        return "REPRODUCED"
    if hi < -delta:
        return "CONTRADICTED"
    if -delta < lo and hi < delta:
        return "NULL"
    return "" if not last else "DIRECTION" if lo > 0 or hi < 0 else "OPEN"


def intersection(one: Interval, other: Interval) -> Interval:
    """What lies in both."""
    return np.maximum(one[0], other[0]), np.minimum(one[1], other[1])


def interval(effect: pd.DataFrame, alpha: float) -> Interval:
    """The mean's interval at level 1 − alpha: Student's, of shares (`effect.attrs["share"]`) Clopper and Pearson's."""
    if "share" in effect.attrs:
        return _clopper_pearson(effect, alpha, *effect.attrs["share"])
    return student(effect["lo"].to_numpy(), effect["hi"].to_numpy(), alpha)


def student(lo: Array, hi: Array, alpha: float) -> Interval:
    """Student's interval of the mean over the last axis, seeds: from lower ends down and from upper ends up."""
    t = float(special.stdtrit(lo.shape[-1] - 1, 1 - alpha / 2))
    return _bound(lo, -t), _bound(hi, t)


def _bound(ends: Array, t: float) -> Any:
    with np.errstate(invalid="ignore"):  # ∞ − ∞
        bound = ends.mean(axis=-1) + t * ends.std(axis=-1, ddof=1) / math.sqrt(ends.shape[-1])
    return np.where(np.isfinite(bound), bound, math.copysign(math.inf, t))[()]


def _clopper_pearson(effect: pd.DataFrame, alpha: float, than: float, unit: float) -> Interval:
    """Of shares, 0 or 1 a seed, less a constant, in that unit; it needs no spread."""
    n, reached = len(effect), round(float((effect["lo"] / unit + than).sum()))
    low = float(special.betaincinv(reached, n - reached + 1, alpha / 2)) if reached else 0.0
    high = float(special.betaincinv(reached + 1, n - reached, 1 - alpha / 2)) if reached < n else 1.0
    return unit * (low - than), unit * (high - than)


def _middle(effect: pd.DataFrame) -> float:
    with np.errstate(invalid="ignore"):  # ∞ − ∞
        return float((effect["lo"].mean() + effect["hi"].mean()) / 2)


def p_value(effect: pd.DataFrame) -> float:
    """Two-sided p of "the mean is 0": the largest alpha whose interval just holds it."""
    low, high = 0.0, 1.0
    for _ in range(40):  # to 1e-12
        middle = (low + high) / 2
        lo, hi = interval(effect, middle)
        low, high = (low, middle) if lo > 0 or hi < 0 else (middle, high)
    return high


def q_values(p_values: Sequence[float]) -> list[float]:
    """The rate of false discoveries at which each would be one (Benjamini & Hochberg 1995)."""
    p = np.array(p_values, dtype=float)
    down = np.argsort(-p)  # the least significant first
    ranks = np.arange(len(p), 0, -1)
    q = np.empty(len(p))
    q[down] = np.minimum(1, np.minimum.accumulate(p[down] * len(p) / ranks))
    return [float(each) for each in q]


def in_words(found: Answer) -> str:
    """The answer as one says it."""
    if found.verdict == "DIRECTION" and found.hi < 0:
        return "the opposite, but it may be too small to matter"
    return WORDS[found.verdict or "OPEN"]
