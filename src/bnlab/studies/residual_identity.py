"""What a residual net's blocks add to what they are given, at its start.

De & Smith 2020: a block gives u + f(u). Where f begins with BN it adds the same variance whatever u is, so that after
ℓ blocks u's is ℓ times a block's: block ℓ's branch has 1/ℓ of the variance of its skip, and a typical one of L blocks
is scaled down by some √L. Without BN (He's scale) it adds as much as there is, the variance doubles in each block, and
no block is near the identity.
"""

import math
from collections.abc import Iterator
from typing import Any

import torch

from bnlab.layers import ActivationName
from bnlab.studies.deep import Norm, Size, site, square


def residual_identity(
    seed: int,
    norm: Norm = "batch",
    activation: ActivationName = "relu",
    width: Size = 256,
    blocks: Size = 100,
    batch: Size = 256,
) -> Iterator[dict[str, Any]]:
    """`batch` Gaussian inputs through `blocks` blocks u + Wφ(norm(u)), W of variance 2/width; `step`: the block.

    Columns: `branch/over_skip`, the mean square of Wφ(norm(u)) over that of u, both over examples and units;
    `skip/square`, that of u over its value in block 1.
    """
    draw = torch.Generator().manual_seed(seed)
    u = torch.randn(batch, width, generator=draw, dtype=torch.float64)
    before, first = site(norm, activation, width), float(u.square().mean())
    with torch.no_grad():
        for block in range(1, blocks + 1):
            branch = before(u) @ square(width, draw, math.sqrt(2)).T
            skip = float(u.square().mean())
            yield {
                "step": block,
                "branch/over_skip": float(branch.square().mean()) / skip,
                "skip/square": skip / first,
            }
            u = u + branch
