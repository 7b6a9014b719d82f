"""The vocabulary of claims, on made runs whose numbers can be worked out by hand."""

import math
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from bnlab import readings
from bnlab.config import ConfigError

NEVER = (-math.inf, math.inf)
LOOKS = {
    "test/accuracy": [0.1, 0.5, 0.9, 0.8],
    "validation/accuracy": [0.1, 0.6, 0.7, 0.7],
    "train/accuracy": [0.2, 0.6, 0.95, 1.0],
    "hidden1.act/population/saturated": [0.5, 0.25, 0.125, 0.25],
    "hidden2.act/population/saturated": [0.5, 1.0, 0.5, 1.0],
}


def run(seed: int = 0, outcome: str = "trained", **columns: Any) -> pd.DataFrame:
    """The records of one run at steps 0, 10, 100 and 1000."""
    steps = {"step": [0, 10, 100, 1000], "steps": 1000, "measure.percentiles": "[5, 15, 50, 85]"}
    return pd.DataFrame({"run": f"{seed}", "seed": seed, "outcome": outcome, **steps, **LOOKS, **columns})


def table(*runs: pd.DataFrame) -> pd.DataFrame:
    return pd.concat([each.assign(run=f"{i}") for i, each in enumerate(runs)], ignore_index=True)


def ends(by_rate: dict[float, float], **columns: Any) -> pd.DataFrame:
    """Runs of one seed that end there at these values of `optimizer.lr`, in no order."""
    curves = {rate: {"test/accuracy": [0.1, 0.1, 0.1, end], "optimizer.lr": rate} for rate, end in by_rate.items()}
    return table(*(run(**curves[rate], **columns) for rate in sorted(curves, reverse=True)))


def bounds(runs: pd.DataFrame, read: str, **terms: Any) -> tuple[float, float]:
    """lo and hi of the only seed."""
    (row,) = readings.read(read, terms, runs).itertuples(index=False)
    return pytest.approx(tuple(row))


def value(runs: pd.DataFrame | None = None, of: Any = "test/accuracy", **terms: Any) -> tuple[float, float]:
    return bounds(run() if runs is None else runs, "value", of=of, **terms)


@pytest.mark.parametrize(
    ("terms", "number"),
    [
        ({}, 0.8),
        ({"at": "end"}, 0.8),
        ({"at": "start"}, 0.1),
        ({"at": 100}, 0.9),
        ({"at": "mean"}, 0.575),
        ({"at": "best"}, 0.9),
        ({"at": "best", "best_by": "validation/accuracy"}, 0.9),  # the first of two that are best
        ({"at": "best", "best_by": "train/accuracy"}, 0.8),
        ({"at": {"validation/accuracy": 0.6}}, 0.5),
        ({"at": {"validation/accuracy": 0.6, "train/accuracy": 0.95}}, 0.9),  # both have passed
        ({"minus": "train/accuracy"}, -0.2),
        ({"minus": "train/accuracy", "at": "best"}, -0.05),  # of the gaps
        ({"against_start": True}, 0.7),
        ({"against_start": True, "at": 10}, 0.4),
        ({"log": 10, "at": "start"}, -1),
        ({"of": "hidden*.act/population/saturated"}, 0.625),
        ({"of": "hidden*.act/population/saturated", "pool": "max"}, 1),
        ({"of": "hidden*.act/population/saturated", "pool": "sum"}, 1.25),
        ({"of": ["test/accuracy", "train/accuracy"]}, 0.9),
        ({"of": "hidden*.act/population/saturated", "log": 2}, -1),  # the mean of −2 and 0
        ({"of": "hidden1.act/population/saturated", "minus": "hidden2.act/population/saturated", "log": 2}, -2),
        ({"of": "hidden2.act/batch/saturated"}, 1),  # a net without BN is the same in a batch
        ({"of": "hidden*.act/batch/saturated"}, 0.625),
    ],
)
def test_value(terms, number):
    batch = {f"hidden{k}.act/batch/saturated": math.nan for k in (1, 2)}  # as beside nets that have it
    assert value(run(**batch), **terms) == (number, number)


