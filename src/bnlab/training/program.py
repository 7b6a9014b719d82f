"""The update of one run, mapped over the runs of a stack, and compiled: one program for all stacks of a shape."""

import copy
from collections.abc import Callable
from types import FunctionType
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap
from torch.nn import functional as F

from bnlab.training.optimizers import Optimizer, Slots, broadcast

Transform = Callable[[Tensor], Tensor]
Step = Callable[..., None]


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
        self.network = copy.deepcopy(network).train()
        self.rounded = _round_products(self.network, bf16) if bf16 else set()
        self.transform, self.kind, self.compiled, self.bf16 = transform, kind, compiled, bf16
        self._steps: dict[object, Step] = {}

    def step(self, layout: object) -> Step:
        """The step for stacks of one `layout`: whatever decides the shapes of the tensors that it is called with."""
        if layout not in self._steps:
            step = _make_step(self.network, self.transform, self.kind, self.rounded, self.bf16)
            self._steps[layout] = _compile(step, self.bf16 == torch.float32) if self.compiled else step
        return self._steps[layout]


def _compile(step: Step, emulates: bool) -> Step:
    """`step` compiled for the shapes of its first call; one that `emulates` bfloat16 rounds wherever it says.

    A new code object has no other compiled versions, so dynamo need not check at each call which one fits: those
    checks took 7 % of a step. (Inductor's code still asserts the shapes.)
    """
    from torch._dynamo import config as dynamo_config  # here: the compiler takes seconds to import

    from bnlab.training.products import StackedProducts

    function = cast(FunctionType, step)
    own = FunctionType(function.__code__.replace(), function.__globals__, None, None, function.__closure__)
    dynamo_config.trace_autograd_ops = True  # the gradient is part of a step
    options: dict[str, Any] = {
        "guard_filter_fn": torch.compiler.skip_all_guards_unsafe,
        "post_grad_custom_post_pass": StackedProducts(),
        "emulate_precision_casts": emulates,  # else a number that is rounded and at once used in float32 is not rounded
    }
    compiled: Step = torch.compile(own, fullgraph=True, dynamic=False, options=options)
    return compiled


def _make_step(
    network: nn.Module, transform: Transform, kind: type[Optimizer], rounded: set[str], bf16: torch.dtype | None
) -> Step:
    convolves = any(isinstance(module, nn.Conv2d) for module in network.modules())

    def outputs_of_one(weights: Slots, buffers: Slots, x: Tensor) -> tuple[Tensor, Slots]:
        used = {name: w.bfloat16().to(bf16) if name in rounded else w for name, w in weights.items()}
        tensors = used | buffers
        logits = functional_call(network, tensors, (x,))
        return logits.to(x.dtype), {name: tensors[name] for name in buffers}  # a functional call puts new ones there

    def outputs(weights: Slots, buffers: Slots, x: Tensor, shared: bool) -> tuple[Tensor, Slots]:
        if not convolves or any(len(w) > 1 for w in weights.values()):
            return vmap(outputs_of_one, (0, 0, None if shared else 0))(weights, buffers, x)
        # One run alone as any network: under `vmap`, inductor copies what goes between channels last and first, twice
        own_weights, own_buffers = ({name: t[0] for name, t in tensors.items()} for tensors in (weights, buffers))
        seen = x.contiguous(memory_format=torch.channels_last)  # of one seed, so that it has no axis of runs
        logits, new_buffers = outputs_of_one(own_weights, own_buffers, seen)
        return logits.unsqueeze(0), {name: t.unsqueeze(0) for name, t in new_buffers.items()}

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
        logits, new_buffers = outputs(leaves, buffers, x, shared=rows.dim() == 1)  # (K, m, classes)
        y = labels.index_select(0, flat).view(rows.shape).expand(logits.shape[:2])
        loss = F.cross_entropy(logits.flatten(0, 1), y.flatten(), reduction="none").view_as(y).mean(1)
        # A run's loss hangs on no weights but its own: the gradient of the sum is each run's gradient of its own
        gradients = dict(zip(leaves, torch.autograd.grad(loss.sum(), list(leaves.values())), strict=True))
        with torch.no_grad():
            for name, buffer in buffers.items():
                buffer.copy_(new_buffers[name])
            for name, w in weights.items():
                h = broadcast(settings, w)
                g = gradients[name]
                if w.dim() > 2 and "weight_decay" in h:  # (runs, out, in, …): a matrix; biases, γ and β are not decayed
                    g = g + h["weight_decay"] * w
                kind.update(w, g, slots[name], h)
            loss_sum.add_(loss)
            first = ~torch.isfinite(loss) & (diverged < 0)
            diverged.copy_(torch.where(first, t.to(diverged.dtype), diverged))

    return step


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
