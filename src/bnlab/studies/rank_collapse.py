"""How many directions a batch keeps on its way through a deep net at its start.

Daneshmand et al. 2020: r = Tr(M)²/‖M‖²_F of M = HHᵀ, with a layer's units in the rows of H, is between 1 and H's rank,
and their bound of it from below: without BN it falls to 1 with depth, with BN it stays of order √width.
"""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from bnlab.layers import ActivationName
from bnlab.studies.deep import Gain, Norm, Size, site, square


def rank_collapse(
    seed: int,
    norm: Norm = "batch",
    activation: ActivationName = "identity",
    width: Size = 32,
    depth: Size = 500,
    batch: Size = 512,
    gain: Gain = 1.0,
) -> Iterator[dict[str, Any]]:
    """`batch` Gaussian inputs through `depth` layers: what enters each nonlinearity; `step`: the layer.

    Columns: `rank/r` of the layer, 0 where nothing but zeros is left; `rank/later`, its mean over the layers from half
    of this depth on.
    """
    draw = torch.Generator().manual_seed(seed)
    u = torch.randn(batch, width, generator=draw, dtype=torch.float64)
    normed, act = site(norm, activation, width)
    ranks: list[float] = []
    with torch.no_grad():
        for layer in range(1, depth + 1):
            x = normed(u @ square(width, draw, gain).T)
            ranks.append(effective_rank(x))
            u = act(x)
            if layer <= 20 or layer == depth or layer % max(depth // 50, 1) == 0:
                later = ranks[layer // 2 :]
                yield {"step": layer, "rank/r": ranks[-1], "rank/later": sum(later) / len(later)}


def effective_rank(x: Tensor) -> float:
    """Tr(M)²/‖M‖²_F of M = xᵀx, of x (batch, width): 0 of zeros."""
    scale = x.abs().max()
    if scale == 0:
        return 0.0
    m = (x / scale).T @ (x / scale)
    return float(m.trace() ** 2 / m.square().sum())
