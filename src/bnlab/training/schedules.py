"""Learning-rate schedules: the factor on the rate, from the number of updates already made.

A schedule is made by `(total steps, its knobs) -> (t -> factor)`, t an integer array counted from 0.
"""

from collections.abc import Callable
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from bnlab.config import construct

Schedule = Callable[[NDArray[np.int64]], NDArray[np.float64]]
Updates = Annotated[int, Field(ge=0, le=10**9)]
Share = Annotated[float, Field(ge=0, le=1)]


def constant(steps: int, warmup: Updates = 0) -> Schedule:
    """Always 1."""
    return _warm(warmup, lambda t: np.ones(t.shape))


def step(
    steps: int, every: Annotated[int, Field(ge=1, le=10**9)] = 20_000, gamma: Share = 0.1, warmup: Updates = 0
) -> Schedule:
    """gamma^⌊t/every⌋, as `torch.optim.lr_scheduler.StepLR`."""
    return _warm(warmup, lambda t: np.power(gamma, t // every))


def exponential(steps: int, gamma: Share = 0.9999, warmup: Updates = 0) -> Schedule:
    """gamma^t, as `torch.optim.lr_scheduler.ExponentialLR` stepped at each update."""
    return _warm(warmup, lambda t: np.power(gamma, t))


def cosine(steps: int, final: Share = 0.0, warmup: Updates = 0) -> Schedule:
    """From 1 to `final` along half a cosine over the run (Loshchilov & Hutter 2017, eq. 5, without restarts)."""
    return _warm(warmup, lambda t: final + (1 - final) * 0.5 * (1 + np.cos(np.pi * t / steps)))


def _warm(warmup: int, schedule: Schedule) -> Schedule:
    if warmup == 0:
        return schedule
    return lambda t: np.minimum(1.0, (t + 1) / warmup) * schedule(t)


def build(settings: dict[str, Any], steps: int) -> Schedule:
    """The schedule that a config's `lr_schedule` group names, for a run of `steps` updates."""
    return construct(SCHEDULES, "lr_schedule", settings, steps=steps)


SCHEDULES: dict[str, Callable[..., Schedule]] = {
    "constant": constant,
    "step": step,
    "exponential": exponential,
    "cosine": cosine,
}
