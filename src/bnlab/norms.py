"""Batch Normalization as in the paper, its parts, its rivals, and none.

A norm is made by `width, dims -> nn.Module`: `width` units (or feature maps), and `dims` 1 for inputs (m, width),
2 for (m, width, p, q).
"""

import math
from collections.abc import Callable, Iterable
from statistics import NormalDist
from typing import Annotated, Any, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from bnlab.config import construct
from bnlab.keyed import Keyed

Eps = Annotated[float, Field(ge=0)]
Momentum = Annotated[float, Field(gt=0, le=1)]
Statistics = Literal["moving", "precise"]
Per = Literal["unit", "layer"]
NO_EPS = 1e-30  # for ε = 0, which torch's kernel refuses in training: lost in any variance above 1e-14


class OfBatch(nn.Module):
    """What normalises each unit, or feature map, by statistics of the mini-batch in training, and adds β.

    In training, μ and σ² are the mini-batch's (σ² biased, over m·p·q values); the population's are gathered beside
    it: with the unbiased m/(m−1)·σ² (IS15, Algorithm 2, line 10), as running ← running + momentum·(batch − running),
    which is PyTorch's momentum and 1 minus TensorFlow's. In evaluation the population's are used. `statistics` says
    what the population's are when a run is measured: the moving average, or `precise`, the mean over many training
    batches (Algorithm 2, line 10 to the letter; see `precise_statistics`).

    It computes in the precision of β, whatever that of its inputs. Raises `ValueError` in training for fewer than two
    values a unit.
    """

    running_mean: Tensor
    running_var: Tensor
    subsumes_bias = True  # β plays the part of the layer's b (IS15 §3.2)
    lost = 1  # degrees of freedom that σ² has less than the batch has values

    def __init__(self, width: int, dims: int, momentum: float, statistics: str, gamma: float | None = None):
        super().__init__()
        self.momentum, self.statistics = momentum, statistics
        self.over = (0,) if dims == 1 else (0, 2, 3)
        self.column = (1, width) if dims == 1 else (1, width, 1, 1)
        if gamma is not None:
            self.gamma = nn.Parameter(torch.full((width,), float(gamma)))
        self.beta = nn.Parameter(torch.zeros(width))
        self.register_buffer("running_mean", torch.zeros(width))
        self.register_buffer("running_var", torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        x = x.to(self.beta.dtype)
        mean, var = self._batch_statistics(x) if self.training else (self.running_mean, self.running_var)
        return self._normalised(x, mean, var)

    def _normalised(self, x: Tensor, mean: Tensor, var: Tensor) -> Tensor:
        raise NotImplementedError

    def _batch_statistics(self, x: Tensor) -> tuple[Tensor, Tensor]:
        m = x.numel() // self.beta.numel()
        if m < 2:
            raise ValueError("batch normalization needs at least two values per unit; this batch has one")
        mean, var = self._mean_and_var(x, m)
        # Assigned, not changed in place: inside a functional call the new value is what comes back.
        self.running_mean = self.running_mean + self.momentum * (mean.detach() - self.running_mean)
        unbiased = var.detach() * (m / (m - self.lost))  # Alg. 2, line 10
        self.running_var = self.running_var + self.momentum * (unbiased - self.running_var)
        return mean, var

    def _mean_and_var(self, x: Tensor, m: int) -> tuple[Tensor, Tensor]:
        var, mean = torch.var_mean(x, self.over, correction=0)  # Alg. 1, lines 1 and 2
        return mean, var

    def extra_repr(self) -> str:
        return f"{self.beta.numel()}, momentum={self.momentum}, statistics={self.statistics}"


class BatchNormWrittenOut(OfBatch):
    """y = γ·(x − μ) / √(σ² + ε) + β, operation by operation; `gamma` is where γ begins."""

    def __init__(
        self,
        width: int,
        dims: int,
        eps: Eps = 1e-5,
        momentum: Momentum = 0.1,
        statistics: Statistics = "moving",
        gamma: float = 1.0,
    ):
        super().__init__(width, dims, momentum, statistics, gamma)
        self.eps = eps

    def _normalised(self, x: Tensor, mean: Tensor, var: Tensor) -> Tensor:
        return (x - mean.view(self.column)) * self._factor(var) + self.beta.view(self.column)

    def _factor(self, var: Tensor) -> Tensor:
        """γ/√(σ²+ε): Alg. 1, lines 3 and 4, in one."""
        return (self.gamma * torch.rsqrt(var + self.eps)).view(self.column)

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, eps={self.eps}"


class BatchNorm(BatchNormWrittenOut):
    """y = γ·x̂ + β with x̂ = (x − μ) / √(σ² + ε), per unit (IS15, Algorithm 1) or per feature map (IS15 §3.2).

    By torch's own kernel; the tests hold it to the algorithm written out.
    """

    def forward(self, x: Tensor) -> Tensor:
        if self.training and x.numel() < 2 * self.gamma.numel():
            raise ValueError("batch normalization needs at least two values per unit; this batch has one")
        population = (self.running_mean, self.running_var)  # which torch changes in place
        x = x.to(self.gamma.dtype)
        eps = self.eps or NO_EPS
        return F.batch_norm(x, *population, self.gamma, self.beta, self.training, self.momentum, eps)


class Center(OfBatch):
    """y = x − μ + β: BatchNorm without the division, and so without γ."""

    def __init__(self, width: int, dims: int, momentum: Momentum = 0.1, statistics: Statistics = "moving"):
        super().__init__(width, dims, momentum, statistics)

    def _normalised(self, x: Tensor, mean: Tensor, var: Tensor) -> Tensor:
        return x - mean.view(self.column) + self.beta.view(self.column)


class Scale(BatchNormWrittenOut):
    """y = γ·x / √(σ² + ε) + β: BatchNorm without the subtraction; σ² is still the variance around the mean.

    A layer's b would add γb/√(σ² + ε), of which β plays the part, so that nothing but the mean sets it apart from BN.
    """

    def __init__(
        self, width: int, dims: int, eps: Eps = 1e-5, momentum: Momentum = 0.1, statistics: Statistics = "moving"
    ):
        super().__init__(width, dims, eps, momentum, statistics)

    def _normalised(self, x: Tensor, mean: Tensor, var: Tensor) -> Tensor:
        return x * self._factor(var) + self.beta.view(self.column)


class LpNorm(BatchNormWrittenOut):
    """y = γ·(x − μ) / √(d² + ε) + β, where d is the batch's average ℓp norm (Santurkar et al. 2018, §4.4).

    d: mean |x| · √(π/2) for p = 1, √(mean x²) for 2, max |x| over its median for m Gaussian values for `max` (p = ∞):
    with these factors, which are ours, all three are the spread of a Gaussian around 0. The norms are those of x
    "before shifting the mean"; `centred` takes those of x − μ, with which p = 2 is BatchNorm.
    """

    def __init__(
        self,
        width: int,
        dims: int,
        p: Literal[1, 2, "max"] = 1,
        centred: bool = False,
        eps: Eps = 1e-5,
        momentum: Momentum = 0.1,
        statistics: Statistics = "moving",
    ):
        super().__init__(width, dims, eps, momentum, statistics)
        self.p, self.centred, self.lost = p, centred, int(centred)

    def _mean_and_var(self, x: Tensor, m: int) -> tuple[Tensor, Tensor]:
        mean = x.mean(self.over)
        x = x - mean.view(self.column) if self.centred else x
        if self.p == 1:
            return mean, x.abs().mean(self.over).square() * (math.pi / 2)
        if self.p == 2:
            return mean, x.square().mean(self.over)
        usual = NormalDist().inv_cdf((1 + 0.5 ** (1 / m)) / 2)  # all m are below it in size with probability 1/2
        return mean, (x.abs().amax(self.over) / usual).square()


class Noise(Keyed):
    """In training y = s·x + m, with noise whose distribution changes at every step (Santurkar et al. 2018, App. A).

    Per step, and per unit or feature map or layer: μ ~ U(−½, ½), σ ~ U(1, 1.25). Then for each value
    m ~ U(μ − 0.1, μ + 0.1), s ~ N(σ, 0.1²). In evaluation y = x. The noise is a function of its `key`.
    """

    def __init__(self, width: int, dims: int, per: Per = "unit"):
        super().__init__()
        units = width if per == "unit" else 1
        self.column = (1, units) if dims == 1 else (1, units, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return x
        mu, sigma = self.uniform(self.column, -0.5, 0.5), self.uniform(self.column, 1, 1.25)
        m = mu + self.uniform(x.shape, -0.1, 0.1)
        s = sigma + 0.1 * self.normal(x.shape)
        return s * x + m


class NoisyBatch(BatchNorm):
    """BatchNorm, and then the noise of `Noise`, which is no part of the statistics (Santurkar et al. 2018, §2.1)."""

    def __init__(
        self,
        width: int,
        dims: int,
        per: Per = "unit",
        eps: Eps = 1e-5,
        momentum: Momentum = 0.1,
        statistics: Statistics = "moving",
    ):
        super().__init__(width, dims, eps, momentum, statistics)
        self.noise = Noise(width, dims, per)

    def forward(self, x: Tensor) -> Tensor:
        noisy: Tensor = self.noise(super().forward(x))
        return noisy


def precise_statistics(network: nn.Module, batches: Iterable[Tensor]) -> None:
    """Give every `statistics="precise"` layer the mean of μ_B and of m/(m−1)·σ²_B over `batches` (Alg. 2, line 10).

    Changes those layers' running statistics; the network comes back in the mode it was in.
    """
    layers = [m for m in network.modules() if isinstance(m, OfBatch) and m.statistics == "precise"]
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
    return any(isinstance(module, OfBatch) for module in network.modules())


class _OfExamples(nn.GroupNorm):
    """PyTorch's, but computing in the precision of its weights, whatever that of its inputs."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.to(self.weight.dtype))


class LayerNorm(_OfExamples):
    """Each example by the mean and variance of all its units (Ba, Kiros & Hinton 2016, eq. 3 and 4)."""

    def __init__(self, width: int, dims: int, eps: Eps = 1e-5):
        super().__init__(1, width, eps)


class GroupNorm(_OfExamples):
    """Each example by the mean and variance of each of `groups` groups of units (Wu & He 2018, eq. 7)."""

    def __init__(
        self,
        width: int,
        dims: int,
        groups: Annotated[int, Field(ge=1)] = 10,
        eps: Eps = 1e-5,
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
    "center": Center,
    "scale": Scale,
    "lp": LpNorm,
    "noise": Noise,
    "noisy_batch": NoisyBatch,
    "layer": LayerNorm,
    "group": GroupNorm,
}
