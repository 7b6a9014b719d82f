"""Internal covariate shift as the optimizer meets it: how a layer's gradient changes when the layers below step."""

import math

from torch import Tensor, nn
from torch.nn import functional as F

from bnlab.measure.elsewhere import gradient_at, own_parameters, stepped
from bnlab.measure.probe import Probe


def gradient_shift(network: nn.Module, probe: Probe) -> dict[str, float]:
    """`<site>/shift/…` of every weight matrix that is trained (Santurkar et al. 2018, Def. 2.1).

    G is its gradient of the loss on `probe.train_batch` as one batch, in training mode; G′ that after all parameters
    before it in forward order, γ and β too, have made a step of SGD of `probe.rate` along theirs. Numbers: l2,
    ‖G − G′‖; relative, l2/‖G‖; cosine, of G and G′; nan where a gradient is 0. The first layer's are 0, 0 and 1.

    Costs a backward pass a weight matrix, and one more.
    """
    network.train()
    parameters = own_parameters(network)
    _, before = gradient_at(network, parameters, probe)
    found: dict[str, float] = {}
    for name, gradient in before.items():
        if gradient.dim() > 1:
            _, after = gradient_at(network, parameters, probe, [name])
            apart = _apart(gradient.double(), after[name].double())
            found |= {f"{name.removesuffix('.weight')}/shift/{what}": value for what, value in apart.items()}
        parameters = stepped(parameters, {name: gradient}, probe.rate)
    return found


def _apart(before: Tensor, after: Tensor) -> dict[str, float]:
    distance, length = float((before - after).norm()), float(before.norm())
    cosine = float(F.cosine_similarity(before.flatten(), after.flatten(), dim=0, eps=0))
    return {"l2": distance, "relative": distance / length if length else math.nan, "cosine": cosine}