def test_records_may_lie_in_any_order_and_there_may_be_none():
    whole = table(run(1), run(0, **{"test/accuracy": [0.1, 0.2, 0.3, 0.4]}), run(2))
    read = readings.value(whole, "test/accuracy", at=100)
    assert read["lo"].to_dict() == {0: 0.3, 1: 0.9, 2: 0.9}
    for order in (whole.sort_values("step"), whole[::-1], whole.sample(frac=1, random_state=0)):
        pd.testing.assert_frame_equal(readings.value(order, "test/accuracy", at=100), read)
    assert readings.value(whole[:0], "test/accuracy").empty


@pytest.mark.parametrize(
    ("runs", "terms"),
    [
        (run(), {"at": 11}),  # no look
        (run(), {"at": {"train/accuracy": 1.1}}),
        (run(), {"at": {"train/accuracy": 1.0, "test/accuracy": 0.85}}),  # each is, but not at once
        (run(**{"test/accuracy": [0.1, 0.2, math.nan, math.nan]}), {}),
        (run(**{"test/accuracy": [0.1, 0.2, 0.3, math.inf]}), {}),
        (run(**{"test/accuracy": math.nan}), {"at": "best"}),
        (run(**{"test/accuracy": [0.1, 0.2, 0.3, 0.0]}), {"log": 2}),
        (run(outcome="stuck"), {"minus": "train/accuracy"}),  # fits nothing, so that its gap says nothing
    ],
)
def test_a_value_that_is_none_may_be_any(runs, terms):
    assert value(runs, **terms) == NEVER


def test_the_best_look_of_a_run_that_diverged_is_before_that():
    assert value(run(outcome="diverged", **{"test/accuracy": [0.1, 0.4, math.nan, math.nan]}), at="best") == (0.4, 0.4)


def test_layers_that_a_net_has_not_are_none_of_those_pooled():
    shallow = run(**{"hidden2.act/population/saturated": math.nan})
    assert value(table(run(), shallow), of="hidden*.act/population/saturated") == ((0.625 + 0.25) / 2,) * 2


@pytest.mark.parametrize(
    ("target", "interval"),
    [(0.9, (10, 100)), (0.7, (10, 100)), (0.5, (1, 10)), (0.05, (1, 1)), (0.91, (1000, math.inf))],
)
def test_steps_to_a_target_lie_between_two_moments(target, interval):
    assert bounds(run(), "steps_to", of="test/accuracy", target=target) == interval


def test_a_run_that_diverged_has_passed_what_it_passed_before():
    runs = run(outcome="diverged", **{"test/accuracy": [0.1, 0.4, math.nan, math.nan]})
    assert bounds(runs, "steps_to", of="test/accuracy", target=0.4) == (1, 10)
    assert bounds(runs, "steps_to", of="test/accuracy", target=0.5) == (1000, math.inf)


@pytest.mark.parametrize(
    ("runs", "terms", "reached"),
    [
        (run(), {"above": 0.79}, 1),
        (run(), {"above": 0.8}, 0),
        (run(), {"above": 0.8, "at": 100}, 1),
        (run(**{"test/accuracy": math.nan}), {"above": 0.0}, 0),
    ],
)
def test_share(runs, terms, reached):
    assert bounds(runs, "share", of="test/accuracy", **terms) == (reached, reached)


RATE = {"knob": "optimizer.lr", "of": "test/accuracy"}
GRID = {0.01: 0.5, 0.1: 0.9, 1.0: 0.895, 10.0: 0.3}


@pytest.mark.parametrize(
    ("by_rate", "limits", "loss"),
    [
        (GRID, {}, (0.4 + 0 + 0.005 + 0.6) / 4),
        (GRID, {"low": 1}, (0.005 + 0.6) / 2),  # still below the best of all
        (GRID, {"low": 0.1, "high": 1}, 0.005 / 2),
        ({**GRID, 10.0: math.nan}, {"low": 10}, 0.9),  # a number that is none is the worst
    ],
)
def test_shortfall(by_rate, limits, loss):
    assert bounds(ends(by_rate), "shortfall", **RATE, **limits) == (loss, loss)


