"""Channel means and variances along a residual conv net at its start.

Bjorck et al. 2018: without BN they grow with depth, nearly exponentially; with BN they stay about the same.
"""

import itertools
from collections.abc import Iterator
from typing import Annotated, Any

import torch
from pydantic import Field
from torch import Tensor, nn

from bnlab import norms
from bnlab.models import ResidualBlock, ResNet
from bnlab.starts import fan_in, initialise
from bnlab.studies.deep import Gain, Norm, Size


def activation_growth(
    seed: int,
    norm: Norm = "batch",
    blocks: Annotated[int, Field(ge=1, le=100)] = 18,
    width: Size = 8,
    batch: Size = 32,
    gain: Gain = 1.4142135623730951,
) -> Iterator[dict[str, Any]]:
    """`batch` Gaussian images, 3×32×32, through a ResNet of 3·`blocks` blocks; `step`: the block.

    Weights are N(0, gain²/fan-in). Columns, of what leaves a block, over examples and positions: `channel/mean`, the
    size of a channel's mean, and `channel/variance`, its variance; both are means over channels.
    """
    with torch.random.fork_rng(devices=[]):  # torch's layers draw weights when they are made
        network = ResNet((3, 32, 32), 10, norms.build({"name": norm}), width=width, blocks=blocks)
    initialise(network, fan_in(gain).std, seed)
    draw = torch.Generator().manual_seed(seed)
    x, counted = torch.randn(batch, 3, 32, 32, generator=draw), itertools.count(1)
    with torch.no_grad():
        for module in network:
            if not isinstance(module, ResidualBlock | nn.Sequential):
                break  # the head
            x = module(x)
            if isinstance(module, ResidualBlock):
                yield {"step": next(counted), **_of_channels(x.double())}


def _of_channels(z: Tensor) -> dict[str, float]:
    var, mean = torch.var_mean(z, (0, 2, 3), correction=0)
    return {"channel/mean": float(mean.abs().mean()), "channel/variance": float(var.mean())}
