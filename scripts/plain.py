"""Figure 1a of Ioffe & Szegedy 2015 in ordinary PyTorch: test accuracy over training, with and without BN.

This is what the engine of bnlab computes; a test holds both to the same numbers. From bnlab come only the digits, and
what a seed stands for: the initial weights and the order of batches.
"""

import argparse
import os
import sys
from collections import OrderedDict
from collections.abc import Iterator

os.environ["MPLBACKEND"] = "Agg"  # the figure is a file; another backend may want a screen
import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor, nn
from torch.nn import functional as F

from bnlab import data, starts, sweeps
from bnlab.config import ConfigError, path
from bnlab.training.order import batches

ARMS = {"with BN": nn.BatchNorm1d, "without BN": nn.Identity}  # its defaults are the engine's: ε 1e-5, momentum 0.1


def network(norm: type[nn.Module]) -> nn.Module:
    """784-100-100-100-10; a seed gives a layer its initial weights by the layer's name, which is the engine's."""
    hidden = {f"hidden{k}": layer(inputs, norm) for k, inputs in [(1, 784), (2, 100), (3, 100)]}
    return nn.Sequential(OrderedDict(hidden, output=nn.Linear(100, 10)))


def layer(inputs: int, norm: type[nn.Module]) -> nn.Module:
    """z = sigmoid(Wu + b), or sigmoid(BN(Wu)): BN would subtract b with the mean, and has its own β instead."""
    linear = nn.Linear(inputs, 100, bias=norm is nn.Identity)
    return nn.Sequential(OrderedDict(linear=linear, norm=norm(100), act=nn.Sigmoid()))


def train(norm: type[nn.Module], digits: data.Dataset, steps: int, seed: int) -> Iterator[dict[str, float]]:
    """Train one net; yield what is seen of it at up to 20 log-spaced moments."""
    x, test_x = ((images.flatten(1) / 255 > 0.5).float() for images in (digits.train_x, digits.test_x))  # binary
    net = network(norm)
    starts.initialise(net, lambda fan_in: 0.1, seed)  # weights from N(0, 0.1²), biases 0
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    moments = set(np.geomspace(1, steps, 20).round())
    losses = []  # of the batches since the last moment
    for step, rows in enumerate(batches(seed, len(x), 60, 0, steps), start=1):
        loss = F.cross_entropy(net(x[rows]), digits.train_y[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
        if step in moments:
            yield {"step": step, "train/batch_loss": np.mean(losses), **test(net, test_x, digits.test_y)}
            losses = []


@torch.no_grad()
def test(net: nn.Module, x: Tensor, y: Tensor) -> dict[str, float]:
    """In eval mode: BN takes its running averages, so that a digit's answer does not depend on the others."""
    logits = net.eval()(x)
    net.train()
    right = (logits.argmax(1) == y).float()
    return {"test/loss": F.cross_entropy(logits, y).item(), "test/accuracy": right.mean().item()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--data", default="mnist", choices=["mnist", "mnist_sample"], help="the sample: no download")
    parser.add_argument("--steps", type=int, default=50_000, help="updates of each net; 50,000 take minutes")
    parser.add_argument("--seed", type=int, default=0, help="of the initial weights and the order of batches")
    parser.add_argument("--out", type=path, default="figures/plain.png", help="the figure, .png, .svg or .pdf")
    asked = parser.parse_args()
    if not (1 <= asked.steps <= 1_000_000 and asked.seed >= 0 and asked.out.suffix in (".png", ".svg", ".pdf")):
        raise ConfigError("--steps must be from 1 to 1,000,000, --seed not negative, --out a .png, .svg or .pdf")
    digits = data.load(sweeps.group_settings("data", asked.data))
    asked.out.parent.mkdir(parents=True, exist_ok=True)
    axes = Figure(dpi=150).subplots()
    axes.set(xscale="log", xlabel="steps", ylabel="test accuracy", title=f"{asked.data}, seed {asked.seed}")
    for arm, norm in ARMS.items():
        curve = {}
        for seen in train(norm, digits, asked.steps, asked.seed):
            print(f"{arm:10}", *(f"{name} {value:<7.5g}" for name, value in seen.items()), flush=True)
            curve[seen["step"]] = seen["test/accuracy"]
        axes.plot(*zip(*curve.items(), strict=True), ".-", label=arm)
    axes.legend()
    axes.figure.savefig(asked.out)
    print(asked.out)


if __name__ == "__main__":
    try:
        main()
    except (ConfigError, OSError) as error:
        sys.exit(f"error: {error}")
