"""What enters each nonlinearity: the distribution whose drift is called internal covariate shift."""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from bnlab.measure.probe import Probe
from bnlab.models import ACTIVATIONS
from bnlab.norms import precise_statistics, uses_batch_statistics

EDGES = np.linspace(-12, 12, 97)  # of the histogram, in units of the input; the outermost bins take what lies beyond
SATURATED = 0.19  # share of the greatest slope: for a sigmoid exactly σ(x) < 0.05 or > 0.95, for tanh |tanh x| > 0.9


@torch.no_grad()
def activations(network: nn.Module, probe: Probe) -> dict[str, NDArray[np.float64] | float]:
    """Per nonlinearity and kind of statistics, `<site>/<statistics>/…` of its inputs (N, units) on the probe.

    `population`: the network as it is tested. `batch`: the whole probe as one training batch; only for networks where that
    is another function. For BatchNorm before the nonlinearity the inputs are γx̂+β. Named arrays:

    percentiles (P,), mean, std: of all units together; histogram: counts between the `EDGES`;
    unit_percentiles (units, P): of each of `probe.units`; saturated: share of inputs where the slope of the nonlinearity
    is below `SATURATED` of its greatest; slope: its mean.
    """
    precise_statistics(network, probe.precise_batches)
    found: dict[str, NDArray[np.float64] | float] = {}
    for statistics in ("population", "batch") if uses_batch_statistics(network) else ("population",):
        network.train(statistics == "batch")
        with nonlinearity_inputs(network) as inputs:
            network(probe.x)
        for site, x in inputs.items():
            described = _describe(x.flatten(1), network.get_submodule(site), probe)
            found |= {f"{site}/{statistics}/{name}": value for name, value in described.items()}
    return found


@contextmanager
def nonlinearity_inputs(network: nn.Module) -> Iterator[dict[str, Tensor]]:
    """Collects, during the block, what enters each nonlinearity, by the name of its site."""
    kinds = tuple(ACTIVATIONS.values())
    inputs: dict[str, Tensor] = {}
    hooks = [
        module.register_forward_pre_hook(lambda _, args, site=site: inputs.update({site: args[0].detach()}))
        for site, module in network.named_modules()
        if isinstance(module, kinds)
    ]
    try:
        yield inputs
    finally:
        for hook in hooks:
            hook.remove()


def _describe(x: Tensor, nonlinearity: nn.Module, probe: Probe) -> dict[str, NDArray[np.float64] | float]:
    slope = slope_of(nonlinearity, x)
    values = x.cpu().numpy()
    units = [unit for unit in probe.units if unit < values.shape[1]]
    inside = np.clip(values, EDGES[0], EDGES[-1])
    return {
        "percentiles": np.percentile(values, probe.percentiles),
        "unit_percentiles": np.percentile(values[:, units], probe.percentiles, axis=0).T,
        "mean": float(values.mean()),
        "std": float(values.std()),
        "histogram": np.histogram(inside, EDGES)[0],
        "saturated": float((slope < SATURATED * greatest_slope(nonlinearity)).float().mean()),
        "slope": float(slope.mean()),
    }


def slope_of(nonlinearity: nn.Module, x: Tensor) -> Tensor:
    """g′(x), elementwise, for any elementwise g."""
    with torch.enable_grad():
        at = x.detach().requires_grad_()
        (slope,) = torch.autograd.grad(nonlinearity(at).sum(), at)
    return slope


def greatest_slope(nonlinearity: nn.Module) -> float:
    """The largest g′ on [−4, 4]."""
    return float(slope_of(nonlinearity, torch.linspace(-4, 4, 801)).max())
