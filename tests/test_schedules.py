"""Learning-rate schedules against `torch.optim.lr_scheduler`."""

import numpy as np
import pytest
import torch
from torch.optim import lr_scheduler

from bnlab.config import ConfigError
from bnlab.training import schedules
from bnlab.training.schedules import SCHEDULES

STEPS = 50
REFERENCES = {
    "constant": ({}, lambda optimizer: lr_scheduler.LambdaLR(optimizer, lambda t: 1.0)),
    "step": ({"every": 7, "gamma": 0.3}, lambda optimizer: lr_scheduler.StepLR(optimizer, 7, 0.3)),
    "exponential": ({"gamma": 0.9}, lambda optimizer: lr_scheduler.ExponentialLR(optimizer, 0.9)),
    "cosine": ({"final": 0.2}, lambda optimizer: lr_scheduler.CosineAnnealingLR(optimizer, STEPS, 0.2)),
}


def factors(**settings) -> np.ndarray:
    return schedules.build(settings, STEPS)(np.arange(STEPS))


@pytest.mark.parametrize("name", SCHEDULES)
def test_factors_are_those_of_torch(name):
    if name not in REFERENCES:
        pytest.fail(f"schedule {name} has nothing to be tested against: add a line to REFERENCES in this file")
    settings, make = REFERENCES[name]
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    scheduler, expected = make(optimizer), []
    for _ in range(STEPS):
        expected.append(scheduler.get_last_lr()[0])
        optimizer.step()
        scheduler.step()
    np.testing.assert_allclose(factors(name=name, **settings), expected, rtol=1e-9)


@pytest.mark.parametrize("name", SCHEDULES)
def test_every_schedule_warms_up_linearly(name):
    settings = REFERENCES.get(name, ({}, None))[0]
    warm, plain = factors(name=name, warmup=10, **settings), factors(name=name, **settings)
    np.testing.assert_allclose(warm[:10], np.arange(1, 11) / 10 * plain[:10])
    np.testing.assert_array_equal(warm[10:], plain[10:])


@pytest.mark.parametrize("name", SCHEDULES)
def test_a_factor_depends_on_its_update_alone(name):
    schedule = schedules.build({"name": name, "warmup": 5}, STEPS)
    apart = np.concatenate([schedule(np.arange(i, i + 10)) for i in range(0, STEPS, 10)])
    np.testing.assert_array_equal(schedule(np.arange(STEPS)), apart)


def test_constant_is_one():
    np.testing.assert_array_equal(factors(name="constant"), np.ones(STEPS))


def test_cosine_ends_at_its_final_share():
    assert schedules.build({"name": "cosine", "final": 0.25}, STEPS)(np.array([STEPS]))[0] == pytest.approx(0.25)


@pytest.mark.parametrize("settings", [{"name": "step", "every": 0}, {"name": "cosine", "final": 2}, {"name": "x"}])
def test_what_cannot_be_is_refused_in_one_line(settings):
    with pytest.raises(ConfigError, match=r"^lr_schedule.*\Z"):
        schedules.build(settings, STEPS)
