"""How strongly each layer is pulled: gradient and weight norms."""

import torch
from torch import nn
from torch.nn import functional as F

from bnlab.measure.probe import Probe


def gradients(network: nn.Module, probe: Probe) -> dict[str, float]:
    """`<site>/gradient_norm` and `<site>/weight_norm` (Frobenius) of every weight matrix that is trained.

    The gradient is that of the mean training loss on `probe.train_batch` as one batch, in training mode: what an update
    on these examples would follow, were they shown as they are and computed in full precision.
    """
    network.train()
    x, y = probe.train_batch
    weights = {
        name.removesuffix(".weight"): parameter
        for name, parameter in network.named_parameters()
        if parameter.dim() > 1 and parameter.requires_grad
    }
    loss = F.cross_entropy(network(x), y)
    found = {}
    for (site, weight), gradient in zip(
        weights.items(), torch.autograd.grad(loss, list(weights.values())), strict=True
    ):
        found[f"{site}/gradient_norm"] = float(gradient.norm())
        found[f"{site}/weight_norm"] = float(weight.detach().norm())
    return found
