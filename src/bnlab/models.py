"""Networks: ordinary `nn.Module`s that take the norm as an argument.

A model is made by `(inputs, classes, norm, …) -> nn.Module`. Its sites are named `hidden1.linear`, `hidden1.norm`,
`hidden1.act`, …, `output`; what enters `hidden<k>.act` is what the claims call a layer's inputs.
"""

import math
import zlib
from collections import OrderedDict
from collections.abc import Callable
from typing import Annotated, Any, Literal

import numpy as np
import torch
from pydantic import Field
from torch import nn

from bnlab.config import construct

Norm = Callable[[int, int], nn.Module]
ActivationName = Literal["sigmoid", "tanh", "relu", "identity"]
ACTIVATIONS: dict[str, type[nn.Module]] = {
    "sigmoid": nn.Sigmoid,
    "tanh": nn.Tanh,
    "relu": nn.ReLU,
    "identity": nn.Identity,
}


class MLP(nn.Sequential):
    """`depth` hidden layers of `width` units and a linear output; z = g(norm(Wu + b)) (IS15 §4.1: 3 × 100, sigmoid).

    The linear layer before a norm that subsumes its bias has none. Shapes: (m, C, H, W) or (m, inputs) → (m, classes).
    """

    def __init__(
        self,
        inputs: tuple[int, ...],
        classes: int,
        norm: Norm,
        width: Annotated[int, Field(ge=1, le=1_000_000)] = 100,
        depth: Annotated[int, Field(ge=0, le=1000)] = 3,  # 1000 layers are a second's work to put together
        activation: ActivationName = "sigmoid",
        norm_position: Literal["before", "after"] = "before",
    ):
        layers: OrderedDict[str, nn.Module] = OrderedDict(flatten=nn.Flatten())
        fan_in = math.prod(inputs)
        for k in range(1, depth + 1):
            layers[f"hidden{k}"] = _hidden(fan_in, width, norm(width, 1), ACTIVATIONS[activation](), norm_position)
            fan_in = width
        layers["output"] = nn.Linear(fan_in, classes)
        super().__init__(layers)


def _hidden(fan_in: int, width: int, norm: nn.Module, act: nn.Module, norm_position: str) -> nn.Sequential:
    before = norm_position == "before"
    bias = not (before and getattr(norm, "subsumes_bias", False))
    linear = nn.Linear(fan_in, width, bias=bias)
    sites = [("linear", linear), ("norm", norm), ("act", act)]
    return nn.Sequential(OrderedDict(sites if before else [sites[0], sites[2], sites[1]]))


def gaussian(sigma: Annotated[float, Field(ge=0)] = 0.1) -> Callable[[int], float]:
    """Standard deviation σ of every weight, whatever its fan-in (IS15 §4.1: "small random Gaussian values")."""
    return lambda fan_in: sigma


def fan_in(gain: Annotated[float, Field(ge=0)] = 1.0) -> Callable[[int], float]:
    """Standard deviation gain/√fan-in, which keeps the variance of a linear layer's output (LeCun 1998, §4.6)."""
    return lambda inputs: gain / math.sqrt(inputs)


def initialise(network: nn.Module, std: Callable[[int], float], seed: int) -> None:
    """Draw the weights of every linear layer from N(0, std(fan-in)²) and set its bias to 0, in place.

    The draw depends on the seed and the layer's name alone, so runs that differ in anything else are paired: the same
    base weights, with or without a norm beside them.
    """
    for name, module in network.named_modules():
        if isinstance(module, nn.Linear):
            entropy = np.random.SeedSequence([seed, zlib.crc32(name.encode())]).generate_state(1)
            generator = torch.Generator().manual_seed(int(entropy[0]))
            with torch.no_grad():
                module.weight.copy_(torch.randn(module.weight.shape, generator=generator))
                module.weight.mul_(std(module.weight[0].numel()))
                if module.bias is not None:
                    module.bias.zero_()


def construct_network(model: dict[str, Any], norm: Norm, inputs: tuple[int, ...], classes: int) -> nn.Module:
    """The network of a config's `model` group, before its weights are drawn."""
    return construct(MODELS, "model", model, inputs=inputs, classes=classes, norm=norm)


def build(
    model: dict[str, Any], norm: Norm, init: dict[str, Any], seed: int, inputs: tuple[int, ...], classes: int
) -> nn.Module:
    """The network of a config's `model` group for images of shape `inputs`, with the weights that `seed` gives it."""
    network = construct_network(model, norm, inputs, classes)
    initialise(network, construct(INITS, "init", init), seed)
    return network


INITS: dict[str, Callable[..., Callable[[int], float]]] = {"gaussian": gaussian, "fan_in": fan_in}
MODELS: dict[str, Callable[..., nn.Module]] = {"mlp": MLP}
