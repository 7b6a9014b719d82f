"""Whether a deep residual net can be trained: with BN in its branches, without, or without and closed at the start.

De & Smith 2020: BN lets deep residual nets train because it scales their branches down at the start; a scalar on each
branch that begins at 0 (their SkipInit) does it as well.
"""

import math
from collections.abc import Iterator
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bnlab.data import Dataset
from bnlab.layers import ACTIVATIONS, ActivationName
from bnlab.studies.deep import Norm, Size
from bnlab.studies.learning import Rate, Steps, accuracy, bounded, descend, looks, lost, mini_batches, norm_of


class Block(nn.Module):
    """u + s·Wφ(norm(u)), W of variance 2/width; s learns, or is 1."""

    def __init__(self, width: int, norm: nn.Module, act: nn.Module, scalar: float | None):
        super().__init__()
        self.branch = nn.Sequential(norm, act, nn.Linear(width, width))
        self.scalar = None if scalar is None else nn.Parameter(torch.tensor(scalar))

    def forward(self, u: Tensor) -> Tensor:
        branch: Tensor = self.branch(u)
        return u + (branch if self.scalar is None else self.scalar * branch)


def residual_training(
    seed: int,
    dataset: Dataset,
    norm: Norm = "batch",
    activation: ActivationName = "relu",
    branch: Literal["open", "closed"] = "open",
    width: Size = 64,
    blocks: Size = 50,
    lr: Rate = 0.1,
    steps: Steps = 500,
    batch: Size = 60,
) -> Iterator[dict[str, Any]]:
    """A linear layer, `blocks` blocks u + s·Wφ(norm(u)), a norm and a linear output, by SGD.

    `open`: s is 1; `closed`: it begins at 0 and learns. Columns, at two looks a decade: `train/loss` of the batch;
    `validation/accuracy` and `test/accuracy`, 0.1, as of chance, where numbers are no more finite.
    """
    x, y = dataset.transform(dataset.train_x), dataset.train_y
    network = _net(seed, math.prod(dataset.inputs), dataset.classes, norm, activation, branch, width, blocks)
    weights, looked_at = list(network.parameters()), looks(2, steps)
    held = {
        "validation": (dataset.transform(dataset.val_x), dataset.val_y),
        "test": (dataset.transform(dataset.test_x), dataset.test_y),
    }
    for t, (images, labels) in enumerate(mini_batches(seed, x, y, batch, steps), start=1):
        if lost(weights) and t not in looked_at:
            continue
        loss = F.cross_entropy(network(images), labels)
        descend(weights, loss, lr)
        if t in looked_at:
            yield {
                "step": t,
                "train/loss": bounded(loss),
                **{f"{part}/accuracy": accuracy(network, *examples) for part, examples in held.items()},
            }


def _net(
    seed: int, inputs: int, classes: int, norm: Norm, activation: ActivationName, branch: str, width: int, blocks: int
) -> nn.Module:
    make, scalar = norm_of(norm), 0.0 if branch == "closed" else None
    draw = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng(devices=[]):  # torch's layers draw weights when they are made
        deep = [Block(width, make(width, 1), ACTIVATIONS[activation](), scalar) for _ in range(blocks)]
        network = nn.Sequential(
            nn.Flatten(),
            nn.Linear(inputs, width),
            *deep,
            make(width, 1),
            ACTIVATIONS[activation](),
            nn.Linear(width, classes),
        )
    with torch.no_grad():
        for layer in network.modules():
            if isinstance(layer, nn.Linear):
                layer.weight.copy_(torch.randn(layer.weight.shape, generator=draw) * math.sqrt(2 / layer.in_features))
                layer.bias.zero_()
    return network
