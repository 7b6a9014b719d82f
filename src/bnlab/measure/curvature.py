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

ITERATIONS = 100  # of Lanczos, at most
WITHIN = 0.003  # of itself, at most, lies a value from an eigenvalue; most lie a hundred times nearer
ROUNDING = 1e-6  # of the largest, to which float32 knows the others


def curvature(network: nn.Module, probe: Probe) -> dict[str, float]:
    """`curvature/<statistics>/top` and `…/outlier` of the Hessian of the mean loss on `probe.train_batch`.

    top: its largest eigenvalue (the sharpness of Cohen et al. 2021). outlier: that over the one after as many as there
    are classes, beyond which the bulk begins (Ghorbani et al. 2019). `batch`: in training mode, the whole batch as one;
    only where that is another function than `population`, the network as it is tested. nan where the loss is no number.

    By Lanczos with a fixed start, until both eigenvalues are known. Costs 20 to 100 products, each of some four passes,
    for each kind of statistics.
    """
    found: dict[str, float] = {}
    for statistics in ("population", "batch") if uses_batch_statistics(network) else ("population",):
        network.train(statistics == "batch")
        times, like, classes = hessian(network, probe)
        values = eigenvalues(times, like, classes + 1)
        bulk = float(values[classes]) if len(values) > classes else math.nan
        found |= {
            f"curvature/{statistics}/top": float(values[0]),
            f"curvature/{statistics}/outlier": float(values[0]) / bulk if bulk else math.nan,
        }
    return found


def hessian(network: nn.Module, probe: Probe) -> tuple[Callable[[Tensor], Tensor], Tensor, int]:
    """What `products` gives of all parameters, and the number of classes."""
    x, y = probe.train_batch
    leaves = {name: p.requires_grad_() for name, p in own_parameters(network).items()}
    buffers = {name: buffer.clone() for name, buffer in network.named_buffers()}  # which a pass in training changes
    logits = functional_call(network, {**leaves, **buffers}, (x,))
    loss = F.cross_entropy(logits, y)
    gradient = torch.autograd.grad(loss, list(leaves.values()), create_graph=True)
    return *products(gradient, list(leaves.values())), logits.shape[1]


def products(gradient: Sequence[Tensor], weights: Sequence[Tensor]) -> tuple[Callable[[Tensor], Tensor], Tensor]:
    """The Hessian's product with a vector (P,) of all weights, from a gradient whose graph was kept; and that (P,)."""
    flat = _flat(gradient)

    def times(v: Tensor) -> Tensor:
        return _flat(torch.autograd.grad(flat, list(weights), v, retain_graph=True))

    return times, flat.detach()


def eigenvalues(times: Callable[[Tensor], Tensor], like: Tensor, count: int) -> Tensor:
    """The largest eigenvalues first, (n,) float64, by products with vectors like `like`; one nan if a product has it.

    By Lanczos from a fixed start, all vectors kept orthogonal, until the first value and number `count` are known, or
    `ITERATIONS` products are made. Values come from below; those after `count` are rough.
    """
    most = min(ITERATIONS, len(like))
    basis, projected = like.new_empty(most, len(like)), torch.zeros(most, most, dtype=torch.float64)
    w = torch.randn(len(like), generator=torch.Generator().manual_seed(0), dtype=torch.float64).to(like)
    for k in range(most):
        basis[k] = w / w.norm()
        w, so_far = times(basis[k]), basis[: k + 1]
        if not w.isfinite().all():
            return torch.full((1,), torch.nan, dtype=torch.float64)
        for _ in range(2):  # twice is enough
            along = so_far @ w
            projected[k, : k + 1] += along.cpu()
            w = w - along @ so_far
        values: Tensor
        values, vectors = torch.linalg.eigh(projected[: k + 1, : k + 1])  # of the lower half
        errors = float(w.norm()) * vectors[-1].abs()  # so near lies an eigenvalue, at least (Parlett 1998)
        known = errors <= (WITHIN * values.abs()).clamp(min=float(ROUNDING * values.abs().max()))
        if known.all() or (k + 1 >= count and known[-1] and known[-count]):
            break
    return values.flip(0)


def _flat(parts: Sequence[Tensor]) -> Tensor:
    return torch.cat([part.flatten() for part in parts])
