"""When a run is looked at."""

import numpy as np
import pytest

from bnlab.training.moments import moments


@pytest.mark.parametrize("steps", [1, 2, 9, 10, 11, 999, 50_000])
@pytest.mark.parametrize("per_decade", [0, 1, 3, 20])
def test_both_ends_are_there_and_nothing_lies_beyond(steps, per_decade):
    found = moments(steps, per_decade)
    assert found == sorted(set(found))
    assert (found[0], found[-1]) == (0, steps)
    assert all(isinstance(step, int) for step in found)


def test_none_per_decade_leaves_only_the_ends_and_those_listed():
    assert moments(1000, 0) == [0, 1000]
    assert moments(1000, 0, [7, 300]) == [0, 7, 300, 1000]


def test_listed_moments_beyond_the_end_or_twice_are_dropped():
    assert moments(100, 0, [0, 5, 5, 100, 101]) == [0, 5, 100]


def test_one_per_decade_gives_the_powers_of_ten():
    assert moments(50_000, 1) == [0, 1, 10, 100, 1000, 10_000, 50_000]


def test_moments_are_evenly_spaced_in_the_logarithm():
    found = np.array(moments(100_000, 5)[1:])
    late = found[found >= 100]
    np.testing.assert_allclose(np.diff(np.log10(late)), 0.2, atol=0.005)


@pytest.mark.parametrize("steps", [300, 5_000, 99_999])
def test_longer_runs_are_looked_at_at_the_same_moments(steps):
    assert set(moments(steps, 3)) - {steps} <= set(moments(100_000, 3))
