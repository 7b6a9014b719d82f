"""The claims on conv nets: that their verdicts follow the data."""

import numpy as np
import pandas as pd
import pytest
from made import STAMPS, ends_table, facts_of

from bnlab import claims, sweeps
from bnlab.claims import (
    accelerations,
    base_rate,
    before_or_after,
    bfloat16,
    max_stable_rate,
    regularisation,
    sigmoid_cnn,
    table3_steps_to_baseline,
)
from bnlab.config import flat, identity


def stable_table(limits: dict[tuple[str, int], float]) -> pd.DataFrame:
    """Runs at three rates that train up to the limit of their arm and depth, and diverge beyond it."""
    rates = (0.1, 1.0, 10.0)
    parts = []
    for (arm, depth), most in limits.items():
        ends = {(arm, 0.1, rate): 0.4 if rate <= most else 0.1 for rate in rates}
        part = ends_table(ends, "init.sigma", **{"model.depth": depth, "init.name": "fan_in"})
        outcome = np.where(part["optimizer.lr"] <= most, "trained", "diverged")
        parts.append(part.assign(outcome=outcome, run=part["run"] + f"-{depth}"))
    return pd.concat(parts, ignore_index=True)


def test_max_stable_rate_goes_by_what_became_of_the_runs():
    rule = claims.rule("max_stable_rate")
    none, batch = {("none", 4): 1.0, ("none", 6): 10.0, ("none", 8): 0.1}, {("batch", k): 10.0 for k in (4, 6, 8)}
    judged = {each.regime: each for each in claims.judge(max_stable_rate, stable_table(none | batch), rule)}
    assert {regime: each.effect.estimate for regime, each in judged.items()} == pytest.approx(
        {"4 layers": 1, "6 layers": 0, "8 layers": 2}
    )
    assert [each.verdict for each in judged.values()] == ["REPRODUCED", "NULL", "REPRODUCED"]
    table = stable_table(none | batch)
    table.loc[table["model.depth"] == 8, "outcome"] = "stuck"
    assert claims.judge(max_stable_rate, table, rule)[-1].verdict == "INCONCLUSIVE"  # nothing trains: there is no limit
    one_seed = (table["model.depth"] == 4) & (table["norm.name"] == "none") & (table["seed"] == 0)
    table.loc[one_seed, "outcome"] = "stuck"
    judged = claims.judge(max_stable_rate, table, rule)[0]
    assert (judged.verdict, judged.effect.estimate) == ("REPRODUCED", pytest.approx((5 * 1 + 2) / 6))
    rows = {row["layers"]: row for row in facts_of(max_stable_rate, table, rule)}
    assert (
        rows[4]["without BN"] == "trains up to 1 (1 of 6 seeds at no rate); of 18 runs 5 diverged, 3 stuck, 10 trained"
    )
    assert rows[8]["with BN"] == "trains at no rate; of 18 runs 18 stuck"
    (figure,) = max_stable_rate.draw(table, rule).values()
    assert [ax.get_title() for ax in figure.axes[:3]] == list(rule["regimes"])


@pytest.mark.parametrize(("most", "estimate", "verdict"), [(0.1, 0.7, "REPRODUCED"), (1.0, -0.3, "CONTRADICTED")])
def test_the_base_rate_is_the_best_on_validation(most, estimate, verdict):
    rule = claims.rule("base_rate")
    ends = {("none", 6, 0.01): 0.3, ("none", 6, 0.1): 0.6, ("none", 6, 1.0): 0.5 if most == 1 else 0.1}
    table = ends_table(ends, "model.depth")
    table["outcome"] = np.where(table["optimizer.lr"] <= most, "trained", "diverged")
    assert base_rate.best_rate(table, rule) == 0.1
    (judged,) = claims.judge(base_rate, table, rule)
    assert (judged.effect.estimate, judged.verdict) == (pytest.approx(estimate, abs=0.01), verdict)
    rows = facts_of(base_rate, table, rule)
    assert [row["rate"] for row in rows] == ["0.01", "0.1, the best", "1"]
    assert rows[2]["runs"] == ("6 trained" if most == 1 else "6 diverged")
    (figure,) = base_rate.draw(table, rule).values()
    assert [text.get_text() for text in figure.axes[0].texts] == ["best", "×5"]


