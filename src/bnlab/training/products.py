"""What the compiler does not see in the matrix products of a stack's step, as a pass over the graph of a step.

`vmap` gives each run a product of its own, `bmm`. Where all runs see one batch, these are columns (in the forward pass)
or rows (of the weights' gradient) of one wide product, which is faster. And where an update is w − lr·gᵀx and nothing
else, as plain SGD's, the product can be added to w in place, with −lr in the small factor: the gradient, as large as w
itself, is never written. Ordinary modules and optimizers know nothing of either, and a step that has neither is left as
it is.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch.fx import Graph, Node

aten = torch.ops.aten
TURNED = [0, 2, 1]  # every run's matrix


def rewrite(graph: Graph) -> None:
    """Make the products of a step wide, and its updates in place, where they can be.

    Changes float32's last bits and nothing else.
    """
    for node in graph.find_nodes(op="call_function", target=aten.permute.default):
        _turn(graph, node)
    for node in graph.find_nodes(op="call_function", target=aten.copy_.default):
        _update_in_place(graph, node)
    for target, widen in WIDEN.items():
        for node in graph.find_nodes(op="call_function", target=target):
            widen(graph, node)
    graph.eliminate_dead_code()
    graph.lint()


def _turn(graph: Graph, node: Node) -> None:
    """(a·b)ᵀ → bᵀ·aᵀ, as a weight's gradient comes: so it lies in memory as the weight does."""
    product: Any = node.args[0]
    if node.args[1] == TURNED and product.target is aten.bmm.default and len(product.users) == 1:
        a, b = product.args
        with graph.inserting_before(node):
            turned = _call(graph, aten.bmm.default, _transposed(graph, b), _transposed(graph, a))
        node.replace_all_uses_with(turned)
        graph.erase_node(node)


def _transposed(graph: Graph, operand: Any) -> Node:
    if operand.target is aten.permute.default and operand.args[1] == TURNED:
        return operand.args[0]  # type: ignore[no-any-return]
    return _call(graph, aten.permute.default, operand, TURNED)


def _update_in_place(graph: Graph, copy: Node) -> None:
    """copy_(w, addcmul(w, bmm(a, b), factor, −1)) → baddbmm_(w, −factor·a, b), with a `factor` (runs, 1, 1)."""
    w: Any
    w, new = copy.args
    product, factor = _given(new, aten.addcmul.default, {0: w}, of=slice(1, 3), value=-1) or (None, None)
    operands = _given(product, aten.bmm.default, {}, of=slice(2))
    if operands is None or w.op != "placeholder" or not w.meta["val"].is_contiguous():
        return
    a, b = operands
    if _shape(factor) == [_shape(w)[0], 1, 1]:
        with graph.inserting_before(copy):
            step = _call(graph, aten.mul.Tensor, _call(graph, aten.neg.default, factor), a)
            _call(graph, aten.baddbmm_.default, w, step, b)
        graph.erase_node(copy)


def _given(node: Any, target: object, fixed: dict[int, Any], of: Any, **named: Any) -> Any:
    """Arguments `of` a call of `target` that has one user and the arguments `fixed` and `named`; else None."""
    fits = isinstance(node, Node) and node.target is target and len(node.users) == 1 and node.kwargs == named
    return node.args[of] if fits and all(node.args[i] == arg for i, arg in fixed.items()) else None


def _widen_product(graph: Graph, node: Node) -> None:
    """bmm with one operand that all runs share → mm over all runs."""
    a, b = node.args
    runs, rows, columns = _shape(node)
    with graph.inserting_before(node):
        if (x := _shared(b)) is not None:
            wide = _call(graph, aten.mm.default, _call(graph, aten.reshape.default, a, [runs * rows, -1]), x)
            result = _call(graph, aten.reshape.default, wide, [runs, rows, columns])
        elif (x := _shared(a)) is not None:
            by_column = _call(graph, aten.permute.default, b, TURNED)  # weights as they are stored
            flat = _call(graph, aten.reshape.default, by_column, [runs * columns, -1])
            wide = _call(graph, aten.mm.default, x, _call(graph, aten.permute.default, flat, [1, 0]))
            by_row = _call(graph, aten.reshape.default, wide, [rows, runs, columns])
            result = _call(graph, aten.permute.default, by_row, [1, 0, 2])
        else:
            return
    node.replace_all_uses_with(result)
    graph.erase_node(node)


def _widen_update(graph: Graph, node: Node) -> None:
    """baddbmm_ with a last operand that all runs share → addmm_ over all runs."""
    w, a, b = node.args
    if (x := _shared(b)) is not None:
        runs, rows, columns = _shape(w)
        with graph.inserting_before(node):
            flat = _call(graph, aten.reshape.default, w, [runs * rows, columns])
            _call(graph, aten.addmm_.default, flat, _call(graph, aten.reshape.default, a, [runs * rows, -1]), x)
        graph.erase_node(node)


WIDEN: dict[Any, Callable[[Graph, Node], None]] = {
    aten.bmm.default: _widen_product,
    aten.baddbmm_.default: _widen_update,
}


def _shared(operand: Any) -> Node | None:
    """The matrix that an operand (runs, m, n) repeats for each run, if it does."""
    if operand.target is not aten.expand.default:
        return None
    matrix = operand.args[0]
    return matrix if _shape(matrix) == _shape(operand)[1:] else None


def _shape(node: Any) -> list[int]:
    return list(node.meta["val"].shape)


def _call(graph: Graph, target: Any, *args: Any) -> Node:
    """A new call, with the (fake) result that tells the compiler its shape."""
    node = graph.call_function(target, args)
    node.meta["val"] = target(*(arg.meta["val"] if isinstance(arg, Node) else arg for arg in args))
    return node
