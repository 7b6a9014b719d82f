"""Optimizers over a stack: every number among their settings may differ from run to run.

An optimizer is its settings (one run's), and three functions: `at`, what changes from step to step whatever the
gradient, as corrections of bias do; and of a stacked weight `slots`, what it remembers of it, and `update`, one step in
place. In the last two, `h` holds the settings of all runs, as tensors that broadcast against the weight (runs first).
They equal `torch.optim`'s, except that weight decay leaves biases, γ and β alone.
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
    def at(h: Slots, t: Tensor) -> Slots:
        """What to put in place of the settings `h`, or beside them, at each of the steps `t` (n, 1), from 1: (n, K).

        `h["lr"]` (n, K) follows the schedule, the others are (K,). Computed for many steps at once, as a compiled
        update would compute a power anew for every few of its weights.
        """

    @staticmethod
    def slots(w: Tensor, h: Slots) -> Slots:
        """What is remembered of the stacked weight `w`, before the first step."""

    @staticmethod
    def update(w: Tensor, g: Tensor, slots: Slots, h: Slots) -> None:
        """One step of `w` along the gradient `g`, with the settings of that step; changes `w` and `slots` in place."""


class SGD(Knobs):
    """Gradient descent with (Nesterov) momentum, as `torch.optim.SGD` with dampening 0."""

    lr: Rate = 0.1
    momentum: Decay = 0.0
    nesterov: bool = False
    weight_decay: NonNegative = 0.0

    @staticmethod
    def at(h: Slots, t: Tensor) -> Slots:
        return {}

    @staticmethod
    def slots(w: Tensor, h: Slots) -> Slots:
        return {"velocity": torch.zeros_like(w)} if bool((h["momentum"] != 0).any()) else {}

    @staticmethod
    def update(w: Tensor, g: Tensor, slots: Slots, h: Slots) -> None:
        if "velocity" in slots:
            velocity = slots["velocity"].mul_(h["momentum"]).add_(g)
            g = torch.where(h["nesterov"] != 0, g + h["momentum"] * velocity, velocity)
        w.addcmul_(g, h["lr"], value=-1)


class Adam(Knobs):
    """Kingma & Ba 2015, Algorithm 1, as `torch.optim.Adam`."""

    lr: Rate = 1e-3
    beta1: Decay = 0.9
    beta2: Decay = 0.999
    eps: NonNegative = 1e-8
    weight_decay: NonNegative = 0.0

    @staticmethod
    def at(h: Slots, t: Tensor) -> Slots:
        return {"lr": h["lr"] / (1 - h["beta1"] ** t), "unbias": (1 - h["beta2"] ** t).rsqrt()}

    @staticmethod
    def slots(w: Tensor, h: Slots) -> Slots:
        return {"mean": torch.zeros_like(w), "square": torch.zeros_like(w)}

    @staticmethod
    def update(w: Tensor, g: Tensor, slots: Slots, h: Slots) -> None:
        mean, square = _moments(g, slots, h)
        w.sub_(h["lr"] * mean / (h["unbias"] * square.sqrt() + h["eps"]))


class Adagrad(Knobs):
    """Duchi, Hazan & Singer 2011, as `torch.optim.Adagrad`."""

    lr: Rate = 1e-2
    lr_decay: NonNegative = 0.0
    eps: NonNegative = 1e-10
    weight_decay: NonNegative = 0.0

    @staticmethod
    def at(h: Slots, t: Tensor) -> Slots:
        return {"lr": h["lr"] / (1 + (t - 1) * h["lr_decay"])}

    @staticmethod
    def slots(w: Tensor, h: Slots) -> Slots:
        return {"sum": torch.zeros_like(w)}

    @staticmethod
    def update(w: Tensor, g: Tensor, slots: Slots, h: Slots) -> None:
        total = slots["sum"].add_(g * g)
        w.sub_(h["lr"] * g / (total.sqrt() + h["eps"]))


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
    def at(h: Slots, t: Tensor) -> Slots:
        now, following = (
            h["beta1"] * (1 - 0.5 * NAdam.momentum_base ** (step * h["momentum_decay"])) for step in (t, t + 1)
        )
        return {"now": now, "following": following, "unbias": (1 - h["beta2"] ** t).rsqrt()}

    @staticmethod
    def slots(w: Tensor, h: Slots) -> Slots:
        return {
            "mean": torch.zeros_like(w),
            "square": torch.zeros_like(w),
            "product": torch.ones_like(h["beta1"]),
        }

    @staticmethod
    def update(w: Tensor, g: Tensor, slots: Slots, h: Slots) -> None:
        mean, square = _moments(g, slots, h)
        now, following = h["now"], h["following"]
        product = slots["product"].mul_(now)
        step = (1 - now) / (1 - product) * g + following / (1 - product * following) * mean
        w.sub_(h["lr"] * step / (h["unbias"] * square.sqrt() + h["eps"]))


def broadcast(hyper: Slots, dims: int) -> Slots:
    """Settings (K,) as tensors that broadcast against a weight (K, …) of so many dimensions."""
    return {name: h.view(-1, *[1] * (dims - 1)) for name, h in hyper.items()}


def _moments(g: Tensor, slots: Slots, h: Slots) -> tuple[Tensor, Tensor]:
    mean = slots["mean"].lerp_(g, 1 - h["beta1"])
    square = slots["square"].mul_(h["beta2"]).add_((1 - h["beta2"]) * g * g)
    return mean, square


OPTIMIZERS: dict[str, type[Knobs]] = {"sgd": SGD, "adam": Adam, "adagrad": Adagrad, "nadam": NAdam}
