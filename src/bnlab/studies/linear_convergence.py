"""Gradient descent on the length and the direction of weights apart, as BN has it: does it converge exponentially?

Kohler et al. 2018: BN "splits the optimization task into optimizing length and direction of the parameters separately",
and with Gaussian inputs least squares and half-spaces then converge exponentially. Their proofs are of algorithms with
a rate of their own for the direction; here it is plain gradient descent through BN, or with the direction's rate times
‖w‖²/γ², so that its step hangs on no length.
"""

import math
from collections.abc import Iterator
from typing import Annotated, Any, Literal

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from bnlab.norms import BatchNorm

Problem = Literal["least_squares", "noisy_halfspace", "halfspace"]
FLOOR = 1e-12  # of the gap, which rounding blurs


def linear_convergence(
    seed: int,
    problem: Problem = "noisy_halfspace",
    descent: Literal["plain", "batch", "batch_scaled"] = "batch",
    steps: Annotated[int, Field(ge=10)] = 600,
    examples: Annotated[int, Field(ge=2)] = 200,
    inputs: Annotated[int, Field(ge=1)] = 20,
    condition: Annotated[float, Field(ge=1)] = 30.0,
    low: float = -2.0,
    high: float = 3.0,
    rates: Annotated[int, Field(ge=2)] = 11,
) -> Iterator[dict[str, Any]]:
    """Full-batch descent at `rates` rates from 10^low to 10^high at once; what is told is of the one that is fastest.

    Inputs are Gaussian, with variances from 1 to 1/`condition`. A half-space is learned by the logistic loss, from
    labels that are drawn from it or (`halfspace`) that a plane parts. Columns: `gap/value`, the loss above the least
    there is, over that at the start; and, the same in all records, `rate/log10`, and `digits/cost`: the steps in which
    the gap falls from 10⁻⁴ to 10⁻⁸, over those in which it falls to 10⁻⁴. Exponential convergence makes it about 1, a
    law t^−p 10^(4/p) − 1. Where 10⁻⁸ is not reached it is what it is at least; and all steps where not even 10⁻⁴ is.
    """
    draw = torch.Generator().manual_seed(seed)
    x, y = _data(problem, examples, inputs, condition, draw)
    lr = torch.logspace(low, high, rates, dtype=torch.float64)
    w = torch.randn(inputs, generator=draw, dtype=torch.float64).repeat(rates, 1) / inputs**0.5
    losses = _descend(problem, descent, x, y, w, lr, steps)  # (steps + 1, rates)
    gaps = losses - _least(problem, x, y, float(losses.nan_to_num(math.inf).min()))
    gaps = (gaps / gaps[0]).nan_to_num(math.inf).clamp(min=FLOOR, max=1e9)
    four, eight = (_first(gaps <= 10.0**-digits) for digits in (4, 8))
    best = min(range(rates), key=lambda i: (eight[i], four[i], float(gaps[-1, i])))
    cost = (min(eight[best], steps) - four[best]) / max(four[best], 1) if four[best] <= steps else float(steps)
    for t in sorted({round(steps ** (k / 40)) for k in range(41)} | {0} | set(range(0, steps + 1, -(-steps // 30)))):
        yield {
            "step": t,
            "gap/value": float(gaps[t, best]),
            "digits/cost": cost,
            "rate/log10": float(lr[best].log10()),
        }


def _first(there: Tensor) -> list[int]:
    """By rate the first step of there (steps + 1, rates), or one beyond the last."""
    return [int(steps[0]) if len(steps := own.nonzero()) else len(own) for own in there.T]


def _data(problem: str, examples: int, inputs: int, condition: float, draw: torch.Generator) -> tuple[Tensor, Tensor]:
    """Centred inputs (examples, inputs), and targets or labels ±1 (examples,)."""
    x = torch.randn(examples, inputs, generator=draw, dtype=torch.float64)
    x *= torch.logspace(0, -math.log10(condition) / 2, inputs, dtype=torch.float64)
    x -= x.mean(0)
    truth = torch.randn(inputs, generator=draw, dtype=torch.float64)
    score = x @ truth / (x @ truth).std()
    if problem == "least_squares":
        noise = torch.randn(examples, generator=draw, dtype=torch.float64)
        return x, score + noise - noise.mean()
    if problem == "halfspace":
        return x, score.sign()
    above = torch.rand(examples, generator=draw, dtype=torch.float64) < torch.sigmoid(2 * score)
    return x, above.double() * 2 - 1


def _loss(problem: str, output: Tensor, y: Tensor) -> Tensor:
    """By net, (rates,); output (examples, rates)."""
    if problem == "least_squares":
        return (output - y[:, None]).square().mean(0) / 2
    return F.softplus(-y[:, None] * output).mean(0)


def _descend(problem: str, descent: str, x: Tensor, y: Tensor, w: Tensor, lr: Tensor, steps: int) -> Tensor:
    """Losses (steps + 1, rates); a net for each rate, which are the units of one BN layer."""
    norm = BatchNorm(len(lr), 1, eps=0.0).double()
    normalised = descent != "plain"
    w = w.requires_grad_()
    learning = [w, norm.gamma] if normalised else [w]
    if normalised:
        with torch.no_grad():
            norm.gamma.copy_((x @ w.T).std(0, correction=0))  # begins as the same function
    losses = []
    for _ in range(steps + 1):
        output = norm(x @ w.T) if normalised else x @ w.T
        loss = _loss(problem, output, y)
        losses.append(loss.detach())
        gradients = torch.autograd.grad(loss.sum(), learning)
        with torch.no_grad():
            longer = w.square().sum(1) / norm.gamma**2 if descent == "batch_scaled" else 1.0
            w.sub_((lr * longer)[:, None] * gradients[0])
            if normalised:
                norm.gamma.sub_(lr * gradients[1])
    return torch.stack(losses)


def _least(problem: str, x: Tensor, y: Tensor, seen: float) -> float:
    """The least loss that any weights have; of labels that a plane parts it is 0, and of the logistic loss Newton's."""
    if problem == "halfspace":
        return 0.0
    if problem == "least_squares":
        w = torch.linalg.lstsq(x, y[:, None]).solution
    else:
        w = x.new_zeros(x.shape[1], 1)
        for _ in range(30):
            p = torch.sigmoid(-y[:, None] * (x @ w))  # minus the slope, over y
            w = w + torch.linalg.solve((x * p * (1 - p)).T @ x, x.T @ (p * y[:, None]))
    return min(float(_loss(problem, x @ w, y)), seen)
