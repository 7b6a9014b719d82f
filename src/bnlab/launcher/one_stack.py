"""One stack: from the configs of its runs to their folders."""

import copy
import json
import os
import time
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any

from torch import nn

from bnlab import data, models, norms, runs, tracking
from bnlab.config import Config, construct
from bnlab.launcher.grouping import shape
from bnlab.measure import Probe, make_probe, take
from bnlab.training import Machine, Moment, Program, Run, Stack, moments, schedules, train
from bnlab.training.optimizers import OPTIMIZERS


def train_stack(configs: list[Config], machine: Machine, compiled: bool, tick: Callable[[int], object]) -> None:
    """Train configs of one shape together, each into its own folder.

    Progress is told in updates of runs: a stack of K makes K an update.
    """
    config = configs[0]
    dataset = dataset_of(config).to(machine.device)
    engine_runs = [engine_run(c, dataset.inputs, dataset.classes) for c in configs]
    program = _program(config, engine_runs[0], dataset.transform, compiled)
    stack = Stack(engine_runs, program, machine.device)
    probe = probe_of(config, dataset)
    when = moments(config.steps, config.measure.per_decade, config.measure.steps)
    engine = {
        "kernel": machine.kernel,
        "device": machine.device.type,
        "compiled": compiled,
        "stack": len(configs),
    }
    started = time.monotonic()
    folders = [runs.RunFolder(c, dataset.provenance, engine) for c in configs]
    logs = [tracking.open_log(c, folder.path, dataset.provenance) for c, folder in zip(configs, folders, strict=True)]
    last: list[dict[str, Any]] = []
    moment = None
    for moment in train(
        stack, dataset.train_x, dataset.train_y, config.batch_size, when, lambda n: tick(n * len(stack))
    ):
        last = list(_records(moment, probe, config.measure.what))
        for folder, log, record in zip(folders, logs, last, strict=True):
            folder.append(record)
            log.record(record)
    assert moment is not None
    seconds = (time.monotonic() - started) / len(configs)
    for folder, log, record, diverged in zip(folders, logs, last, moment.diverged, strict=True):
        outcome = _outcome(record, diverged, dataset.classes)
        folder.finish(outcome, seconds, diverged if diverged >= 0 else None)
        log.finish(outcome)


_programs: dict[str, Program] = {}  # of this process


def _program(config: Config, run: Run, transform: data.Transform, compiled: bool) -> Program:
    """The program of a config's shape: stacks of one shape compile once."""
    key = f"{compiled} {transform.mean.device} {shape(config)}"
    if key not in _programs:
        _programs[key] = Program(copy.deepcopy(run.network).train(), transform, type(run.optimizer), compiled)
    return _programs[key]


def _records(moment: Moment, probe: Probe, what: list[str]) -> Iterator[dict[str, Any]]:
    for network, loss in zip(moment.networks, moment.batch_loss, strict=True):
        yield {"step": moment.step, "train/batch_loss": loss, **take(network, probe, what)}


def _outcome(record: dict[str, Any], diverged: int, classes: int) -> str:
    """How a run ended: `diverged` (a loss not finite), `stuck` (at chance, as sigmoid nets do), or `trained`."""
    if diverged >= 0:
        return "diverged"
    return "stuck" if record.get("train/accuracy", 1.0) < 1.5 / classes else "trained"


def engine_run(config: Config, inputs: tuple[int, ...], classes: int) -> Run:
    """What the engine needs of a config, for images of shape `inputs`."""
    network: nn.Module = models.build(config.model, norms.build(config.norm), config.init, config.seed, inputs, classes)
    return Run(config.seed, network, _optimizer(config), schedules.build(config.lr_schedule, config.steps))


def _optimizer(config: Config) -> Any:
    return construct(OPTIMIZERS, "optimizer", config.optimizer)


def dataset_of(config: Config) -> data.Dataset:
    """The config's data set; the last two that were asked for stay in memory."""
    return _cached_dataset(json.dumps(config.data), os.environ.get("BNLAB_DATA"))


@lru_cache(maxsize=2)
def _cached_dataset(settings: str, root: str | None) -> data.Dataset:
    return data.load(json.loads(settings))


def probe_of(config: Config, dataset: data.Dataset) -> Probe:
    """What the config's runs are measured on."""
    return make_probe(
        (dataset.train_x, dataset.train_y),
        (dataset.val_x, dataset.val_y),
        (dataset.test_x, dataset.test_y),
        dataset.transform,
        config.measure.probe,
        config.measure.units,
        config.measure.percentiles,
        config.batch_size,
    )
