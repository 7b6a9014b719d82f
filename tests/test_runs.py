"""The store: what is written is found and loaded again."""

import json
import math
from dataclasses import asdict

import pandas as pd
import pytest
import yaml

from bnlab import ledger, runs
from bnlab.config import ConfigError, config_hash, parse, resolved
from bnlab.provenance import Stamp
from bnlab.runs import RunFolder

DATA = {
    "name": "mnist_sample",
    "source": "made up",
    "sha256": "0123456789abcdef",
    "examples": {"train": 3600, "validation": 400, "test": 1000},
}
ENGINE = {"kernel": "default", "device": "cpu", "compiled": False, "stack": 2}
STAMP = Stamp("0123456789ab", "c0ffee", False)


def write(config, records, outcome="trained", diverged_at=None):
    run = RunFolder(config, DATA, ENGINE, STAMP)
    for record in records:
        run.append(record)
    if outcome:
        run.finish(outcome, diverged_at)
    return run.path


def record(step: int, **more) -> dict:
    return {"step": step, "test/accuracy": 0.1 * step, "hidden1.act/population/percentiles": [1.0, step]} | more


def test_a_folder_is_named_by_what_the_run_is(make_config, tmp_path):
    config = make_config({"seed": 7, "norm.name": "none"})
    path = runs.folder(config)
    assert path == tmp_path / "runs" / f"mnist_sample-mlp-none-sgd-seed7-{config_hash(config)}"


def test_what_is_written_is_found_and_loaded(make_config, tmp_path):
    configs = [make_config({"seed": seed}) for seed in (0, 1)]
    paths = [write(config, [record(0), record(3)]) for config in configs]
    assert runs.find([tmp_path]) == sorted(paths)
    table = runs.load(runs.find([tmp_path]))
    assert len(table) == 4
    assert set(table["run"]) == {config_hash(config) for config in configs}
    first = table[table["seed"] == 0].sort_values("step")
    assert first["step"].tolist() == [0, 3]
    assert first["test/accuracy"].tolist() == pytest.approx([0, 0.3])
    assert first["hidden1.act/population/percentiles"].tolist() == [[1.0, 0], [1.0, 3]]
    assert first["optimizer.lr"].tolist() == [0.1, 0.1]
    assert first["norm.name"].tolist() == ["batch", "batch"]
    assert first["steps"].tolist() == [3, 3]
    assert first["outcome"].tolist() == ["trained", "trained"]
    assert first["diverged_at"].isna().all()


def test_nan_and_infinity_survive(make_config):
    path = write(make_config(), [record(0, loss=math.nan), record(1, loss=math.inf)], "diverged", 1)
    table = runs.load([path])
    assert math.isnan(table["loss"][0])
    assert table["loss"][1] == math.inf
    assert table["diverged_at"].tolist() == [1, 1]


def test_one_root_in_another_is_found_once(make_config, tmp_path):
    write(make_config(), [record(0)])
    assert len(runs.find([tmp_path, tmp_path / "runs"])) == 1


@pytest.mark.parametrize("outcome", ["trained", "stuck", "diverged"])
def test_a_run_with_an_outcome_is_finished(outcome, make_config):
    config = make_config()
    assert not runs.finished(config)
    write(config, [record(0)], outcome)
    assert runs.finished(config)


def test_an_outcome_that_is_none_of_these_is_no_result(make_config, tmp_path):
    write(make_config(), [record(0)], "interrupted")
    assert not runs.finished(make_config())
    assert runs.find([tmp_path]) == []


def test_a_run_without_outcome_is_neither_finished_nor_found(make_config, tmp_path):
    config = make_config()
    path = write(config, [record(0)], outcome=None)
    assert path.is_dir()
    assert not runs.finished(config)
    assert runs.find([tmp_path]) == []


def test_another_run_is_not_taken_for_this_one(make_config):
    write(make_config(), [record(0)])
    assert not runs.finished(make_config({"optimizer.lr": 0.2}))


def test_records_are_there_as_soon_as_they_are_written(make_config):
    run = RunFolder(make_config(), DATA, ENGINE, STAMP)
    run.append(record(0))
    assert json.loads((run.path / "records.jsonl").read_text()) == record(0)
    run.finish("trained", None)


def test_the_resolved_config_is_kept(make_config, raw_config):
    path = write(make_config(), [record(0)])
    kept = yaml.safe_load((path / "config.yaml").read_text())
    assert kept == resolved(make_config())
    assert config_hash(parse(kept)) == config_hash(make_config())


