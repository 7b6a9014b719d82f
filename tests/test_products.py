"""The rewritten products of a compiled step: the same numbers, and the products that were meant."""

import shutil
from collections import Counter

import pytest
import torch
from torch.fx import Graph

from bnlab.training.compiled import StackedProducts
from bnlab.training.loop import train
from bnlab.training.program import Program
from bnlab.training.stack import Run, Stack

pytestmark = pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler: no g++")
aten = torch.ops.aten
KINDS = {
    aten.mm.default: "mm",
    aten.bmm.default: "bmm",
    aten.addmm_.default: "addmm_",
    aten.baddbmm_.default: "baddbmm_",
}


@pytest.fixture
def products(monkeypatch) -> Counter:
    """How many products of each kind are left in the graphs that are compiled meanwhile."""
    left: Counter = Counter()
    rewrite = StackedProducts.__call__

    def counted(self, graph: Graph) -> None:
        rewrite(self, graph)
        left.update(KINDS[node.target] for node in graph.nodes if node.target in KINDS)

    monkeypatch.setattr(StackedProducts, "__call__", counted)
    monkeypatch.setattr(StackedProducts, "uuid", lambda self: None)  # past the compiler's cache
    monkeypatch.setenv("CI", "true")  # where inductor refuses what it otherwise only notes
    return left


def program(runs, compiled: bool) -> Program:
    return Program(runs[0].network, lambda x: x.float() / 255, type(runs[0].optimizer), compiled)


def trained(runs, problem, how: Program) -> Stack:
    stack = Stack(runs, how, torch.device("cpu"))
    list(train(stack, *problem, 8, [20]))
    return stack


@pytest.mark.parametrize(
    ("optimizer", "seeds", "expected"),
    [
        # of three weight matrices: the first layer's two products, the others' three each
        ({"name": "sgd"}, (3, 3), {"mm": 1, "addmm_": 1, "bmm": 4, "baddbmm_": 2}),
        ({"name": "sgd"}, (0, 1), {"bmm": 5, "baddbmm_": 3}),
        ({"name": "sgd", "momentum": 0.5, "weight_decay": 0.1}, (3, 3), {"mm": 2, "bmm": 6}),
    ],
)
def test_products_are_wide_and_updates_in_place_where_they_can_be(
    optimizer, seeds, expected, products, make_run, problem
):
    runs = [
        make_run("none", {"lr": lr, **optimizer}, seed, dtype=torch.float32)
        for seed, lr in zip(seeds, (0.1, 0.3), strict=True)
    ]
    compiled, eager = (trained(runs, problem, program(runs, compiled)) for compiled in (True, False))
    assert products == expected
    for name, weight in eager.weights.items():
        torch.testing.assert_close(compiled.weights[name], weight, rtol=1e-3, atol=1e-4)


def test_wide_products_keep_runs_apart(products, make_run, problem):
    """A run that blows up leaves its neighbour's bits as they are."""

    def runs(rate: float) -> list[Run]:
        sgd = [{"name": "sgd", "lr": lr} for lr in (0.1, rate)]
        return [make_run("batch", each, 3, activation="relu", dtype=torch.float32) for each in sgd]

    compiled = program(runs(0.1), compiled=True)

    def ends(rate: float) -> torch.Tensor:
        stack = trained(runs(rate), problem, compiled)
        assert bool(stack.diverged[1] >= 0) == (rate > 1)
        return stack.weights["hidden1.linear.weight"][0]

    assert torch.equal(ends(0.1), ends(1e30))
    assert products["addmm_"] == 1
