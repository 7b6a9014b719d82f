"""What enters each nonlinearity: the distribution whose drift is called internal covariate shift."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from bnlab.bins import HISTOGRAM_EDGES as EDGES
from bnlab.measure.passing import nonlinearities_inputs
from bnlab.measure.probe import Probe

SATURATED = 0.19  # share of the greatest slope: for a sigmoid σ(x) < 0.05 or > 0.95, for tanh |tanh x| > 0.9
Described = NDArray[np.float64] | NDArray[np.int64] | float


@torch.no_grad()
def activations(network: nn.Module, probe: Probe) -> dict[str, Described]:
    """Per nonlinearity and kind of statistics, `<site>/<statistics>/…` of its inputs (values, units) on the probe.

    A convolution's units are its feature maps, each with a value for every example and position.

    `population`: the network as it is tested. `batch`: the whole probe as one training batch; only for networks where
    that is another function. For BatchNorm before the nonlinearity the inputs are γx̂+β. Named arrays:

    percentiles (P,), mean, std: of all units together; unit_percentiles (units, P): of each of `probe.units`;
    histogram: counts between the `EDGES`; slope: mean g′; saturated: share of inputs where g′ is below `SATURATED` of
    its greatest.
    """
    found: dict[str, Described] = {}
    for site, statistics, x in nonlinearities_inputs(network, probe.x):
        described = _describe(x, network.get_submodule(site), probe)
        found |= {f"{site}/{statistics}/{name}": value for name, value in described.items()}
    return found


def _describe(x: Tensor, nonlinearity: nn.Module, probe: Probe) -> dict[str, Described]:
    slope = slope_of(nonlinearity, x)
    values = x.cpu().numpy()
    ordered = np.sort(values, axis=None)
    units = [unit for unit in probe.units if unit < values.shape[1]]
    one_by_one = np.sort(values[:, units], axis=0).T
    std, mean = torch.std_mean(x, correction=0)
    return {
        "percentiles": percentiles(ordered, probe.percentiles),
        "unit_percentiles": np.array([percentiles(unit, probe.percentiles) for unit in one_by_one]),
        "mean": float(mean),
        "std": float(std),
        "histogram": _counts(ordered),
        "saturated": float((slope < SATURATED * greatest_slope(nonlinearity)).float().mean()),
        "slope": float(slope.mean()),
    }


def percentiles(ordered: NDArray[np.float32], wanted: list[float]) -> NDArray[np.float64]:
    """`numpy.percentile` of values that are sorted already, which saves its own pass; nan where one is nan."""
    if np.isnan(ordered[-1]):
        return np.full(len(wanted), np.nan)
    at = np.asarray(wanted) / 100 * (len(ordered) - 1)
    below = np.floor(at).astype(int)
    above = np.minimum(below + 1, len(ordered) - 1)
    low, high = ordered[below].astype(float), ordered[above].astype(float)
    with np.errstate(invalid="ignore"):  # infinities of a run that diverges
        return np.asarray(low + (at - below) * (high - low))


def _counts(ordered: NDArray[np.float32]) -> NDArray[np.int64]:
    """Sorted values between `EDGES`; what lies beyond goes to the outermost bins, nan to none."""
    finite = ordered[: len(ordered) - int(np.isnan(ordered).sum())]
    inner = np.searchsorted(finite, EDGES[1:-1])
    return np.diff(np.concatenate([[0], inner, [len(finite)]]))


def slope_of(nonlinearity: nn.Module, x: Tensor) -> Tensor:
    """g′(x), elementwise, for any elementwise g."""
    with torch.enable_grad():
        at = x.detach().requires_grad_()
        (slope,) = torch.autograd.grad(nonlinearity(at).sum(), at)
    return slope


def greatest_slope(nonlinearity: nn.Module) -> float:
    """The largest g′ on [−4, 4]."""
    return float(slope_of(nonlinearity, torch.linspace(-4, 4, 801)).max())
