"""A deep linear net fits a linear map, with and without BN: how fast, at which rates, and how its gradients shift.

Santurkar et al. 2018 as reported: minimise E‖W₁…W₂₅x − Ax‖², A a 10×10 Gaussian matrix, by full-batch gradient descent;
BN is far faster, although its gradients shift more when the layers below step. Their rate of 10⁻⁶ belongs to a sum over
their examples; here the loss is a mean and many rates are tried, all at once, each with its own net.
"""

from collections.abc import Iterator
from typing import Annotated, Any, Literal

import torch
from pydantic import Field
from torch import Tensor

from bnlab.norms import BatchNorm
from bnlab.studies.learning import moments

SIZE = 10  # of x and of A
WORST = 1e9  # what a loss counts as that is beyond it, or no number


def deep_linear_net(
    seed: int,
    norm: Literal["batch", "none"] = "batch",
    depth: Annotated[int, Field(ge=2)] = 25,
    steps: Annotated[int, Field(ge=1)] = 300,
    examples: Annotated[int, Field(ge=2)] = 100,
    low: float = -2.0,
    high: float = 2.0,
    rates: Annotated[int, Field(ge=2)] = 9,
    shared: float = -2.0,
) -> Iterator[dict[str, Any]]:
    """From weights of variance 1/10 at `rates` rates from 10^low to 10^high; the last layer has no BN.

    Columns: `loss/best`, of the rate whose loss ends lowest, and `loss/shared`, of the rate 10^shared, both over
    E‖Ax‖², the loss of no net; `rate/best` and `rate/largest`, log10 of the former, and of the largest that ends below
    where it began, the same in all records; `shift/best` and `shift/shared`, at these rates: 1 less the cosine of G, a
    layer's gradient, and G′, that after the layers below have stepped (Def. 2.1 there), mean over three layers.
    """
    nets = _Nets(seed, norm, depth, torch.logspace(low, high, rates, dtype=torch.float64), examples)
    looked_at = {0} | moments(steps, 5)
    seen: dict[int, tuple[Tensor, Tensor]] = {}
    for t in range(steps + 1):
        losses, gradients = nets.gradients()
        if t in looked_at:
            seen[t] = losses.nan_to_num(WORST).clamp(max=WORST), _shift(nets, gradients)
        nets.step(gradients, range(depth))
    ends = seen[steps][0]
    stable = (ends < seen[0][0]).nonzero()
    best, largest = int(ends.argmin()), int(stable[-1]) if len(stable) else 0
    at = int((nets.rates.log10() - shared).abs().argmin())
    for t, (losses, shift) in seen.items():
        yield {
            "step": t,
            "loss/best": float(losses[best]),
            "loss/shared": float(losses[at]),
            "rate/best": float(nets.rates[best].log10()),
            "rate/largest": float(nets.rates[largest].log10()),
            "shift/best": float(shift[best]),
            "shift/shared": float(shift[at]),
        }


class _Nets:
    """Nets that differ in their rate alone: `w` (depth, rates, 10, 10), and γ and β of BN."""

    def __init__(self, seed: int, norm: str, depth: int, rates: Tensor, examples: int):
        draw = torch.Generator().manual_seed(seed)
        a, x, w = (
            torch.randn(shape, generator=draw, dtype=torch.float64)
            for shape in ((SIZE, SIZE), (examples, SIZE), (depth, 1, SIZE, SIZE))
        )
        self.x, self.y, self.rates = x, x @ a.T, rates
        w = (w / SIZE**0.5).expand(-1, len(rates), -1, -1)
        self.w = [each.clone().requires_grad_() for each in w]
        self.norms = [BatchNorm(len(rates) * SIZE, 1).double() for _ in range(depth - 1)] if norm == "batch" else []

    def gradients(self) -> tuple[Tensor, list[list[Tensor]]]:
        """The loss of each net (rates,), and by layer the gradients of what it learns."""
        layers = self.layers()
        u = self.x.expand(len(self.rates), -1, -1)  # (rates, examples, 10)
        for k, w in enumerate(self.w):
            u = u @ w.mT
            if k < len(self.norms):
                u = self.norms[k](u.movedim(0, 1).flatten(1)).unflatten(1, (-1, SIZE)).movedim(1, 0)
        losses = (u - self.y).square().sum(2).mean(1) / self.y.square().sum(1).mean()
        flat = iter(torch.autograd.grad(losses.sum(), [p for layer in layers for p in layer]))
        return losses.detach(), [[next(flat) for _ in layer] for layer in layers]

    def layers(self) -> list[list[Tensor]]:
        own = [[norm.gamma, norm.beta] for norm in self.norms] + [[]] * (len(self.w) - len(self.norms))
        return [[w, *others] for w, others in zip(self.w, own, strict=True)]

    @torch.no_grad()
    def put(self, values: list[list[Tensor]]) -> None:
        for layer, own in zip(self.layers(), values, strict=True):
            for p, value in zip(layer, own, strict=True):
                p.copy_(value)

    @torch.no_grad()
    def step(self, gradients: list[list[Tensor]], which: range) -> None:
        layers = self.layers()
        for k in which:
            for p, gradient in zip(layers[k], gradients[k], strict=True):
                by_rate = p.view(len(self.rates), -1)  # of γ and β too: the units of a net are neighbours
                by_rate.sub_(self.rates[:, None] * gradient.reshape(by_rate.shape))


def _shift(nets: _Nets, gradients: list[list[Tensor]]) -> Tensor:
    """1 − cos(G, G′) of each net (rates,), mean over the layers a quarter, half and all of the way up."""
    depth = len(nets.w)
    found = []
    for k in (depth // 4, depth // 2, depth - 1):
        kept = [[p.detach().clone() for p in layer] for layer in nets.layers()]
        nets.step(gradients, range(k))
        before, after = (each[k][0].flatten(1) for each in (gradients, nets.gradients()[1]))
        found.append(1 - torch.cosine_similarity(before, after, dim=1, eps=0))
        nets.put(kept)
    return torch.stack(found).mean(0).nan_to_num(1.0)
