"""What is to come, tried on next to nothing: how fast this machine is, and what runs will record."""

import time
from collections.abc import Sequence
from dataclasses import replace

from bnlab import studies
from bnlab.config import Config
from bnlab.launcher.grouping import Work, group, processes
from bnlab.launcher.one_stack import dataset_of, engine_run, make_stack, probe_of
from bnlab.measure import take
from bnlab.training.loop import train
from bnlab.training.machine import prepare

UPDATES = 10  # of a stack, timed; as many come before
FEW = 10  # examples, enough to learn the names of columns


def seconds_an_update(configs: Sequence[Config]) -> float:
    """Seconds that an update of one of these runs takes, on all cores and not compiled, from a first stack of them."""
    stacks = group(configs)
    work = Work(stacks[0], compiled=False)
    config = work.configs[0]
    machine = prepare(config.hardware, threads=1)
    dataset = dataset_of(config).to(machine.device)
    stack = make_stack(work, dataset, machine)
    moments = train(stack, dataset.train_x, dataset.train_y, config.batch_size, [UPDATES, 2 * UPDATES])
    next(moments)
    begin = time.perf_counter()
    next(moments)
    seconds = (time.perf_counter() - begin) / UPDATES
    return seconds / len(work.configs) / processes(config.hardware, len(stacks))


def columns(config: Config) -> set[str]:
    """The columns that a run records, from its network before the first update; of a study from its first record."""
    if config.study:
        return {name for name in next(studies.begin(config.study, config.seed)[1]) if "/" in name}
    dataset = dataset_of(config)
    probe = probe_of(config, dataset)
    few = replace(probe, parts={name: (x[:FEW], y[:FEW]) for name, (x, y) in probe.parts.items()}, sparse={})
    network = engine_run(config, dataset).network
    return {"train/batch_loss", *take(network, few, config.measure.what)}
