"""BN does not see the scale of the weights before it, and the larger they are the smaller is their gradient.

Ioffe & Szegedy 2015, §3.3: BN((aW)u) = BN(Wu), ∂BN((aW)u)/∂u = ∂BN(Wu)/∂u, ∂BN((aW)u)/∂(aW) = 1/a · ∂BN(Wu)/∂W.

With ε > 0 it is nearly so. Of a unit whose Wu has variance σ², BN of aWu is that of Wu times √((σ² + ε)/(σ² + ε/a²)),
which is 1 − ε(1/a² − 1)/2σ² to first order.
"""

from collections.abc import Iterator
from typing import Annotated, Any

import torch
from pydantic import Field
from torch import Tensor

from bnlab.norms import BatchNorm

Three = tuple[Tensor, Tensor, Tensor]


def scale_invariance(
    seed: int,
    a: Annotated[float, Field(gt=0)] = 0.1,
    eps: Annotated[float, Field(ge=0)] = 0.0,
    examples: Annotated[int, Field(ge=2)] = 60,
    inputs: Annotated[int, Field(ge=1)] = 100,
    units: Annotated[int, Field(ge=1)] = 50,
) -> Iterator[dict[str, Any]]:
    """One layer on Gaussian inputs, σ² about 1, with W and with aW; the loss is random and linear in the output.

    Columns: `output/error`, `input_gradient/error` and `weight_gradient/error` (of a times it), each the norm of the
    difference over the norm; `output/over_theory`, its error over the first order's in ε, less 1.
    """
    draw = torch.Generator().manual_seed(seed)
    u, w, loss = (
        torch.randn(shape, generator=draw, dtype=torch.float64)
        for shape in ((examples, inputs), (units, inputs), (examples, units))
    )
    w /= inputs**0.5
    norm = BatchNorm(units, 1, eps=eps).double()
    with torch.no_grad():
        norm.gamma.copy_(torch.randn(units, generator=draw))
    output, input_gradient, weight_gradient = _passed(norm, u, w, loss)
    scaled = _passed(norm, u, a * w, loss)
    error = _apart(scaled[0], output)
    first_order = eps * (1 / a**2 - 1) / (2 * (u @ w.T).var(0, correction=0))
    expected = float((first_order * output).norm() / output.norm())
    yield {
        "step": 0,
        "output/error": error,
        "input_gradient/error": _apart(scaled[1], input_gradient),
        "weight_gradient/error": _apart(a * scaled[2], weight_gradient),
        "output/over_theory": error / expected - 1 if expected else 0.0,
    }


def _passed(norm: BatchNorm, u: Tensor, w: Tensor, loss: Tensor) -> Three:
    """BN(Wu) (examples, units), and the loss's gradients to u and to W."""
    u, w = u.clone().requires_grad_(), w.clone().requires_grad_()
    output = norm(u @ w.T)
    to_u, to_w = torch.autograd.grad((loss * output).sum(), (u, w))
    return output.detach(), to_u, to_w


def _apart(one: Tensor, other: Tensor) -> float:
    return float((one - other).norm() / other.norm())
