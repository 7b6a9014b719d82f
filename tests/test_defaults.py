"""What is known twice agrees: defaults in YAML and in signatures, saturation in measurements and in pictures."""

import inspect
from pathlib import Path

import numpy as np
import pytest
import torch

from bnlab.config import CONFIGS, GROUPS, Config, config_hash, defaults, identity, resolved
from bnlab.layers import ACTIVATIONS
from bnlab.measure.activations import SATURATED, greatest_slope, slope_of
from bnlab.models import MODELS
from bnlab.norms import NORMS
from bnlab.plots.style import SATURATION
from bnlab.starts import INITS
from bnlab.sweeps import composed_runs
from bnlab.training.optimizers import OPTIMIZERS
from bnlab.training.schedules import SCHEDULES

TABLES = {"model": MODELS, "init": INITS, "norm": NORMS, "optimizer": OPTIMIZERS, "lr_schedule": SCHEDULES}
NAMED = [(group, name) for group, table in TABLES.items() for name in table]


@pytest.mark.parametrize(("group", "name"), NAMED)
def test_a_yaml_says_the_defaults_of_its_definition(group, name):
    in_yaml = defaults({group: {"name": name}})[group]
    signature = inspect.signature(TABLES[group][name]).parameters
    own = {key: p.default for key, p in signature.items() if p.default is not p.empty}
    assert in_yaml == own


def test_train_yaml_says_the_defaults_of_the_config():
    (config,) = composed_runs([["data=mnist"]])
    assert identity(config) == {group: {"name": resolved(config)[group]["name"]} for group in GROUPS}
    assert config.measure == Config.model_fields["measure"].default


def test_a_default_that_is_given_is_no_other_run():
    bare, said, other = composed_runs(
        [["data=mnist"], ["data=mnist", "norm.eps=0.00001"], ["data=mnist", "norm.eps=0.001"]]
    )
    assert config_hash(bare) == config_hash(said) != config_hash(other)


def test_every_group_has_an_option_of_each_name():
    for group, name in NAMED:
        assert Path(CONFIGS / group / f"{name}.yaml").is_file()


@pytest.mark.parametrize("name", [name for name in SATURATION if name != "relu"])
def test_pictures_mark_what_measurements_count_as_saturated(name):
    low, high, _ = SATURATION[name]
    act = ACTIVATIONS[name]()
    slopes = slope_of(act, torch.tensor([low, high])).numpy()
    assert slopes == pytest.approx(np.full(2, SATURATED * greatest_slope(type(act))), rel=1e-4)
