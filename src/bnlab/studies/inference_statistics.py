"""What BN keeps for inference, from mini-batches of known distribution: unbiased, and how far off after how many.

Ioffe & Szegedy 2015, Algorithm 2, line 10: E[x] ← E[μ_B], Var[x] ← m/(m−1)·E[σ²_B], over many batches of m. The error
of a mean of K batches falls as K^−½. That of a moving average of momentum α comes to rest, for batches that are alike,
at √(α/(2 − α)) of a single batch's (of independent numbers, Σ α²(1 − α)^2k).
"""

import math
from collections.abc import Iterator
from typing import Annotated, Any

import torch
from pydantic import Field
from torch import nn

from bnlab.norms import BatchNorm, Momentum, Statistics, precise_statistics


def inference_statistics(
    seed: int,
    statistics: Statistics = "precise",
    momentum: Momentum = 0.1,
    doublings: Annotated[int, Field(ge=1)] = 10,
    examples: Annotated[int, Field(ge=2)] = 4,
    units: Annotated[int, Field(ge=1)] = 1000,
) -> Iterator[dict[str, Any]]:
    """The running statistics of a BN layer whose inputs are exponential, of mean and variance 1, after K batches.

    `step` is K, from 1 in doublings. Columns: `mean/error` and `variance/error`, root mean squares over units;
    `variance/bias` and `variance/bias_uncorrected`, means over units, the latter without the m/(m−1).
    """
    draw = torch.Generator().manual_seed(seed)
    count = 2**doublings
    layer = BatchNorm(units, 1, momentum=momentum, statistics=statistics).double()
    batches = -torch.rand(count, examples, units, generator=draw, dtype=torch.float64).clamp(min=1e-300).log()
    for k in [2**i for i in range(doublings + 1)]:
        layer.running_mean, layer.running_var = batches.new_zeros(units), batches.new_ones(units)
        if statistics == "precise":
            precise_statistics(nn.Sequential(layer), batches[:k])
        else:
            with torch.no_grad():
                layer.momentum = 1.0  # begun from the first batch: the zeros and ones they start from are no data
                layer(batches[0])
                layer.momentum = momentum
                for batch in batches[1:k]:
                    layer(batch)
        off_mean, off_variance = layer.running_mean - 1, layer.running_var - 1
        yield {
            "step": k,
            "mean/error": math.sqrt(float(off_mean.square().mean())),
            "variance/error": math.sqrt(float(off_variance.square().mean())),
            "variance/bias": float(off_variance.mean()),
            "variance/bias_uncorrected": float((layer.running_var * (examples - 1) / examples - 1).mean()),
        }
