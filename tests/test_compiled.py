"""Compiled steps: one for each layout of arguments, as nothing checks at a call which of them fits."""

import shutil

import pytest
import torch
from torch import Tensor

from bnlab.training.compiled import Compiled, layout


@pytest.mark.parametrize(
    "other",
    [
        torch.zeros(3, 2),
        torch.zeros(3, 2).T,
        torch.zeros(2, 3, dtype=torch.float64),
        torch.zeros(2, 3, device="meta"),
        {"w": torch.zeros(2, 3)},
        (torch.zeros(2, 3),),
    ],
    ids=["shape", "strides", "type", "device", "dict", "tuple"],
)
def test_arguments_that_lie_otherwise_have_another_layout(other):
    assert layout(torch.ones(2, 3)) == layout(torch.zeros(2, 3))
    assert layout(torch.ones(2, 3)) != layout(other)


def test_a_layout_has_the_names_in_dicts():
    one = torch.zeros(1)
    assert layout({"w": {"mean": one}}) == layout({"w": {"mean": one}})
    others = [{"w": {"sum": one}}, {"w": {}}, {"w": {"mean": one, "sum": one}}, {"w": {"mean": one}, "b": {}}]
    assert len({layout({"w": {"mean": one}}), *map(layout, others)}) == 1 + len(others)


@pytest.mark.parametrize("constant", [1, 0.5, True, None, "w", [torch.zeros(1)]])
def test_what_the_compiler_would_take_for_a_constant_is_refused(constant):
    with pytest.raises(TypeError, match=f"no {type(constant).__name__}"):
        layout({"w": constant})


@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler: no g++")
def test_every_layout_gets_a_step_of_its_own():
    def step(x: Tensor, out: dict[str, Tensor]) -> None:
        for name, y in out.items():
            y.copy_(x * x.shape[0] if name == "rows" else -x)

    compiled = Compiled(step, emulates=False)
    x = torch.arange(6.0).view(2, 3)
    one, two = ["rows"], ["rows", "minus"]
    for given, names in ((x, one), (x, two), (x.double(), one), (x.T, one), (x[:1], one), (x, one)):
        ours, theirs = ({name: torch.zeros_like(given) for name in names} for _ in range(2))
        again = compiled.start(given, ours)
        step(given, theirs)
        assert all(torch.equal(ours[name], theirs[name]) for name in names)
        again(2 * given, ours)
        step(2 * given, theirs)
        assert all(torch.equal(ours[name], theirs[name]) for name in names)


@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler: no g++")
def test_a_machine_without_openssl_compiles(tmp_path, monkeypatch):
    tools = tmp_path / "bin"
    tools.mkdir()
    for name in ("g++", "as", "ld"):
        (tools / name).symlink_to(str(shutil.which(name)))
    monkeypatch.setenv("PATH", str(tools))
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path / "cache"))
    x = torch.zeros(7)
    Compiled(lambda x: x.add_(1), emulates=False).start(x)
    assert torch.equal(x, torch.ones(7))
