"""Random numbers of training that are part of a run's state."""

import math

import torch
from torch import Tensor, nn

UINT32 = 0xFFFFFFFF


class Keyed(nn.Module):
    """A module whose random numbers are a function of the buffer `key`, which every draw moves on, and of nothing else.

    So a training goes on from a checkpoint with the numbers it would have had, and a run of a stack has those it would
    have alone.
    """

    key: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("key", torch.zeros((), dtype=torch.int64))

    def integers(self, shape: tuple[int, ...]) -> Tensor:
        """From 0 … 2³² − 1, int64."""
        index = torch.arange(math.prod(shape), device=self.key.device).view(shape)
        drawn = _mixed(_mixed(index) ^ _mixed(self.key & UINT32))
        self.key = self.key + 1  # assigned, as the running statistics of BatchNorm are
        return drawn

    def uniform(self, shape: tuple[int, ...], low: float, high: float) -> Tensor:
        """Evenly between `low` and `high`, float32; neither of them where they are −1 and 1."""
        halves = ((self.integers(shape) >> 9).float() + 0.5) / 2**22  # 24 bits, so that nothing is rounded, to 2 say
        return (halves - 1) * ((high - low) / 2) + (high + low) / 2

    def normal(self, shape: tuple[int, ...]) -> Tensor:
        """From N(0, 1), float32."""
        return torch.erfinv(self.uniform(shape, -1, 1)) * math.sqrt(2)


def _mixed(x: Tensor) -> Tensor:
    """A permutation of 0 … 2³² − 1 that looks random (C. Wellons, hash-prospector, 2018); no product passes 2⁶³."""
    x = ((x ^ (x >> 16)) * 0x21F0AAAD) & UINT32
    x = ((x ^ (x >> 15)) * 0x735A2D97) & UINT32
    return x ^ (x >> 15)
