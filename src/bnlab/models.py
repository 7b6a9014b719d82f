"""Networks: ordinary `nn.Module`s that take the norm as an argument.

A model is made by `(inputs, classes, norm, …) -> nn.Module`. Its sites are named `hidden1.linear` (or `.conv`),
`hidden1.norm`, `hidden1.act`, …, `output` (in a residual net's blocks, too: `stage1block1.hidden1.conv`); what enters
`hidden<k>.act` is what the claims call a layer's inputs.

One that fills a core by itself, as those with convolutions do, says with `together = 1` that its runs are best trained
singly.
"""

import math
from collections import OrderedDict
from collections.abc import Callable
from functools import partial
from typing import Annotated, Any, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from bnlab.config import construct
from bnlab.dropout import Dropout
from bnlab.layers import ACTIVATIONS, ActivationName, MaxPool2x2, Turning
from bnlab.starts import INITS, initialise, start_once

Norm = Callable[[int, int], nn.Module]
TOGETHER = 8  # runs of other models are best trained so many as one program; past about 16 they fall out of the cache


class MLP(nn.Sequential):
    """`depth` hidden layers of `width` units and a linear output; z = g(norm(Wu + b)) (IS15 §4.1: 3 × 100, sigmoid).

    The linear layer before a norm that subsumes its bias has none. The first `frozen` hidden layers keep the weights,
    γ and β that they begin with: what enters the layers above them has a fixed distribution, of random features. With
    `turning` they turn by so many radians an update into other random features, so that it shifts, though nothing is
    learned there. Shapes: (m, C, H, W) or (m, inputs) → (m, classes). Raises `ValueError` where there are not so many
    layers, or none that could turn.
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
        frozen: Annotated[int, Field(ge=0)] = 0,
        turning: Annotated[float, Field(ge=0)] = 0,
    ):
        if frozen > depth:
            raise ValueError(f"frozen={frozen}: there are {depth} hidden layers")
        if turning and not frozen:
            raise ValueError(f"turning={turning:g}: only layers that are frozen turn, and frozen=0")
        layers: OrderedDict[str, nn.Module] = OrderedDict(flatten=nn.Flatten())
        fan_in = math.prod(inputs)
        for k in range(1, depth + 1):
            turns = turning and k <= frozen
            linear = partial(Turning, fan_in, width, turning) if turns else partial(nn.Linear, fan_in, width)
            hidden = _hidden("linear", linear, norm(width, 1), activation, norm_position)
            layers[f"hidden{k}"] = hidden.requires_grad_(k > frozen)
            fan_in = width
        layers["output"] = nn.Linear(fan_in, classes)
        super().__init__(layers)


class ConvNet(nn.Sequential):
    """`depth` layers of 3×3 convolutions, after Simonyan & Zisserman 2015: z = g(norm(W∗u + b)).

    The first two have `width` feature maps, and each pair after them twice as many, at half the resolution (2×2
    max-pooling between pairs). The mean over positions goes, through `dropout`, to a linear output. Shapes:
    (m, C, H, W) → (m, classes). Raises `ValueError` where the images are too small for so many halvings.
    """

    together = 1

    def __init__(
        self,
        inputs: tuple[int, ...],
        classes: int,
        norm: Norm,
        width: Annotated[int, Field(ge=1, le=100_000)] = 32,
        depth: Annotated[int, Field(ge=1, le=100)] = 6,
        activation: ActivationName = "relu",
        norm_position: Literal["before", "after"] = "before",
        dropout: Annotated[float, Field(ge=0, lt=1)] = 0,
    ):
        halvings = (depth - 1) // 2
        if min(inputs[1:]) < 2**halvings:
            raise ValueError(f"depth={depth} halves images of {inputs[1]}×{inputs[2]} pixels {halvings} times")
        layers: OrderedDict[str, nn.Module] = OrderedDict()
        fan_in = inputs[0]
        for k in range(1, depth + 1):
            maps = width * 2 ** ((k - 1) // 2)
            if k % 2 and k > 1:
                layers[f"pool{k // 2}"] = MaxPool2x2()
            layers[f"hidden{k}"] = _hidden("conv", _conv3x3(fan_in, maps), norm(maps, 2), activation, norm_position)
            fan_in = maps
        layers |= _head(fan_in, classes, dropout)
        super().__init__(layers)


class ResNet(nn.Sequential):
    """The residual net for small images of He et al. 2016, §4.2: 6·`blocks` + 2 layers.

    A 3×3 convolution, then three stages of `blocks` blocks with `width`, 2·`width` and 4·`width` feature maps, the
    second and third at half the resolution of the one before; the mean over positions goes to a linear output.
    Shapes: (m, C, H, W) → (m, classes).
    """

    together = 1

    def __init__(
        self,
        inputs: tuple[int, ...],
        classes: int,
        norm: Norm,
        width: Annotated[int, Field(ge=1, le=100_000)] = 16,
        blocks: Annotated[int, Field(ge=1, le=100)] = 1,
        activation: ActivationName = "relu",
    ):
        first = _hidden("conv", _conv3x3(inputs[0], width), norm(width, 2), activation, "before")
        layers: OrderedDict[str, nn.Module] = OrderedDict(hidden1=first)
        fan_in = width
        for stage in (1, 2, 3):
            maps = width * 2 ** (stage - 1)
            for k in range(1, blocks + 1):
                layers[f"stage{stage}block{k}"] = ResidualBlock(fan_in, maps, norm, activation)
                fan_in = maps
        layers |= _head(fan_in, classes)
        super().__init__(layers)


class ResidualBlock(nn.Module):
    """z = g(shortcut(u) + norm(W₂∗g(norm(W₁∗u)))) (He et al. 2016, eq. 1).

    Where it has more feature maps than its input, it halves the resolution, and the shortcut is the input at every
    second position with maps of zeros added (their option A: no weights).
    """

    def __init__(self, fan_in: int, width: int, norm: Norm, activation: ActivationName):
        super().__init__()
        self.stride, self.more = (1, 0) if fan_in == width else (2, width - fan_in)
        conv = _conv3x3(fan_in, width, stride=self.stride)
        self.hidden1 = _hidden("conv", conv, norm(width, 2), activation, "before")
        self.hidden2 = _hidden("conv", _conv3x3(width, width), norm(width, 2), None, "before")
        self.act = ACTIVATIONS[activation]()

    def forward(self, u: Tensor) -> Tensor:
        shortcut = F.pad(u[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, 0, self.more))
        z: Tensor = self.act(shortcut + self.hidden2(self.hidden1(u)))
        return z


class ResidualMLP(nn.Sequential):
    """A linear layer, `blocks` fully connected `Branch`es of `width` units, a norm, a nonlinearity and a linear output.

    Shapes: (m, C, H, W) or (m, inputs) → (m, classes).
    """

    def __init__(
        self,
        inputs: tuple[int, ...],
        classes: int,
        norm: Norm,
        width: Annotated[int, Field(ge=1, le=1_000_000)] = 64,
        blocks: Annotated[int, Field(ge=1, le=1000)] = 50,
        activation: ActivationName = "relu",
        branch: Literal["open", "closed"] = "open",
    ):
        layers: OrderedDict[str, nn.Module] = OrderedDict(flatten=nn.Flatten())
        layers["linear"] = nn.Linear(math.prod(inputs), width)
        for k in range(1, blocks + 1):
            layers[f"hidden{k}"] = Branch(width, norm(width, 1), activation, closed=branch == "closed")
        last = [("norm", norm(width, 1)), ("act", ACTIVATIONS[activation]())]
        layers |= {"last": nn.Sequential(OrderedDict(last)), "output": nn.Linear(width, classes)}
        super().__init__(layers)


class Branch(nn.Module):
    """u + s·(Wg(norm(u)) + b), after He et al. 2016b; s is 1, or, of a `closed` one, begins at 0 and is trained.

    De & Smith 2020 call the latter SkipInit. Shapes: (m, width) → (m, width).
    """

    def __init__(self, width: int, norm: nn.Module, activation: ActivationName, closed: bool):
        super().__init__()
        self.norm, self.act, self.linear = norm, ACTIVATIONS[activation](), nn.Linear(width, width)
        self.scale = nn.Parameter(torch.zeros(1)) if closed else None

    def forward(self, u: Tensor) -> Tensor:
        branch: Tensor = self.linear(self.act(self.norm(u)))
        return u + (branch if self.scale is None else self.scale * branch)


def _hidden(
    kind: str, make: Callable[..., nn.Module], norm: nn.Module, activation: ActivationName | None, norm_position: str
) -> nn.Sequential:
    """What `make` makes, without a bias right before a norm that subsumes it; the norm; the nonlinearity, if named."""
    before = norm_position == "before"
    sites = [(kind, make(bias=not (before and getattr(norm, "subsumes_bias", False)))), ("norm", norm)]
    if activation is not None:
        sites.insert(2 if before else 1, ("act", ACTIVATIONS[activation]()))
    return nn.Sequential(OrderedDict(sites))


def _conv3x3(fan_in: int, width: int, stride: int = 1) -> Callable[..., nn.Module]:
    return partial(nn.Conv2d, fan_in, width, 3, padding=1, stride=stride)


def _head(fan_in: int, classes: int, dropout: float = 0) -> OrderedDict[str, nn.Module]:
    head: list[tuple[str, nn.Module]] = [("mean", nn.AdaptiveAvgPool2d(1)), ("flatten", nn.Flatten())]
    head += [("dropout", Dropout(dropout))] if dropout else []
    return OrderedDict([*head, ("output", nn.Linear(fan_in, classes))])


def together(model: dict[str, Any]) -> int:
    """How many runs of a config's `model` group are best trained as one program."""
    most: int = getattr(MODELS[model["name"]], "together", TOGETHER)
    return most


def construct_network(model: dict[str, Any], norm: Norm, inputs: tuple[int, ...], classes: int) -> nn.Module:
    """The network of a config's `model` group, before its weights are drawn."""
    return construct(MODELS, "model", model, inputs=inputs, classes=classes, norm=norm)


def build(
    model: dict[str, Any],
    norm: Norm,
    init: dict[str, Any],
    seed: int,
    inputs: tuple[int, ...],
    classes: int,
    images: Callable[[], Tensor] | None = None,
) -> nn.Module:
    """The network of a config's `model` group for images of shape `inputs`, with the weights that `seed` gives it.

    `images` gives those, (m, *inputs), that `init.once` needs.
    """
    network = construct_network(model, norm, inputs, classes)
    start = construct(INITS, "init", init)
    initialise(network, start.std, seed)
    if start.once != "none" and images is not None:
        start_once(network, start.once, images())
    return network


MODELS: dict[str, Callable[..., nn.Module]] = {
    "mlp": MLP,
    "convnet": ConvNet,
    "resnet": ResNet,
    "residual_mlp": ResidualMLP,
}
