"""With BN, weight decay does what a growing rate does: the same functions, step by step.

Li & Arora 2019: w ← (1 − ηλ)w − η·g(w) at a constant rate η, and w̃ ← w̃ − η_t·g(w̃) without decay, from the same start.
If w̃ = w/(1 − ηλ)^t and g(cw) = g(w)/c, as of weights before BN with ε = 0, then η_t = η(1 − ηλ)^−(2t+1) keeps it so.
What BN does not make free of scale, γ, β and the output layer, is not decayed and keeps the rate η.
"""

from collections.abc import Iterator
from typing import Annotated, Any, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from bnlab.norms import Eps
from bnlab.studies.learning import Rate, Steps, is_hidden, matrices, net, norm_of


def weight_decay_is_rate(
    seed: int,
    norm: Literal["batch", "none"] = "batch",
    eps: Eps = 0.0,
    rate: Literal["grows", "constant"] = "grows",
    steps: Steps = 300,
    lr: Rate = 0.1,
    decay: Annotated[float, Field(ge=0)] = 0.05,
    width: Annotated[int, Field(ge=1)] = 20,
    examples: Annotated[int, Field(ge=2)] = 32,
) -> Iterator[dict[str, Any]]:
    """Two tanh nets with two hidden layers, one with weight decay, learn noise: a new batch of it at each step.

    Columns: `function/difference`, the largest so far, of the two nets' outputs on the batch of the step, over the
    output's norm; `weights/off_scale`, of W̃(1 − ηλ)^t from W, over W's norm; `decayed/norm` and `undecayed/norm`, of
    all W and W̃; `rate/factor`, η_t/η.
    """
    draw = torch.Generator().manual_seed(seed)
    knobs: dict[str, Any] = {"width": width, "depth": 2, "activation": "tanh"}
    decayed, undecayed = (net(seed, (10,), 5, norm_of(norm, eps), **knobs).double() for _ in range(2))
    kept, shrink, difference = 1.0, 1 - lr * decay, 0.0
    for t in range(steps + 1):
        u, y = (torch.randn(examples, size, generator=draw, dtype=torch.float64) for size in (10, 5))
        one, other = decayed(u), undecayed(u)
        difference = max(difference, float((one - other).detach().norm() / one.detach().norm()))
        grown = kept**-2 / shrink if rate == "grows" else 1.0
        if t and (t % max(steps // 50, 1) == 0 or t == steps):  # at the start the two nets are one
            w, w_grown = matrices(decayed), matrices(undecayed)
            yield {
                "step": t,
                "function/difference": difference,
                "weights/off_scale": float((w_grown * kept - w).norm() / w.norm()),
                "decayed/norm": float(w.norm()),
                "undecayed/norm": float(w_grown.norm()),
                "rate/factor": grown,
            }
        _step(decayed, F.mse_loss(one, y), lr, lr, shrink)
        _step(undecayed, F.mse_loss(other, y), lr * grown, lr, 1.0)
        kept *= shrink


def _step(network: nn.Module, loss: Tensor, lr: float, lr_others: float, shrink: float) -> None:
    named = dict(network.named_parameters())
    gradients = torch.autograd.grad(loss, list(named.values()))
    with torch.no_grad():
        for (name, p), gradient in zip(named.items(), gradients, strict=True):
            p.mul_(shrink if is_hidden(name) else 1).sub_(gradient, alpha=lr if is_hidden(name) else lr_others)
