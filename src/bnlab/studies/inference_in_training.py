"""Test accuracy of one net, while it learns, by three kinds of statistics in its BN layers.

Ioffe & Szegedy 2015, Algorithm 2 and §3.1: inference uses the population's statistics, means over many mini-batches
with the weights as they are; "using moving averages instead, we can track the accuracy of a model as it trains". A
moving average has seen the weights of some 1/momentum updates ago. Batches of the test set itself need neither.
"""

import copy
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bnlab import norms
from bnlab.data.dataset import Dataset
from bnlab.norms import Momentum, OfBatch, precise_statistics
from bnlab.studies.learning import Rate, Steps, descend, moments, net

BATCH = 60  # IS15 §4.1


def inference_in_training(
    seed: int,
    dataset: Dataset,
    lr: Rate = 0.1,
    momentum: Momentum = 0.1,
    steps: Steps = 500,
) -> Iterator[dict[str, Any]]:
    """The paper's net, three hidden layers of 100 sigmoids, by SGD with batches of 60.

    Columns: `test/accuracy`, by the moving average as the net has it; `precise/accuracy`, by means over one epoch of
    training batches; `test_batch/accuracy`, by each test batch's own statistics.
    """
    draw = torch.Generator().manual_seed(seed)
    batch = norms.build({"name": "batch", "momentum": momentum})
    network = net(seed, dataset.inputs, dataset.classes, batch, {"name": "gaussian"})
    x, test_x = dataset.transform(dataset.train_x), dataset.transform(dataset.test_x)
    looked_at = moments(steps, 5)
    order: list[Tensor] = []
    for t in range(1, steps + 1):
        order = order or list(torch.split(torch.randperm(len(x), generator=draw)[: len(x) // BATCH * BATCH], BATCH))
        own = order.pop()
        descend(list(network.parameters()), F.cross_entropy(network(x[own]), dataset.train_y[own]), lr)
        if t in looked_at:
            shuffled = torch.randperm(len(test_x), generator=draw)
            yield {"step": t, **_accuracies(network, x, test_x[shuffled], dataset.test_y[shuffled])}


@torch.no_grad()
def _accuracies(network: nn.Module, x: Tensor, test_x: Tensor, test_y: Tensor) -> dict[str, float]:
    precise = copy.deepcopy(network)
    for layer in precise.modules():
        if isinstance(layer, OfBatch):
            layer.statistics = "precise"
    precise_statistics(precise, torch.split(x[: len(x) // BATCH * BATCH], BATCH))
    by_batch = copy.deepcopy(network).train()
    batches = torch.tensor_split(test_x, max(len(test_x) // BATCH, 1))  # none of one example
    outputs = {
        "test": copy.deepcopy(network).eval()(test_x),
        "precise": precise.eval()(test_x),
        "test_batch": torch.cat([by_batch(own) for own in batches]),
    }
    return {f"{name}/accuracy": float((output.argmax(1) == test_y).double().mean()) for name, output in outputs.items()}