@pytest.mark.parametrize(
    ("by_rate", "decades"),
    [
        (GRID, (1, 3)),
        ({**GRID, 0.01: 0.895}, (2, math.inf)),  # the grid ends before the range does
        ({**GRID, 10.0: 0.895}, (2, math.inf)),
        ({**GRID, 1.0: 0.3, 10.0: 0.895}, (0, 2)),  # in one piece
        ({0.01: 0.2, 0.1: 0.9, 1.0: math.nan}, (0, 2)),
    ],
)
def test_range_within(by_rate, decades):
    assert bounds(ends(by_rate), "range_within", **RATE, within=0.01) == decades


def test_where_none_trains_there_is_no_range_to_see():
    stuck = dict.fromkeys(GRID, 0.1)
    assert bounds(ends(stuck, outcome="stuck"), "range_within", **RATE, within=0.01) == (0, math.inf)
    assert bounds(ends(stuck, outcome="stuck"), "largest", **RATE, above=0.15) == (-math.inf, -2)


@pytest.mark.parametrize(
    ("by_rate", "log10"),
    [
        (GRID, (0, 1)),
        ({**GRID, 0.1: 0.2}, (0, 1)),  # the largest, whatever is below it
        ({**GRID, 10.0: 0.5}, (1, math.inf)),
        ({**GRID, 1.0: math.nan}, (-1, 0)),
    ],
)
def test_largest(by_rate, log10):
    assert bounds(ends(by_rate), "largest", **RATE, above=0.4) == log10


def of_layer(units: list[list[list[float]]]) -> dict[str, Any]:
    """Percentiles 5, 15, 50 and 85 of each unit at each look, as one column."""
    return {"hidden1.act/population/unit_percentiles": pd.Series(units)}


# Unit A moves by 1, 1, 2; unit B stands still, then its 85th alone moves by 3. What the 5th does is not asked for.
MOVING = of_layer(
    [
        [[9, -1, 0, 1], [9, -2, 0, 2]],
        [[0, 0, 1, 2], [0, -2, 0, 2]],
        [[9, -1, 0, 1], [9, -2, 0, 2]],
        [[0, 1, 2, 3], [0, -2, 0, 5]],
    ]
)


@pytest.mark.parametrize(
    ("terms", "length"),
    [
        ({}, (4 + 1) / 2),
        ({"pick": [50]}, 4 / 2),
        ({"start": 10}, (3 + 1) / 2),
        ({"scale": "spread"}, (4 / 1 + 1 / 2.375) / 2),  # half spreads: 1, and the mean of 2, 2, 2 and 3.5
        ({"scale": "spread", "start": 1000}, 0),
    ],
)
def test_path(terms, length):
    plain = {"hidden1.act/batch/unit_percentiles": math.nan}  # beside nets that have it
    for statistics in ("population", "batch"):
        of = f"hidden1.act/{statistics}/unit_percentiles"
        assert bounds(run(**MOVING, **plain), "path", of=of, **terms) == (length, length)


@pytest.mark.parametrize(("mean", "std"), [(1, 1), (0, 3), (1, 3)])
def test_a_path_over_all_of_a_fine_grid_is_the_wasserstein_distance(mean, std):
    grid = [(i + 0.5) / 10 for i in range(1000)]
    quantiles = stats.norm.ppf(np.array(grid) / 100)
    looks = pd.Series([list(quantiles), list(mean + std * quantiles)] * 2)  # there and back, and there
    told = {"hidden1.act/population/percentiles": looks, "measure.percentiles": str(grid)}
    distance = stats.foldnorm(mean / max(std - 1, 1e-9), scale=max(std - 1, 1e-9)).mean()  # E|mean + (std − 1)z|
    terms = {"of": "hidden1.act/population/percentiles", "pick": "all"}
    (row,) = readings.read("path", terms, run(**told)).itertuples(index=False)
    assert tuple(row) == pytest.approx((3 * distance, 3 * distance), rel=2e-3)
    half_spread = stats.norm.ppf(0.85) * (1 + std) / 2
    (row,) = readings.read("path", {**terms, "scale": "spread"}, run(**told)).itertuples(index=False)
    assert row.lo == pytest.approx(3 * distance / half_spread, rel=5e-3)


