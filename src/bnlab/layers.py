"""Layers that networks are made of, beside torch's own: nonlinearities by name, a pooling, and weights that turn."""

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

ActivationName = Literal["sigmoid", "tanh", "relu", "identity"]
ACTIVATIONS: dict[str, type[nn.Module]] = {
    "sigmoid": nn.Sigmoid,
    "tanh": nn.Tanh,
    "relu": nn.ReLU,
    "identity": nn.Identity,
}


class MaxPool2x2(nn.Module):
    """`nn.MaxPool2d(2)`, written out so that the compiler fuses it with the layers around it, backwards too.

    Shapes: (m, maps, H, W) → (m, maps, ⌊H/2⌋, ⌊W/2⌋). Of equal largest values each gets its share of the gradient.
    """

    def forward(self, x: Tensor) -> Tensor:
        height, width = (size // 2 * 2 for size in x.shape[-2:])
        rows = torch.maximum(x[:, :, :height:2], x[:, :, 1:height:2])
        return torch.maximum(rows[..., :width:2], rows[..., 1:width:2])


class Turning(nn.Linear):
    """x ↦ (W cos a + W′ sin a)x + b, with a growing by `speed` radians in each training pass; W′ is drawn as W is.

    At each moment its weights are as random as at the start: of entries N(0, σ²) both, and so of any mixture. Shapes:
    (m, inputs) → (m, outputs).
    """

    other: Tensor
    passes: Tensor

    def __init__(self, inputs: int, outputs: int, speed: float, bias: bool = True):
        super().__init__(inputs, outputs, bias)
        self.speed = speed
        self.register_buffer("other", torch.zeros(outputs, inputs))
        self.register_buffer("passes", torch.zeros((), dtype=torch.int64))

    def forward(self, x: Tensor) -> Tensor:
        angle = self.speed * self.passes.to(x.dtype)
        if self.training:
            self.passes = self.passes + 1  # assigned, as the running statistics of BatchNorm are
        return F.linear(x, angle.cos() * self.weight + angle.sin() * self.other, self.bias)
