"""Whether the rate of weights before BN needs to be tuned, when all else learns at a rate of its own.

Arora, Li & Lyu 2019: weights before BN may have any constant rate, since they grow until it suits them.
"""

from collections.abc import Iterator
from typing import Any

import torch
from torch.nn import functional as F

from bnlab.data import Dataset
from bnlab.layers import ActivationName
from bnlab.studies.deep import Norm, Size
from bnlab.studies.learning import (
    WORST,
    Rate,
    Steps,
    accuracy,
    as_one_batch,
    bounded,
    descend,
    is_hidden,
    matrices,
    mini_batches,
    moments,
    net,
    norm_of,
)


def auto_rate(
    seed: int,
    dataset: Dataset,
    norm: Norm = "batch",
    activation: ActivationName = "relu",
    width: Size = 100,
    depth: Size = 3,
    lr_weights: Rate = 0.1,
    lr: Rate = 0.1,
    steps: Steps = 1000,
    batch: Size = 60,
) -> Iterator[dict[str, Any]]:
    """An MLP by SGD: the hidden layers' weights at `lr_weights`, the output layer, biases, γ and β at `lr`.

    Columns, at two moments a decade: `train/loss` on 1,000 training examples as one batch; `test/accuracy`, by
    population statistics (0.1, as of chance, where numbers are no more finite); `weights/norm`, of the hidden layers'
    together.
    """
    network = net(seed, dataset.inputs, dataset.classes, norm_of(norm), width=width, depth=depth, activation=activation)
    named = dict(network.named_parameters())
    rates = [lr_weights if is_hidden(name) else lr for name in named]
    x, y = dataset.transform(dataset.train_x), dataset.train_y
    test = dataset.transform(dataset.test_x), dataset.test_y
    looked_at = moments(steps, 2)
    for t, (images, labels) in enumerate(mini_batches(seed, x, y, batch, steps), start=1):
        descend(list(named.values()), F.cross_entropy(network(images), labels), rates)
        if t in looked_at:
            loss = F.cross_entropy(as_one_batch(network, x[:1000]), y[:1000])
            yield {
                "step": t,
                "train/loss": bounded(loss),
                "test/accuracy": accuracy(network, *test),
                "weights/norm": float(torch.nan_to_num(matrices(network).norm(), nan=WORST, posinf=WORST)),
            }
