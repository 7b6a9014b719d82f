"""How far from Gaussian the values are that enter and leave each layer's weights."""

import torch
from torch import Tensor, nn

from bnlab.measure.probe import Probe


@torch.no_grad()
def gaussianity(network: nn.Module, probe: Probe) -> dict[str, float]:
    """`<site>/<side>/…` of every layer of weights but the first, whose inputs are the images; on the probe, as tested.

    `inputs`: the layer's u. `outputs`: Wu + b (IS15 §3.2). Named numbers, each a mean over units or feature maps (those
    that vary at all) of a statistic over examples and positions: skewness, |third standardised moment|;
    excess_kurtosis, |fourth − 3|; sparsity, the share of values that are 0. A Gaussian has none of them.
    """
    network.eval()
    seen: dict[str, tuple[Tensor, Tensor]] = {}
    layers = [(name, module) for name, module in network.named_modules() if isinstance(module, nn.Linear | nn.Conv2d)]
    hooks = [
        module.register_forward_hook(lambda _, args, out, name=name: seen.update({name: (args[0], out)}))
        for name, module in layers[1:]
    ]
    try:
        network(probe.x)
    finally:
        for hook in hooks:
            hook.remove()
    found: dict[str, float] = {}
    for site, (u, x) in seen.items():
        for side, values in (("inputs", u), ("outputs", x)):
            found |= {f"{site}/{side}/{name}": value for name, value in _shape(values).items()}
    return found


def _shape(values: Tensor) -> dict[str, float]:
    of_units = values.movedim(1, -1).flatten(0, -2).double()  # (N, C, H, W) → (N·H·W, C)
    centred = of_units - of_units.mean(0)
    std = centred.square().mean(0).sqrt()
    z = centred[:, std > 0] / std[std > 0]
    return {
        "skewness": float(z.pow(3).mean(0).abs().mean()),
        "excess_kurtosis": float((z.pow(4).mean(0) - 3).abs().mean()),
        "sparsity": float((values == 0).double().mean()),
    }
