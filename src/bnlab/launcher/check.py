"""What is refused before any work: configs that cannot be run, each in one line."""

import math
import os
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import nn

from bnlab import models, norms, provenance, starts, studies
from bnlab.config import Config, ConfigError, construct
from bnlab.launcher.grouping import most_together, on_cuda, shape
from bnlab.launcher.one_stack import dataset_of
from bnlab.measure import MEASUREMENTS
from bnlab.training import schedules
from bnlab.training.optimizers import OPTIMIZERS


def check(configs: Sequence[Config]) -> None:
    """Raise `ConfigError`, one line, for the first config that cannot be run; trains and writes nothing."""
    for config in configs:
        if config.reuse is not None and not Path(config.reuse).is_dir():
            raise ConfigError(f"reuse={config.reuse}: no such folder; name that of a ledger, say reuse=results")
        if config.study:
            studies.check(config.study)
            _check_folder(Path(config.out))
    _check_training([config for config in configs if not config.study])


def _check_training(configs: Sequence[Config]) -> None:
    for config in configs:
        construct(OPTIMIZERS, "optimizer", config.optimizer)
        schedules.build(config.lr_schedule, config.steps)
    shapes = [str(shape(config)) for config in configs]
    one_of = dict(zip(shapes, configs, strict=True))
    begun = [construct(starts.INITS, "init", config.init) for config in configs]
    once = {key: start.once for key, start in zip(shapes, begun, strict=True) if start.once != "none"}
    for key, count in Counter(shapes).items():
        _check_shape(one_of[key], count, once.get(key))


def _check_shape(config: Config, count: int, once: starts.Once | None) -> None:
    """What is the same for all `count` runs that could be trained together; `once`: what one's start is set by."""
    unknown = set(config.measure.what) - set(MEASUREMENTS)
    if unknown:
        known = ", ".join(sorted(MEASUREMENTS))
        raise ConfigError(f"measure.what={sorted(unknown)}: not known here; choose from {known}")
    dataset = dataset_of(config)
    if config.batch_size > len(dataset.train_x):
        most = len(dataset.train_x)
        raise ConfigError(f"batch_size={config.batch_size}: must not exceed the {most} training examples")
    with torch.device("meta"):  # shapes alone
        network = models.construct_network(config.model, norms.build(config.norm), dataset.inputs, dataset.classes)
    if once is not None:
        starts.feeding(network, once)
    if config.batch_size == 1 and norms.uses_batch_statistics(network):
        try:
            network(torch.empty((1, *dataset.inputs), device="meta"))
        except ValueError as error:
            raise ConfigError(f"batch_size=1: {error}") from None
    examples = min(len(dataset.train_x), len(dataset.test_x))
    if config.measure.probe > examples:
        raise ConfigError(
            f"measure.probe={config.measure.probe}: must not exceed the {examples} examples that there are"
        )
    _check_memory(network, config, dataset.inputs, min(count, most_together(config)))
    if config.hardware.device not in ("auto", "cpu"):
        try:
            torch.zeros(1, device=config.hardware.device)
        except (RuntimeError, AssertionError) as error:
            reason = str(error).splitlines()[0]
            raise ConfigError(f"hardware.device={config.hardware.device}: not usable here ({reason})") from None
    _check_folder(Path(config.out))


def _check_memory(network: nn.Module, config: Config, inputs: tuple[int, ...], together: int) -> None:
    """Raise `ConfigError` for a stack that cannot fit: weights, gradients and what each layer gives are the least.

    It gives that for the batches of all, in training, or for the probe of one, which is measured at once.
    """
    weights = sum((1 + weight.requires_grad) * weight.nbytes for weight in network.parameters())
    batch, probe = config.batch_size, config.measure.probe

    def least(outputs: Callable[[nn.Module, tuple[int, ...]], int]) -> int:
        of_layers = max(together * outputs(network, (batch, *inputs)), outputs(network, (probe, *inputs)))
        return together * weights + of_layers

    there = provenance.memory()
    if on_cuda(config.hardware) or least(_layers_outputs_at_most) <= there:
        return
    if (needed := least(_layers_outputs)) > there:
        raise ConfigError(
            f"model={config.model}: {together} of these trained together on batches of {batch}, and measured on a "
            f"probe of {probe}, need {needed / 1e9:,.0f} GB at least, and there are {there / 1e9:,.0f}: lower "
            "model.width, how deep it is, batch_size, measure.probe or hardware.stack"
        )


def _layers_outputs_at_most(network: nn.Module, batch: tuple[int, ...]) -> int:
    """A bound of `_layers_outputs` without a forward pass, as no layer has a higher resolution than the images.

    On `meta`, a pass imports the compiler, which takes longer than all else that a command does before it trains.
    """
    images, channels, *resolution = batch
    widest = max(channels, *(weight.shape[0] for weight in network.parameters()))
    return 4 * len(list(network.modules())) * images * widest * math.prod(resolution)


def _layers_outputs(network: nn.Module, batch: tuple[int, ...]) -> int:
    """Bytes of all that the layers of a network without data (on `meta`) give for a batch of this shape."""
    sizes: list[int] = []
    for module in network.modules():
        if not list(module.children()):
            module.register_forward_hook(lambda module, given, output: sizes.append(output.nbytes))
    network(torch.empty(batch, device="meta"))
    return sum(sizes)


def _check_folder(out: Path) -> None:
    """Raise `ConfigError` where `out` cannot be written below; makes nothing."""
    there = next(path for path in (out, *out.absolute().parents) if path.exists())
    if not there.is_dir() or not os.access(there, os.W_OK):
        raise ConfigError(f"out={out}: {there} is no folder that can be written to")
