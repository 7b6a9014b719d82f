"""Dropout whose masks are part of a run's state."""

from torch import Tensor

from bnlab.keyed import Keyed


class Dropout(Keyed):
    """In training, sets each value to 0 with probability `p` and divides the others by 1 − p (Srivastava et al. 2014).

    Its masks are a function of its `key`.
    """

    def __init__(self, p: float):
        super().__init__()
        self.p = p

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return x
        kept = self.integers(x.shape) >= self.p * 2**32
        return x * kept / (1 - self.p)

    def extra_repr(self) -> str:
        return f"p={self.p}"