def sigmoid_table(plain: float) -> pd.DataFrame:
    """Six layers with BN end at 60 % in their best cell, of two, without at `plain`; two layers at 50 %."""
    parts = []
    for depth, ends in ((6, {"none": plain, "batch": 0.6}), (2, {"none": 0.5, "batch": 0.5})):
        layers = [f"hidden{k}" for k in range(1, depth + 1)]
        measured = {f"{layer}.act/population/saturated": 0.25 for layer in layers}
        measured |= {f"{layer}.conv/gradient_norm": 2.0 for layer in layers}
        for gain, factor in ((1.0, 0.5), (4.0, 1.0)):
            by_rate = {(arm, gain, rate): end * factor for arm, end in ends.items() for rate in (0.1, 1.0)}
            part = ends_table(by_rate, "init.gain", **{"model.depth": depth, "init.name": "fan_in"}, **measured)
            for layer in layers:
                part[f"{layer}.act/population/histogram"] = [[1] * 96] * len(part)
            parts += [part.assign(run=part["run"] + f"-{depth}", step=step) for step in (0, 50_000)]
    table = pd.concat(parts, ignore_index=True)
    knobs = [c for c in table if "." in c and "/" not in c and not c.startswith("data.")]
    return table[[*knobs, *(c for c in table if c not in knobs)]]


@pytest.mark.parametrize(("plain", "verdicts"), [(0.1, ["REPRODUCED"] * 2), (0.4, ["REPRODUCED", "CONTRADICTED"])])
def test_sigmoid_cnn_says_on_which_side_of_chance_each_arm_is(plain, verdicts):
    rule, table = claims.rule("sigmoid_cnn"), sigmoid_table(plain)
    assert [each.verdict for each in claims.judge(sigmoid_cnn, table, rule)] == verdicts
    rows = facts_of(sigmoid_cnn, table, rule)
    assert [(row["layers"], row["arm"]) for row in rows[::2]] == [
        (depth, arm) for depth in (2, 6) for arm in ("without BN", "with BN")
    ]
    *_, plain_best, low, high = rows
    assert low["weights, best rate"] == "1/√fan-in, rate 0.1"
    assert high["weights, best rate"] == "4·1/√fan-in, rate 0.1, the best"
    assert high["saturated at the start, by layer, %"] == "25, 25, 25, 25, 25, 25"
    assert high["above 15 %"] == "6 of 6"
    trains = plain > 0.15
    assert plain_best["above 15 %"] == ("6 of 6" if trains else "0 of 6")
    assert plain_best["weights, best rate"].endswith("the best" if trains else "none trains")
    assert set(sigmoid_cnn.draw(table, rule)) == {"figure", "distributions"}


def position_table(gap: float, shape: float) -> pd.DataFrame:
    """BN before ends `gap` higher than after; u is `shape` times as skewed and kurtic as Wu + b, half of it zeros."""
    parts = []
    sides = {"inputs": (shape, shape, 0.5), "outputs": (1.0, 1.0, 0.0)}
    measured = {
        f"hidden{k}.conv/{side}/{name}": value
        for k in before_or_after.LAYERS
        for side, values in sides.items()
        for name, value in zip(before_or_after.SHAPES, values, strict=True)
    }
    for position, end in (("before", 0.6 + gap), ("after", 0.6)):
        by_rate = {("batch", 1.0, 0.02): end, ("batch", 1.0, 0.1): end - 0.1}
        part = ends_table(by_rate, "init.gain", **{"model.norm_position": position, "init.name": "fan_in"}, **measured)
        parts += [part.assign(run=part["run"] + position, step=step) for step in (0, 50_000)]
    return pd.concat(parts, ignore_index=True)


@pytest.mark.parametrize(
    ("gap", "shape", "verdicts"),
    [
        (0.02, 2, ["REPRODUCED"] * 4),
        (0.0, 1, ["NULL", "NULL", "NULL", "REPRODUCED"]),
        (-0.02, 0.5, ["CONTRADICTED", "CONTRADICTED", "CONTRADICTED", "REPRODUCED"]),
    ],
)
def test_before_or_after_asks_for_the_gain_and_for_the_reason(gap, shape, verdicts):
    rule, table = claims.rule("before_or_after"), position_table(gap, shape)
    assert [each.verdict for each in claims.judge(before_or_after, table, rule)] == verdicts
    rows = facts_of(before_or_after, table, rule)
    assert rows[0]["final test accuracy, %"].endswith("(sd) at rate 0.02")
    assert rows[0]["at other rates"].count(" at ") == table["optimizer.lr"].nunique() - 1
    assert rows[0]["share of zeros, u and Wu + b"] == "0.50, 0.00"
    (figure,) = before_or_after.draw(table, rule).values()
    assert [ax.get_title() for ax in figure.axes][1:] == list(before_or_after.TOLD.values())


