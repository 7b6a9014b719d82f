"""Batch Normalization as in the paper, its rivals, and none.

A norm is made by `width, dims -> nn.Module`: `width` units (or feature maps), and `dims` 1 for inputs (m, width),
2 for (m, width, p, q).
"""

from collections.abc import Callable, Iterable
from typing import Annotated, Any, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from bnlab.config import construct


class BatchNorm(nn.Module):
    """y = γ·x̂ + β with x̂ = (x − μ) / √(σ² + ε), per unit (IS15, Algorithm 1) or per feature map (IS15 §3.2).

    In training, μ and σ² are the mini-batch's (σ² biased, over m·p·q values); the population's are gathered beside
    it: with the unbiased m/(m−1)·σ² (Algorithm 2, line 10), as running ← running + momentum·(batch − running), which is
    PyTorch's momentum and 1 minus TensorFlow's. In evaluation the population's are used. `statistics` says what the
    population's are when a run is measured: the moving average, or `precise`, the mean over many training batches
    (Algorithm 2, line 10 to the letter; see `precise_statistics`).

    It computes in the precision of γ, whatever that of its inputs. Raises `ValueError` in training for fewer than two
    values a unit.
    """

    running_mean: Tensor
    running_var: Tensor
    subsumes_bias = True  # β plays the part of the layer's b (IS15 §3.2)

    def __init__(
        self,
        width: int,
        dims: int,
        eps: Annotated[float, Field(ge=0)] = 1e-5,
        momentum: Annotated[float, Field(gt=0, le=1)] = 0.1,
        statistics: Literal["moving", "precise"] = "moving",
    ):
        super().__init__()
        self.eps, self.momentum, self.statistics = eps, momentum, statistics
        self.over = (0,) if dims == 1 else (0, 2, 3)
        self.column = (1, width) if dims == 1 else (1, width, 1, 1)
        self.gamma = nn.Parameter(torch.ones(width))
        self.beta = nn.Parameter(torch.zeros(width))
        self.register_buffer("running_mean", torch.zeros(width))
        self.register_buffer("running_var", torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        x = x.to(self.gamma.dtype)
        if self.training and x.numel() < 2 * self.gamma.numel():
            raise ValueError("batch normalization needs at least two values per unit; this batch has one")
        own = (self.running_mean, self.running_var, self.gamma, self.beta)
        return F.batch_norm(x, *own, self.training, self.momentum, self.eps)

    def extra_repr(self) -> str:
        return f"{self.gamma.numel()}, eps={self.eps}, momentum={self.momentum}, statistics={self.statistics}"


def precise_statistics(network: nn.Module, batches: Iterable[Tensor]) -> None:
    """Give every `statistics="precise"` layer the mean of μ_B and of m/(m−1)·σ²_B over `batches` (Alg. 2, line 10).

    Changes those layers' running statistics; the network comes back in the mode it was in.
    """
    layers = [m for m in network.modules() if isinstance(m, BatchNorm) and m.statistics == "precise"]
    if not layers:
        return
    mode, momenta = network.training, [layer.momentum for layer in layers]
    network.train()
    try:
        with torch.no_grad():
            for i, batch in enumerate(batches):
                for layer in layers:
                    layer.momentum = 1 / (i + 1)  # makes the moving average the mean of all batches so far
                network(batch)
    finally:
        for layer, momentum in zip(layers, momenta, strict=True):
            layer.momentum = momentum
        network.train(mode)


def uses_batch_statistics(network: nn.Module) -> bool:
    """Whether the network normalises by statistics of the batch in training, and by others in evaluation."""
    return any(isinstance(module, BatchNorm) for module in network.modules())


class _OfExamples(nn.GroupNorm):
    """PyTorch's, but computing in the precision of its weights, whatever that of its inputs."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.to(self.weight.dtype))


class LayerNorm(_OfExamples):
    """Each example by the mean and variance of all its units (Ba, Kiros & Hinton 2016, eq. 3 and 4)."""

    def __init__(self, width: int, dims: int, eps: Annotated[float, Field(ge=0)] = 1e-5):
        super().__init__(1, width, eps)


class GroupNorm(_OfExamples):
    """Each example by the mean and variance of each of `groups` groups of units (Wu & He 2018, eq. 7)."""

    def __init__(
        self,
        width: int,
        dims: int,
        groups: Annotated[int, Field(ge=1)] = 10,
        eps: Annotated[float, Field(ge=0)] = 1e-5,
    ):
        if width % groups:
            raise ValueError(f"groups={groups} does not divide the width {width}")
        super().__init__(groups, width, eps)


class NoNorm(nn.Module):
    """No normalisation: y = x."""

    def __init__(self, width: int, dims: int):
        super().__init__()

    def forward(self, x: Tensor) -> Tensor:
        return x


def build(settings: dict[str, Any]) -> Callable[[int, int], nn.Module]:
    """The norm that a config's `norm` group names, as `width, dims -> nn.Module`."""
    return lambda width, dims: construct(NORMS, "norm", settings, width=width, dims=dims)


NORMS: dict[str, Callable[..., nn.Module]] = {
    "none": NoNorm,
    "batch": BatchNorm,
    "layer": LayerNorm,
    "group": GroupNorm,
}
