"""What studies of nets that learn share: a net and its batches from a seed, a step of descent, and when to measure."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.func import functional_call

from bnlab import models, norms
from bnlab.models import Norm
from bnlab.training.order import batches

Rate = Annotated[float, Field(gt=0)]
Steps = Annotated[int, Field(ge=1)]
FAN_IN: Mapping[str, Any] = {"name": "fan_in"}


def norm_of(name: str, eps: float | None = None) -> Norm:
    """A norm by its name; ε where it is not the usual one, of one that has it."""
    return norms.build({"name": name} if name == "none" or eps is None else {"name": name, "eps": eps})


def net(
    seed: int, inputs: tuple[int, ...], classes: int, norm: Norm, init: Mapping[str, Any] = FAN_IN, **mlp: Any
) -> nn.Module:
    """An MLP, in training, with the weights that the seed gives it. Leaves torch's random state as it was."""
    with torch.random.fork_rng(devices=[]):  # torch's layers draw weights when they are made
        return models.build({"name": "mlp", **mlp}, norm, dict(init), seed, inputs, classes)


def is_hidden(name: str) -> bool:
    """Whether a parameter of an MLP is a hidden layer's matrix, which stands before a norm where there is one."""
    return name.endswith(".linear.weight")


def matrices(network: nn.Module) -> Tensor:
    """All matrices of the hidden layers, in one vector; float64."""
    return torch.cat([p.detach().double().flatten() for name, p in network.named_parameters() if is_hidden(name)])


def mini_batches(seed: int, x: Tensor, y: Tensor, size: int, count: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Those of so many updates, as every run with this seed has them."""
    for rows in batches(seed, len(y), size, 0, count):
        yield x.index_select(0, rows), y.index_select(0, rows)  # x[rows] takes five times as long


def descend(weights: Sequence[Tensor], loss: Tensor, lr: float | Sequence[float]) -> tuple[Tensor, ...]:
    """One step of gradient descent on a loss, in place, at one rate or at one a weight; its gradient."""
    gradients = torch.autograd.grad(loss, weights)
    rates = lr if isinstance(lr, Sequence) else [lr] * len(weights)
    with torch.no_grad():
        for w, g, rate in zip(weights, gradients, rates, strict=True):
            w.sub_(g, alpha=rate)
    return gradients


def lost(weights: Sequence[Tensor]) -> bool:
    """Whether the last of a net's weights, its outputs' bias, is no number: then no loss will be, nor any update."""
    return bool(weights[-1].isnan().all())


def moments(steps: int, per_decade: int) -> set[int]:
    """So many moments a factor of ten in steps, from 1, and the last."""
    return {round(10 ** (k / per_decade)) for k in range(per_decade * len(str(steps)))} & set(range(steps)) | {steps}


CHANCE = 0.1  # of ten classes
WORST = 1e6  # a loss that is no number, or larger


def bounded(loss: Tensor) -> float:
    """A loss as a number that JSON can hold."""
    return min(float(torch.nan_to_num(loss.detach(), nan=WORST)), WORST)


@torch.no_grad()
def accuracy(network: nn.Module, x: Tensor, y: Tensor) -> float:
    """By population statistics; that of chance where outputs are no more finite. Leaves the network in training."""
    out = network.eval()(x)
    network.train()
    return float((out.argmax(1) == y).double().mean()) if bool(out.isfinite().all()) else CHANCE


@torch.no_grad()
def as_one_batch(network: nn.Module, x: Tensor) -> Tensor:
    """The outputs for x as a training batch, which leaves the running statistics as they were."""
    out: Tensor = functional_call(network, {name: buffer.clone() for name, buffer in network.named_buffers()}, (x,))
    return out
