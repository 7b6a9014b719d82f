"""A conv net on colour images: the tutorial's loop, the same in memory, and ours in each way to share the cores."""

import itertools
from collections.abc import Iterator, Sequence

import torch
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode
from tqdm import tqdm

from benchmarks import ours, parts, rivals
from benchmarks.parts import Row, threads_
from benchmarks.processes import Entry, Team, alternate
from bnlab import launcher, runs
from bnlab.config import Config

LEAST = 2  # steps at a time; one is a tenth of a second
PRODUCT = (1, 1024, 1024, 1024)  # what the share of the best matrix rate is read against


def conv(configs: Sequence[Config], rounds: int, seconds: float) -> list[Row]:
    """Every side on the nets of `configs`, and the rate of a matrix product."""
    rows: list[Row] = []
    entries: dict[str, Entry] = {}
    cores = runs.cores()
    with Team() as plain, Team() as whole, Team(cores) as workers:
        made = itertools.chain(
            *(_rivals(plain, config, seconds) for config in configs),
            *(_ours(whole, workers, config, seconds) for config in configs),
            parts.products(whole, workers, configs[0], seconds, [PRODUCT]),
        )
        for row, entry in tqdm(made, "conv: building", unit=" sides", mininterval=2):
            if entry.name not in entries:
                rows.append(row)
                entries[entry.name] = entry
        times = alternate(entries, rounds, "conv")
    return [{**row, "seconds": seen} for row, seen in zip(rows, times.values(), strict=True)]


def operations(config: Config) -> int:
    """Floating-point operations of the products and convolutions in one update of one run, as torch counts them."""
    dataset = launcher.dataset_of(config)
    x = torch.empty(config.batch_size, *dataset.inputs, device="meta")
    y = torch.zeros(config.batch_size, dtype=torch.int64, device="meta")
    network = rivals.network(config, dataset.inputs, dataset.classes).to("meta")
    with FlopCounterMode(display=False) as counter:
        F.cross_entropy(network(x), y).backward()
    return int(counter.get_total_flops())


def _row(config: Config, side: str, count: int, setting: str) -> Row:
    row = {"side": side, "norm": config.norm["name"], "precision": config.precision, "runs": count, "setting": setting}
    return {**row, "images": config.batch_size, "flop": operations(config)}


def _rivals(team: Team, config: Config, seconds: float) -> Iterator[tuple[Row, Entry]]:
    cores = runs.cores()
    for threads in dict.fromkeys([1, cores]):
        for loaders in (0, cores):
            setting = f"{threads_(threads)}, {loaders} loaders"
            name = f"tutorial {config.norm['name']}, {setting}"
            team.build(name, rivals.tutorial, [(config, threads, loaders)])
            yield _row(config, "tutorial", 1, setting), Entry(team, name, seconds, LEAST)
        name = f"in memory {config.norm['name']}, {threads}"
        team.build(name, rivals.in_memory, [(config, threads)])
        yield _row(config, "in memory", 1, threads_(threads)), Entry(team, name, seconds, LEAST)


def _ours(whole: Team, workers: Team, config: Config, seconds: float) -> Iterator[tuple[Row, Entry]]:
    """As the launcher trains them, a run on each core, in both precisions; in fp32, with BN, in the other ways too."""
    cores = len(workers.members)
    for precision in ("fp32", "bf16"):
        rounded = config.model_copy(update={"precision": precision})
        yield _one_each(workers, rounded, 1, seconds)
    if config.norm["name"] == "batch":
        yield _one_each(workers, config, 2, seconds)
        for count in dict.fromkeys([1, cores]):
            name = f"ours {config.norm['name']}, {count} in one process"
            whole.build(name, ours.stacks, [([parts.sweep_of(config, count)], cores)])
            row = _row(config, "ours", count, f"1 process, {threads_(cores)}")
            yield row, Entry(whole, name, seconds, LEAST)


def _one_each(workers: Team, config: Config, together: int, seconds: float) -> tuple[Row, Entry]:
    """On every core one process with one stack of so many runs."""
    cores = len(workers.members)
    name = f"ours {config.norm['name']} {config.precision}, {together} a core"
    workers.build(name, ours.stacks, [([parts.sweep_of(config, together)], 1)] * cores)
    row = _row(config, "ours", together * cores, f"{cores} processes, 1 thread each")
    return {**row, "launched": together == launcher.most_together(config)}, Entry(workers, name, seconds, LEAST)
