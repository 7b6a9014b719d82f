"""What a step and a measurement cost: the paper's MNIST net, with and without BN, on this machine.

The sides alternate, round by round, in one process with one thread, as a sweep's workers have; medians and ratios are
what to read. Times are microseconds for one step of one run.

  loop      a plain PyTorch loop: the data in memory, nn modules of torch's own, torch.optim.SGD
  alone     this engine, a stack of one, compiled
  stacked   this engine, a stack of eight, compiled
  measuring share of a stacked run of 50,000 steps that the default measurements at the default moments take
"""

import argparse
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import torch
from hydra import initialize_config_dir
from tabulate import tabulate
from torch import nn
from torch.nn import functional as F

from bnlab import launcher, runs
from bnlab.config import CONFIGS, Config, ConfigError
from bnlab.measure import take
from bnlab.sweeps import job
from bnlab.training import Machine, Program, Stack, moments, prepare, train

STACK = 8


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="mnist_sample", help="data set (default: mnist_sample)")
    parser.add_argument("--rounds", type=int, default=7, help="rounds of which the medians are taken (default: 7)")
    parser.add_argument("--steps", type=int, default=400, help="steps of each side in each round (default: 400)")
    parser.add_argument("--out", type=Path, help="also write table and numbers into this folder")
    asked = parser.parse_args()
    rows = []
    with initialize_config_dir(str(CONFIGS), version_base="1.3"):
        configs = [job(None, [f"norm={norm}", f"data={asked.data}"]) for norm in ("none", "batch")]
    machine = prepare(configs[0].hardware, threads=1)
    for config in configs:
        rows.append(bench(config, machine, asked.rounds, asked.steps))
    table = tabulate(rows, headers="keys", floatfmt=".1f", tablefmt="github")
    print(table)
    stamp = {"hardware": runs.hardware(), "torch": torch.__version__, "kernel": machine.kernel, **runs.commit()}
    print(", ".join(f"{key} {value}" for key, value in stamp.items()))
    if asked.out:
        asked.out.mkdir(parents=True, exist_ok=True)
        (asked.out / "bench.json").write_text(json.dumps({"rows": rows, **stamp}, indent=2) + "\n")


def bench(config: Config, machine: Machine, rounds: int, steps: int) -> dict[str, object]:
    """One row: times of the sides, taken in turn, and their ratios."""
    dataset = launcher.dataset_of(config)
    sides = {
        "loop": plain_loop(config, steps),
        "alone": engine(config, machine, 1, steps),
        "stacked": engine(config, machine, STACK, steps),
        "measure": measuring(config),
    }
    for side in sides.values():
        side()  # compile, and warm the caches
    times: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(rounds):
        for name, side in sides.items():
            times[name].append(side())
    at = {name: 1e6 * median(seen) for name, seen in times.items()}
    looked = len(moments(config.steps, config.measure.per_decade, config.measure.steps))
    share = looked * at["measure"] / (looked * at["measure"] + config.steps * at["stacked"])
    ratios = {name: median(a / b for a, b in zip(times["loop"], times[name], strict=True)) for name in sides}
    return {
        "norm": config.norm["name"],
        "data": dataset.provenance["name"],
        "loop, µs": at["loop"],
        "alone, µs": at["alone"],
        f"stack of {STACK}, µs": at["stacked"],
        "loop / alone": ratios["alone"],
        "loop / stacked": ratios["stacked"],
        "one look, ms": at["measure"] / 1000,
        "measuring, %": 100 * share,
    }


def engine(config: Config, machine: Machine, size: int, steps: int) -> Callable[[], float]:
    """Seconds a step of a run, in a stack of `size` seeds."""
    dataset = launcher.dataset_of(config)
    configs = [config.model_copy(update={"seed": seed}) for seed in range(size)]
    members = [launcher.engine_run(c, dataset.inputs, dataset.classes) for c in configs]
    program = Program(members[0].network, dataset.transform, type(members[0].optimizer), machine.compiles(config.steps))
    stack = Stack(members, program, machine.device)

    def side() -> float:
        start = time.perf_counter()
        for _ in train(stack, dataset.train_x, dataset.train_y, config.batch_size, [steps]):
            pass
        return (time.perf_counter() - start) / steps / size

    return side


def plain_loop(config: Config, steps: int) -> Callable[[], float]:
    """Seconds a step of the loop that one would write without this package."""
    dataset = launcher.dataset_of(config)
    layers: list[nn.Module] = [nn.Flatten()]
    for fan_in in (784, 100, 100):
        with_norm = config.norm["name"] == "batch"
        layers += [nn.Linear(fan_in, 100, bias=not with_norm)]
        layers += [nn.BatchNorm1d(100)] if with_norm else []
        layers += [nn.Sigmoid()]
    network = nn.Sequential(*layers, nn.Linear(100, 10))
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)

    def side() -> float:
        start = time.perf_counter()
        for _ in range(steps):
            rows = torch.randint(0, len(dataset.train_x), (config.batch_size,))
            x, y = (dataset.train_x[rows] > 127).float(), dataset.train_y[rows]
            optimizer.zero_grad()
            F.cross_entropy(network(x), y).backward()
            optimizer.step()
        return (time.perf_counter() - start) / steps

    return side


def measuring(config: Config) -> Callable[[], float]:
    """Seconds that one look at one run takes, with everything the default config measures."""
    dataset = launcher.dataset_of(config)
    network = launcher.engine_run(config, dataset.inputs, dataset.classes).network
    probe = launcher.probe_of(config, dataset)

    def side() -> float:
        start = time.perf_counter()
        take(network, probe, config.measure.what)
        return time.perf_counter() - start

    return side


if __name__ == "__main__":
    try:
        main()
    except ConfigError as error:
        sys.exit(f"error: {error}")
