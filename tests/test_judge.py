"""scripts/judge.py, for real: tiny runs, from the pilot to the answer, the picture and the ledger."""

import json
import os
import re
import runpy
import shlex
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pandas as pd
import pytest
import yaml
from conftest import README

from bnlab import runs, sweeps
from bnlab.claims import planner
from bnlab.claims.claim import load
from bnlab.config import CONFIGS, config_hash
from hydra_plugins.bnlab_stacked.sweeper import _claims_jobs

SCRIPTS = CONFIGS.parent / "scripts"
TINY = ["data=mnist_sample", "hardware=plain", "model.width=5", "model.depth=1", "steps=20"]
MINE = re.search(r"```yaml\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)[1]
# The same with a first question that no look decides: of a step at which there is none
OPEN = MINE.replace(
    "questions:", "questions:\n    never: {read: value, of: test/accuracy, at: 7, alone: BN, delta: 1}", 1
)


@pytest.fixture
def judge(tmp_path, monkeypatch, capfd):
    """`judge(*words)`: what the script prints, in an empty folder; it may end with a message, as its last line."""
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)

    def run(*words: object) -> str:
        monkeypatch.setattr(sys, "argv", ["judge.py", *map(str, words)])
        told = ""
        try:
            runpy.run_path(str(SCRIPTS / "judge.py"), run_name="__main__")
        except SystemExit as left:
            told = str(left.code)
        return capfd.readouterr().out + told

    return run


@pytest.fixture
def mine(own_claim, judge):
    """`mine(*words)`: the claim of the README, tiny."""
    own_claim(MINE)
    return lambda *words: judge("mine", "--results", "ledger", *words, "--with", *TINY)


@pytest.fixture
def undecided(own_claim, judge):
    """`undecided(ledger, *words)`: the same with a question that stays open."""
    own_claim(OPEN)
    return lambda ledger, *words: judge("mine", "--results", ledger, *words, "--with", *TINY)


def verdict(ledger: str = "ledger") -> dict:
    return json.loads(Path(ledger, "mine", "verdict.json").read_text(encoding="utf-8"))


def made(ledger: str = "ledger") -> dict[str, bytes]:
    """All that lies in a ledger, but what the clock is in."""
    files = [path for path in Path(ledger).rglob("*") if path.is_file() and path.name != "chosen.yaml"]
    return {str(path.relative_to(ledger)): path.read_bytes() for path in files}


def trained() -> int:
    return len(runs.find([Path("runs")])) if Path("runs").is_dir() else 0


def test_the_claim_of_the_readme_is_trained_answered_and_drawn_from_its_yaml_alone(mine, judge):
    printed = mine()
    found = verdict()
    chosen = yaml.safe_load(Path("ledger/mine/chosen.yaml").read_text())["cells"]
    cells = sum(map(len, chosen.values()))
    assert list(chosen) == ["plain", "BN"]
    assert found["seeds"] in (6, 12)
    assert found["runs"] == trained() == 2 * 3 * 3 + cells * found["seeds"]
    assert (found["claim"], found["data"]["name"], found["steps"]) == ("mine", "mnist_sample", [20])
    assert [each["question"] for each in found["questions"]] == ["ends higher", "sooner at 95 %"]
    assert f"mine: {found['answer']} ({found['verdict']}, {found['seeds']} seeds, mnist_sample)" in printed
    assert made().keys() == {
        "README.md",
        "index.html",
        *(f"mine/{name}" for name in ("figure.png", "runs.parquet", "verdict.json")),
    }
    for page in ("README.md", "index.html"):
        text = Path("ledger", page).read_text(encoding="utf-8")
        assert "BN helps a ReLU net as well" in text
        assert found["questions"][0]["shown"].partition(";")[0] in text

    seeds = pd.read_parquet("ledger/mine/runs.parquet", columns=["run", "seed"]).groupby("seed")["run"].nunique()
    assert seeds.to_dict() == dict.fromkeys(range(3), 6) | dict.fromkeys(range(1000, 1000 + found["seeds"]), cells)

    before = made()
    shutil.rmtree("runs")  # they lie in the ledger
    again = mine()
    assert " runs (" not in again
    assert made() == before
    assert trained() == 0
    assert " runs (" not in mine("--reuse", "ledger", "--results", "other", "--runs", "elsewhere")
    assert verdict("other") == found  # chosen again, from the same runs

    shutil.copytree("ledger", "results")
    words = ["mine", "--plan", "--with", *TINY]
    assert "mine: its runs are there" in judge(*words, "--results", "again")
    planned = judge(*words, "--anew", "again")
    assert "mine: 18 runs of the pilot" in planned
    assert "out=again/runs" in planned


