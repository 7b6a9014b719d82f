"""Every claim: its YAML and its module, and where its runs come from."""

from collections import defaultdict

import pytest
from conftest import jobs_of
from hydra import initialize_config_dir

from bnlab import claims, runs, stats, sweeps
from bnlab.claims import fig1a_accuracy
from bnlab.config import CONFIGS, ConfigError, identity
from bnlab.launcher import launch


def test_there_are_claims():
    assert {"fig1a_accuracy", "fig1bc_sigmoid_inputs"} <= set(claims.names())


@pytest.mark.parametrize("name", claims.names())
def test_a_claim_is_complete(name):
    rule = claims.rule(name)
    assert all(term["delta"] > 0 and term["statistic"] for term in rule["regimes"].values())
    assert claims.module(name).COLUMNS


@pytest.mark.parametrize("name", claims.names())
def test_a_claims_sweep_pairs_enough_seeds(name):
    jobs = jobs_of(name)
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
    with pytest.raises(ConfigError, match=r"optimiser\.lr: there is no such knob"):
        sweeps.sweep("rate_tolerance", ["optimiser.lr=1,2"])


def test_both_claims_of_figure_1_share_their_runs():
    from bnlab.config import config_hash

    one, other = (jobs_of(name) for name in ("fig1a_accuracy", "fig1bc_sigmoid_inputs"))
    assert [config_hash(c) for c in one] == [config_hash(c) for c in other]


def test_an_unknown_claim_names_the_known_ones():
    with pytest.raises(ConfigError, match="fig1a_accuracy"):
        claims.rule("nope")


def test_missing_runs_are_counted_with_the_command(tmp_path):
    with pytest.raises(ConfigError, match=r"20 of 20 runs are not finished.*experiment=fig1a_accuracy"):
        claims.collect("fig1a_accuracy", tmp_path, [])


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
    with pytest.raises(ConfigError, match=r"1 of 2 runs are not finished .*out=\S+`"):  # reuse would skip it again
        claims.collect("fig1a_accuracy", tmp_path / "runs", [], ledger)
    table, _ = claims.collect("fig1a_accuracy", tmp_path / "runs", [], ledger, unfinished=True)
    assert table["seed"].dtype == "int64"  # not a float, though the ledger had nothing to add
