"""From resolved configs to runs on disk: the one way to run, for one job or a thousand.

Jobs that differ only in numbers of the optimizer, the initial scale, the schedule or the seed are trained together, as
stacks; stacks are spread over worker processes. Each job's folder is what it would have been alone, to rounding.
"""

import math
import os
import sys
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import torch
from torch import nn

from bnlab import models, norms, provenance, runs
from bnlab.config import Config, ConfigError, config_hash, construct
from bnlab.launcher.grouping import Work, group, most_together, on_cuda, plan, processes, shape, stackable
from bnlab.launcher.half_done import half_done
from bnlab.launcher.one_stack import dataset_of, engine_run, make_stack, probe_of, train_stack
from bnlab.launcher.workers import Terminated, train_all
from bnlab.measure import MEASUREMENTS
from bnlab.training import schedules
from bnlab.training.optimizers import OPTIMIZERS

__all__ = [
    "Report",
    "Terminated",
    "Work",
    "check",
    "dataset_of",
    "engine_run",
    "group",
    "launch",
    "make_stack",
    "most_together",
    "probe_of",
    "stackable",
    "train_stack",
]


@dataclass(frozen=True)
class Report:
    """What became of a launch: finished now, found finished, and failed (with the reason), by folder name."""

    trained: list[str]
    skipped: list[str]
    failed: dict[str, str]


def launch(configs: Sequence[Config], progress: bool = True) -> Report:
    """Train every config that is neither finished below `config.out`, where its folder lies, nor in `config.reuse`.

    Raises `ConfigError`, before any work and with nothing written, where a config cannot be run.
    """
    unique = list({runs.folder(config): config for config in configs}.values())
    check(unique)
    for config in unique:
        runs.refuse_foreign(config)
    there = {runs.folder(config): _there(config) for config in unique}
    work = _work(unique, there) if not all(there.values()) else None
    _tell_of_other_code([config for config in unique if runs.finished(config)])
    failed = train_all(*work, progress) if work else {}
    trained = [path.name for path, skipped in there.items() if not skipped and path.name not in failed]
    return Report(trained, [path.name for path, skipped in there.items() if skipped], failed)


def _tell_of_other_code(finished: Sequence[Config]) -> None:
    """Say, in one line, which of these runs are not what this code would have made of them, perhaps."""
    here = provenance.code()
    others = [config for config in finished if runs.code_of(config) != here]
    if others:
        count = "1 finished run was" if len(others) == 1 else f"{len(others)} finished runs were"
        one = f"{runs.folder(others[0]).name} by {runs.code_of(others[0])}, here {here}"
        print(f"{count} made by other code ({one}): taken as they are; another out= trains them anew", file=sys.stderr)


def _work(configs: Sequence[Config], there: Mapping[Path, bool]) -> tuple[list[Work], int]:
    """The stacks that are left to train, and in how many processes.

    Stacks are put together, compiled or not, and spread as if no run were there yet; those that are there then leave
    their stack, which is to the last bits all that hangs on when the command was given.
    """
    begun = half_done(configs)
    taken = {runs.folder(config) for work in begun for config in work.configs}
    taken |= {path for path, skipped in there.items() if skipped}
    planned = plan(configs)
    rest = [Work([c for c in work.configs if runs.folder(c) not in taken], work.compiled) for work in planned]
    count = processes(configs[0].hardware, len(planned))
    return [*begun, *(work for work in rest if work.configs)], count


def _there(config: Config) -> bool:
    """Whether a run needs no training."""
    return runs.finished(config) or (config.reuse is not None and config_hash(config) in _published(config.reuse))


@lru_cache
def _published(results: str) -> set[str]:
    return set(runs.published(Path(results), [])["run"])


def check(configs: Sequence[Config]) -> None:
    """Raise `ConfigError`, one line, for the first config that cannot be run; trains and writes nothing."""
    for config in configs:
        if config.reuse is not None and not Path(config.reuse).is_dir():
            raise ConfigError(f"reuse={config.reuse}: no such folder; name that of a ledger, say reuse=results")
        construct(OPTIMIZERS, "optimizer", config.optimizer)
        construct(models.INITS, "init", config.init)
        schedules.build(config.lr_schedule, config.steps)
    shapes = [str(shape(config)) for config in configs]
    one_of = dict(zip(shapes, configs, strict=True))
    for key, count in Counter(shapes).items():
        _check_shape(one_of[key], count)


def _check_shape(config: Config, count: int) -> None:
    """What is the same for all `count` runs that could be trained together."""
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
    weights = sum(weight.nbytes for weight in network.parameters())
    batch, probe = config.batch_size, config.measure.probe

    def least(outputs: Callable[[nn.Module, tuple[int, ...]], int]) -> int:
        of_layers = max(together * outputs(network, (batch, *inputs)), outputs(network, (probe, *inputs)))
        return 2 * together * weights + of_layers

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