def test_it_goes_on_where_it_stopped_and_ends_as_if_it_had_not(undecided):
    undecided("ledger", "--looks", "0")
    assert {path.name for path in Path("ledger/mine").iterdir()} == {"chosen.yaml", "runs.parquet"}
    pilot = trained()
    assert pilot == 18
    chosen = Path("ledger/mine/chosen.yaml").read_bytes()
    printed = undecided("ledger", "--looks", "1")
    assert "never: any number [−∞, ∞]; 1 would matter — undecided after 6 seeds" in printed
    assert (verdict()["verdict"], verdict()["seeds"], verdict()["answer"]) == (
        "UNDECIDED",
        6,
        "open so far: look 1 of it",
    )
    first = trained()
    *_, last = sorted(Path("runs").glob("*seed1005*"))
    shutil.move(last, "elsewhere")  # it lies in the ledger
    undecided("ledger")
    assert (verdict()["verdict"], verdict()["seeds"]) == ("OPEN", 12)
    assert trained() == 2 * first - pilot - 1
    assert Path("ledger/mine/chosen.yaml").read_bytes() == chosen

    shutil.move("elsewhere", last)  # trained anew it would be alone, and its last bits others
    undecided("at_once")
    assert made("at_once") == made()


def test_a_plan_trains_and_writes_nothing(mine):
    printed = mine("--plan")
    assert printed.startswith("mine: 18 runs of the pilot\n")
    assert printed.count("scripts/train.py -m experiment=mine") == 6  # of three seeds each
    assert not list(Path.cwd().iterdir())
    mine("--looks", "0")
    assert re.match(r"mine: \d+ runs up to 6 fresh seeds\n", mine("--plan"))
    assert mine("--plan", "--looks", "0") == "mine: no look is left, nothing to train\n"


def test_the_commands_of_a_plan_are_the_runs_that_are_missing(own_claim, judge):
    unlike = "BN: {norm: batch, batch_size: 30}\n    small: {norm: none, steps: 7, optimizer.lr: 1}\n  choose"
    starts = "init: [{name: gaussian, sigma: 0.1}, {name: fan_in, gain: 1}]"
    own_claim(re.sub(r"BN: \{.*?choose", unlike, MINE, flags=re.DOTALL).replace("over: {", f"over: {{{starts}, "))
    printed = judge("mine", "--plan", "--results", "ledger", "--runs", "my runs", "--with", *TINY[:2])
    words = []
    for line in printed.splitlines()[1:]:
        python, script, flag, *given = shlex.split(line)
        assert (python, script, flag) == ("python", "scripts/train.py", "-m")
        keys = {sweeps.key_of(word): word.partition("=")[2] for word in given}
        seeds, rest = keys.pop("seed").split(","), [word for word in given if not word.startswith(("seed=", "+jobs="))]
        own = _claims_jobs("mine", keys["jobs"], {*keys, "seed"})
        words += [[*each, *rest, f"seed={seed}"] for each in own for seed in seeds]
    planned = sweeps.composed_runs(words)
    claim = load("mine")
    asked = planner.next_runs(claim, None, claim.looks[0], TINY[:1])
    assert len(planned) == len(asked) == 3 * (2 * 3 + 2 * 3 + 2)
    assert {config_hash(config) for config in planned} == {config_hash(job.config) for job in asked}
    assert {config.out for config in planned} == {"my runs"}


