"""The verdict rule, on made numbers."""

import math

import numpy as np
import pytest
from scipy import stats as scipy_stats

from bnlab import stats
from bnlab.stats import Effect, Times


def effect(lo: float, hi: float, seeds: int = 10) -> Effect:
    return Effect((lo + hi) / 2, lo, hi, seeds, lambda x: 0.01)


@pytest.mark.parametrize(
    ("lo", "hi", "verdict"),
    [
        (0.6, 0.9, "REPRODUCED"),
        (0.4, 0.9, "INCONCLUSIVE"),  # beyond 0, not beyond δ
        (-0.9, -0.1, "CONTRADICTED"),
        (-0.9, 0.1, "INCONCLUSIVE"),
        (-0.4, 0.4, "NULL"),
        (0.1, 0.4, "NULL"),  # there is an effect, too small to matter
        (-math.inf, math.inf, "INCONCLUSIVE"),
        (0.6, math.inf, "REPRODUCED"),
    ],
)
def test_the_rule(lo, hi, verdict):
    assert stats.judge("r", "s", 0.5, effect(lo, hi)).verdict == verdict


def test_too_few_seeds_say_nothing():
    assert stats.judge("r", "s", 0.5, effect(0.6, 0.9, seeds=5)).verdict == "INCONCLUSIVE"


@pytest.mark.parametrize(
    ("verdicts", "whole"),
    [
        (["REPRODUCED", "REPRODUCED"], "REPRODUCED"),
        (["REPRODUCED", "NULL"], "PARTIAL"),
        (["REPRODUCED", "CONTRADICTED"], "PARTIAL"),
        (["NULL", "NULL"], "NULL"),
        (["NULL", "CONTRADICTED"], "INCONCLUSIVE"),
    ],
)
def test_regimes_combine(verdicts, whole):
    assert stats.combine(verdicts) == whole


def test_paired_interval_holds_students_and_the_bootstraps():
    d = np.random.default_rng(1).exponential(size=12)  # skewed: the two intervals differ
    found = stats.paired(d.tolist())
    t = scipy_stats.ttest_1samp(d, 0).confidence_interval(0.95)
    assert found.lo <= t.low
    assert found.hi >= t.high
    assert found.estimate == pytest.approx(d.mean())
    assert found.p(0.5) == pytest.approx(scipy_stats.ttest_1samp(d, 0.5).pvalue)


def test_paired_interval_covers_the_truth_as_often_as_it_says():
    random = np.random.default_rng(2)
    covered = [e.lo <= 1 <= e.hi for e in (stats.paired(random.normal(1, 1, 8).tolist()) for _ in range(60))]
    assert np.mean(covered) > 0.85


def test_a_run_that_diverged_leaves_the_interval_open():
    assert stats.paired([1.0, math.nan, 1.2, 1.1, 1.0, 1.3]).hi == math.inf


def test_equal_differences_have_an_interval_of_no_width():
    found = stats.paired([0.5] * 8)
    assert (found.lo, found.hi) == (0.5, 0.5)
    assert found.p(0.0) == 2**-7  # all eight on one side: the sign test
    assert found.p(0.5) == 1


def test_differences_read_off_a_grid_scatter_by_its_error():
    coarse, fine = stats.paired([1.0] * 6, resolution=0.5), stats.paired([1.0] * 6, resolution=0.01)
    reach = scipy_stats.t.ppf(0.975, 5) * 0.5 / np.sqrt(6) / np.sqrt(6)
    assert (coarse.lo, coarse.hi) == pytest.approx((1 - reach, 1 + reach))
    assert coarse.p(coarse.lo) == pytest.approx(0.05)
    assert fine.p(0.9) < 2**-5 < coarse.p(0.9)
    scattered = [1.0, 1.5, 0.5, 2.0, 1.0, 1.5]
    assert stats.paired(scattered, 0.5).hi == stats.paired(scattered).hi


def arrivals(center: float, seed: int, n: int = 12) -> Times:
    return Times(center * np.exp(np.random.default_rng(seed).normal(0, 0.2, n)), np.ones(n, dtype=bool))


