"""Centring outside the gradient step: the bias grows without bound, and output and loss stay as they were.

Ioffe & Szegedy 2015, §2: where x = u + b is centred after the update, x̂ = x − E[x], and the step does not know that
E[x] depends on b, then b ← b + Δb changes nothing of x̂, so neither output nor loss, and the same Δb comes again.
"""

import math
from collections.abc import Iterator
from typing import Annotated, Any

import torch
from pydantic import Field


def bias_explosion(
    seed: int,
    units: Annotated[int, Field(ge=1)] = 20,
    examples: Annotated[int, Field(ge=2)] = 100,
    steps: Annotated[int, Field(ge=2)] = 1000,
    lr: Annotated[float, Field(gt=0)] = 0.1,
    scaled: bool = False,
) -> Iterator[dict[str, Any]]:
    """Gradient descent on b alone, of ½‖x̂ − y‖² a unit and example, x = u + b, with E[x] taken for a constant.

    `scaled`: x̂ is also divided by the standard deviation, taken for a constant too. Columns: `bias/norm`;
    `bias/over_linear`, its norm over that of t equal steps, less 1; `loss/change`, the largest so far, over the loss at
    the start.
    """
    draw = torch.Generator().manual_seed(seed)
    u, y = (torch.randn(examples, units, generator=draw, dtype=torch.float64) for _ in range(2))
    y += 1  # or the mean of the gradient, which moves b, is nothing
    b = torch.zeros(units, dtype=torch.float64)
    first_loss, first_step, change = math.nan, b, 0.0
    for t in range(steps + 1):
        x = u + b
        spread = x.std(0, unbiased=False) if scaled else torch.ones(units, dtype=torch.float64)
        x_hat = (x - x.mean(0)) / spread
        loss = float((x_hat - y).square().mean() / 2)
        step = -lr * ((x_hat - y) / spread).mean(0)
        if t == 0:
            first_loss, first_step = loss, step
        change = max(change, abs(loss / first_loss - 1))
        if t in {0, steps} or t % max(steps // 50, 1) == 0:
            straight = t * float(first_step.norm())
            yield {
                "step": t,
                "bias/norm": float(b.norm()),
                "bias/over_linear": float(b.norm()) / straight - 1 if t else 0.0,
                "loss/change": change,
            }
        b = b + step
