"""Intervals and the verdict rule. The rule is fixed before the runs; the numbers only fill it in.

An effect is positive in the claimed direction. With its 95 % interval [lo, hi] and the smallest effect δ that matters:
REPRODUCED when lo > δ, CONTRADICTED when hi < 0, NULL when −δ < lo and hi < δ, else INCONCLUSIVE. A claim of several
regimes is PARTIAL when it is reproduced in some of them.
"""

import math
from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import combinations

import numpy as np
from numpy.typing import NDArray
from scipy import stats
from statsmodels.stats.multitest import multipletests

LEVEL = 0.95
NOISE = 1e-9  # differences of the same numbers, rounded otherwise, are less apart
MOST_GROUPS = 200_000  # of two of ten runs each there are 184,756
FEWEST_SEEDS = 6  # with 5, a two-sided sign test cannot go below 0.0625
Array = NDArray[np.float64]


@dataclass(frozen=True)
class Effect:
    """An estimate with its 95 % interval; `p(x)`: two-sided p-value of "the effect is x"."""

    estimate: float
    lo: float
    hi: float
    seeds: int
    p: Callable[[float], float]


def paired(differences: Sequence[float], resolution: float = 0.0) -> Effect:
    """Mean of paired differences, one a seed. The interval is the hull of Student's and of the BCa bootstrap's.

    `resolution`: the steps in which both sides of a difference were read, as from a grid. Seeds that agree better than
    that are taken to scatter by its error, resolution/√6 (two readings, each uniform within a step).
    A difference that is not finite (a run diverged) leaves the interval unbounded.
    """
    d = np.asarray(differences, dtype=float)
    if not np.isfinite(d).all() or len(d) < 2:
        return Effect(math.nan, -math.inf, math.inf, len(d), lambda x: 1.0)
    spread, least = float(d.std(ddof=1)), resolution / math.sqrt(6)
    if max(spread, least) < NOISE:
        # Equal differences have no spread to go by; what is left is that all seeds agree, the sign test.
        value = float(d[0])
        return Effect(value, value, value, len(d), lambda x: 1.0 if abs(value - x) < NOISE else 2.0 ** (1 - len(d)))
    student = _student(d, max(spread, least) / math.sqrt(len(d)))
    if spread < least:
        return student
    bca = stats.bootstrap(
        (d,), np.mean, confidence_level=LEVEL, n_resamples=9999, method="BCa", rng=np.random.default_rng(0)
    ).confidence_interval
    return replace(student, lo=float(min(student.lo, bca.low)), hi=float(max(student.hi, bca.high)))


def _student(d: Array, standard_error: float) -> Effect:
    """The mean, with Student's interval and p for this standard error."""
    middle, t = float(d.mean()), stats.t(len(d) - 1)
    reach = float(t.ppf((1 + LEVEL) / 2)) * standard_error
    return Effect(
        middle, middle - reach, middle + reach, len(d), lambda x: float(2 * t.sf(abs(middle - x) / standard_error))
    )


@dataclass(frozen=True)
class Times:
    """Steps to a target, one a run: `steps` where `arrived`, else the last step at which it had not been reached."""

    steps: Array
    arrived: NDArray[np.bool_]

    def median(self) -> float:
        """Of all runs; infinite where fewer than half arrive."""
        return float(np.median(np.where(self.arrived, self.steps, np.inf)))

    def scaled(self, factor: float) -> "Times":
        return Times(self.steps * factor, self.arrived)


def speedup(slow: Times, fast: Times) -> Effect:
    """log2 of the factor c by which `slow` takes longer than `fast`; runs that never arrive count as censored.

    The interval holds every c at which the log-rank test, by permutation, cannot tell `slow` from c·`fast` at 5 %; the
    estimate is where its statistic changes sign (the rank estimator of the accelerated failure time model; Tsiatis
    1990). Where too few runs arrive to say, the interval is unbounded; where none does, there is no estimate.
    """

    def scores(log2_factor: float) -> Array:
        return _logrank_scores(slow, fast.scaled(2.0**log2_factor))

    def p(log2_factor: float) -> float:
        return _permutation_p(scores(log2_factor), len(slow.steps))

    grid = np.arange(-10, 10.001, 0.02)
    statistic = np.array([scores(x)[: len(slow.steps)].sum() for x in grid])  # events minus those expected of `slow`
    below, above = grid[statistic < -NOISE], grid[statistic > NOISE]
    low = bisect_left(below, True, key=lambda x: p(x) > 1 - LEVEL)  # the first that is not told from the truth
    high = bisect_left(above, True, key=lambda x: p(x) <= 1 - LEVEL)
    return Effect(
        _between(below, above),
        float(below[low - 1]) if low else -math.inf,  # outwards to the grid, lest rounding take it across δ
        float(above[high]) if high < len(above) else math.inf,
        len(slow.steps),
        p,
    )


