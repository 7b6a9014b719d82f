"""Weights before BN only grow under plain gradient steps, the more slowly the larger they are.

Ioffe & Szegedy 2015, §3.3: "larger weights lead to smaller gradients, and Batch Normalization will stabilize the
parameter growth". As the loss does not change with the scale of W, ⟨W, ∂L/∂W⟩ = 0 (ε = 0): each step stands at right
angles to W, and ‖W‖² grows by η²‖g‖². With ‖g‖ = G/‖W‖ and a constant G, as of noise, ‖W‖⁴ grows by about 2η²G² a
step, so that ‖W‖ ∝ t^¼; without BN noise drives a random walk, ‖W‖ ∝ t^½.
"""

from collections.abc import Iterator
from typing import Annotated, Any, Literal

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from bnlab.norms import Eps
from bnlab.studies.learning import Rate, Steps, descend, moments, net, norm_of


def weight_growth(
    seed: int,
    norm: Literal["batch", "none"] = "batch",
    eps: Eps = 0.0,
    task: Literal["noise", "teacher"] = "noise",
    steps: Steps = 10000,
    lr: Rate = 1.0,
    width: Annotated[int, Field(ge=1)] = 20,
    examples: Annotated[int, Field(ge=2)] = 32,
) -> Iterator[dict[str, Any]]:
    """A net with one hidden ReLU layer by SGD without decay or momentum; a new batch of Gaussian inputs at each step.

    Of `noise` the loss is a random linear function of the outputs, another at each step, and only W learns: there is
    nothing to find. The `teacher` is a net of the same kind without BN, plus noise as large, and everything learns by
    squared error. Columns, at ten steps a decade: `weights/norm`; `weights/cosine`, of W and its gradient, the largest
    size so far; `weights/off_growth`, by how much ‖W‖² has grown over Σ η²‖g‖², less 1; `gradient/norm`.
    """
    draw = torch.Generator().manual_seed(seed)
    knobs: dict[str, Any] = {"width": width, "depth": 1, "activation": "relu"}
    network = net(seed, (10,), 5, norm_of(norm, eps), **knobs).double()
    teacher = net(seed + 1_000_000, (10,), 5, norm_of("none"), **knobs).double()
    w = dict(network.named_parameters())["hidden1.linear.weight"]
    learning = [w] if task == "noise" else list(network.parameters())
    start, grown, cosine = float(w.detach().square().sum()), 0.0, 0.0
    looked_at = moments(steps, 10)
    for t in range(1, steps + 1):
        u, noise = (torch.randn(examples, size, generator=draw, dtype=torch.float64) for size in (10, 5))
        loss = _loss(network(u), noise, None if task == "noise" else teacher(u).detach())
        before = w.detach().clone()
        g = descend(learning, loss, lr)[next(i for i, p in enumerate(learning) if p is w)]
        cosine = max(cosine, abs(float(F.cosine_similarity(before.flatten(), g.flatten(), dim=0))))
        grown += lr**2 * float(g.square().sum())
        if t in looked_at:
            yield {
                "step": t,
                "weights/norm": float(w.detach().norm()),
                "weights/cosine": cosine,
                "weights/off_growth": (float(w.detach().square().sum()) - start) / grown - 1,
                "gradient/norm": float(g.norm()),
            }


def _loss(output: Tensor, noise: Tensor, wanted: Tensor | None) -> Tensor:
    if wanted is None:
        return (noise * output).sum(1).mean()
    return (output - wanted - noise).square().sum(1).mean() / 2
