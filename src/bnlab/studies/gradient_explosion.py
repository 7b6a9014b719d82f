"""The gradient at the start of a deep net: by what factor it grows from each layer to the one below.

Yang et al. 2019: with BN it grows exponentially. Where layers are wide and batches large, each layer's inputs are
x = Wφ(x̂) with examples' x̂ independent of each other, N(0, 1). BN divides by σ² = w²(E φ² − (E φ)²) of W's variance
w²/width, and a gradient passes W and φ with w²·E φ′², so that its square grows by E φ′²/Var φ: by π/(π − 1) for ReLU,
and by no less than 1 for any φ (Poincaré's inequality), just 1 for a linear one. The same holds of the gradient of W.
"""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

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
) -> Iterator[dict[str, Any]]:
    """Of a random linear loss of the last layer's outputs, for `batch` Gaussian inputs; a record a layer, from the top.

    `step`: how many layers below the last. Columns: `gradient/weights` and `gradient/inputs`, the norms of the loss's
    gradient in a layer's W and in its x = Wu, before the norm; both without unit.
    """
    draw = torch.Generator().manual_seed(seed)
    u = torch.randn(batch, width, generator=draw)
    layer = site(norm, activation, width).float()  # no identity is asked for, and this is twice as fast
    matrices: list[Tensor] = []
    inputs: list[Tensor] = []
    for _ in range(depth):
        matrices.append(square(width, draw, gain, weights).float().requires_grad_())
        inputs.append(u @ matrices[-1].T)
        u = layer(inputs[-1])
    loss = (u * torch.randn(batch, width, generator=draw)).sum()
    of = torch.autograd.grad(loss, [*matrices, *inputs])
    for below in range(depth):
        at = depth - 1 - below
        yield {
            "step": below,
            "gradient/weights": float(of[at].double().norm()),  # squares would underflow
            "gradient/inputs": float(of[depth + at].double().norm()),
        }
