"""Dropout whose masks are part of a run's state."""

import torch
from torch import Tensor, nn

UINT32 = 0xFFFFFFFF


class Dropout(nn.Module):
    """In training, sets each value to 0 with probability `p` and divides the others by 1 − p (Srivastava et al. 2014).

    Which, is a function of the buffer `key`, which every pass in training moves on, and of nothing else: so a training
    goes on from a checkpoint with the masks it would have had, and a run of a stack has those it would have alone.
    """

    key: Tensor

    def __init__(self, p: float):
        super().__init__()
        self.p = p
        self.register_buffer("key", torch.zeros((), dtype=torch.int64))

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return x
        index = torch.arange(x.numel(), device=x.device).view(x.shape)
        kept = _mixed(_mixed(index) ^ _mixed(self.key & UINT32)) >= self.p * 2**32
        self.key = self.key + 1  # assigned, as the running statistics of BatchNorm are
        return x * kept / (1 - self.p)

    def extra_repr(self) -> str:
        return f"p={self.p}"


def _mixed(x: Tensor) -> Tensor:
    """A permutation of 0 … 2³² − 1 that looks random (C. Wellons, hash-prospector, 2018); no product passes 2⁶³."""
    x = ((x ^ (x >> 16)) * 0x21F0AAAD) & UINT32
    x = ((x ^ (x >> 15)) * 0x735A2D97) & UINT32
    return x ^ (x >> 15)
