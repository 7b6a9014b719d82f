"""What enters each nonlinearity: the distribution whose drift is called internal covariate shift."""

from functools import cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from bnlab.bins import HISTOGRAM_EDGES as EDGES
from bnlab.measure.passing import nonlinearities_inputs
from bnlab.measure.probe import Probe

SATURATED = 0.19  # share of the greatest slope: for a sigmoid σ(x) < 0.05 or > 0.95, for tanh |tanh x| > 0.9
# Rounded up to float32: the same values lie below, and numpy need not turn all of them into float64 to know
_ROUNDED = EDGES[1:-1].astype(np.float32)
INNER_EDGES = np.where(EDGES[1:-1] > _ROUNDED, np.nextafter(_ROUNDED, np.float32(np.inf)), _ROUNDED)
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
        "saturated": float((slope < SATURATED * greatest_slope(type(nonlinearity))).float().mean()),  # type: ignore[arg-type]
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
    finite = ordered[: np.searchsorted(ordered, np.float32(np.nan))]  # nan is sorted behind all numbers
    inner = np.searchsorted(finite, INNER_EDGES)
    return np.diff(np.concatenate([[0], inner, [len(finite)]]))


def slope_of(nonlinearity: nn.Module, x: Tensor) -> Tensor:
    """g′(x), elementwise, for any elementwise g."""
    with torch.enable_grad():
        at = x.detach().requires_grad_()
        (slope,) = torch.autograd.grad(nonlinearity(at).sum(), at)
    return slope


@cache
def greatest_slope(kind: type[nn.Module]) -> float:
    """The largest g′ on [−4, 4], of a nonlinearity g of this kind."""
    return float(slope_of(kind(), torch.linspace(-4, 4, 801)).max())