def test_a_command_of_a_plan_can_be_given(judge):
    asked = ["max_stable_rate", "--results", "ledger", "--with", *TINY[:3], "steps=2"]
    printed = judge(*asked, "--plan")
    line = shlex.split(printed.splitlines()[1])
    done = subprocess.run(
        [sys.executable, SCRIPTS / "train.py", *line[2:]], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert trained() == 6
    assert judge(*asked, "--plan").split()[1] == str(int(printed.split()[1]) - 6)


def test_a_run_that_fails_stops_it_without_an_answer(mine):
    first, *_ = planner.next_runs(load("mine"), None, 6, TINY)
    in_the_way = runs.folder(first.config)
    in_the_way.parent.mkdir()
    in_the_way.write_text("a file where the run's folder would be")
    failures = [line.removeprefix("error: ") for line in mine().splitlines() if "failed: " in line]
    assert any(line.startswith(f"failed: {in_the_way.name}: FileExistsError") for line in failures)
    assert not Path("ledger").exists()
    others = trained()
    in_the_way.unlink()
    assert 0 < others < 18
    mine("--looks", "0")  # the same command goes on
    assert trained() == 18


def test_the_same_questions_of_another_norm(mine):
    mine("--in-place-of", "BN", "norm=layer", "--looks", "1")
    found = verdict()
    assert found["asked_of"] == "layer in the place of BN"
    assert [row["arm"] for row in found["table"]] == ["plain", "layer"]
    assert set(runs.load(runs.find([Path("runs")]))["norm.name"]) == {"none", "layer"}
    said = mine("--looks", "1")
    assert said.startswith("error: ledger/mine/chosen.yaml: chosen by a pilot of other settings; ")


@pytest.mark.skipif(not find_spec("hydra_plugins.hydra_joblib_launcher"), reason="the joblib launcher is not installed")
def test_looks_go_through_a_launcher_of_hydras(judge, monkeypatch, tmp_path):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    words = [
        "fig1a_accuracy",
        "hydra/launcher=joblib",
        "hydra.launcher.n_jobs=1",
        "--looks",
        "1",
        "--results",
        "ledger",
    ]
    printed = judge(*words, "--with", *TINY, "measure.what=[accuracy]")
    assert "fig1a_accuracy: 24 runs (12 seeds)" in printed, printed
    found = json.loads(Path("ledger/fig1a_accuracy/verdict.json").read_text(encoding="utf-8"))
    assert (found["seeds"], found["runs"], found["claim"]) == (12, 24, "fig1a_accuracy")
    manifests = [json.loads(path.read_text()) for path in Path("runs").glob("*/manifest.json")]
    assert min(manifest["engine"]["stack"] for manifest in manifests) > 1


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["fig1a_accuracy", "--with", "steps=3"], "with other settings, say --results FOLDER"),
        (["fig1a_accuracy", "--in-place-of", "BN", "norm=layer"], "with other settings, say --results FOLDER"),
        (["fig1a_accuracy", "--anew", "x", "--runs", "y"], "--anew FOLDER says --results, --reuse and --runs"),
        (["nope"], "claim nope: not known here; choose from accelerations, "),
        ([], "results: holds no claim that was asked; name one of accelerations, "),
        (["fig1a_accuracy", "--results", "x", "--with", "stesp=3"], "stesp: there is no such knob"),
        (["fig1a_accuracy", "--results", "x", "--with", "steps=0"], "steps=0: "),
        (
            ["fig1a_accuracy", "--results", "x", "--in-place-of", "BM", "norm=layer"],
            "there is no such arm; the arms are",
        ),
        (["fig1a_accuracy", "--results", "x", "--in-place-of", "BN", "layer"], "'layer' cannot be read as KEY=VALUE"),
        (["fig1bc_sigmoid_inputs", "--results", "x", "--with", *TINY, "measure.what=[accuracy]"], "is not measured"),
        (["fig1a_accuracy", "--results", "x", "--with", *TINY, "norm=bn"], "batch"),
    ],
    ids=lambda words: " ".join(words) if isinstance(words, list) else "",
)
def test_a_mistake_is_one_line_before_any_training(words, said, judge):
    (line,) = judge(*words).splitlines()
    assert line.startswith("error: ")
    assert said in line
    assert not list(Path.cwd().iterdir())


def test_a_claim_costs_no_more_than_it_says(own_claim, judge):
    own_claim(MINE.replace("looks: [6, 12]", "looks: [6, 12]\n  most_runs: 17"))
    printed = judge("mine", "--results", "ledger", "--with", *TINY)
    assert "error: mine: 18 runs at most, and claim.most_runs=17" in printed
    assert not os.listdir()
