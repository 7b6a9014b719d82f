"""By how much of itself each layer's weights move in an update, and whether layers come to move alike.

Sharafi et al. 2024: with a norm the rates of layers even out, even where gradients explode with depth at the start.
Why they would: a step stands at right angles to W, so that ‖W‖² grows by η²‖g‖², and ‖g‖ = G/‖W‖. With a constant G,
‖W‖⁴ grows by 2η²G² a step, and once that is most of it the relative step η‖g‖/‖W‖ = ηG/‖W‖² is 1/√(2t): G has gone.
A first step that is far longer than W sets ‖W‖ by itself, and it takes some (ηG/‖W‖²)²/2 steps to forget it.
"""

import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from bnlab.data import Dataset
from bnlab.layers import ActivationName
from bnlab.studies.deep import Gain, Norm, Size
from bnlab.studies.learning import Rate, Steps, descend, mini_batches, moments, net, norm_of

LEAST = 1e-30  # of r, where a layer has no gradient any more


def effective_rates(
    seed: int,
    dataset: Dataset,
    norm: Norm = "batch",
    activation: ActivationName = "relu",
    width: Size = 100,
    depth: Size = 10,
    gain: Gain = 1.0,
    lr: Rate = 0.1,
    steps: Steps = 2000,
    batch: Size = 60,
) -> Iterator[dict[str, Any]]:
    """An MLP by SGD without decay or momentum; weights begin as N(0, gain²/fan-in).

    r: of each hidden layer but the first, whose inputs are the images, η‖g‖/‖W‖, with the root mean square of ‖g‖ since
    the moment before. Columns, at five moments a decade: `rate/spread`, the standard deviation over layers of log10 r;
    `rate/over_law`, the mean over layers of r√(2t); `train/loss` of the batch.
    """
    network = net(
        seed,
        dataset.inputs,
        dataset.classes,
        norm_of(norm),
        {"name": "fan_in", "gain": gain},
        width=width,
        depth=depth,
        activation=activation,
    )
    named = dict(network.named_parameters())
    matrices = [f"hidden{k}.linear.weight" for k in range(2, depth + 1)]
    x, y = dataset.transform(dataset.train_x), dataset.train_y
    squares, since, looked_at = torch.zeros(len(matrices), dtype=torch.float64), 0, moments(steps, 5)
    for t, (images, labels) in enumerate(mini_batches(seed, x, y, batch, steps), start=1):
        before = _norms([named[name] for name in matrices])
        loss = F.cross_entropy(network(images), labels)
        gradient = dict(zip(named, descend(list(named.values()), loss, lr), strict=True))
        squares += _norms([gradient[name] for name in matrices]).square()
        since += 1
        if t in looked_at:
            r = torch.nan_to_num(lr * (squares / since).sqrt() / before).clamp(min=LEAST)
            yield {
                "step": t,
                "rate/spread": float(r.log10().std(correction=0)),
                "rate/over_law": float(r.mean()) * math.sqrt(2 * t),
                "train/loss": float(loss.detach()),
            }
            squares, since = torch.zeros_like(squares), 0


def _norms(tensors: list[Tensor]) -> Tensor:
    """Of tensors of one shape (width, width), each; float64."""
    norms: Tensor = torch.linalg.vector_norm(torch.stack(tensors).detach(), dim=(1, 2), dtype=torch.float64)
    return norms
