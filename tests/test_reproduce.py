"""`make reproduce`, end to end, with short runs."""

import json
import os
import runpy
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_make_reproduce_writes_verdicts_figures_and_a_ledger(tmp_path):
    environment = {key: value for key, value in os.environ.items() if key not in ("MAKEFLAGS", "MAKELEVEL")}
    environment["BNLAB_DATA"] = str(tmp_path / "nothing")
    environment |= dict.fromkeys(("http_proxy", "https_proxy"), "http://127.0.0.1:9")  # no download
    binaries = Path(sys.executable).parent  # this environment, not one of make's own
    out = tmp_path / "my results=1"
    command = ["make", "-o", "setup", "reproduce", f"BIN={binaries}", f"OUT={out}"]
    done = subprocess.run(
        [*command, "WITH=steps=3 hardware=plain measure.probe=50 measure.per_decade=1 model.width=5"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert "using mnist_sample" in done.stderr
    assert (
        "Figure 1: 3 steps on 3,600 images of mnist_sample, 0.05 epochs (the paper: 50,000 on 55,000, 54.5)"
        in done.stdout
    )
    answers = done.stdout.splitlines()[-4:-1]
    for claim, answer in zip(("fig1a_accuracy", "fig1bc_sigmoid_inputs", "rate_tolerance"), answers, strict=True):
        verdict = json.loads((out / claim / "verdict.json").read_text())
        assert answer.startswith(f"{verdict['sentence']}: {verdict['answer']}, ")
        assert verdict["data"]["name"] == "mnist_sample"
        assert verdict["seeds"] == (6 if claim == "rate_tolerance" else 12)
        assert verdict["setting"].endswith("model.width=5")
        assert (out / claim / "figure.png").is_file()
    assert f"{out}/README.md" in done.stdout.splitlines()[-1]
    ledger = (out / "README.md").read_text()
    assert ledger.count("data mnist_sample") == 3
    assert "### fig1a_best_rate" not in ledger


def test_the_sample_is_trained_for_as_many_epochs_as_mnist_in_the_paper(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "scripts")
    words = runpy.run_path(str(ROOT / "scripts" / "reproduce.py"))["as_in_the_paper"]("mnist_sample")
    assert words == ["data=mnist_sample", "steps=3273"]  # of 60 on 3,600 digits, as 50,000 on 55,000
