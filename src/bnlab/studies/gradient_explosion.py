"""The gradient at the start of a deep net: by what factor it grows from each layer to the one below.

Yang et al. 2019: with BN it grows exponentially. Where layers are wide and batches large, each layer's inputs are
x = Wφ(x̂) with examples' x̂ independent of each other, N(0, 1). BN divides by σ² = w²(E φ² − (E φ)²) of W's variance
w²/width, and a gradient passes W and φ with w²·E φ′², so that its square grows by E φ′²/Var φ: by π/(π − 1) for ReLU,
and by no less than 1 for any φ (Poincaré's inequality), just 1 for a linear one. The same holds of the gradient of W.
"""

from collections.abc import Iterator
from typing import Annotated, Any

import torch
from pydantic import Field
from torch import Tensor, nn

from bnlab.layers import ActivationName
from bnlab.studies.deep import Gain, Norm, Size, Weights, site, square


def gradient_explosion(
    seed: int,
    norm: Norm = "batch",
    activation: ActivationName = "relu",
    width: Size = 128,
    depth: Size = 40,
    batch: Size = 64,
    gain: Gain = 1.0,
    weights: Weights = "gaussian",
    stepped: Annotated[float, Field(ge=0)] = 0,
) -> Iterator[dict[str, Any]]:
    """Of a random linear loss of the last layer's outputs, for `batch` Gaussian inputs; a record a layer, from the top.

    `step`: how many layers below the last. Columns: `gradient/weights` and `gradient/inputs`, the norms of the loss's
    gradient in a layer's W and in its x = Wu, before the norm; both without unit.

    With `stepped` all layers have gone one step down the gradient before, on other inputs and another loss, at a rate
    that moves the last one's W by `stepped` of its norm.
    """
    draw = torch.Generator().manual_seed(seed)
    u = torch.randn(batch, width, generator=draw)
    layer = site(norm, activation, width).float()  # no identity is asked for, and this is twice as fast
    matrices = [square(width, draw, gain, weights).float().requires_grad_() for _ in range(depth)]
    of_weights, of_inputs = _gradients(matrices, layer, u, draw)
    if stepped:
        rate = stepped * matrices[-1].detach().norm() / of_weights[-1].norm()
        with torch.no_grad():
            for w, g in zip(matrices, of_weights, strict=True):
                w -= rate * g
        of_weights, of_inputs = _gradients(matrices, layer, torch.randn(batch, width, generator=draw), draw)
    for below, (g, in_inputs) in enumerate(zip(reversed(of_weights), reversed(of_inputs), strict=True)):
        yield {
            "step": below,
            "gradient/weights": float(g.double().norm()),  # squares would underflow
            "gradient/inputs": float(in_inputs.double().norm()),
        }


def _gradients(
    matrices: list[Tensor], layer: nn.Module, u: Tensor, draw: torch.Generator
) -> tuple[list[Tensor], list[Tensor]]:
    """Of the sum of the outputs times random numbers, for inputs u (m, width): in each W, and in each x = Wu."""
    inputs: list[Tensor] = []
    for w in matrices:
        inputs.append(u @ w.T)
        u = layer(inputs[-1])
    loss = (u * torch.randn(u.shape, generator=draw)).sum()
    found = torch.autograd.grad(loss, [*matrices, *inputs])
    return list(found[: len(matrices)]), list(found[len(matrices) :])
