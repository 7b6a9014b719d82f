"""Whether a layer's inputs tell examples apart, or are nearly the same for all."""

import torch
from torch import nn

from bnlab.measure.passing import nonlinearities_inputs
from bnlab.measure.probe import Probe


@torch.no_grad()
def collapse(network: nn.Module, probe: Probe) -> dict[str, float]:
    """`<site>/<statistics>/differs`: the share of the second moment of a nonlinearity's inputs that examples make.

    Mean over units of the variance over examples (and positions, of feature maps), over the mean over units of E[x²]:
    1 where every unit has mean 0, 0 where all examples look alike. nan where all inputs are 0. Statistics as in
    `activations`. Costs a forward pass over the probe, two for nets with batch statistics.
    """
    found: dict[str, float] = {}
    for site, statistics, x in nonlinearities_inputs(network, probe.x):
        var, mean = torch.var_mean(x.double(), 0, correction=0)  # double: the spread may be 1e-4 of a mean
        found[f"{site}/{statistics}/differs"] = float(var.mean() / (var + mean.square()).mean())
    return found