def regularised_table(mates: float, dropout: dict[str, float], gap: dict[tuple[str, int], float]) -> pd.DataFrame:
    """Test accuracy 0.5, with dropout more by that of the arm; training accuracy higher by the gap."""
    parts = []
    for (arm, size), width in gap.items():
        for p in (0.0, 0.5):
            end = 0.5 + (dropout[arm] if p else 0)
            by_rate = {(arm, 1.4142, 0.01): end, (arm, 1.4142, 0.05): end - 0.1}
            part = ends_table(by_rate, "init.gain", **{"model.dropout": p, "batch_size": size, "init.name": "fan_in"})
            part["train/accuracy"] = part["test/accuracy"] + width
            part["output/batch_mates"] = mates * (arm == "batch") * (128 / size)
            parts += [part.assign(run=part["run"] + f"{p}-{size}", step=step) for step in (0, 50_000)]
    return pd.concat(parts, ignore_index=True)


GAPS = {("none", 128): 0.3, ("none", 32): 0.3, ("batch", 128): 0.2, ("batch", 32): 0.1}
KINDS = [("none", 128), ("batch", 128), ("none", 32), ("batch", 32)]
NO_GAIN = {("none", 128): 0.2, ("none", 32): 0.1, ("batch", 128): 0.2, ("batch", 32): 0.1}


@pytest.mark.parametrize(
    ("mates", "dropout", "gap", "verdicts"),
    [
        (0.05, {"none": 0.02, "batch": 0.0}, GAPS, ["REPRODUCED"] * 4),
        (0.001, {"none": 0.02, "batch": 0.02}, NO_GAIN, ["NULL"] * 4),
        (0.05, {"none": 0.0, "batch": 0.02}, {**GAPS, ("batch", 128): 0.4}, ["REPRODUCED", *["CONTRADICTED"] * 2]),
    ],
)
def test_regularisation_asks_four_things(mates, dropout, gap, verdicts):
    rule, table = claims.rule("regularisation"), regularised_table(mates, dropout, gap)
    judged = claims.judge(regularisation, table, rule)
    assert [each.verdict for each in judged][: len(verdicts)] == verdicts
    if gap is GAPS:
        assert [each.effect.estimate for each in judged] == pytest.approx([5, 2, 10, 10], abs=0.2)
    rows = facts_of(regularisation, table, rule)
    assert rows[3]["setting"] == "with BN, dropout, batches of 128"
    assert rows[3]["best rate"] == "0.01, the smallest tried"
    width = 100 * gap["none", 128]
    assert rows[0]["training accuracy and gap at other rates"] == f"{40 + width:.2f}, {width:.2f} at 0.05"
    (figure,) = regularisation.draw(table, rule).values()
    titles = ["each setting at its best rate", "gap (bar: mean over seeds)", "gap at all rates, no dropout"]
    assert [ax.get_title() for ax in figure.axes] == [*titles, "batch mates, with BN"]
    shown = figure.axes[2].collections
    assert [len(points.get_offsets()) for points in shown] == [12] * 4  # two rates of six seeds
    assert [points.get_offsets()[:, 1].mean() for points in shown] == pytest.approx([100 * gap[k] for k in KINDS])


def test_regularisation_compares_nothing_with_a_setting_in_which_no_net_trains():
    rule, table = claims.rule("regularisation"), regularised_table(0.05, {"none": 0.02, "batch": 0.0}, GAPS)
    table.loc[table["norm.name"] == "none", "outcome"] = "stuck"
    verdicts = [each.verdict for each in claims.judge(regularisation, table, rule)]
    assert verdicts == ["REPRODUCED", *["INCONCLUSIVE"] * 3]
    table.loc[table["norm.name"] == "none", "outcome"] = np.where(
        table.loc[table["norm.name"] == "none", "seed"] == 0, "stuck", "trained"
    )
    assert [each.verdict for each in claims.judge(regularisation, table, rule)] == ["REPRODUCED"] * 4
    rows = facts_of(regularisation, table, rule)
    assert rows[0]["runs"] == "1 stuck, 5 trained"
    legend = regularisation.draw(table, rule)["figure"].axes[0].get_legend()
    assert [text.get_text() for text in legend.get_texts()] == ["stuck at chance"]


