"""The update of one run, mapped over the runs of a stack, and compiled: one program for all stacks of a shape."""

import copy
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap
from torch.nn import functional as F

from bnlab.training.optimizers import Optimizer, Slots, broadcast

Transform = Callable[[Tensor], Tensor]
Step = Callable[..., None]
Outputs = Callable[[Slots, Slots, Tensor, bool], tuple[Tensor, Slots]]


class Program:
    """How networks like `network` are updated by optimizers of one `kind`.

    `transform` turns uint8 images into what the networks see. With `bf16`, linear layers and convolutions round what
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
        step = _make_step(_outputs(own, rounded, bf16), transform, kind)
        self.kind = kind
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


def _make_step(outputs: Outputs, transform: Transform, kind: type[Optimizer]) -> Step:
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
        rows: Tensor,
        t: Tensor,
    ) -> None:
        flat = rows.flatten()
        x = transform(images.index_select(0, flat).view(*rows.shape, *images.shape[1:]))
        leaves = {name: w.detach().requires_grad_() for name, w in weights.items()}
        logits, new_buffers = outputs(leaves, buffers, x, rows.dim() == 1)
        y = labels.index_select(0, flat).view(rows.shape).expand(logits.shape[:2])
        loss = F.cross_entropy(logits.flatten(0, 1), y.flatten(), reduction="none").view_as(y).mean(1)
        # A run's loss hangs on no weights but its own: the gradient of the sum is each run's gradient of its own
        gradients = dict(zip(leaves, torch.autograd.grad(loss.sum(), list(leaves.values())), strict=True))
        with torch.no_grad():
            for name, buffer in buffers.items():
                buffer.copy_(new_buffers[name])
            _update(kind, weights, gradients, slots, settings)
            loss_sum.add_(loss)
            first = ~torch.isfinite(loss) & (diverged < 0)
            diverged.copy_(torch.where(first, t.to(diverged.dtype), diverged))

    return step


def _update(kind: type[Optimizer], weights: Slots, gradients: Slots, slots: dict[str, Slots], settings: Slots) -> None:
    for name, w in weights.items():
        h = broadcast(settings, w)
        g = gradients[name]
        if w.dim() > 2 and "weight_decay" in h:  # (runs, out, in, …): a matrix; biases, γ and β are not decayed
            g = g + h["weight_decay"] * w
        kind.update(w, g, slots[name], h)


def _outputs(network: nn.Module, rounded: set[str], bf16: torch.dtype | None) -> Outputs:
    """How the runs of a stack answer: their weights, buffers and images to logits (K, m, classes) and new buffers.

    Images are (m, …) where they are `shared` by all, else (K, m, …). Weights whose names are `rounded` are so to bf16.
    """
    convolves = any(isinstance(module, nn.Conv2d) for module in network.modules())

    def of_one(weights: Slots, buffers: Slots, x: Tensor) -> tuple[Tensor, Slots]:
        used = {name: w.bfloat16().to(bf16) if name in rounded else w for name, w in weights.items()}
        tensors = used | buffers
        logits = functional_call(network, tensors, (x,))
        return logits.to(x.dtype), {name: tensors[name] for name in buffers}  # a functional call puts new ones there

    def of_all(weights: Slots, buffers: Slots, x: Tensor, shared: bool) -> tuple[Tensor, Slots]:
        if not convolves or any(len(w) > 1 for w in weights.values()):
            return vmap(of_one, (0, 0, None if shared else 0))(weights, buffers, x)
        # One run alone as any network: under `vmap`, inductor copies what goes between channels last and first, twice
        own_weights, own_buffers = ({name: t[0] for name, t in tensors.items()} for tensors in (weights, buffers))
        seen = x.contiguous(memory_format=torch.channels_last)  # of one seed, so that it has no axis of runs
        logits, new_buffers = of_one(own_weights, own_buffers, seen)
        return logits.unsqueeze(0), {name: t.unsqueeze(0) for name, t in new_buffers.items()}

    return of_all


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