def test_path_of_a_whole_layer_and_of_none():
    layer = {"hidden1.act/population/percentiles": pd.Series([unit for unit, _ in MOVING.popitem()[1]])}
    of = "hidden1.act/population/percentiles"
    assert bounds(run(**layer), "path", of=of) == (4, 4)
    assert bounds(run(**layer), "path", of=of, start=1001) == NEVER
    lost = pd.Series([[0.0] * 4, [0.0] * 4, [math.nan] * 4, [math.nan] * 4])
    assert bounds(run(**{of: lost}), "path", of=of) == NEVER
    assert bounds(run(**{of: pd.Series([[0.0] * 4] * 4)}), "path", of=of, scale="spread") == NEVER  # no spread to see


def test_moves_are_a_mean_of_logarithms_each_over_the_spread_at_its_two_moments():
    of = "hidden1.act/population/percentiles"  # 5, 15, 50, 85: moves of 1, 2 and 4, half spreads of 1, 1, 3 and 5
    looks = pd.Series([[-1.0, -1, 0, 1], [0.0, 0, 1, 2], [0.0, 0, 3, 6], [0.0, 0, 3, 10]])
    moving, both = run(**{of: looks}), {"of": of, "pick": [15, 85]}
    one, two, three = 1.0, (0 + 4) / 2, (0 + 4) / 2
    assert bounds(moving, "moves", **both) == ((math.log2(one) + math.log2(two) + math.log2(three)) / 3,) * 2
    over = math.log2(one / 1), math.log2(two / 2), math.log2(three / 4)
    assert bounds(moving, "moves", **both, scale="spread") == (sum(over) / 3,) * 2
    assert bounds(moving, "moves", **both, log=10) == (2 * math.log10(2) / 3,) * 2
    assert bounds(run(**{of: pd.Series([[0.0] * 4] * 4)}), "moves", of=of) == NEVER  # nothing moves


def test_runs_are_paired_where_all_of_them_trained():
    rates = {"optimizer.lr": [0.1, 1.0, 0.1, 1.0, 1.0], "seed": [0, 0, 0, 0, 1]}
    runs = pd.DataFrame({**rates, "outcome": ["trained", "trained", "trained", "stuck", "trained"]})
    assert readings.where_all_trained(runs, ["optimizer.lr"]).index.tolist() == [0, 2, 4]


def test_cells_that_tie_are_averaged_and_seeds_are_not():
    slow, fast = run(), run(**{"test/accuracy": [0.1, 0.9, 0.9, 0.9]})
    runs = table(slow, fast, slow.assign(seed=1))
    assert readings.read("value", {"of": "test/accuracy"}, runs)["lo"].to_dict() == pytest.approx({0: 0.85, 1: 0.8})
    steps = readings.read("steps_to", {"of": "test/accuracy", "target": 0.9}, runs)
    assert steps.loc[0].tolist() == [(10 + 1) / 2, (100 + 10) / 2]


@pytest.mark.parametrize(
    ("read", "terms", "said"),
    [
        ("value", {"of": "test/acuracy"}, "of=test/acuracy: not measured in these runs; they have test/accuracy, "),
        ("value", {"of": "hidden*.act/gradient"}, "of=hidden*.act/gradient: not measured"),
        ("value", {"of": "test/accuracy", "minus": "train/acc"}, "train/acc: not measured"),
        ("value", {"of": "test/accuracy", "at": {"train/acc": 0.5}}, "train/acc: not measured"),
        ("path", {"of": "hidden9.act/population/percentiles"}, "hidden9.act/population/percentiles: not measured"),
        ("largest", {**RATE, "knob": "optimizer.rate", "above": 0.5}, "knob=optimizer.rate: not a knob of these runs"),
    ],
)
def test_what_was_not_measured_is_one_line(read, terms, said):
    with pytest.raises(ConfigError) as error:
        readings.read(read, terms, run())
    assert said in str(error.value)
    assert "\n" not in str(error.value)
