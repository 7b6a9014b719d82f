"""How fast this machine is, before anything is trained for good."""

import time
from collections.abc import Sequence

from bnlab.config import Config
from bnlab.launcher.grouping import Work, group, processes
from bnlab.launcher.one_stack import dataset_of, make_stack
from bnlab.training import prepare, train

UPDATES = 10  # of a stack, timed; as many come before


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
