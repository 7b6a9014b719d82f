"""How far from Gaussian the values are that enter and leave each layer's weights."""

import torch
from torch import Tensor, nn

from bnlab.measure.passing import of_units, passing
from bnlab.measure.probe import Probe


@torch.no_grad()
def gaussianity(network: nn.Module, probe: Probe) -> dict[str, float]:
    """`<site>/<side>/…` of every layer of weights but the first, whose inputs are the images; on the probe, as tested.

    `inputs`: the layer's u. `outputs`: Wu + b (IS15 §3.2). Named numbers, each a mean over units or feature maps of a
    statistic over examples and positions: skewness, |third standardised moment|, and excess_kurtosis, |fourth − 3|, of
    those units that vary at all; sparsity, of all, the share of values that are 0. A Gaussian has none of them.
    """
    network.eval()
    with passing(network, nn.Linear, nn.Conv2d) as seen:
        network(probe.x)
    found: dict[str, float] = {}
    for site, (u, x) in list(seen.items())[1:]:
        for side, values in (("inputs", u), ("outputs", x)):
            found |= {f"{site}/{side}/{name}": value for name, value in _shape(values).items()}
    return found


def _shape(values: Tensor) -> dict[str, float]:
    units = of_units(values).double()
    centred = units - units.mean(0)
    std = centred.square().mean(0).sqrt()
    z = centred[:, std > 0] / std[std > 0]
    return {
        "skewness": float(z.pow(3).mean(0).abs().mean()),
        "excess_kurtosis": float((z.pow(4).mean(0) - 3).abs().mean()),
        "sparsity": float((values == 0).double().mean()),
    }
