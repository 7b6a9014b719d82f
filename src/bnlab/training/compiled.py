"""All that compiling a step needs, torch's private API included; importing it takes seconds."""

from collections.abc import Callable, Hashable
from types import FunctionType
from typing import Any, cast

import torch
from torch import Tensor
from torch._dynamo import config as dynamo_config
from torch._inductor.custom_graph_pass import CustomGraphPass, get_hash_for_files
from torch._inductor.lowering import lowerings, make_fallback
from torch.fx import Graph

from bnlab.training import products

Step = Callable[..., None]

# Neither has a lowering in inductor, which calls torch's kernel then; but where CI is set, only if told to beforehand.
for _in_place in (torch.ops.aten.addmm_.default, torch.ops.aten.baddbmm_.default):
    if _in_place not in lowerings:
        make_fallback(_in_place, warn=False)  # type: ignore[no-untyped-call]


class Compiled:
    """`step`, compiled once for each layout of its arguments: tensors, and dicts of them.

    One that `emulates` bfloat16 rounds wherever it says: else a number that is rounded, and at once used in float32, is
    not rounded.
    """

    def __init__(self, step: Step, emulates: bool):
        self.step, self.emulates = step, emulates
        self._versions: dict[Hashable, Step] = {}

    def start(self, *arguments: Any) -> Step:
        """Make a step, and give it for those to come, whose arguments must be of the same layout.

        They are not checked, which would take 7 % of a step; but inductor's code still asserts their shapes.
        """
        key = layout(arguments)
        if key not in self._versions:
            self._versions[key] = _compile(self.step, self.emulates)
        version = self._versions[key]
        version(*arguments)
        return version


def layout(argument: Any) -> Hashable:
    """All of its arguments that a step is compiled for: names, and each tensor's shape, strides, type and device.

    Raises `TypeError` for anything but tensors in dicts and tuples, as the compiler would take it for a constant.
    """
    match argument:
        case Tensor():
            return argument.shape, argument.stride(), argument.dtype, argument.device
        case dict():
            return tuple((name, layout(part)) for name, part in argument.items())
        case tuple():
            return tuple(map(layout, argument))
    raise TypeError(f"a compiled step takes tensors and dicts of them, and no {type(argument).__name__}")


def _compile(step: Step, emulates: bool) -> Step:
    """`step` compiled for the layout of its first call, and without guards.

    It is a new code object, so that dynamo knows no other version of it, and need not choose.
    """
    function = cast(FunctionType, step)
    own = FunctionType(function.__code__.replace(), function.__globals__, None, None, function.__closure__)
    dynamo_config.trace_autograd_ops = True  # the gradient is part of a step
    options: dict[str, Any] = {
        "guard_filter_fn": torch.compiler.skip_all_guards_unsafe,
        "post_grad_custom_post_pass": StackedProducts(),
        "emulate_precision_casts": emulates,
    }
    compiled: Step = torch.compile(own, fullgraph=True, dynamic=False, options=options)
    return compiled


class StackedProducts(CustomGraphPass):
    """`products.rewrite`, after the compiler's own passes."""

    def __call__(self, graph: Graph) -> None:
        products.rewrite(graph)

    def uuid(self) -> bytes:
        """What the compiler's cache knows the pass by."""
        return get_hash_for_files((products.__file__,))
