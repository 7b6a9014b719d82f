"""Every claim: its YAML, its module, and that its verdict follows the data."""

from collections import defaultdict

import numpy as np
import pandas as pd
import pytest
from hydra import initialize_config_dir
from hydra.errors import HydraException

from bnlab import claims, runs, stats, sweeps
from bnlab.claims import (
    base_rate,
    before_or_after,
    fig1a_accuracy,
    fig1a_best_rate,
    fig1bc_sigmoid_inputs,
    init_tolerance,
    max_stable_rate,
    optimizers,
    rate_tolerance,
    regularisation,
    sigmoid_cnn,
)
from bnlab.config import CONFIGS, ConfigError, identity
from bnlab.launcher import launch

VERDICT_KEYS = {
    *("claim", "sentence", "source", "statistic", "delta", "estimate", "interval", "seeds", "regimes", "verdict"),
    *("data", "commit", "config_hash"),
}


def test_there_are_claims():
    assert {"fig1a_accuracy", "fig1bc_sigmoid_inputs"} <= set(claims.names())


@pytest.mark.parametrize("name", claims.names())
def test_a_claim_is_complete(name):
    rule = claims.rule(name)
    assert rule["name"] == name
    assert all(term["delta"] > 0 and term["statistic"] for term in rule["regimes"].values())
    assert claims.module(name).COLUMNS


@pytest.mark.parametrize("name", claims.names())
def test_a_claims_sweep_pairs_enough_seeds(name):
    jobs = sweeps.sweep(name, [])
    seeds = defaultdict(set)  # of each cell
    for config in jobs:
        seeds[str(identity(config) | {"seed": None})].add(config.seed)
    assert len(seeds) > 1
    assert sum(map(len, seeds.values())) == len(jobs)  # no two are the same run
    assert len({frozenset(s) for s in seeds.values()}) == 1
    assert all(len(s) >= stats.FEWEST_SEEDS for s in seeds.values())


def test_overrides_reach_every_job_of_a_sweep():
    jobs = sweeps.sweep("fig1a_accuracy", ["data=mnist_sample", "steps=7", "seed=3,4"])
    assert {(j.data["name"], j.steps, j.seed) for j in jobs} == {("mnist_sample", 7, 3), ("mnist_sample", 7, 4)}


def test_a_sweeps_jobs_are_those_that_hydra_composes():
    given = [
        "data=mnist_sample",
        "norm=group,none",
        "++init={name:gaussian,sigma:0.3},{name:fan_in,gain:2}",
        "seed=range(2)",
    ]
    jobs = sweeps.sweep("rate_tolerance", [*given, "optimizer.lr=0.1,1"])
    with initialize_config_dir(str(CONFIGS), version_base="1.3"):
        composed = [
            sweeps.job(
                "rate_tolerance", ["data=mnist_sample", norm, f"++init={init}", f"optimizer.lr={rate}", f"seed={s}"]
            )
            for norm in ("norm=group", "norm=none")
            for init in ("{name:gaussian,sigma:0.3}", "{name:fan_in,gain:2}")
            for rate in ("0.1", "1")
            for s in range(2)
        ]
    assert sorted(map(repr, jobs)) == sorted(map(repr, composed))


def test_an_unknown_key_in_a_sweep_is_named():
    with pytest.raises(HydraException, match="optimiser"):
        sweeps.sweep("rate_tolerance", ["optimiser.lr=1,2"])


def test_both_claims_of_figure_1_share_their_runs():
    from bnlab.config import config_hash

    one, other = (sweeps.sweep(name, []) for name in ("fig1a_accuracy", "fig1bc_sigmoid_inputs"))
    assert [config_hash(c) for c in one] == [config_hash(c) for c in other]


def test_an_unknown_claim_names_the_known_ones():
    with pytest.raises(ConfigError, match="fig1a_accuracy"):
        claims.rule("nope")


