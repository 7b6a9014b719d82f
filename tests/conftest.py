"""What several test files share: a small config, a small problem, and runs of the engine on it."""

import copy
import json
import os
import shutil
from functools import lru_cache
from pathlib import Path

import matplotlib.pyplot as plt
import pytest
import torch

from bnlab import data, models, norms, sweeps
from bnlab.claims import claim, planner
from bnlab.config import CONFIGS, Config, construct, parse
from bnlab.training import schedules
from bnlab.training.optimizers import OPTIMIZERS
from bnlab.training.program import Program
from bnlab.training.stack import Run, Stack

LONGEST = {"test_faults", "test_notebooks", "test_reproduce", "test_readme"}
CLAIM_BY_CLAIM = {"test_claims", "test_report"}
README = CONFIGS.parent / "README.md"
RESULTS = CONFIGS.parent / "results"

torch.set_num_threads(1)
os.environ["OMP_NUM_THREADS"] = "1"  # of processes that tests start: they run beside each other

SMALL = {
    "data": {"name": "mnist_sample", "transform": "binarise", "validation": 400},
    "model": {"name": "mlp", "width": 20, "depth": 2},
    "init": {"name": "gaussian", "sigma": 0.1},
    "norm": {"name": "batch"},
    "optimizer": {"name": "sgd", "lr": 0.1},
    "lr_schedule": {"name": "constant"},
    "steps": 3,
    "batch_size": 20,
    "seed": 0,
    "measure": {"per_decade": 0, "probe": 50, "units": [0, 1], "percentiles": [15, 50, 85]},
    "hardware": {"device": "cpu", "workers": 1, "stack": 8, "compile": False, "matmul": "default"},
    "tracker": "none",
}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest first, which are many processes each: else one worker does them at the end, and the other waits.

    Tests of the ledger and of claims go claim by claim, so that a claim's table and jobs are at hand.
    """

    def place(item: pytest.Item) -> tuple[bool, str, str]:
        stem = "claims" if item.path.stem in CLAIM_BY_CLAIM else item.path.stem
        of_claim = stem == "claims" and hasattr(item, "callspec")
        return item.path.stem not in LONGEST, stem, str(item.callspec.params.get("name", "")) if of_claim else ""

    items.sort(key=place)


def with_changes(settings: dict, changes: dict) -> dict:
    """A copy of `settings` with `{"optimizer.lr": 1, "norm": {...}}` put in its place."""
    changed = copy.deepcopy(settings)
    for key, value in changes.items():
        *groups, leaf = key.split(".")
        at = changed
        for group in groups:
            at = at.setdefault(group, {})
        at[leaf] = value
    return changed


def verdict_of(name: str) -> dict:
    """What the ledger says of a claim."""
    return json.loads((RESULTS / name / "verdict.json").read_text(encoding="utf-8"))


@pytest.fixture(autouse=True)
def no_figure_stays_open():
    yield
    plt.close("all")


@pytest.fixture
def raw_config(tmp_path: Path):
    """`raw_config(changes)`: the settings of a small run, below tmp_path, before they are checked."""
    return lambda changes=None: with_changes(SMALL | {"out": str(tmp_path / "runs")}, changes or {})


@pytest.fixture
def make_config(raw_config):
    """`make_config(changes)`: the same, checked."""

    def make(changes: dict | None = None) -> Config:
        return parse(raw_config(changes))

    return make


@pytest.fixture
def own_claim(tmp_path, monkeypatch):
    """`own_claim(yaml)`: the claim `mine`, in a copy of `configs/` that this test alone sees."""
    configs = tmp_path / "configs"
    shutil.copytree(CONFIGS, configs)
    for module in (claim, sweeps):
        monkeypatch.setattr(module, "CONFIGS", configs)
    planner._composed.cache_clear()  # of a `mine` of another test
    sweeps._TRAINED.clear()
    return (configs / "experiment" / "mine.yaml").write_text


@pytest.fixture
def digits() -> data.Dataset:
    return _digits()


@lru_cache
def _digits() -> data.Dataset:
    return data.load(SMALL["data"])


@pytest.fixture
def problem() -> tuple[torch.Tensor, torch.Tensor]:
    """48 images uint8 (1, 4, 4) of three classes that differ in brightness."""
    generator = torch.Generator().manual_seed(7)
    labels = torch.arange(48) % 3
    noise = torch.randint(0, 100, (48, 1, 4, 4), generator=generator)
    return (noise + 70 * labels.view(-1, 1, 1, 1)).to(torch.uint8), labels


@pytest.fixture
def make_run():
    """`make_run(...)`: a run of the engine on `problem`, its network in float64 unless told otherwise."""

    def make(
        norm: dict | str = "none",
        optimizer: dict | str = "sgd",
        seed: int = 0,
        sigma: float = 0.3,
        activation: str = "tanh",
        schedule: dict | None = None,
        dtype: torch.dtype = torch.float64,
        frozen: int = 0,
        turning: float = 0,
    ) -> Run:
        norm = {"name": norm} if isinstance(norm, str) else norm
        optimizer = {"name": optimizer} if isinstance(optimizer, str) else optimizer
        network = models.build(
            {
                "name": "mlp",
                "width": 40,
                "depth": 2,
                "activation": activation,
                "frozen": frozen,
                "turning": turning,
            },
            norms.build(norm),
            {"name": "gaussian", "sigma": sigma},
            seed,
            (1, 4, 4),
            3,
        ).to(dtype)
        factor = schedules.build(schedule or {"name": "constant"}, 20)
        return Run(seed, network, construct(OPTIMIZERS, "optimizer", optimizer), factor)

    return make


@pytest.fixture
def make_stack():
    """`make_stack(runs)`: a stack, not compiled, in the precision of its networks."""

    def make(runs: list[Run]) -> Stack:
        dtype = next(runs[0].network.parameters()).dtype
        program = Program(runs[0].network, lambda x: x.to(dtype) / 255, type(runs[0].optimizer), compiled=False)
        return Stack(runs, program, torch.device("cpu"))

    return make
