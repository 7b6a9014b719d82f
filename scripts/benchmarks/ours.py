"""This package's sides: stacks as the launcher makes them, and what measuring and checkpoints add."""

from collections.abc import Sequence
from contextlib import suppress
from functools import cache
from tempfile import TemporaryDirectory

from benchmarks import Side, rivals
from bnlab import provenance, runs
from bnlab.config import Config, Hardware
from bnlab.launcher import one_stack
from bnlab.launcher.grouping import Work
from bnlab.launcher.half_done import Checkpoints
from bnlab.measure import take
from bnlab.training.loop import train
from bnlab.training.machine import no_compiler, prepare
from bnlab.training.stack import Stack

machine = cache(prepare)  # this process is set up once, as a worker of the launcher's is


class _Enough(Exception):
    """So many updates have been made."""


def stacks(groups: Sequence[Sequence[Config]], threads: int) -> Side:
    """The stacks of `groups`, one after another. Only updates are timed: nothing is looked at."""
    made = [make_stack(group, threads) for group in groups]
    dataset, batch_size = one_stack.dataset_of(groups[0][0]), groups[0][0].batch_size

    def side(steps: int) -> float:
        def tick(step: int) -> None:
            if step == steps:
                raise _Enough  # before the moment, which copies every network

        for stack in made:
            with suppress(_Enough):
                next(train(stack, dataset.train_x, dataset.train_y, batch_size, [steps], tick))
        return steps * sum(len(stack) for stack in made)

    return side


def make_stack(configs: Sequence[Config], threads: int) -> Stack:
    """The stack that the launcher would train for `configs` in this process; compiled, as long runs are."""
    here, wanted = machine(configs[0].hardware, threads), configs[0].hardware.compile
    compiled = not no_compiler(here.device.type) if wanted == "auto" else wanted
    return one_stack.make_stack(Work(list(configs), compiled), one_stack.dataset_of(configs[0]), here)


def measuring(config: Config) -> Side:
    """`steps` looks at one run, with everything that the config measures."""
    machine(config.hardware, 1)
    dataset = one_stack.dataset_of(config)
    network = one_stack.engine_run(config, dataset).network
    probe = one_stack.probe_of(config, dataset)

    def side(steps: int) -> float:
        for _ in range(steps):
            take(network, probe, config.measure.what)
        return steps

    return side


def checkpoints(configs: Sequence[Config]) -> Side:
    """`steps` checkpoints of a stack, each with what its runs recorded since the one before on disk first."""
    scratch = TemporaryDirectory()
    here = [config.model_copy(update={"out": scratch.name}) for config in configs]
    stamp = provenance.stamp()
    stack, kept = make_stack(here, 1), Checkpoints(Work(here, True), stamp.code)
    folders = [runs.RunFolder(config, {}, {}, stamp) for config in here]

    def side(steps: int) -> float:
        for step in range(steps):
            for folder in folders:
                folder.append({"step": step})
                folder.sync()
            kept.save(stack, step)
        return steps

    side.scratch = scratch  # type: ignore[attr-defined]  # goes when the side goes
    return side


def product(size: int, threads: int) -> Side:
    """The rivals' products, by the kernel that the engine chose."""
    machine(Hardware(), threads)
    return rivals.product(size, threads)