def test_missing_runs_are_counted_with_the_command(tmp_path):
    with pytest.raises(ConfigError, match=r"20 of 20 runs are not finished.*experiment=fig1a_accuracy"):
        claims.collect("fig1a_accuracy", tmp_path, [])


# ---- made tables -------------------------------------------------------------------------------------------

STEPS = [0, 1, 10, 100, 1000, 5000, 10_000, 20_000, 30_000, 50_000]
STAMPS = {
    "steps": 50_000,
    "outcome": "trained",
    "diverged_at": np.nan,
    "commit": "c0ffee",
    "dirty": False,
    "data.name": "made",
    "model.activation": "sigmoid",
    "data.source": "made",
    "data.sha256": "0",
    "torch": "0",
    "kernel": "none",
    "hardware": "none",
    "measure.percentiles": "[15, 50, 85]",
}


def accuracy_table(curve: dict[str, list[float]], noise: float = 0.001, seeds: int = 10) -> pd.DataFrame:
    """Runs whose test accuracy follows `curve` of their arm, each seed a little off."""
    random = np.random.default_rng(0)
    rows = [
        {"run": f"{arm}{seed}", "seed": seed, "norm.name": arm, **STAMPS, "step": step, "test/accuracy": value + shift}
        for arm, values in curve.items()
        for seed in range(seeds)
        for shift in [random.normal(0, noise)]
        for step, value in zip(STEPS, values, strict=True)
    ]
    return pd.DataFrame(rows)


SLOW = [0.1, 0.1, 0.1, 0.2, 0.8, 0.91, 0.952, 0.96, 0.965, 0.966]
FAST = [0.1, 0.1, 0.5, 0.91, 0.953, 0.972, 0.975, 0.98, 0.98, 0.98]


@pytest.mark.parametrize(
    ("curve", "verdict"),
    [
        ({"none": SLOW, "batch": FAST}, "REPRODUCED"),
        ({"none": FAST, "batch": SLOW}, "CONTRADICTED"),
        ({"none": FAST, "batch": FAST}, "NULL"),
        ({"none": [*SLOW[:-1], 0.98], "batch": FAST}, "PARTIAL"),  # sooner, but not higher
    ],
)
def test_fig1a_says_what_the_curves_say(curve, verdict):
    found = claims.verdict("fig1a_accuracy", accuracy_table(curve))
    judged = {regime["regime"]: regime["verdict"] for regime in found["regimes"]}
    if verdict == "NULL":  # equal times cannot be told apart, but only accuracy has an interval within δ
        assert judged["ends higher"] == "NULL"
        assert "REPRODUCED" not in judged.values()
    else:
        assert found["verdict"] == verdict, judged
    assert set(found) >= VERDICT_KEYS


def test_fig1a_pairs_by_seed():
    table = accuracy_table({"none": SLOW, "batch": FAST}, noise=0.02)
    shuffled = table.sample(frac=1, random_state=1)
    assert fig1a_accuracy.gains(shuffled).sort_index().to_list() == fig1a_accuracy.gains(table).sort_index().to_list()


def test_times_to_are_first_crossings_and_censored():
    table = accuracy_table({"none": SLOW}, noise=0)
    at_90, at_97 = fig1a_accuracy.times_to(table, 0.9), fig1a_accuracy.times_to(table, 0.97)
    assert set(at_90.steps) == {5000}
    assert at_90.arrived.all()
    assert set(at_97.steps) == {50_000}
    assert not at_97.arrived.any()


def inputs_table(movement: dict[str, float], seeds: int = 8) -> pd.DataFrame:
    """Runs whose percentiles travel by `movement` of their arm at each snapshot, with a half spread of 1."""
    random = np.random.default_rng(0)
    rows = []
    for arm, movement_of_arm in movement.items():
        for seed in range(seeds):
            step_size = movement_of_arm * np.exp(random.normal(0, 0.05))
            for i, step in enumerate(STEPS):
                triple = [i * step_size - 1, i * step_size, i * step_size + 1]
                row = {"run": f"{arm}{seed}", "seed": seed, "norm.name": arm, **STAMPS, "step": step}
                row["train/batch_loss"] = 1.0
                for statistics in ("population", "batch") if arm == "batch" else ("population",):
                    for site in fig1bc_sigmoid_inputs.SITES:
                        row[f"{site}/{statistics}/percentiles"] = triple
                        row[f"{site}/{statistics}/unit_percentiles"] = [triple] * 5
                        row[f"{site}/{statistics}/histogram"] = [1] * 96
                        row[f"{site}/{statistics}/saturated"] = 0.1
                rows.append(row)
    return pd.DataFrame(rows)


