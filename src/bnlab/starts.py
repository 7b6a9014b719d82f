"""How weights begin: drawn from a seed and a layer's name, and what is then done once, on a batch of images."""

import math
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn

from bnlab.config import ConfigError
from bnlab.keyed import Keyed
from bnlab.layers import ACTIVATIONS, Turning
from bnlab.norms import Noise, NoNorm

Once = Literal["none", "center", "normalise"]


@dataclass(frozen=True)
class Start:
    """How weights begin: the standard deviation of a weight by its layer's fan-in, and what is then done `once`."""

    std: Callable[[int], float]
    once: Once


def gaussian(sigma: Annotated[float, Field(ge=0)] = 0.1, once: Once = "none") -> Start:
    """Standard deviation σ of every weight, whatever its fan-in (IS15 §4.1: "small random Gaussian values")."""
    return Start(lambda fan_in: sigma, once)


def fan_in(gain: Annotated[float, Field(ge=0)] = 1.0, once: Once = "none") -> Start:
    """Standard deviation gain/√fan-in, which keeps the variance of a linear layer's output (LeCun 1998, §4.6)."""
    return Start(lambda inputs: gain / math.sqrt(inputs), once)


def initialise(network: nn.Module, std: Callable[[int], float], seed: int) -> None:
    """Draw the weights of every linear layer and convolution from N(0, std(fan-in)²) and set its bias to 0, in place.

    And the keys of dropout and of noise.

    The draw depends on the seed and the layer's name alone, so runs that differ in anything else are paired: the same
    base weights, with or without a norm beside them.
    """
    for name, module in network.named_modules():
        entropy = int(np.random.SeedSequence([seed, zlib.crc32(name.encode())]).generate_state(1)[0])
        if isinstance(module, Keyed):
            module.key.fill_(entropy)
        if isinstance(module, nn.Linear | nn.Conv2d):
            generator = torch.Generator().manual_seed(entropy)
            with torch.no_grad():
                for drawn in _drawn(module):
                    drawn.copy_(torch.randn(drawn.shape, generator=generator)).mul_(std(drawn[0].numel()))
                if module.bias is not None:
                    module.bias.zero_()


def _drawn(layer: nn.Module) -> list[Tensor]:
    """The matrices of a layer that are drawn at the start."""
    return [layer.weight, layer.other] if isinstance(layer, Turning) else [layer.get_parameter("weight")]


def feeding(network: nn.Module, once: Once) -> list[nn.Module]:
    """The layers whose outputs enter nonlinearities as they are, from below; what `once` sets.

    Raises `ConfigError` where there is a nonlinearity that is not fed so.
    """
    blocks = [m for m in network.modules() if isinstance(m, nn.Sequential) and hasattr(m, "act")]
    layers = [block[0] for block in blocks if isinstance(block.norm, NoNorm | Noise)]
    if not layers or len(layers) < sum(isinstance(m, tuple(ACTIVATIONS.values())) for m in network.modules()):
        raise ConfigError(
            f"init.once={once}: only of nets whose nonlinearities take what weights and biases give: norm=none or "
            "norm=noise, model=mlp or model=convnet, with a hidden layer"
        )
    return layers


@torch.no_grad()
def start_once(network: nn.Module, once: Once, x: Tensor) -> None:
    """Change weights and biases, in place and from below, so that the images `x` have what `once` says.

    `center`: each nonlinearity's inputs have mean 0 per unit, by the biases alone. `normalise`: and variance 1, by the
    weights (Salimans & Kingma 2016, §3, as g and b there; Mishkin & Matas 2016 by layer). A unit that does not vary
    keeps its weights. `none`: nothing. Raises `ConfigError` for a net that `feeding` refuses.
    """

    def set_once(layer: Any, given: tuple[Tensor], output: Tensor) -> Tensor:
        std, mean = torch.std_mean(output.movedim(1, -1).flatten(0, -2), 0, correction=0)
        factor = torch.where(std > 0, 1 / std, 1) if once == "normalise" else torch.ones_like(std)
        for drawn in _drawn(layer):
            drawn.mul_(factor.view(-1, *[1] * (drawn.dim() - 1)))
        layer.bias.sub_(mean).mul_(factor)
        again: Tensor = layer.forward(*given)  # no call, which would come here once more
        return again

    hooks = [layer.register_forward_hook(set_once) for layer in feeding(network, once)]
    mode = network.training
    network.eval()(x)
    network.train(mode)
    for hook in hooks:
        hook.remove()


INITS: dict[str, Callable[..., Start]] = {"gaussian": gaussian, "fan_in": fan_in}
