"""The update of one run, mapped over the runs of a stack, and compiled: one program for all stacks of a shape."""

import copy
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap
from torch.nn import functional as F

from bnlab.norms import BatchNorm, BatchNormWrittenOut
from bnlab.training.optimizers import Optimizer, Slots, broadcast

Transform = Callable[[Tensor], Tensor]
Step = Callable[..., None]
Call = Callable[[Slots, tuple[Tensor, ...]], Tensor]  # of a network, with these tensors, which it renews
Gradients = Callable[[Slots, Slots, Tensor, Tensor], tuple[Tensor, Slots, Slots]]


class Program:
    """How networks like `network` are updated by optimizers of one `kind`.

    `transform` turns pixels into what the networks see. With `bf16`, linear layers and convolutions round what
    they take and give to bfloat16; weights, statistics of norms, the loss and updates stay as they are. Weights,
    buffers and settings are handed in, so one program serves every stack whose networks and optimizers differ in
    nothing but these.

    `bf16` is the type in which rounded numbers are multiplied: bfloat16, or float32 for a CPU that has no arithmetic
    for it. Hardware for bfloat16 adds up in float32, so that both give the same numbers but for the order of sums
    (the emulation of Kalamkar et al. 2019), and for what a compiled step with hardware keeps unrounded between two
    products, as in the sum of a residual block without a norm.
    """

    def __init__(
        self,
        network: nn.Module,
        transform: Transform,
        kind: type[Optimizer],
        compiled: bool,
        bf16: torch.dtype | None = None,
    ):
        own = copy.deepcopy(network).train()
        rounded = _round_products(own, bf16) if bf16 else set()
        step = _make_step(_gradients_of(own, rounded, bf16, compiled), transform, kind)
        self.kind, self.compiled = kind, compiled
        self._start = _compiling(step, bf16 == torch.float32) if compiled else partial(_started, step)

    def start(self, *arguments: Any) -> Step:
        """Make an update, whose `arguments` are those of `_make_step`'s; give the step for more of the same layout."""
        return self._start(*arguments)


def _started(step: Step, *arguments: Any) -> Step:
    step(*arguments)
    return step


def _compiling(step: Step, emulates: bool) -> Callable[..., Step]:
    from bnlab.training.compiled import Compiled  # here: the compiler takes seconds to import

    return Compiled(step, emulates).start


def _make_step(gradients_of: Gradients, transform: Transform, kind: type[Optimizer]) -> Step:
    """One update of every run, which changes weights, buffers, slots, `loss_sum` and `diverged` in place."""

    def step(
        weights: Slots,
        buffers: Slots,
        slots: dict[str, Slots],
        settings: Slots,
        loss_sum: Tensor,
        diverged: Tensor,
        images: Tensor,
        labels: Tensor,
        t: Tensor,
    ) -> None:
        loss, gradients, new_buffers = gradients_of(weights, buffers, transform(images), labels)
        with torch.no_grad():
            for name, buffer in buffers.items():
                buffer.copy_(new_buffers[name])
            _update(kind, weights, gradients, slots, settings)
            loss_sum.add_(loss)
            lost = (loss - loss) != 0  # not finite, in fewer operations than `isfinite` makes
            diverged.masked_fill_(lost & (diverged < 0), t)

    return step


def _update(kind: type[Optimizer], weights: Slots, gradients: Slots, slots: dict[str, Slots], settings: Slots) -> None:
    h_of = {dims: broadcast(settings, dims) for dims in {w.dim() for w in weights.values()}}
    for name, g in gradients.items():
        w = weights[name]
        h = h_of[w.dim()]
        if w.dim() > 2 and "weight_decay" in h:  # (runs, out, in, …): a matrix; biases, γ and β are not decayed
            g = g + h["weight_decay"] * w
        kind.update(w, g, slots[name], h)


def _plain_call(network: nn.Module) -> Call:
    """`functional_call` of this very network, which it leaves with the tensors: a fifth of a lone run's step faster."""
    places: dict[str, tuple[dict[str, Any], str]] = {}
    for path, module in network.named_modules():
        for held in (module._parameters, module._buffers):
            places |= {f"{path}.{leaf}" if path else leaf: (held, leaf) for leaf in held if held[leaf] is not None}

    def call(tensors: Slots, given: tuple[Tensor, ...]) -> Tensor:
        for name, (held, leaf) in places.items():
            held[leaf] = tensors[name]
        output: Tensor = network(*given)
        tensors.update({name: held[leaf] for name, (held, leaf) in places.items()})
        return output

    return call


class _WeightsFirst(nn.Linear):
    """Wu + b as W·u over examples: `vmap` makes one product of it for runs that share a batch, and a gradient that lies
    in memory as W does, so that an update takes a quarter of the time. The compiler sees to both by itself."""

    def forward(self, u: Tensor) -> Tensor:
        product = (self.weight @ u.mT).mT
        return product if self.bias is None else product + self.bias


