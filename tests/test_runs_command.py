"""scripts/runs.py: what it lists, removes and exports, and above all what it leaves."""

import json
import runpy
from datetime import UTC, datetime, timedelta
from io import StringIO
from pathlib import Path

import pandas as pd
import pytest

from bnlab import provenance, runs
from bnlab.config import CONFIGS, ConfigError
from bnlab.launcher.half_done import FOLDER, locked
from bnlab.provenance import Stamp
from bnlab.runs import RunFolder

MAIN = runpy.run_path(str(CONFIGS.parent / "scripts" / "runs.py"))["main"]
DATA = {"source": "made up", "sha256": "0123456789abcdef", "examples": {"train": 3600}}
ENGINE = {"kernel": "default", "stack_key": "00112233aabb"}
HERE, ELSEWHERE = "c0ffee" * 6, "0ff1ce" * 6
# Each run by its seed: how it ended, its commit, and how many days ago
RUNS = [("trained", HERE, 0), ("stuck", HERE, 40), ("diverged", ELSEWHERE, 0), (None, ELSEWHERE, 0)]


@pytest.fixture
def shelf(make_config, monkeypatch, tmp_path):
    """The configs of `RUNS`, which lie below tmp_path/runs, beside a stack's checkpoint and things that are no runs."""
    monkeypatch.setattr(provenance, "commit", lambda: {"commit": HERE})
    monkeypatch.chdir(tmp_path)
    configs = [make_config({"seed": seed, "optimizer.lr": 0.5 if seed else 0.1}) for seed in range(len(RUNS))]
    for config, (outcome, commit, days) in zip(configs, RUNS, strict=True):
        run = RunFolder(config, DATA, ENGINE, Stamp("0123456789ab", commit, False))
        run.append({"step": 0, "test/accuracy": 0.1, "units": [1.0, 2.0]})
        if outcome:
            run.append({"step": 3, "test/accuracy": float("nan"), "units": [3.0]})
            run.finish(outcome, None)
            file = run.path / "manifest.json"
            ended = datetime.now(UTC) - timedelta(days=days)
            file.write_text(json.dumps(json.loads(file.read_text()) | {"ended": ended.isoformat()}))
        run.records.close()
    for other in (f"{FOLDER}/stacks/00112233aabb/1.checkpoint", "mine/config.yaml", "mine/manifest.json"):
        (tmp_path / "runs" / other).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "runs" / other).write_text("{}")
    return configs


def left() -> list[int]:
    """The seeds of the runs that are there."""
    assert Path("runs/mine/config.yaml").exists()
    return sorted(int(path.name.split("seed")[1][0]) for path in runs.every([Path("runs")]))


def test_a_line_tells_of_each_run_and_totals_close(shelf, capsys):
    MAIN(["list"])
    *lines, totals = capsys.readouterr().out.splitlines()
    said = {line.split()[0]: line for line in lines[2:]}
    assert list(said) == sorted(runs.folder(config).name for config in shelf)
    for config, (outcome, *_) in zip(shelf, RUNS, strict=True):
        words = (f"optimizer.lr={config.optimizer['lr']}", outcome or "half-done", "3 of 3" if outcome else "0 of 3")
        assert all(word in said[runs.folder(config).name] for word in words)
    assert totals.startswith("4 runs (1 trained, 1 stuck, 1 diverged, 1 half-done), ")


@pytest.mark.parametrize(
    ("words", "stay"),
    [
        (["--stuck", "--diverged"], [0, 3]),
        (["--half-done"], [0, 1, 2]),
        (["--other-commit", "HEAD"], [0, 1]),
        (["--other-commit", "0ff1ce"], [2, 3]),
        (["--older-than", "30"], [0, 2, 3]),
        (["--older-than", "30", "--diverged"], [0, 1, 2, 3]),
        (["*seed1*"], [0, 2, 3]),
        (["*seed1*", "*-seed0-*", "--trained"], [1, 2, 3]),
    ],
)
def test_those_go_for_which_all_conditions_hold(words, stay, shelf):
    MAIN(["remove", *words, "--yes"])
    assert left() == stay
    assert Path(f"runs/{FOLDER}/stacks/00112233aabb").exists() == (left() == [0, 1, 2, 3])


def test_by_hash_and_by_folder(shelf):
    MAIN(["remove", runs.folder(shelf[0]).name[-12:], f"runs/{runs.folder(shelf[2]).name}/", "--yes"])
    assert left() == [1, 3]


@pytest.mark.parametrize(
    ("answer", "stay"), [("y\n", [0, 2, 3]), ("n\n", [0, 1, 2, 3]), ("\n", [0, 1, 2, 3]), ("", [0, 1, 2, 3])]
)
def test_it_says_what_it_would_remove_and_asks(answer, stay, shelf, monkeypatch, capsys):
    monkeypatch.setattr("sys.stdin", StringIO(answer))
    MAIN(["remove", "--stuck"])
    told = capsys.readouterr().out
    assert runs.folder(shelf[1]).name in told
    assert "to remove: 1 run (1 stuck), " in told
    assert left() == stay


def test_what_another_command_trains_stays(shelf, capsys):
    with locked(shelf[3:]):
        MAIN(["remove", "--half-done", "--stuck", "--yes"])
    assert left() == [0, 2, 3]
    captured = capsys.readouterr()
    assert captured.out.endswith("removed 1 of 2\n")
    assert (
        captured.err == f"left: {Path('runs') / runs.folder(shelf[3]).name}: another command is training it right now\n"
    )


def test_what_is_not_of_a_run_stays_in_its_folder(shelf):
    notes = runs.folder(shelf[1]) / "config.yaml.mine"
    notes.write_text("")
    MAIN(["remove", "--stuck", "--yes"])
    assert list(notes.parent.iterdir()) == [notes]


def test_a_table_is_read_as_it_was_written(shelf):
    table = runs.load(runs.find([Path("runs")]))
    read = {"csv": pd.read_csv, "json": lambda file: pd.read_json(file, dtype=False), "parquet": pd.read_parquet}
    for ending, reader in read.items():
        MAIN(["export", f"out.{ending}"])
        again = reader(f"out.{ending}")
        units = again["units"].map(json.loads if ending == "csv" else list)
        assert units.tolist() == table["units"].tolist()
        assert list(again.columns) == list(table.columns)
        for column in ("run", "step", "test/accuracy", "optimizer.lr", "outcome"):
            pd.testing.assert_series_equal(again[column], table[column], check_dtype=False)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["export", "out.xlsx"], r"out\.xlsx: its ending must be one of \.csv, \.json, \.parquet"),
        (["export", "nowhere/out.csv"], r"nowhere/out\.csv cannot be written: No such file or directory"),
        (["export", "out.csv", "runs/mine"], "no finished runs there: .*"),
        (["list", "rnus"], "rnus: no such folder"),
        (["remove"], "remove which\\? .*"),
        (["remove", "feed", "--yes"], "feed: no run of this name below runs"),
        (["remove", "elsewhere/*", "--yes"], r"elsewhere/\*: no run of this name below runs"),
    ],
)
def test_what_cannot_be_done_is_refused_in_one_line(words, says, shelf):
    with pytest.raises(ConfigError, match=rf"\A{says}\Z"):
        MAIN(words)
    assert left() == [0, 1, 2, 3]
