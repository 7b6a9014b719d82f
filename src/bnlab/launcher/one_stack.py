"""One stack: from the configs of its runs to their folders."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import lru_cache, partial
from typing import Any

import torch
from torch import Tensor, nn

from bnlab import data, models, norms, runs, tracking
from bnlab.config import Config, construct
from bnlab.launcher.grouping import UNCOMPILED, Work, shape
from bnlab.launcher.half_done import Checkpoints, locked
from bnlab.measure import Probe, make_probe, outcome, take
from bnlab.provenance import Stamp
from bnlab.training import schedules
from bnlab.training.loop import Moment, train
from bnlab.training.machine import Machine, lacks_bf16
from bnlab.training.moments import moments
from bnlab.training.optimizers import OPTIMIZERS
from bnlab.training.program import Program
from bnlab.training.stack import Run, Stack

FIRST = 1000  # training examples on which `init.once` sets a start


class Stopped(BaseException):
    """The training was told to stop; it wrote a checkpoint first."""


def train_stack(
    work: Work,
    machine: Machine,
    stamp: Stamp,
    tick: Callable[[int], object],
    saw: Callable[[int, dict[str, Any]], object] = lambda k, record: None,
) -> None:
    """Train the runs of a stack together, each into its own folder, from its checkpoint if there is one.

    `stamp` goes into their manifests. `tick` hears how many updates have been made; where it raises `Stopped`, a
    checkpoint is written first. `saw` hears what was recorded of which run. Raises `ConfigError` where another process
    trains one of the runs.
    """
    with locked(work.configs), _threads(work.threads):
        unfinished = [config for config in work.configs if not runs.finished(config)]
        if not unfinished:  # another command trained them in the meantime
            return
        config = work.configs[0]
        dataset = dataset_of(config).to(machine.device)
        stack = make_stack(work, dataset, machine)
        when = moments(config.steps, config.measure.per_decade, config.measure.steps)
        checkpoints = Checkpoints(work, stamp.code)
        begin = checkpoints.restore(stack, when)
        engine = _engine(work, machine, stack.program.compiled, checkpoints.key)
        writing = [
            _Writing(c, dataset, runs.RunFolder(c, dataset.provenance, engine, stamp, begin)) for c in unfinished
        ]
        members = [work.configs.index(c) for c in unfinished]

        def at(step: int) -> None:
            told_to_stop = None
            try:
                tick(step)
            except Stopped as stopped:
                told_to_stop = stopped
            if told_to_stop or checkpoints.due():
                for each in writing:
                    each.folder.sync()
                checkpoints.save(stack, step)
            if told_to_stop:
                raise told_to_stop

        probe = probe_of(config, dataset)
        trained_on = (dataset.train_x, dataset.train_y, config.batch_size)
        try:
            for moment in train(stack, *trained_on, when, at, begin, config.shuffle):
                for each, k in zip(writing, members, strict=True):
                    each.measure(moment, k, replace(probe, rate=stack.runs[k].rate(moment.step)))
                    saw(k, each.last)
        except BaseException:
            for each in writing:
                each.log.break_off()
            raise
        for each in writing:
            each.finish()
        checkpoints.forget()


@contextmanager
def _threads(count: int | None) -> Iterator[None]:
    """Within, torch has so many threads of its own; None leaves them."""
    before = torch.get_num_threads()
    torch.set_num_threads(count or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)


class _Writing:
    """A run that is being trained: its folder, its log, and what was seen of it last."""

    def __init__(self, config: Config, dataset: data.Dataset, folder: runs.RunFolder):
        self.config, self.classes, self.folder = config, dataset.classes, folder
        self.log = tracking.open_log(config, folder.path, dataset.provenance, folder.manifest["started"])
        self.last: dict[str, Any] = {}
        self.diverged = -1
        for record in runs.records(folder.path):  # of before the checkpoint
            self.log.record(record)

    def measure(self, moment: Moment, k: int, probe: Probe) -> None:
        """Record what is measured of member k of the stack."""
        seen = take(moment.networks[k], probe, self.config.measure.what)
        self.last = {"step": moment.step, "train/batch_loss": moment.batch_loss[k], **seen}
        self.diverged = moment.diverged[k]
        self.folder.append(self.last)
        self.log.record(self.last)

    def finish(self) -> None:
        ended = outcome(self.last, self.diverged, self.classes)
        self.folder.finish(ended, self.diverged if self.diverged >= 0 else None)
        self.log.finish(ended)


def make_stack(work: Work, dataset: data.Dataset, machine: Machine) -> Stack:
    """The stack of a work's runs, before its first update."""
    members = [engine_run(config, dataset) for config in work.configs]

    def stack(compiled: bool) -> Stack:
        program = _program(work.configs[0], members[0], dataset, compiled)
        return Stack(members, program, machine.device, dataset.augment)

    if not work.compiled or work.configs[0].hardware.compile is True:
        return stack(work.compiled)
    try:
        made = stack(compiled=True)
        made.rehearse(dataset.train_x, dataset.train_y, work.configs[0].batch_size)
    except Exception as error:  # whatever ails the compiler
        machine.tell(f"{UNCOMPILED} ({type(error).__name__}: {' '.join(str(error).split())[:200]})")
        return stack(compiled=False)
    return made


def _engine(work: Work, machine: Machine, compiled: bool, key: str) -> dict[str, Any]:
    """How the runs of the stack `key` are computed, for their manifests."""
    bf16 = _bf16(work.configs[0], machine.device)
    return {
        "kernel": f"{machine.kernel}, bfloat16 as {bf16}" if bf16 else machine.kernel,
        "device": machine.device.type,
        "threads": torch.get_num_threads(),
        "compiled": compiled,
        "stack": len(work.configs),
        "stack_key": key,
    }


_programs: dict[str, Program] = {}  # of this process


def _program(config: Config, run: Run, dataset: data.Dataset, compiled: bool) -> Program:
    """The program of a config's shape: stacks of one shape compile once."""
    key = f"{compiled} {torch.get_num_threads()} {dataset.train_x.device} {shape(config)}"
    if key not in _programs:
        kind, bf16 = type(run.optimizer), _bf16(config, dataset.train_x.device)
        _programs[key] = Program(run.network, dataset.transform, kind, compiled, bf16)
    return _programs[key]


def _bf16(config: Config, device: torch.device) -> torch.dtype | None:
    """What numbers that are rounded to bfloat16 are multiplied as, if they are rounded."""
    if config.precision == "fp32":
        return None
    return torch.float32 if lacks_bf16(device.type) else torch.bfloat16


def engine_run(config: Config, dataset: data.Dataset) -> Run:
    """What the engine needs of a config."""
    norm, shown = norms.build(config.norm), partial(_first_images, dataset)
    network: nn.Module = models.build(
        config.model, norm, config.init, config.seed, dataset.inputs, dataset.classes, shown
    )
    optimizer: Any = construct(OPTIMIZERS, "optimizer", config.optimizer)
    return Run(config.seed, network, optimizer, schedules.build(config.lr_schedule, config.steps))


def _first_images(dataset: data.Dataset) -> Tensor:
    """The training examples on which a start is set once, the same for all runs."""
    return dataset.transform(dataset.train_x[:FIRST]).cpu()


def dataset_of(config: Config) -> data.Dataset:
    """The config's data set; the last two that were asked for stay in memory."""
    return _cached_dataset(json.dumps(config.data))


@lru_cache(maxsize=2)
def _cached_dataset(settings: str) -> data.Dataset:
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
