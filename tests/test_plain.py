"""scripts/plain.py, the page that shows what the engine computes: its numbers, and what a person types."""

import runpy
import sys
from pathlib import Path

import pytest

from bnlab import runs, sweeps
from bnlab.config import CONFIGS
from bnlab.launcher import launch

PLAIN = CONFIGS.parent / "scripts" / "plain.py"
STEPS, SEED = 250, 3


@pytest.mark.parametrize(("arm", "norm"), [("without BN", "none"), ("with BN", "batch")])
def test_the_page_and_the_engine_give_the_same_numbers(arm, norm, digits, tmp_path):
    page = runpy.run_path(str(PLAIN))
    seen = list(page["train"](page["ARMS"][arm], digits, STEPS, SEED))
    engine = records_of_the_engine(norm, [record["step"] for record in seen], tmp_path)
    assert len(seen) > 10
    assert seen[-1]["step"] == STEPS
    for ours, theirs in zip(seen, engine, strict=True):
        assert ours["step"] == theirs["step"]
        for loss in ("train/batch_loss", "test/loss"):
            assert ours[loss] == pytest.approx(theirs[loss], rel=1e-4), (loss, ours["step"])
        assert ours["test/accuracy"] == pytest.approx(theirs["test/accuracy"], abs=1.5 / len(digits.test_y))


def records_of_the_engine(norm: str, steps: list[int], out: Path) -> list[dict]:
    """At these `steps`, of a run with all knobs of training at their defaults."""
    measured = ["measure.what=[accuracy]", "measure.per_decade=0", f"measure.steps={steps}"]
    run = ["data=mnist_sample", f"norm={norm}", f"steps={STEPS}", f"seed={SEED}", "hardware=plain", f"out={out}"]
    (config,) = sweeps.composed_runs([[*run, *measured]])
    assert launch([config], progress=False).failed == {}
    return [record for record in runs.records(runs.folder(config)) if record["step"]]


def test_it_prints_what_it_sees_and_draws(tmp_path, monkeypatch, capsys):
    type_in(["--steps", "3"], tmp_path, monkeypatch)
    *seen, last = capsys.readouterr().out.splitlines()
    assert [line.split("step")[0].strip() for line in seen] == ["with BN"] * 3 + ["without BN"] * 3
    assert last == "figures/plain.png"
    assert (tmp_path / last).read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--steps", "0"], "--steps"),
        (["--seed", "-1"], "--seed"),
        (["--out", "plain.doc"], ".png"),
        (["--out", "/dev/null/plain.png"], "/dev/null"),
    ],
    ids=lambda x: " ".join(x) if isinstance(x, list) else "",
)
def test_a_mistake_is_told_in_one_line_before_any_work(words, says, tmp_path, monkeypatch, capsys):
    with pytest.raises(SystemExit) as stopped:
        type_in(words, tmp_path, monkeypatch)
    message = str(stopped.value)
    assert message.startswith("error: ")
    assert "\n" not in message
    assert says in message
    assert capsys.readouterr().out == ""
    assert not list(tmp_path.iterdir())


def type_in(words: list[str], folder: Path, monkeypatch) -> None:
    """The script on the sample's digits, with these further words, in `folder`."""
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "argv", [str(PLAIN), "--data", "mnist_sample", *words])
    runpy.run_path(str(PLAIN), run_name="__main__")