@pytest.mark.parametrize(
    ("movement", "verdict"),
    [
        ({"none": 0.4, "batch": 0.1}, "REPRODUCED"),
        ({"none": 0.1, "batch": 0.4}, "CONTRADICTED"),
        ({"none": 0.1, "batch": 0.1}, "NULL"),
    ],
)
def test_fig1bc_says_what_the_percentiles_say(movement, verdict):
    assert claims.verdict("fig1bc_sigmoid_inputs", inputs_table(movement))["verdict"] == verdict


def test_drift_by_hand():
    table = inputs_table({"none": 0.3}, seeds=1)
    rule = claims.rule("fig1bc_sigmoid_inputs")
    for terms in rule["regimes"].values():
        path = fig1bc_sigmoid_inputs.drift(table, rule, terms)
        step_size = table["hidden3.act/population/percentiles"].iloc[1][1]
        assert path == pytest.approx([step_size] * (len(STEPS) - 1))


def test_drift_is_in_units_of_the_spread():
    rule = claims.rule("fig1bc_sigmoid_inputs")
    terms = rule["regimes"]["whole layer, population statistics"]
    table = inputs_table({"none": 0.3}, seeds=1)
    column = "hidden3.act/population/percentiles"
    stretched = table.assign(**{column: table[column].map(lambda triple: [10 * x for x in triple])})
    assert fig1bc_sigmoid_inputs.drift(stretched, rule, terms) == pytest.approx(
        fig1bc_sigmoid_inputs.drift(table, rule, terms)
    )


RATES = [0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30]
NARROW = [0.5, 0.9, 0.96, 0.97, 0.97, 0.5, 0.1, np.nan]
WIDE = [0.9, 0.97, 0.97, 0.975, 0.975, 0.973, 0.97, 0.92]


def rate_table(ends: dict[str, list[float]], seeds: int = 6) -> pd.DataFrame:
    """Runs that end at `ends` of their arm over `RATES`, each seed a little off."""
    random = np.random.default_rng(0)
    return pd.DataFrame(
        [
            {
                **{"run": f"{arm}{seed}{rate}", "seed": seed, "norm.name": arm, "optimizer.lr": rate},
                **STAMPS,
                "outcome": "diverged" if np.isnan(value) else "trained" if value > 0.15 else "stuck",
                "step": 50_000,
                "validation/accuracy": value + random.normal(0, 0.0005),
            }
            for arm, values in ends.items()
            for seed in range(seeds)
            for rate, value in zip(RATES, values, strict=True)
        ]
    )


@pytest.mark.parametrize(
    ("none", "batch", "verdict"),
    [
        (NARROW, WIDE, "REPRODUCED"),
        (WIDE, NARROW, "CONTRADICTED"),
        (WIDE, WIDE, "NULL"),
        (NARROW, [*NARROW[:5], 0.91, 0.91, 0.91], "PARTIAL"),  # trains at higher rates, no better there
    ],
)
def test_rate_tolerance_says_what_the_ends_say(none, batch, verdict):
    assert claims.verdict("rate_tolerance", rate_table({"none": none, "batch": batch}))["verdict"] == verdict


