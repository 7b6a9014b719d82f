"""How a small change of the first layer's weights grows, or dies, on its way up."""

import copy

import torch
from torch import nn

from bnlab.measure.passing import nonlinearities_inputs
from bnlab.measure.probe import Probe

SIZE = 0.01  # of the change, over the weights' own norm


@torch.no_grad()
def perturbation(network: nn.Module, probe: Probe) -> dict[str, float]:
    """`<site>/<statistics>/response`, and `response_spread`: how the distribution of a layer's inputs answers.

    The first weight matrix W becomes W + 0.01‖W‖·R/‖R‖, in a fixed Gaussian direction R. `response`: the 1-Wasserstein
    distance between a unit's inputs over the probe before and after, mean over units; `response_spread`: that over the
    mean of the units' standard deviations; nan where all are 0. Statistics as in `activations`; where it grows from
    layer to layer, depth amplifies it. Costs two forward passes over the probe, four with batch statistics.
    """
    first = next(name for name, p in network.named_parameters() if p.dim() > 1)
    shaken = copy.deepcopy(network)
    weight = shaken.get_parameter(first)
    towards = torch.randn(weight.shape, generator=torch.Generator().manual_seed(0)).to(weight)
    weight.add_(towards, alpha=SIZE * float(weight.norm() / towards.norm()))
    found: dict[str, float] = {}
    for (site, statistics, before), (_, _, after) in zip(
        nonlinearities_inputs(network, probe.x), nonlinearities_inputs(shaken, probe.x), strict=True
    ):
        moved = (before.double().sort(0).values - after.double().sort(0).values).abs().mean()
        found[f"{site}/{statistics}/response"] = float(moved)
        found[f"{site}/{statistics}/response_spread"] = float(moved / before.double().std(0, correction=0).mean())
    return found
