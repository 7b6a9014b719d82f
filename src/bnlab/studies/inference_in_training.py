"""Test accuracy of one net, while it learns, by three kinds of statistics in its BN layers.

Ioffe & Szegedy 2015, Algorithm 2 and §3.1: inference uses the population's statistics, means over many mini-batches
with the weights as they are; "using moving averages instead, we can track the accuracy of a model as it trains". A
moving average has seen the weights of some 1/momentum updates ago. Batches of the test set itself need neither.
"""

import copy
from collections.abc import Iterator
from typing import Annotated, Any

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from bnlab import models, norms
from bnlab.data.dataset import Dataset
from bnlab.norms import Momentum, OfBatch, precise_statistics

BATCH = 60  # IS15 §4.1


def inference_in_training(
    seed: int,
    dataset: Dataset,
    lr: Annotated[float, Field(gt=0)] = 0.1,
    momentum: Momentum = 0.1,
    steps: Annotated[int, Field(ge=1)] = 500,
) -> Iterator[dict[str, Any]]:
    """The paper's net, three hidden layers of 100 sigmoids, by SGD with batches of 60.

    Columns: `test/accuracy`, by the moving average as the net has it; `precise/accuracy`, by means over one epoch of
    training batches; `test_batch/accuracy`, by each test batch's own statistics.
    """
    draw = torch.Generator().manual_seed(seed)
    mlp, batch = {"name": "mlp"}, norms.build({"name": "batch", "momentum": momentum})
    with torch.random.fork_rng(devices=[]):
        net = models.build(mlp, batch, {"name": "gaussian"}, seed, dataset.inputs, dataset.classes)
    x, test_x = dataset.transform(dataset.train_x), dataset.transform(dataset.test_x)
    looks = {round(10 ** (k / 5)) for k in range(50)} | {steps}
    order: list[Tensor] = []
    for t in range(1, steps + 1):
        order = order or list(torch.split(torch.randperm(len(x), generator=draw)[: len(x) // BATCH * BATCH], BATCH))
        own = order.pop()
        loss = F.cross_entropy(net(x[own]), dataset.train_y[own])
        gradients = torch.autograd.grad(loss, list(net.parameters()))
        with torch.no_grad():
            for p, gradient in zip(net.parameters(), gradients, strict=True):
                p.sub_(gradient, alpha=lr)
        if t in looks:
            shuffled = torch.randperm(len(test_x), generator=draw)
            yield {"step": t, **_accuracies(net, x, test_x[shuffled], dataset.test_y[shuffled])}


@torch.no_grad()
def _accuracies(net: nn.Module, x: Tensor, test_x: Tensor, test_y: Tensor) -> dict[str, float]:
    precise = copy.deepcopy(net)
    for layer in precise.modules():
        if isinstance(layer, OfBatch):
            layer.statistics = "precise"
    precise_statistics(precise, torch.split(x[: len(x) // BATCH * BATCH], BATCH))
    by_batch = copy.deepcopy(net).train()
    batches = torch.tensor_split(test_x, max(len(test_x) // BATCH, 1))  # none of one example
    outputs = {
        "test": copy.deepcopy(net).eval()(test_x),
        "precise": precise.eval()(test_x),
        "test_batch": torch.cat([by_batch(own) for own in batches]),
    }
    return {f"{name}/accuracy": float((output.argmax(1) == test_y).double().mean()) for name, output in outputs.items()}
