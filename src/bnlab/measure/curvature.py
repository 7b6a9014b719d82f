"""How the loss curves: the largest eigenvalues of its Hessian, from Hessian-vector products alone."""

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F

from bnlab.measure.elsewhere import own_parameters
from bnlab.measure.probe import Probe
from bnlab.norms import uses_batch_statistics

ITERATIONS = 40  # of Lanczos


def curvature(network: nn.Module, probe: Probe) -> dict[str, float]:
    """`curvature/<statistics>/top` and `…/outlier` of the Hessian of the mean loss on `probe.train_batch`.

    top: its largest eigenvalue (the sharpness of Cohen et al. 2021). outlier: that over the one after as many as there
    are classes, beyond which the bulk begins (Ghorbani et al. 2019). `batch`: in training mode, the whole batch as one;
    only where that is another function than `population`, the network as it is tested. nan where the loss is no number.

    By Lanczos with a fixed start and all vectors kept orthogonal; eigenvalues come from below. Costs 40 products, each
    of some four passes, for each kind of statistics.
    """
    found: dict[str, float] = {}
    for statistics in ("population", "batch") if uses_batch_statistics(network) else ("population",):
        network.train(statistics == "batch")
        times, size, classes = hessian(network, probe)
        values = eigenvalues(times, size, ITERATIONS)
        bulk = float(values[classes]) if len(values) > classes else math.nan
        found |= {
            f"curvature/{statistics}/top": float(values[0]),
            f"curvature/{statistics}/outlier": float(values[0]) / bulk if bulk else math.nan,
        }
    return found


def hessian(network: nn.Module, probe: Probe) -> tuple[Callable[[Tensor], Tensor], int, int]:
    """The Hessian's product with a vector (P,) of all parameters, how many these are, and the number of classes."""
    x, y = probe.train_batch
    leaves = {name: p.requires_grad_() for name, p in own_parameters(network).items()}
    buffers = {name: buffer.clone() for name, buffer in network.named_buffers()}  # which a pass in training changes
    logits = functional_call(network, {**leaves, **buffers}, (x,))
    loss = F.cross_entropy(logits, y)
    times, size = products(torch.autograd.grad(loss, list(leaves.values()), create_graph=True), list(leaves.values()))
    return times, size, logits.shape[1]


def products(gradient: Sequence[Tensor], weights: Sequence[Tensor]) -> tuple[Callable[[Tensor], Tensor], int]:
    """The Hessian's product with a vector (P,) of all weights, from a gradient whose graph was kept; and P."""
    flat = _flat(gradient)

    def times(v: Tensor) -> Tensor:
        return _flat(torch.autograd.grad(flat, list(weights), v.to(flat), retain_graph=True))

    return times, len(flat)


def eigenvalues(times: Callable[[Tensor], Tensor], size: int, iterations: int) -> Tensor:
    """The largest eigenvalues first, as far as so many iterations of Lanczos see them; (n,) float64."""
    draw = torch.Generator().manual_seed(0)
    v = torch.randn(size, generator=draw, dtype=torch.float64)
    basis, diagonal, beside = [v / v.norm()], [], []
    for k in range(min(iterations, size)):
        w = times(basis[k]).double()
        diagonal.append(torch.dot(w, basis[k]))
        kept = torch.stack(basis)
        for _ in range(2):  # twice is enough
            w = w - kept.T @ (kept @ w)
        length = w.norm()
        if not torch.isfinite(length):
            return torch.full((1,), torch.nan, dtype=torch.float64)
        if length < 1e-10 * max(abs(float(d)) for d in diagonal) or k + 1 == min(iterations, size):
            break
        beside.append(length)
        basis.append(w / length)
    n = len(diagonal)
    matrix = torch.diag(torch.stack(diagonal))
    if n > 1:
        off = torch.stack(beside[: n - 1])
        matrix += torch.diag(off, 1) + torch.diag(off, -1)
    values: Tensor = torch.linalg.eigvalsh(matrix).flip(0)
    return values


def _flat(parts: Sequence[Tensor]) -> Tensor:
    return torch.cat([part.flatten() for part in parts])