def test_a_run_from_before_a_knob_was_there_has_its_default(make_config):
    path = write(make_config(), [record(0)])
    kept = yaml.safe_load((path / "config.yaml").read_text())
    del kept["shuffle"], kept["measure"]["what"]  # nor does it say whether it is `nesterov`
    (path / "config.yaml").write_text(yaml.safe_dump(kept))
    with pytest.raises(ConfigError, match=r"\A.*: holds no finished run, or files of it are damaged\Z"):
        runs.load([path])
    manifest = json.loads((path / "manifest.json").read_text())
    del manifest["sha256"]  # which runs of old have not
    (path / "manifest.json").write_text(json.dumps(manifest))
    table = runs.load([path])
    assert table[["shuffle", "optimizer.nesterov"]].iloc[0].tolist() == ["examples", False]
    assert table["measure.what"].iloc[0] == "['accuracy', 'activations', 'gradients']"
    runs.refuse_foreign(make_config())  # it is this very run


def test_columns_are_knobs_stamps_or_measured(make_config):
    table = runs.load([write(make_config(), [record(0)])])
    knobs = runs.knobs(table)
    assert {"norm.name", "optimizer.lr", "seed", "steps", "shuffle", "measure.probe"} <= set(knobs)
    assert not runs.STAMPS & set(knobs)
    assert set(table) - runs.STAMPS - set(knobs) == {"test/accuracy", "hidden1.act/population/percentiles"}


def test_runs_lie_in_the_tables_of_a_ledger(make_config, tmp_path):
    paths = [write(make_config({"seed": seed}), [record(0), record(3)]) for seed in (0, 1, 2)]
    first, second, third = (config_hash(make_config({"seed": seed})) for seed in (0, 1, 2))
    for name, held, lacks in (("a", paths[:2], ["hidden1.act/population/percentiles"]), ("b", paths[1:], [])):
        (tmp_path / name).mkdir()
        runs.load(held).drop(columns=lacks).to_parquet(tmp_path / name / ledger.TABLE)
    assert ledger.published_hashes(tmp_path) == {first, second, third}
    found = ledger.published([tmp_path], [first, second, "other"], ["test/accuracy"])
    assert found.groupby("run")["step"].apply(list).to_dict() == {first: [0, 3], second: [0, 3]}  # each once
    assert "hidden1.act/population/percentiles" not in found
    full = ledger.published([tmp_path], [first, second, third], ["test/accuracy", "hidden*.act/population/percentiles"])
    assert set(full["run"]) == {second, third}  # of the first they were not kept
    assert full["seed"].dtype == "int64"
    assert ledger.published([tmp_path], [], ["test/accuracy"]).empty
    assert ledger.published([tmp_path / "nowhere"], [first], []).empty


def test_the_manifest_says_what_computed_the_run_and_how_it_ended(make_config):
    path = write(make_config(), [record(0)], "diverged", 12)
    manifest = json.loads((path / "manifest.json").read_text())
    assert manifest["config_hash"] == config_hash(make_config())
    assert manifest["data"] == DATA
    assert manifest["engine"] == ENGINE
    assert {"bnlab", "torch", "numpy"} <= set(manifest["versions"])
    assert {key: manifest[key] for key in ("code", "commit", "dirty")} == asdict(STAMP)
    assert {"python", "hardware", "started"} <= set(manifest)
    assert (manifest["outcome"], manifest["diverged_at"]) == ("diverged", 12)
    assert sorted(p.name for p in path.iterdir()) == ["config.yaml", "manifest.json", "records.jsonl"]


def test_no_runs_are_a_config_error():
    with pytest.raises(ConfigError, match=r"\Ano finished runs.*\Z"):
        runs.load([])


def test_the_hash_of_a_set_of_runs_does_not_depend_on_order_or_repetition():
    assert ledger.hash_of_runs(["a", "b"]) == ledger.hash_of_runs(["b", "a", "a"])
    assert ledger.hash_of_runs(["a", "b"]) != ledger.hash_of_runs(["a", "c"])


def test_runs_with_different_measurements_make_one_table(make_config):
    paths = [write(make_config({"seed": s}), [{"step": 0, f"only{s}": 1.0}]) for s in (0, 1)]
    table = runs.load(paths)
    assert isinstance(table, pd.DataFrame)
    assert table["only0"].notna().sum() == table["only1"].notna().sum() == 1
