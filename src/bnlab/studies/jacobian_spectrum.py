"""The singular values of a layer's Jacobian, at the start of training and later.

Ioffe & Szegedy 2015, §3.3: if normalised inputs and outputs of a layer were Gaussian and uncorrelated, and the layer
linear, its Jacobian would be orthogonal; so BN may lead layer Jacobians to have singular values close to 1.
"""

import math
from collections.abc import Iterator
from typing import Annotated, Any

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from bnlab.data import Dataset
from bnlab.layers import ActivationName
from bnlab.norms import OfBatch
from bnlab.studies.deep import Gain, Norm, Size
from bnlab.studies.learning import net, norm_of

EXAMPLES = 100  # whose statistics are the batch's; of the first 10 the Jacobians are taken
TAKEN = 10


def jacobian_spectrum(
    seed: int,
    dataset: Dataset,
    norm: Norm = "batch",
    activation: ActivationName = "sigmoid",
    width: Size = 100,
    depth: Annotated[int, Field(ge=2)] = 3,
    gain: Gain = 1.0,
    lr: Annotated[float, Field(gt=0)] = 1.0,
    steps: Annotated[int, Field(ge=1)] = 1000,
    batch: Size = 60,
) -> Iterator[dict[str, Any]]:
    """An MLP trained by gradient descent on batches of `batch`; weights begin as N(0, gain²/width).

    A layer's Jacobian is that of what enters nonlinearity k + 1 in what enters nonlinearity k, one a training example,
    with the batch's μ and σ held: diag(γ/σ) W diag(φ′). Columns, of the singular values of all layers and examples:
    `singular/rms`; `singular/low` and `singular/high`, 5th and 95th percentiles; `singular/near_one`, the share between
    0.5 and 2; and `train/loss` of the batch.
    """
    start, mlp = {"name": "gaussian", "sigma": gain / math.sqrt(width)}, {"width": width, "depth": depth}
    network = net(seed, dataset.inputs, dataset.classes, norm_of(norm), start, activation=activation, **mlp)
    draw, of_update = torch.Generator().manual_seed(seed), torch.optim.SGD(network.parameters(), lr=lr)
    x, y = dataset.transform(dataset.train_x), dataset.train_y
    for step in range(steps + 1):
        if step == steps or step % max(steps // 10, 1) == 0:
            yield {"step": step, **_spectrum(network, x[:EXAMPLES], y[:EXAMPLES], depth)}
        chosen = torch.randint(len(x), (batch,), generator=draw)
        of_update.zero_grad()
        torch.autograd.backward(F.cross_entropy(network(x.index_select(0, chosen)), y[chosen]))
        of_update.step()


def _spectrum(network: Any, x: Tensor, y: Tensor, depth: int) -> dict[str, float]:
    values: list[Tensor] = []
    slope, u = torch.empty(0), network.flatten(x)
    with torch.no_grad():
        for k in range(1, depth + 1):
            layer = getattr(network, f"hidden{k}")
            h = layer.linear(u)
            a = layer.norm(h)
            if k > 1:
                values.append(torch.linalg.svdvals(jacobian(layer, h, slope[:TAKEN])).flatten())
            slope, u = _slope(layer.act, a), layer.act(a)
        loss = float(F.cross_entropy(network.output(u), y))
    s = torch.cat(values).double()
    return {
        "singular/rms": float(s.square().mean().sqrt()),
        "singular/low": float(s.quantile(0.05)),
        "singular/high": float(s.quantile(0.95)),
        "singular/near_one": float(((s > 0.5) & (s < 2)).double().mean()),
        "train/loss": loss,
    }


def jacobian(layer: Any, h: Tensor, slope: Tensor) -> Tensor:
    """diag(γ/σ) W diag(φ′), (examples, units, units), of φ′ (examples, units) and the batch's h (m, units)."""
    j: Tensor = layer.linear.weight * slope[:, None, :]
    if isinstance(layer.norm, OfBatch):
        norm: Any = layer.norm
        j = (norm.gamma / (h.var(0, correction=0) + norm.eps).sqrt())[:, None] * j
    return j


def _slope(act: nn.Module, a: Tensor) -> Tensor:
    """φ′(a), of a's shape."""
    with torch.enable_grad():
        a = a.detach().requires_grad_()
        (slope,) = torch.autograd.grad(act(a).sum(), a)
    return slope