def _weights_first(module: nn.Module) -> type[nn.Module]:
    return _WeightsFirst if type(module) is nn.Linear else type(module)


def written_out(module: nn.Module) -> type[nn.Module]:
    """Of torch's kernel `vmap` makes one for the units of all runs, which a compiled step adds up one by one. Where
    ε = 0 it stays: written out, the gradient of a unit that never changes would be 0/0."""
    return BatchNormWrittenOut if type(module) is BatchNorm and module.eps else type(module)


def _computing_as(of: Callable[[nn.Module], type[nn.Module]], network: nn.Module) -> nn.Module:
    """A copy whose modules are of other classes, that compute the same; they keep their names, tensors and hooks."""
    own = copy.deepcopy(network)
    for module in own.modules():
        module.__class__ = of(module)
    return own


def _calls(network: nn.Module, compiled: bool) -> tuple[Call, Call]:
    """Of one run alone, and of one run of many under `vmap`."""
    if compiled:
        call: Call = partial(functional_call, _computing_as(written_out, network))
        return call, call
    return _plain_call(network), _plain_call(_computing_as(_weights_first, network))


def _gradients_of(network: nn.Module, rounded: set[str], bf16: torch.dtype | None, compiled: bool) -> Gradients:
    """From weights, buffers, images and labels of a stack to each run's loss (K,), gradients, and new buffers.

    Images are (m, …) where they are shared by all, else (K, m, …). Weights whose names are `rounded` are so to bf16.
    Gradients are of those weights that `network` wants them of: the others are not trained.
    """
    trained = [name for name, parameter in network.named_parameters() if parameter.requires_grad]
    convolves = any(isinstance(module, nn.Conv2d) for module in network.modules())
    alone, mapped = _calls(network, compiled)

    def logits_of(call: Call, weights: Slots, buffers: Slots, x: Tensor) -> tuple[Tensor, Slots]:
        used = {name: w.bfloat16().to(bf16) if name in rounded else w for name, w in weights.items()}
        tensors = used | buffers
        logits = call(tensors, (x,))
        return logits.to(x.dtype), {name: tensors[name] for name in buffers}  # a call puts new ones there

    def leaves_of(weights: Slots) -> Slots:
        return {name: w.detach().requires_grad_(name in trained) for name, w in weights.items()}

    def gradients_by(loss: Tensor, leaves: Slots) -> Slots:
        return dict(zip(trained, torch.autograd.grad(loss, [leaves[name] for name in trained]), strict=True))

    def of_one(weights: Slots, buffers: Slots, x: Tensor, y: Tensor) -> tuple[Tensor, Slots, Slots]:
        """Of one run alone, as of any network: `vmap` would cost as much again."""
        leaves, own = leaves_of(_first(weights)), _first(buffers)
        seen = x.contiguous(memory_format=torch.channels_last) if convolves else x
        logits, new_buffers = logits_of(alone, leaves, own, seen)
        loss = F.cross_entropy(logits, y)
        gradients = gradients_by(loss, leaves)
        return loss.detach().view(1), _alone(gradients), _alone(new_buffers)

    def of_many(weights: Slots, buffers: Slots, x: Tensor, y: Tensor) -> tuple[Tensor, Slots, Slots]:
        leaves = leaves_of(weights)
        logits, new_buffers = vmap(partial(logits_of, mapped), (0, 0, None if y.dim() == 1 else 0))(leaves, buffers, x)
        y = y.expand(logits.shape[:2])
        loss = F.cross_entropy(logits.flatten(0, 1), y.flatten(), reduction="none").view_as(y).mean(1)
        # A run's loss hangs on no weights but its own: the gradient of the sum is each run's gradient of its own
        gradients = gradients_by(loss.sum(), leaves)
        return loss.detach(), gradients, new_buffers

    def gradients_of(weights: Slots, buffers: Slots, x: Tensor, y: Tensor) -> tuple[Tensor, Slots, Slots]:
        # Compiled, `vmap` costs nothing, and leaves the products that are rewritten
        single = all(len(w) == 1 for w in weights.values()) and (convolves or not compiled)
        return (of_one if single else of_many)(weights, buffers, x, y)

    return gradients_of


def _first(stacked: Slots) -> Slots:
    return {name: t[0] for name, t in stacked.items()}


def _alone(own: Slots) -> Slots:
    return {name: t.unsqueeze(0) for name, t in own.items()}


def _round_products(network: nn.Module, dtype: torch.dtype) -> set[str]:
    """Have linear layers and convolutions round what they take, into `dtype`, and give; the names of their weights.

    Not `torch.autocast`, which a convolution under `vmap` does not hear of.
    """
    names: set[str] = set()
    for name, module in network.named_modules():
        if isinstance(module, nn.Linear | nn.Conv2d):
            module.register_forward_pre_hook(lambda module, given: (given[0].bfloat16().to(dtype),))
            module.register_forward_hook(lambda module, given, output: output.bfloat16())
            names |= {f"{name}.{leaf}" for leaf, _ in module.named_parameters()}
    return names