@pytest.mark.parametrize(
    ("ends", "decades", "largest"),
    [
        (NARROW, np.log10(1 / 0.1), 1.0),
        (WIDE, np.log10(10 / 0.03), 30.0),
        ([0.1] * 7 + [0.95], 0.0, 30.0),
        ([0.97, 0.1, 0.97, 0.97, 0.1, 0.1, 0.1, 0.1], 0.0, 0.3),  # a gap ends the range; the first of two bests counts
    ],
)
def test_range_and_limit_by_hand(ends, decades, largest):
    rule = claims.rule("rate_tolerance")
    series = pd.Series(ends, index=RATES)
    assert rate_tolerance.width(series, rule) == pytest.approx(decades)
    assert rate_tolerance.limit(series, rule) == pytest.approx(np.log10(largest))


def test_a_net_that_trains_at_no_rate_has_no_limit():
    assert np.isnan(rate_tolerance.limit(pd.Series([0.1] * 8, index=RATES), claims.rule("rate_tolerance")))


STARTS = [("gaussian", 0.01, np.nan), ("gaussian", 0.1, np.nan), ("fan_in", np.nan, 1.0)]


def best_rate_table(validation: dict[str, list[list[float]]], gap: float = 0.0) -> pd.DataFrame:
    """Final validation accuracy by arm, start and rate (0.1, 1, 10); with BN the test accuracy is `gap` higher."""
    rows = []
    for arm, starts in validation.items():
        random = np.random.default_rng(0)  # the same for both arms, so that their difference is `gap`
        for (init, sigma, gain), values in zip(STARTS, starts, strict=True):
            for rate, value in zip((0.1, 1.0, 10.0), values, strict=True):
                for seed in range(6):
                    end = value + random.normal(0, 1e-4)
                    start = {"init.name": init, "init.sigma": sigma, "init.gain": gain}
                    knobs = {"norm.name": arm, "optimizer.lr": rate, "seed": seed, "step": 50_000}
                    ends = {"validation/accuracy": end, "test/accuracy": end + gap * (arm == "batch")}
                    rows.append(STAMPS | {"run": f"{len(rows)}"} | start | knobs | ends)
    return pd.DataFrame(rows)


FLAT = [[0.9, 0.95, 0.97], [0.9, 0.97, 0.1], [0.9, 0.96, 0.1]]


def best_rate_rule() -> dict:
    """The claim's rule without the regimes whose start is not among STARTS."""
    rule = claims.rule("fig1a_best_rate")
    known = {0.01, 0.1, None}
    regimes = {name: terms for name, terms in rule["regimes"].items() if terms.get("init", {}).get("sigma") in known}
    return rule | {"regimes": regimes}


@pytest.mark.parametrize(("gap", "verdict"), [(0.01, "REPRODUCED"), (0.0, "NULL"), (-0.01, "CONTRADICTED")])
def test_best_rate_says_what_the_best_cells_say(gap, verdict):
    judged = fig1a_best_rate.judge(best_rate_table({"none": FLAT, "batch": FLAT}, gap), best_rate_rule())
    assert [judgement.verdict for judgement in judged] == [verdict] * 4
    assert judged[0].effect.estimate == pytest.approx(100 * gap, abs=0.05)


def test_the_best_cell_is_chosen_on_validation_and_read_on_test():
    table = best_rate_table({"none": FLAT, "batch": FLAT})
    table.loc[table["optimizer.lr"] == 0.1, "test/accuracy"] = 0.999  # tempting, and not to be looked at
    rule = best_rate_rule()
    assert set(fig1a_best_rate.best(table, "none", rule, {"name": "gaussian", "sigma": 0.1})["optimizer.lr"]) == {1.0}
    best_of_all = fig1a_best_rate.best(table, "none", rule, {})
    assert set(best_of_all["optimizer.lr"]) <= {1.0, 10.0}
    assert len(best_of_all) == 6
    assert fig1a_best_rate.start(best_of_all) in ("σ = 0.01", "σ = 0.1")


def test_a_cell_with_a_diverged_run_is_not_the_best():
    table = best_rate_table({"none": FLAT, "batch": FLAT})
    one = (table["optimizer.lr"] == 1.0) & (table["seed"] == 0) & (table["init.sigma"] == 0.1)
    table.loc[one, "validation/accuracy"] = np.nan
    chosen = fig1a_best_rate.best(table, "none", best_rate_rule(), {"name": "gaussian", "sigma": 0.1})
    assert set(chosen["optimizer.lr"]) == {0.1}


