"""What studies of deep nets at their start share: square weights, and a layer's norm with its nonlinearity."""

import math
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from bnlab.layers import ACTIVATIONS, ActivationName
from bnlab.studies.learning import norm_of

Norm = Literal["none", "batch", "layer"]
Weights = Literal["gaussian", "orthogonal"]
Size = Annotated[int, Field(ge=2)]
Gain = Annotated[float, Field(gt=0)]


def square(width: int, draw: torch.Generator, gain: float = 1.0, weights: Weights = "gaussian") -> Tensor:
    """A matrix (width, width): entries N(0, gain²/width), or gain times a rotation drawn evenly; float64."""
    drawn = torch.randn(width, width, generator=draw, dtype=torch.float64)
    if weights == "gaussian":
        return drawn * (gain / math.sqrt(width))
    q, r = torch.linalg.qr(drawn)
    rotation: Tensor = q * r.diagonal().sign()  # or it is not drawn evenly
    return gain * rotation


def site(norm: Norm, activation: ActivationName, width: int) -> nn.Sequential:
    """A norm, with ε = 0, and then the nonlinearity; float64, in training."""
    return nn.Sequential(norm_of(norm, 0.0)(width, 1), ACTIVATIONS[activation]()).double()
