"""All that compiling a step needs, torch's private API included; importing it takes seconds."""

import logging
import shutil
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch._functorch import config as functorch_config
from torch._inductor.compile_fx import compile_fx, compile_fx_inner
from torch._inductor.custom_graph_pass import CustomGraphPass, get_hash_for_files
from torch._inductor.ir import MutatingFirstArgExternKernel, NoneLayout, TensorBox
from torch._inductor.lowering import add_needs_realized_inputs, register_lowering
from torch._inductor.virtualized import V
from torch.fx import Graph
from torch.fx.experimental.proxy_tensor import make_fx
from torch.utils._pytree import tree_structure, tree_unflatten

from bnlab.training import products

Step = Callable[..., None]


class InPlaceProduct(MutatingFirstArgExternKernel):
    """w ← w + a·b by torch's kernel.

    Inductor would look it up by name at every step, and read all of torch's dispatcher when it compiles: 10 s of C++.
    """

    def __init__(self, kernel: str, w: TensorBox, a: TensorBox, b: TensorBox):
        operands = [self.realize_input(operand) for operand in (w, a, b)]
        super().__init__(None, NoneLayout(device=w.get_device()), operands, cpp_kernel_name=kernel)
        V.graph.mark_buffer_mutated(operands[0].get_name())
        self.name = V.graph.register_buffer(self)
        V.graph.register_operation(self)

    def codegen(self, wrapper: Any) -> None:
        operands: Any = self.inputs
        w, a, b = (operand.codegen_reference() for operand in operands)
        wrapper.writeline(f"AOTI_TORCH_ERROR_CODE_CHECK({self.get_kernel_name()}({w}, {w}, {a}, {b}, 1, 1));")


def _lower(product: Any, kernel: str) -> None:
    """Have inductor make an `InPlaceProduct` of an operator, by torch's kernel of that name."""

    def lowered(w: TensorBox, a: TensorBox, b: TensorBox) -> TensorBox:
        InPlaceProduct(f"aoti_torch_{w.get_device_or_error().type}_{kernel}", w, a, b)
        return w

    add_needs_realized_inputs(product)  # type: ignore[no-untyped-call]
    register_lowering(product, type_promotion_kind=None)(lowered)


_lower(torch.ops.aten.addmm_.default, "addmm_out")
_lower(torch.ops.aten.baddbmm_.default, "baddbmm_out")


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

        They are not checked, which would take time at every step; but inductor's code still asserts their shapes.
        """
        key = layout(arguments)
        if key not in self._versions:
            self._versions[key] = _compile(self.step, self.emulates, arguments)
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


def _compile(step: Step, emulates: bool, arguments: tuple[Any, ...]) -> Step:
    """`step` compiled for the layout of `arguments`.

    It is traced by itself, and a call of it is one of inductor's code, in C++: what `torch.compile` does around that at
    every call adds a third to a lone run's step.
    """
    tensors, form = leaves(arguments), tree_structure(arguments)

    def flat(*tensors: Tensor) -> tuple[()]:
        step(*tree_unflatten(tensors, form))
        return ()

    codes: list[Any] = []

    def inner(*args: Any, **kwargs: Any) -> Any:
        codes.append(compile_fx_inner(*args, **kwargs))
        return codes[-1]

    options = {
        "cpp_wrapper": True,
        "post_grad_custom_post_pass": StackedProducts(),
        "emulate_precision_casts": emulates,
        "cpp.vec_isa_ok": True,  # else torch tries each kind of vectors first, 4 s; if one fails, we go uncompiled
        "cpp_cache_precompile_headers": shutil.which("openssl") is not None,  # with which torch knows them again
    }
    traced = make_fx(flat, tracing_mode="fake", _allow_non_fake_inputs=True)(*tensors)
    held = list(traced.buffers())  # tensors that a step uses and is not given, as a transform's mean: they come first
    # Another cache would not call `inner`; inductor's own stays
    with functorch_config.patch(enable_autograd_cache=False), _without_warnings():
        compile_fx(traced, tensors, inner, options)
    (code,) = codes

    def call(*arguments: Any) -> None:
        code([*held, *leaves(arguments)])

    return call


@contextmanager
def _without_warnings() -> Iterator[None]:
    """The compiler warns of what is no fault: no GPU here, kernels that it calls by their names."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)


def leaves(argument: Any) -> list[Tensor]:
    """All tensors of an argument in dicts and tuples, in order."""
    if isinstance(argument, Tensor):
        return [argument]
    parts = argument.values() if isinstance(argument, dict) else argument
    return [tensor for part in parts for tensor in leaves(part)]


class StackedProducts(CustomGraphPass):
    """`products.rewrite`, after the compiler's own passes."""

    def __call__(self, graph: Graph) -> None:
        products.rewrite(graph)

    def uuid(self) -> bytes:
        """What the compiler's cache knows the pass by, and what becomes of its products."""
        return get_hash_for_files((products.__file__, __file__))