def _between(below: Array, above: Array) -> float:
    """The middle of where a statistic that rises is negative and where it is positive; ∓∞ where it is so all along."""
    if len(below) and len(above):
        return float(below[-1] + above[0]) / 2
    return math.inf if len(below) else -math.inf if len(above) else math.nan


def _logrank_scores(one: Times, other: Times) -> Array:
    """Of each run, `one`'s first: 1 if it arrives, minus the hazard up to then (Nelson–Aalen, of all runs).

    Their sum over `one` is the log-rank statistic's numerator, arrivals minus those to be expected.
    """
    steps, arrived = np.concatenate([one.steps, other.steps]), np.concatenate([one.arrived, other.arrived])
    at, arrivals = np.unique(steps[arrived], return_counts=True)
    in_risk = len(steps) - np.searchsorted(np.sort(steps), at)
    hazard = np.concatenate([[0.0], np.cumsum(arrivals / in_risk)])
    return np.asarray(arrived - hazard[np.searchsorted(at, steps, side="right")])


def _permutation_p(scores: Array, size: int) -> float:
    """Two-sided p of the sum of the first `size` scores, among those of all groups of that size.

    The normal approximation rejects 7 % instead of 5 of true nulls for six against six, and gives p-values that so few
    runs cannot.
    """
    sums = scores[_groups(size, len(scores))].sum(axis=1)
    return float((np.abs(sums) >= abs(sums[0]) - NOISE).mean())


@lru_cache(maxsize=4)
def _groups(size: int, total: int) -> NDArray[np.intp]:
    """All groups of `size` of so many, the first of them first; where they are too many, some drawn at random."""
    if math.comb(total, size) <= MOST_GROUPS:
        return np.array(list(combinations(range(total), size)))
    random = np.random.default_rng(0)
    drawn = random.permuted(np.tile(np.arange(total), (MOST_GROUPS // 10, 1)), axis=1)[:, :size]
    return np.vstack([np.arange(size), drawn])


@dataclass(frozen=True)
class Judgement:
    """What the rule says of one regime."""

    regime: str
    statistic: str
    delta: float
    effect: Effect
    verdict: str
    p: float  # of the boundary that the verdict rests on

    def to_json(self) -> dict[str, object]:
        return {
            "regime": self.regime,
            "statistic": self.statistic,
            "delta": self.delta,
            "estimate": finite(self.effect.estimate),
            "interval": [finite(self.effect.lo), finite(self.effect.hi)],
            "seeds": self.effect.seeds,
            "p": finite(self.p),
            "verdict": self.verdict,
        }


def judge(regime: str, statistic: str, delta: float, effect: Effect) -> Judgement:
    """Apply the rule to one regime."""
    verdict, boundary = _decide(effect, delta)
    return Judgement(regime, statistic, delta, effect, verdict, effect.p(boundary))


def _decide(effect: Effect, delta: float) -> tuple[str, float]:
    if effect.seeds < FEWEST_SEEDS:
        return "INCONCLUSIVE", 0.0
    if effect.lo > delta:
        return "REPRODUCED", delta
    if effect.hi < 0:
        return "CONTRADICTED", 0.0
    if -delta < effect.lo and effect.hi < delta:
        return "NULL", math.copysign(delta, effect.estimate)
    return "INCONCLUSIVE", 0.0


def combine(verdicts: Sequence[str]) -> str:
    """The verdict of a claim from those of its regimes."""
    if len(set(verdicts)) == 1:
        return verdicts[0]
    return "PARTIAL" if "REPRODUCED" in verdicts else "INCONCLUSIVE"


def holm(p_values: Sequence[float]) -> list[float]:
    """p-values adjusted for their number (Holm 1979)."""
    return [float(p) for p in multipletests(p_values, method="holm")[1]] if len(p_values) else []


def finite(x: float) -> float | None:
    """For JSON, which has no infinity."""
    return round(float(x), 6) + 0.0 if math.isfinite(x) else None  # + 0: no −0
