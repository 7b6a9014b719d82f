"""Optimizers over a stack: every number among their settings may differ from run to run.

An optimizer is its settings (one run's), and two functions of a stacked weight: `slots`, what it remembers of one
weight, and `update`, one step in place. In both, `h` holds the settings of all runs, as tensors that broadcast against
the weight (runs first), and `h["lr"]` already carries the schedule's factor. They equal `torch.optim`'s, except
that weight decay leaves biases, γ and β alone.
"""

from typing import Annotated, ClassVar, Protocol

import torch
from pydantic import Field
from torch import Tensor

from bnlab.config import Knobs

Slots = dict[str, Tensor]
Rate = Annotated[float, Field(gt=0)]
NonNegative = Annotated[float, Field(ge=0)]
Decay = Annotated[float, Field(ge=0, lt=1)]


class Optimizer(Protocol):
    """What the engine asks of an optimizer."""

    lr: float

    @staticmethod
    def slots(w: Tensor, h: Slots) -> Slots:
        """What is remembered of the stacked weight `w`, before the first step."""

    @staticmethod
    def update(w: Tensor, g: Tensor, slots: Slots, h: Slots, t: Tensor) -> None:
        """Step number `t` (0-d, from 1) of `w` along the gradient `g`; changes `w` and `slots` in place."""


class SGD(Knobs):
    """Gradient descent with (Nesterov) momentum, as `torch.optim.SGD` with dampening 0."""

    lr: Rate = 0.1
    momentum: Decay = 0.0
    nesterov: bool = False
    weight_decay: NonNegative = 0.0

    @staticmethod
    def slots(w: Tensor, h: Slots) -> Slots:
        return {"velocity": torch.zeros_like(w)} if bool((h["momentum"] != 0).any()) else {}

    @staticmethod
    def update(w: Tensor, g: Tensor, slots: Slots, h: Slots, t: Tensor) -> None:
        if "velocity" in slots:
            velocity = slots["velocity"].mul_(h["momentum"]).add_(g)
            g = torch.where(h["nesterov"] != 0, g + h["momentum"] * velocity, velocity)
        w.sub_(h["lr"] * g)


class Adam(Knobs):
    """Kingma & Ba 2015, Algorithm 1, as `torch.optim.Adam`."""

    lr: Rate = 1e-3
    beta1: Decay = 0.9
    beta2: Decay = 0.999
    eps: NonNegative = 1e-8
    weight_decay: NonNegative = 0.0

    @staticmethod
    def slots(w: Tensor, h: Slots) -> Slots:
        return {"mean": torch.zeros_like(w), "square": torch.zeros_like(w)}

    @staticmethod
    def update(w: Tensor, g: Tensor, slots: Slots, h: Slots, t: Tensor) -> None:
        mean, square = _moments(g, slots, h)
        root = (square / (1 - h["beta2"] ** t)).sqrt() + h["eps"]
        w.sub_(h["lr"] / (1 - h["beta1"] ** t) * mean / root)


class Adagrad(Knobs):
    """Duchi, Hazan & Singer 2011, as `torch.optim.Adagrad`."""

    lr: Rate = 1e-2
    lr_decay: NonNegative = 0.0
    eps: NonNegative = 1e-10
    weight_decay: NonNegative = 0.0

    @staticmethod
    def slots(w: Tensor, h: Slots) -> Slots:
        return {"sum": torch.zeros_like(w)}

    @staticmethod
    def update(w: Tensor, g: Tensor, slots: Slots, h: Slots, t: Tensor) -> None:
        total = slots["sum"].add_(g * g)
        w.sub_(h["lr"] / (1 + (t - 1) * h["lr_decay"]) * g / (total.sqrt() + h["eps"]))


class NAdam(Knobs):
    """Dozat 2016, Algorithm 2, with the momentum schedule of `torch.optim.NAdam`."""

    lr: Rate = 2e-3
    beta1: Decay = 0.9
    beta2: Decay = 0.999
    momentum_decay: NonNegative = 4e-3
    eps: NonNegative = 1e-8
    weight_decay: NonNegative = 0.0
    momentum_base: ClassVar[float] = 0.96

    @staticmethod
    def slots(w: Tensor, h: Slots) -> Slots:
        return {
            "mean": torch.zeros_like(w),
            "square": torch.zeros_like(w),
            "product": torch.ones_like(h["beta1"]),
        }

    @staticmethod
    def update(w: Tensor, g: Tensor, slots: Slots, h: Slots, t: Tensor) -> None:
        mean, square = _moments(g, slots, h)
        root = (square / (1 - h["beta2"] ** t)).sqrt() + h["eps"]
        now = h["beta1"] * (1 - 0.5 * NAdam.momentum_base ** (t * h["momentum_decay"]))
        following = h["beta1"] * (1 - 0.5 * NAdam.momentum_base ** ((t + 1) * h["momentum_decay"]))
        product = slots["product"].mul_(now)
        step = (1 - now) / (1 - product) * g + following / (1 - product * following) * mean
        w.sub_(h["lr"] * step / root)


def broadcast(hyper: Slots, w: Tensor) -> Slots:
    """Settings (K,) as tensors that broadcast against a weight (K, …)."""
    return {name: h.view(-1, *[1] * (w.dim() - 1)) for name, h in hyper.items()}


def _moments(g: Tensor, slots: Slots, h: Slots) -> tuple[Tensor, Tensor]:
    mean = slots["mean"].lerp_(g, 1 - h["beta1"])
    square = slots["square"].mul_(h["beta2"]).add_((1 - h["beta2"]) * g * g)
    return mean, square


OPTIMIZERS: dict[str, type[Knobs]] = {"sgd": SGD, "adam": Adam, "adagrad": Adagrad, "nadam": NAdam}