def test_best_rate_draws_and_gives_facts():
    table, rule = best_rate_table({"none": FLAT, "batch": FLAT}), best_rate_rule()
    (figure,) = fig1a_best_rate.draw(table, rule).values()
    labels = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert labels == ["σ = 0.01", "σ = 0.1", "1/√fan-in"]
    rows = fig1a_best_rate.facts(table, rule)
    assert [row["regime"] for row in rows] == list(rule["regimes"])
    assert "at rate 10, σ = 0.01" in rows[1]["with BN"]


def ends_table(
    rows: dict[tuple[str, float, float], float], across: str = "init.sigma", **knobs: object
) -> pd.DataFrame:
    """Runs of six seeds that end at these accuracies, by arm, value of `across`, and rate."""
    made = [
        STAMPS
        | {"run": f"{arm}-{value}-{rate}-{seed}", "norm.name": arm, across: value, "optimizer.lr": rate, "seed": seed}
        | {"step": 50_000, "validation/accuracy": end, "test/accuracy": end + 1e-5 * seed, **knobs}
        for (arm, value, rate), end in rows.items()
        for seed in range(6)
    ]
    return pd.DataFrame(made)


NEEDS_TUNING = {  # by σ and rate: at rate 0.1 only σ = 0.1 trains; each scale has a rate at which it does
    **{("none", 0.01, 0.1): 0.1, ("none", 0.1, 0.1): 0.97, ("none", 1.0, 0.1): 0.1},
    **{("none", 0.01, 1.0): 0.965, ("none", 0.1, 1.0): 0.965, ("none", 1.0, 1.0): 0.965},
}
NEEDS_NONE = {("batch", sigma, rate): 0.97 for _, sigma, rate in NEEDS_TUNING}


def test_init_tolerance_says_what_ranges_say():
    rule = claims.rule("init_tolerance")
    judged = {each.regime: each for each in init_tolerance.judge(ends_table(NEEDS_TUNING | NEEDS_NONE), rule)}
    assert {name: each.verdict for name, each in judged.items()} == {
        "matched rate": "REPRODUCED",
        "own best rate": "REPRODUCED",  # the plain net's best cell lies at 0.1, where the other scales fail
        "best rate at each σ": "NULL",
    }
    assert judged["matched rate"].effect.estimate == pytest.approx(2)
    swapped = ends_table(NEEDS_TUNING | NEEDS_NONE).replace({"norm.name": {"none": "batch", "batch": "none"}})
    assert [each.verdict for each in init_tolerance.judge(swapped, rule)] == ["CONTRADICTED", "CONTRADICTED", "NULL"]


def test_init_tolerance_chooses_rates_on_validation():
    rule, table = claims.rule("init_tolerance"), ends_table(NEEDS_TUNING | NEEDS_NONE)
    table.loc[table["optimizer.lr"] == 1.0, "test/accuracy"] = 1.0  # tempting, and not to be looked at
    own = init_tolerance.given_rates(table, "none", "own best rate", rule)
    assert set(own["optimizer.lr"]) == {0.1}
    retuned = init_tolerance.given_rates(table, "none", "best rate at each σ", rule).groupby("init.sigma")
    assert retuned["optimizer.lr"].first().to_dict() == {0.01: 1.0, 0.1: 0.1, 1.0: 1.0}


def test_init_tolerance_draws_and_gives_facts():
    rule, table = claims.rule("init_tolerance"), ends_table(NEEDS_TUNING | NEEDS_NONE, **{"init.name": "gaussian"})
    assert set(init_tolerance.draw(table, rule)) == {"figure", "maps"}
    rows = init_tolerance.facts(table, rule)
    assert len(rows) == 9
    assert rows[0]["without BN"] == "10.00 % at rate 0.1 (0 of 6 trained)"


