"""scripts/plain.py, the page that shows what the engine computes: its numbers, and what a person types.

And the other nets of the argument in ordinary PyTorch: the page's, with a norm, a start or a first layer from here.
"""

import math
import runpy
import sys
from functools import partial
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bnlab import layers, runs, starts, sweeps
from bnlab.config import CONFIGS
from bnlab.launcher import launch
from bnlab.training.order import batches

PLAIN = CONFIGS.parent / "scripts" / "plain.py"
STEPS, SEED = 250, 3


@pytest.mark.parametrize(("arm", "norm"), [("without BN", "none"), ("with BN", "batch")])
def test_the_page_and_the_engine_give_the_same_numbers(arm, norm, digits, tmp_path):
    page = runpy.run_path(str(PLAIN))
    seen = list(page["train"](page["ARMS"][arm], digits, STEPS, SEED))
    engine = records_of_the_engine([f"norm={norm}"], [record["step"] for record in seen], tmp_path)
    assert len(seen) > 10
    assert seen[-1]["step"] == STEPS
    for ours, theirs in zip(seen, engine, strict=True):
        assert ours["step"] == theirs["step"]
        for loss in ("train/batch_loss", "test/loss"):
            assert ours[loss] == pytest.approx(theirs[loss], rel=1e-4), (loss, ours["step"])
        assert ours["test/accuracy"] == pytest.approx(theirs["test/accuracy"], abs=1.5 / len(digits.test_y))


def records_of_the_engine(words: list[str], steps: list[int], out: Path) -> list[dict]:
    """At these `steps`, of a run with all other knobs of training at their defaults."""
    measured = ["measure.what=[accuracy]", "measure.per_decade=0", f"measure.steps={steps}"]
    run = ["data=mnist_sample", f"steps={STEPS}", f"seed={SEED}", "hardware=plain", f"out={out}"]
    (config,) = sweeps.composed_runs([[*run, *words, *measured]])
    assert launch([config], progress=False).failed == {}
    return [record for record in runs.records(runs.folder(config)) if record["step"]]


# ---- the other nets of the argument -----------------------------------------------------------------------


class Half(nn.Module):
    """Half of BN: x − μ + β where it `centres`, else γx/√(σ² + ε) + β."""

    def __init__(self, width: int, centres: bool):
        super().__init__()
        self.centres, self.running = centres, (torch.zeros(width), torch.ones(width))
        self.beta = nn.Parameter(torch.zeros(width))
        self.gamma = None if centres else nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        mean, var = self.running
        if self.training:
            self.running = (0.9 * mean + 0.1 * x.detach().mean(0), 0.9 * var + 0.1 * x.detach().var(0))
            mean, var = x.mean(0), x.var(0, correction=0)
        return x - mean + self.beta if self.gamma is None else self.gamma * x / (var + 1e-5).sqrt() + self.beta


def saturated(width: int) -> nn.Module:
    """BN whose γ begins at 8."""
    norm = nn.BatchNorm1d(width)
    nn.init.constant_(norm.weight, 8)
    return norm


def as_it_is(net: nn.Module, x: Tensor, step: int) -> None:
    pass


@torch.no_grad()
def set_once(net: nn.Module, x: Tensor, step: int, divides: bool = True) -> None:
    """Before the first step: mean 0, and variance 1, of what enters each sigmoid on 1,000 images."""
    u = x[:1000]
    for hidden in list(net)[:3] if step == 0 else []:
        fed = hidden.linear(u)
        spread = fed.std(0, correction=0) if divides else torch.ones(100)
        hidden.linear.weight /= spread[:, None]
        hidden.linear.bias.copy_((hidden.linear.bias - fed.mean(0)) / spread)
        u = hidden(u)


class Turning:
    """The first layer learns nothing; from step to step it and another like it turn, as a pair of axes does."""

    def __init__(self, speed: float):
        self.cos, self.sin = math.cos(speed), math.sin(speed)

    @torch.no_grad()
    def __call__(self, net: nn.Module, x: Tensor, step: int) -> None:
        weight = net[0].requires_grad_(False).linear.weight
        if step == 0:
            two = nn.ModuleDict({"hidden1": nn.ModuleDict({"linear": layers.Turning(784, 100, 0)})})
            starts.initialise(two, lambda fan_in: 0.1, SEED)  # what the seed stands for: this layer and another
            set_once(net, x, step)
            self.w, self.other = weight.double(), two.hidden1.linear.other * weight / two.hidden1.linear.weight
        else:
            self.w, self.other = self.w * self.cos + self.other * self.sin, self.other * self.cos - self.w * self.sin
        weight.copy_(self.w)


@pytest.mark.parametrize(
    ("words", "norm", "change", "rate"),
    [
        ("norm=center", partial(Half, centres=True), as_it_is, 1),
        ("norm=scale", partial(Half, centres=False), as_it_is, 0.1),  # the claim's: at higher ones rounding shows
        ("norm=batch norm.gamma=8", saturated, as_it_is, 1),
        ("norm=none init.once=center", nn.Identity, partial(set_once, divides=False), 1),
        ("norm=none init.once=normalise", nn.Identity, set_once, 1),
        ("norm=none init.once=normalise model.frozen=1", nn.Identity, Turning(0), 1),
        ("norm=none init.once=normalise model.frozen=1 model.turning=0.001", nn.Identity, Turning(0.001), 1),
        ("norm=batch batch_size=4", nn.BatchNorm1d, as_it_is, 0.03),
    ],
    ids=lambda x: x if isinstance(x, str) else "",
)
def test_the_arguments_other_nets_are_what_the_engine_trains(words, norm, change, rate, digits, tmp_path):
    page = runpy.run_path(str(PLAIN))
    net = page["network"](norm)
    starts.initialise(net, lambda fan_in: 0.1, SEED)
    x, test_x = ((images.flatten(1) / 255 > 0.5).float() for images in (digits.train_x, digits.test_x))
    size = int(dict(word.split("=") for word in words.split()).get("batch_size", 60))
    for step, rows in enumerate(batches(SEED, len(x), size, 0, STEPS)):
        change(net, x, step)
        learned = [p for p in net.parameters() if p.requires_grad]
        gradient = torch.autograd.grad(F.cross_entropy(net(x[rows]), digits.train_y[rows]), learned)
        with torch.no_grad():
            for p, g in zip(learned, gradient, strict=True):
                p -= rate * g
    change(net, x, STEPS)
    (engine,) = records_of_the_engine([*words.split(), f"optimizer.lr={rate}"], [STEPS], tmp_path)
    plain = page["test"](net, test_x, digits.test_y)
    assert plain["test/loss"] < 2  # it has learned, and not a number by chance
    assert engine["test/loss"] == pytest.approx(plain["test/loss"], rel=1e-4)
    assert engine["test/accuracy"] == pytest.approx(plain["test/accuracy"], abs=1.5 / len(digits.test_y))


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