def precision_table(costs: dict[str, float]) -> pd.DataFrame:
    """Plain nets end at 50 %, those with BN at 60, in bf16 lower by the arm's cost; fp32, the default, is not named."""
    ends = {("none", 1.0, 0.02): 0.5, ("batch", 1.0, 0.02): 0.6}
    exact = ends_table(ends, "init.gain", **{"init.name": "fan_in"})
    rounded = exact.assign(precision="bf16", run=exact["run"] + "-bf16")
    rounded["test/accuracy"] -= rounded["norm.name"].map(costs)
    return pd.concat([exact, rounded], ignore_index=True)


@pytest.mark.parametrize(
    ("none", "batch", "estimates", "verdicts"),
    [
        (0.0, 0.0, [0, 0, 0], ["NULL"] * 3),
        (0.0, 0.03, [3, 3, 0], ["REPRODUCED", "REPRODUCED", "NULL"]),
        (0.04, 0.02, [-2, 2, 4], ["CONTRADICTED", "REPRODUCED", "REPRODUCED"]),
    ],
)
def test_bfloat16_tells_what_rounding_costs(none, batch, estimates, verdicts):
    rule, table = claims.rule("bfloat16"), precision_table({"none": none, "batch": batch})
    judged = claims.judge(bfloat16, table, rule)
    assert [each.effect.estimate for each in judged] == pytest.approx(estimates)
    assert [each.verdict for each in judged] == verdicts
    rows = facts_of(bfloat16, table, rule)
    assert [(row["arm"], row["precision"]) for row in rows] == [
        (arm, precision) for precision in ("fp32", "bf16") for arm in ("without BN", "with BN")
    ]
    (figure,) = bfloat16.draw(table, rule).values()
    assert len(figure.axes[0].get_lines()) >= 4


def table3(curves: dict[str, list[float]]) -> pd.DataFrame:
    """Runs of the arms of table3_steps_to_baseline that follow `curves` at steps 0, 500, 1000, 2000, 3000."""
    rule = claims.rule("table3_steps_to_baseline")
    rows = []
    for arm, curve in curves.items():
        terms = rule["arms"][arm]
        for seed in range(6):
            run = {**STAMPS, "steps": 3000, "run": f"{arm}{seed}", "seed": seed, "norm.name": terms["norm"]}
            run |= {rule["knob"]: terms["times"] * rule["base"], "model.name": "convnet"}
            if curve[-1] < 0.2:
                run["outcome"] = "stuck"
            for step, value in zip((0, 500, 1000, 2000, 3000), curve, strict=True):
                rows.append({**run, "step": step, "test/accuracy": value + 1e-4 * seed * (step > 0)})
    return pd.DataFrame(rows)


PLAIN = [0.1, 0.3, 0.4, 0.6, 0.7]
AS_IN_THE_PAPER = {
    "plain": PLAIN,
    "BN": [0.1, 0.5, 0.72, 0.73, 0.73],
    "BN-x5": [0.1, 0.72, 0.73, 0.74, 0.74],
    "BN-x30": [0.1, 0.4, 0.72, 0.76, 0.76],
    "plain-x5": [0.1, 0.1, 0.1, 0.1, 0.1],
    "plain-x30": [0.1, 0.1, 0.1, 0.1, 0.1],
}