def test_speedup_finds_the_factor():
    found = stats.speedup(arrivals(4000, 1), arrivals(1000, 2))
    assert found.lo < 2 < found.hi
    assert found.lo < found.estimate < found.hi
    assert found.hi - found.lo < 1
    assert found.p(0.0) < 0.001
    assert found.p(found.estimate) > 0.5


def test_an_interval_is_not_rounded_across_delta():
    slow, fast = (Times(np.full(6, steps), np.ones(6, dtype=bool)) for steps in (3000.0, 1500.0))
    assert stats.speedup(slow, fast).lo <= 1 <= stats.speedup(slow, fast).hi


def test_its_scores_add_up_to_the_log_rank_statistic():
    for seed in range(5):
        random = np.random.default_rng(seed)
        one, other = (Times(np.round(random.exponential(10, 8), 0), random.random(8) < 0.7) for _ in range(2))
        ours = stats._logrank_scores(one, other)
        theirs = scipy_stats.logrank(
            *(scipy_stats.CensoredData(uncensored=t.steps[t.arrived], right=t.steps[~t.arrived]) for t in (one, other))
        )
        assert ours.sum() == pytest.approx(0, abs=1e-12)
        assert np.sign(ours[:8].sum()) == np.sign(theirs.statistic)
        p = scipy_stats.permutation_test(
            (ours[:8], ours[8:]), lambda a, b, axis: a.sum(axis), vectorized=True, n_resamples=np.inf
        )
        assert stats._permutation_p(ours, 8) == pytest.approx(p.pvalue, abs=1e-3)
        assert p.pvalue == pytest.approx(theirs.pvalue, abs=0.1)


def test_its_interval_holds_the_truth_as_often_as_it_says():
    random = np.random.default_rng(0)
    every = np.ones(6, dtype=bool)
    held = 0
    for _ in range(150):
        slow, fast = (Times(1000 * 2 ** (log2 + random.normal(0, 0.3, 6)), every) for log2 in (0.5, 0.0))
        found = stats.speedup(slow, fast)
        held += found.lo <= 0.5 <= found.hi
    assert held >= 138  # 142 to be expected


def test_six_against_six_have_no_smaller_p_than_their_permutations():
    slow, fast = arrivals(4000, 1, 6), arrivals(1000, 2, 6)
    assert stats.speedup(slow, fast).p(0.0) == pytest.approx(2 / math.comb(12, 6))


def test_speedup_is_antisymmetric():
    one, other = (
        stats.speedup(arrivals(4000, 1), arrivals(1000, 2)),
        stats.speedup(arrivals(1000, 2), arrivals(4000, 1)),
    )
    assert one.estimate == pytest.approx(-other.estimate, abs=0.03)


def test_runs_that_never_arrive_bound_the_factor_from_below():
    never = Times(np.full(12, 50_000.0), np.zeros(12, dtype=bool))
    found = stats.speedup(never, arrivals(1000, 2))
    assert found.lo > 4  # at least 50,000 / about 1,400
    assert found.hi == math.inf


def test_where_none_arrives_nothing_is_said():
    never = Times(np.full(12, 50_000.0), np.zeros(12, dtype=bool))
    found = stats.speedup(never, never)
    assert math.isnan(found.estimate)
    assert stats.judge("r", "s", 0.5, found).verdict == "INCONCLUSIVE"


def test_censored_runs_are_not_dropped():
    some = Times(np.array([1000.0] * 6 + [50_000.0] * 6), np.array([True] * 6 + [False] * 6))
    arrived_only = Times(some.steps[:6], some.arrived[:6])
    fast = arrivals(1000, 3)
    assert stats.speedup(some, fast).estimate > stats.speedup(arrived_only, fast).estimate + 0.5


def test_holm_by_hand():
    assert stats.holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert stats.holm([]) == []


def test_json_has_no_infinity():
    judged = stats.judge("r", "s", 0.5, effect(0.6, math.inf))
    assert judged.to_json()["interval"] == [0.6, None]