def optimizers_table(gap: dict[str, float]) -> pd.DataFrame:
    """Without BN rate 0.1 is the best under each optimizer; with BN the test accuracy there is `gap` higher."""
    parts = []
    for name, more in gap.items():
        ends = {("none", 0.1): 0.95, ("none", 1.0): 0.1, ("batch", 0.1): 0.95 + more, ("batch", 1.0): 0.94 + more}
        by_rate = {(arm, rate, rate): end for (arm, rate), end in ends.items()}
        part = ends_table(by_rate, "init.sigma", **{"optimizer.name": name, "init.name": "gaussian"})
        parts.append(part.assign(**{"init.sigma": 0.1, "run": name + part["run"]}))
    return pd.concat(parts, ignore_index=True)


def test_optimizers_are_judged_one_by_one():
    rule = claims.rule("optimizers")
    table = optimizers_table({"sgd": 0.01, "adam": 0.0, "adagrad": -0.01, "nadam": 0.01})
    verdicts = {each.regime: each.verdict for each in optimizers.judge(table, rule)}
    assert verdicts == {"adam": "NULL", "nadam": "REPRODUCED", "adagrad": "CONTRADICTED", "sgd": "REPRODUCED"}
    rows = {row["optimizer"]: row for row in optimizers.facts(table, rule)}
    assert rows["Adam"]["without BN"].endswith("at rate 0.1; trains at 1 of 2 rates")
    (figure,) = optimizers.draw(table, rule).values()
    assert [ax.get_title() for ax in figure.axes[:4]] == ["Adam", "NAdam", "Adagrad", "SGD"]


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
    judged = {each.regime: each for each in max_stable_rate.judge(stable_table(none | batch), rule)}
    assert {regime: each.effect.estimate for regime, each in judged.items()} == pytest.approx(
        {"4 layers": 1, "6 layers": 0, "8 layers": 2}
    )
    assert [each.verdict for each in judged.values()] == ["REPRODUCED", "NULL", "REPRODUCED"]
    table = stable_table(none | batch)
    table.loc[table["model.depth"] == 8, "outcome"] = "stuck"
    assert max_stable_rate.judge(table, rule)[-1].verdict == "INCONCLUSIVE"  # nothing trains: there is no limit
    rows = {row["layers"]: row for row in max_stable_rate.facts(table, rule)}
    assert rows[4]["without BN"] == "trains up to 1; at 10: 6 diverged"
    assert rows[8]["with BN"] == "trains at no rate; at 10: 6 stuck"
    (figure,) = max_stable_rate.draw(table, rule).values()
    assert [ax.get_title() for ax in figure.axes[:3]] == list(rule["regimes"])