def test_table3_counts_steps_to_the_plain_nets_best():
    rule, table = claims.rule("table3_steps_to_baseline"), table3(AS_IN_THE_PAPER)
    judged = claims.judge(table3_steps_to_baseline, table, rule)
    assert [each.verdict for each in judged] == ["REPRODUCED"] * 4
    assert [each.effect.estimate for each in judged] == pytest.approx(
        [np.log2(3000 / 955), np.log2(955 / 484), 1, 2], abs=0.05
    )
    swapped = table3(AS_IN_THE_PAPER | {"BN-x5": PLAIN, "BN-x30": [0.1, 0.72, 0.72, 0.65, 0.65]})
    verdicts = [each.verdict for each in claims.judge(table3_steps_to_baseline, swapped, rule)]
    assert verdicts == ["REPRODUCED", "CONTRADICTED", "CONTRADICTED", "REPRODUCED"]
    rows = {row["arm"]: row for row in facts_of(table3_steps_to_baseline, table, rule)}
    assert rows["BN-x5"]["at step (median)"] == "484"
    plain = rows["plain"]  # half of the seeds are above the mean of the others
    assert (plain["reach the plain net's best"], plain["at step (median)"]) == ("3 of 6", "after 3,000")
    assert (rows["plain-x5"]["at step (median)"], rows["plain-x5"]["runs"]) == ("never", "6 stuck")
    assert set(table3_steps_to_baseline.draw(table, rule)) == {"figure"}


def test_table3_takes_a_plain_net_at_chance_for_no_target():
    rule, table = claims.rule("table3_steps_to_baseline"), table3(AS_IN_THE_PAPER)
    stuck = (table["run"] == "plain5") & (table["step"] > 0)
    table.loc[stuck, "test/accuracy"], table.loc[table["run"] == "plain5", "outcome"] = 0.1, "stuck"
    sooner = claims.judge(table3_steps_to_baseline, table, rule)[0]
    assert (sooner.verdict, sooner.effect.estimate > 1.5) == ("REPRODUCED", True)
    to_reach = table3_steps_to_baseline.targets(table, rule)
    assert to_reach[[0, 5]].tolist() == pytest.approx([0.70025, 0.7002])  # mean of seeds 1 to 4, and of 0 to 4
    table.loc[table["norm.name"] == "none", "outcome"] = "stuck"
    assert claims.judge(table3_steps_to_baseline, table, rule)[0].verdict == "INCONCLUSIVE"
    rows = {row["arm"]: row for row in facts_of(table3_steps_to_baseline, table, rule)}
    assert rows["BN"]["at step (median)"] == "no target"


def test_table3_tells_an_equal_arm_neither_sooner_nor_later():
    rule, table = claims.rule("table3_steps_to_baseline"), table3(AS_IN_THE_PAPER | {"BN": PLAIN})
    own = np.random.default_rng(0).normal(0, 0.01, (2, 6))
    for norm, shifts in zip(("none", "batch"), own, strict=True):
        at = (table["norm.name"] == norm) & np.isclose(table[rule["knob"]], rule["base"]) & (table["step"] > 0)
        table.loc[at, "test/accuracy"] += shifts[table.loc[at, "seed"]]
    judged = claims.judge(table3_steps_to_baseline, table, rule)[0]
    assert judged.verdict in ("NULL", "INCONCLUSIVE")


def test_accelerations_are_told_by_what_they_change():
    rule, jobs = claims.rule("accelerations"), sweeps.sweep("accelerations", [])
    worth = {"base": 0.6, "rate": 0.62, "dropout": 0.61, "l2": 0.6, "decay": 0.6, "shuffling": 0.59, "distortion": 0.6}
    worth["all"] = 0.65
    parts = []
    for i, job in enumerate(jobs):
        arm = list(worth)[i // 6]
        end = worth[arm] + 1e-4 * job.seed
        row = {
            **STAMPS,
            **flat(identity(job)),
            "run": str(i),
            "step": 3000,
            "test/accuracy": end,
            "train/accuracy": end,
        }
        parts.append(row)
    table = pd.DataFrame(parts)
    judged = {
        terms["change"]: each
        for terms, each in zip(rule["regimes"].values(), claims.judge(accelerations, table, rule), strict=True)
    }
    for change, each in judged.items():
        assert each.effect.estimate == pytest.approx(100 * (worth[change] - 0.6))
    assert [judged[change].verdict for change in ("rate", "l2", "shuffling")] == ["REPRODUCED", "NULL", "CONTRADICTED"]
    rows = {row["arm"]: row for row in facts_of(accelerations, table, rule)}
    assert rows["shuffling"]["changes"] == "shuffle=examples"
    on_digits = table.drop(columns=[column for column in table if column in ("data.pad", "data.flip")])
    rows = {row["arm"]: row for row in facts_of(accelerations, on_digits, rule)}
    assert set(worth) - set(rows) >= {"distortion"}
    assert set(accelerations.draw(table, rule)) == {"figure"}
