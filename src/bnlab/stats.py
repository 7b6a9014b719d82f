"""Intervals and the verdict rule. The rule is fixed before the runs; the numbers only fill it in.

An effect is positive in the claimed direction. With its 95 % interval [lo, hi] and the smallest effect δ that matters:
REPRODUCED when lo > δ, CONTRADICTED when hi < 0, NULL when −δ < lo and hi < δ, else INCONCLUSIVE. A claim of several
regimes is PARTIAL when it is reproduced in some of them.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import stats
from statsmodels.stats.multitest import multipletests

LEVEL = 0.95
NOISE = 1e-9  # differences of the same numbers, rounded otherwise, are less apart
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

    def censored(self) -> stats.CensoredData:
        return stats.CensoredData(uncensored=self.steps[self.arrived], right=self.steps[~self.arrived])


def speedup(slow: Times, fast: Times) -> Effect:
    """log2 of the factor c by which `slow` takes longer than `fast`; runs that never arrive count as censored.

    The interval holds every c at which the log-rank test cannot tell `slow` from c·`fast` at 5 %; the estimate is where
    its statistic changes sign (the rank estimator of the accelerated failure time model; Tsiatis 1990). Where too
    few runs arrive to say, the interval is unbounded; where none does, there is no estimate.
    """

    def statistic(log2_factor: float) -> float:
        if not slow.arrived.any() and not fast.arrived.any():
            return 0.0
        return _logrank(slow, fast.scaled(2.0**log2_factor))

    grid = np.arange(-10, 10.001, 0.02)
    z = np.array([statistic(x) for x in grid])
    bound = float(stats.norm.ppf((1 + LEVEL) / 2))
    return Effect(
        float(np.mean(_crossing(grid, z, 0.0))),
        _crossing(grid, z, -bound)[0],  # outwards to the grid, lest rounding take it across δ
        _crossing(grid, z, bound)[1],
        len(slow.steps),
        lambda x: float(2 * stats.norm.sf(abs(statistic(x)))),
    )


def _crossing(grid: Array, z: Array, level: float) -> tuple[float, float]:
    """Between which points z, which rises along the grid, passes `level`; ∓∞ where it lies above or below all along."""
    below, above = grid[z < level], grid[z > level]
    if len(below) == 0 or len(above) == 0:
        nowhere = math.nan if len(below) == len(above) else (-math.inf if len(above) else math.inf)
        return nowhere, nowhere
    return float(below[-1]), float(above[0])


def _logrank(a: Times, b: Times) -> float:
    with np.errstate(invalid="ignore", divide="ignore"):
        z = float(stats.logrank(a.censored(), b.censored()).statistic)
    return z if math.isfinite(z) else 0.0


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
    return round(float(x), 6) if math.isfinite(x) else None