@pytest.mark.parametrize(("most", "estimate", "verdict"), [(0.1, 0.7, "REPRODUCED"), (1.0, -0.3, "CONTRADICTED")])
def test_the_base_rate_is_the_best_on_validation(most, estimate, verdict):
    rule = claims.rule("base_rate")
    ends = {("none", 6, 0.01): 0.3, ("none", 6, 0.1): 0.6, ("none", 6, 1.0): 0.5 if most == 1 else 0.1}
    table = ends_table(ends, "model.depth")
    table["outcome"] = np.where(table["optimizer.lr"] <= most, "trained", "diverged")
    assert base_rate.best_rate(table, rule) == 0.1
    (judged,) = base_rate.judge(table, rule)
    assert (judged.effect.estimate, judged.verdict) == (pytest.approx(estimate, abs=0.01), verdict)
    rows = base_rate.facts(table, rule)
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
    assert [each.verdict for each in sigmoid_cnn.judge(table, rule)] == verdicts
    rows = sigmoid_cnn.facts(table, rule)
    assert [(row["layers"], row["arm"]) for row in rows] == [
        (depth, arm) for depth in (2, 6) for arm in ("without BN", "with BN")
    ]
    assert rows[3]["best cell"] == "rate 0.1, 4·1/√fan-in"
    assert rows[3]["above chance"] == "6 of 6"
    assert rows[2]["above chance"] == ("6 of 6" if plain > 0.15 else "0 of 6")
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
    assert [each.verdict for each in before_or_after.judge(table, rule)] == verdicts
    rows = before_or_after.facts(table, rule)
    assert rows[0]["final test accuracy, %"].endswith("(sd) at rate 0.02")
    assert rows[0]["sparsity, u and Wu + b"] == "0.50, 0.00"
    (figure,) = before_or_after.draw(table, rule).values()
    assert [ax.get_title() for ax in figure.axes][1:] == ["skewness", "excess kurtosis", "sparsity"]


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
    judged = regularisation.judge(table, rule)
    assert [each.verdict for each in judged][: len(verdicts)] == verdicts
    if gap is GAPS:
        assert [each.effect.estimate for each in judged] == pytest.approx([5, 2, 10, 10], abs=0.2)
    rows = regularisation.facts(table, rule)
    assert rows[3]["setting"] == "with BN, dropout, batches of 128"
    assert rows[3]["final test accuracy, %"].endswith("at rate 0.01")
    (figure,) = regularisation.draw(table, rule).values()
    assert [ax.get_title() for ax in figure.axes] == ["each setting at its best rate", "gap", "batch mates, with BN"]


# ---- tables of the ledger as a source of runs --------------------------------------------------------------


def test_runs_may_come_from_a_ledgers_tables(tmp_path, make_config, monkeypatch):
    configs = [make_config({"seed": seed, "out": str(tmp_path / "runs")}) for seed in (0, 1)]
    launch(configs[:1], progress=False)
    ledger = tmp_path / "ledger"
    (ledger / "other").mkdir(parents=True)
    columns = ["test/accuracy"]
    runs.load([runs.folder(configs[0])], columns).to_parquet(ledger / "other" / "runs.parquet")
    (runs.folder(configs[0]) / "manifest.json").unlink()  # only the ledger has it now

    again = [config.model_copy(update={"reuse": str(ledger)}) for config in configs]
    assert launch(again, progress=False).trained == [runs.folder(configs[1]).name]
    assert launch(configs, progress=False).trained == [runs.folder(configs[0]).name]
    (runs.folder(configs[0]) / "manifest.json").unlink()

    monkeypatch.setattr(claims.sweeps, "sweep", lambda name, overrides: configs)
    monkeypatch.setattr(fig1a_accuracy, "COLUMNS", columns)
    table, missing = claims.collect("fig1a_accuracy", tmp_path / "runs", [], ledger)
    assert missing == 0
    assert sorted(table["seed"].unique()) == [0, 1]
    assert claims.collect("fig1a_accuracy", tmp_path / "runs", [], unfinished=True)[1] == 1
    with pytest.raises(ConfigError, match="1 of 2 runs are not finished"):
        claims.collect("fig1a_accuracy", tmp_path / "runs", [])
    monkeypatch.setattr(fig1a_accuracy, "COLUMNS", ["not/measured"])
    with pytest.raises(ConfigError, match="1 of 2 runs are not finished"):
        claims.collect("fig1a_accuracy", tmp_path / "runs", [], ledger)


@pytest.mark.parametrize(
    ("name", "table"),
    [
        ("fig1a_accuracy", accuracy_table({"none": SLOW, "batch": FAST})),
        ("fig1bc_sigmoid_inputs", inputs_table({"none": 0.4, "batch": 0.1})),
        ("rate_tolerance", rate_table({"none": NARROW, "batch": WIDE})),
    ],
)
def test_claims_draw_and_give_facts(name, table):
    figures = claims.module(name).draw(table, claims.rule(name))
    assert "figure" in figures
    rows = claims.module(name).facts(table, claims.rule(name))
    assert len(rows) > 1
    assert len({tuple(row) for row in rows}) == 1  # the same columns
    assert all(any(ax.has_data() for ax in figure.axes) for figure in figures.values())
