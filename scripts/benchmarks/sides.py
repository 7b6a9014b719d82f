"""The sides, with all ways in which each may be at its best. A new one is a line here, and one in `page.SIDES`."""

import importlib.util
import itertools
import sys
from collections.abc import Iterator
from typing import Any

from benchmarks import ours, rivals
from benchmarks.page import Row
from benchmarks.processes import Arguments, Factory, Way
from bnlab import provenance
from bnlab.config import Config, Hardware
from bnlab.launcher import grouping
from bnlab.training.moments import moments

RATES = [0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30]  # of rate_tolerance: a sweep of theirs is one stack for each seed
JAX_RUNS = [1, 8, 16, 32]  # mapped over at once
CORES = provenance.cores()
THREADS = sorted({1, CORES})  # numbers of them that are tried
BATCHES = [4**k for k in range(7)]  # examples, 1 to 4,096
SQUARES = [512, 1024, 2048]  # sizes of matrices, at which kernels are at their best


def step(config: Config) -> list[Way]:
    """Every side on the config's net, and what is done beside training."""
    together = grouping.most_together(config)
    groups = grouping.group(sweep_of(config, CORES * together))  # the smallest sweep that fills every core
    full = [(groups[i::CORES], 1) for i in range(CORES)]
    early = config.model_copy(update={"hardware": config.hardware.model_copy(update={"compile": False})})
    looks = len(moments(config.steps, config.measure.per_decade, config.measure.steps))
    stack, every = sweep_of(config, together), config.hardware.checkpoint
    return [
        *loops(config),
        way(config, "in memory, one a core", rivals.in_memory, [(config, 1)] * CORES, runs=CORES),
        *jax(config),
        *(way(config, "ours", ours.stacks, [([[config]], threads)], threads) for threads in THREADS),
        way(config, "stacked", ours.stacks, full, runs=CORES * together, flop=rivals.operations(config)),
        *(way(config, "uncompiled", ours.stacks, [([[early]], threads)], threads) for threads in THREADS),
        way(config, "uncompiled stacks", ours.stacks, [([sweep_of(early, 8)], 1)] * CORES, runs=8 * CORES),
        way(config, "look", ours.measuring, [(config,)] * CORES, looks=looks, steps=config.steps),
        way(config, "checkpoint", ours.checkpoints, [(stack,)] * CORES, runs=together, every=every),
    ]


def conv(config: Config) -> Iterator[Way]:
    """The plain loops, and ours as the launcher spreads conv nets, in both precisions."""
    together = grouping.most_together(config)
    yield from loops(config)
    for side, precision in {"ours": "fp32", "ours, bf16": "bf16"}.items():
        stack = sweep_of(config.model_copy(update={"precision": precision}), together)
        yield way(config, side, ours.stacks, [([stack], 1)] * CORES, runs=CORES * together)


def batches(config: Config) -> Iterator[Way]:
    """The loop in memory with mini-batches of one example and of more; with BN of two at least."""
    for m in BATCHES[config.norm["name"] == "batch" :]:
        of_size = config.model_copy(update={"batch_size": m})
        yield way(of_size, "in memory", rivals.in_memory, [(of_size, 1)])


def loops(config: Config) -> Iterator[Way]:
    """The loops in plain PyTorch, with one thread and with all, and loaders of their own or none."""
    for threads in THREADS:
        for loaders in (0, CORES):
            yield way(config, "tutorial", rivals.tutorial, [(config, threads, loaders)], threads, loaders=loaders)
        yield way(config, "in memory", rivals.in_memory, [(config, threads)], threads)


def jax(config: Config) -> Iterator[Way]:
    if importlib.util.find_spec("jax") is None:
        print("jax is not installed (pip install -e .[bench]): its rows are left out", file=sys.stderr)
        return
    from benchmarks import jax_rival

    for count in JAX_RUNS:
        yield way(config, "jax", jax_rival.side, [(sweep_of(config, count),)], None, runs=count)


def products() -> Iterator[Way]:
    """By torch's own kernel and the one that the engine chose, in one process with all threads and in one a core."""
    kernels = {"default": rivals.product, ours.machine(Hardware(), 1).kernel: ours.product}
    for (kernel, make), size, threads in itertools.product(kernels.items(), SQUARES, THREADS):
        given = [(size, threads)] * (CORES // threads)
        row: Row = {"side": "product", "kernel": kernel, "size": size, "processes": len(given), "threads": threads}
        yield Way(row, make, given)


def way(config: Config, side: str, make: Factory, given: Arguments, threads: int | None = 1, **more: Any) -> Way:
    """`threads` of each process; None leaves them to it."""
    row = {"side": side, "norm": config.norm["name"], "runs": 1, "images": config.batch_size}
    return Way({**row, "processes": len(given), "threads": threads, **more}, make, given)


def sweep_of(config: Config, count: int) -> list[Config]:
    """`count` runs as a sweep of rates would have them: eight rates for every seed."""
    return [
        config.model_copy(update={"seed": k // 8, "optimizer": {**config.optimizer, "lr": RATES[k % 8]}})
        for k in range(count)
    ]
