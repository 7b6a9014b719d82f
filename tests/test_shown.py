"""What a command shows: arms by name, the bar or a log's lines while it trains, the table at its end."""

import math
import re
import sys

import pytest

from bnlab import runs
from bnlab.claims import planner
from bnlab.claims.claim import load
from bnlab.config import config_hash
from bnlab.launcher import arms, board, launch
from bnlab.launcher.arms import now, summary, with_arms
from bnlab.launcher.grouping import Work

NAN = math.nan


@pytest.mark.parametrize(
    ("changes", "names"),
    [
        ([{"seed": 0}, {"seed": 1}], ["", ""]),
        ([{"norm": {"name": "none"}}, {}], ["none", "batch"]),  # norm.momentum comes with BN
        ([{"optimizer.lr": 0.1, "seed": 3}, {"optimizer.lr": 1.0}], ["lr=0.1", "lr=1"]),
        ([{"norm": {"name": "none"}}, {"norm.momentum": 0.2}, {"norm.momentum": 0.5}], ["none", "batch momentum=0.2"]),
        ([{"measure.probe": 10}, {"arm": "mine", "steps": 5}], ["steps=3", "mine"]),
    ],
)
def test_an_arm_is_named_by_what_differs(changes, names, make_config):
    configs = [make_config(each) for each in changes]
    named = with_arms(configs)
    assert [config.arm for config in named][: len(names)] == names
    assert [config_hash(config) for config in named] == [config_hash(config) for config in configs]


def test_runs_of_a_claim_have_its_arms_names():
    claim = load("fig1a_accuracy")
    jobs = planner.jobs(claim, planner.look_words(claim, None, 1))
    assert [job.config.arm for job in jobs] == [job.arm for job in jobs] == list(claim.arms)


def test_a_line_tells_few_arms_apart_and_of_many_the_best():
    assert now(["none", "batch", "none", "none"], [0.5, 0.9, NAN, 0.7]) == "test accuracy none 60.0 %, batch 90.0 %"
    assert now([""], [0.25]) == "test accuracy 25.0 %"
    assert now(["none"], [NAN]) == ""
    many = [f"lr={k}" for k in range(arms.FEW + 1)]
    assert now(many, [0.1, 0.2, 0.9, 0.3, NAN]) == "best test accuracy 90.0 % (lr=2)"


def test_the_table_at_the_end_has_a_row_for_each_arm(make_config):
    wild = {"optimizer.lr": 1e30, "norm": {"name": "none"}}
    configs = [make_config({"seed": seed, **more}) for more in ({}, wild) for seed in (0, 1, 2)]
    gone = make_config({"seed": 3})
    launch(configs, progress=False)
    finals = sorted(100 * runs.ending(config)["test/accuracy"] for config in configs[:3])
    _, _, tame, lost = (re.split(r"\s{2,}", line) for line in summary([*configs, gone]).splitlines())
    assert tame[:3] == ["batch lr=0.1", f"{finals[1]:.2f}", f"{finals[0]:.2f} to {finals[2]:.2f}"]
    assert tame[3].endswith(", 1 not there")
    assert (lost[0], lost[3]) == ("none lr=1e+30", f"3 {runs.ending(configs[3])['outcome']}")


@pytest.mark.parametrize("processes", [1, 2])
def test_a_log_gets_whole_lines_now_and_then(processes, make_config, capfd, monkeypatch):
    monkeypatch.setattr(board, "A_LINE_EACH", 0.0)
    configs = [
        make_config({"seed": seed, "steps": 200, "hardware.stack": 1, "hardware.workers": processes}) for seed in (0, 1)
    ]
    assert launch(configs).failed == {}
    told = capfd.readouterr().err
    assert "\r" not in told
    assert re.search(r"^2 runs: 100 % of 400 updates, .* left, test accuracy \d+\.\d %$", told, re.MULTILINE)


def test_a_short_training_leaves_no_line_in_a_log(make_config, capfd):
    launch([make_config()])
    assert capfd.readouterr().err == ""


def test_a_terminal_gets_a_bar_with_rate_time_left_and_accuracies(make_config, capfd, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    shown = board.Board([Work([make_config()], compiled=False)])
    bar = board.Bar([Work([make_config()], compiled=False)], shown, wanted=True)
    shown.progress[0] = 2
    shown.saw(0, 0, {"test/accuracy": 0.5})
    bar.saw()
    bar.moved()
    bar.tqdm.close()
    assert re.search(r"\r.*2/3 \[.*<.*updates/s, test accuracy 50\.0 %", capfd.readouterr().err)
