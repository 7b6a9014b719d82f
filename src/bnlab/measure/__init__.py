"""Measurements: free functions `(network, probe) -> {name: array}` that change nothing.

Their names become `what/where/how` in a record, and `take` is the one place from which they are called.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import nn

from bnlab.measure.accuracy import accuracy
from bnlab.measure.activations import activations
from bnlab.measure.batch_mates import batch_mates
from bnlab.measure.collapse import collapse
from bnlab.measure.curvature import curvature
from bnlab.measure.gaussianity import gaussianity
from bnlab.measure.gradient_shift import gradient_shift
from bnlab.measure.gradients import gradients
from bnlab.measure.landscape import landscape
from bnlab.measure.outcome import outcome
from bnlab.measure.perturbation import perturbation
from bnlab.measure.probe import Probe, make_probe
from bnlab.norms import precise_statistics

__all__ = ["MEASUREMENTS", "Probe", "make_probe", "outcome", "take", "untouched"]

PRECISE = 100  # training batches whose mean statistics stand for the population's
Measurement = Callable[[nn.Module, Probe], Mapping[str, Any]]


def take(network: nn.Module, probe: Probe, what: Iterable[str]) -> dict[str, Any]:
    """All measurements named in `what`, as numbers and (nested) lists that JSON can hold."""
    found: dict[str, Any] = {}
    with untouched(network):
        precise_statistics(network, probe.training_batches(PRECISE))
        for name in what:
            with untouched(network):
                found |= {key: np.asarray(value).tolist() for key, value in MEASUREMENTS[name](network, probe).items()}
    return found


@contextmanager
def untouched(network: nn.Module) -> Iterator[nn.Module]:
    """Give back mode, buffers, gradients and random state as they were.

    Buffers are replaced by copies inside, as a pass in training mode moves running statistics.
    """
    modes = [(module, module.training) for module in network.modules()]
    buffers = [(module, dict(module._buffers)) for module in network.modules()]
    gradients = [(parameter, parameter.grad) for parameter in network.parameters()]
    random_state = torch.get_rng_state()
    for module, held in buffers:
        module._buffers.update({name: b.clone() for name, b in held.items() if b is not None})
    try:
        yield network
    finally:
        torch.set_rng_state(random_state)
        for module, held in buffers:
            module._buffers.update(held)
        for module, mode in modes:
            module.training = mode
        for parameter, gradient in gradients:
            parameter.grad = gradient


MEASUREMENTS: dict[str, Measurement] = {
    "accuracy": accuracy,
    "activations": activations,
    "gradients": gradients,
    "gaussianity": gaussianity,
    "batch_mates": batch_mates,
    "collapse": collapse,
    "curvature": curvature,
    "gradient_shift": gradient_shift,
    "landscape": landscape,
    "perturbation": perturbation,
}
