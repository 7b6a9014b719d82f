"""The parts of the benchmark that alternate sides; each gives rows, with what was measured in every round."""

import importlib.util
import itertools
import sys
from collections.abc import Iterable, Iterator, Sequence

from tqdm import tqdm

from benchmarks import matrix, ours, rivals
from benchmarks.processes import LEAST, Entry, Team, alternate
from benchmarks.summary import Row
from bnlab import provenance
from bnlab.config import Config
from bnlab.launcher import grouping as launcher
from bnlab.training import moments

RATES = [0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30]  # of rate_tolerance: a sweep of theirs is one stack for each seed
RUNS = [1, 2, 4, 8, 16, 64, 256]  # of a sweep
JAX_RUNS = {"shared": [1, 8, 16, 32], "own": [8, 16]}  # mapped over at once, by whose batches they see
DEPTHS, WIDTHS = [1, 2, 3, 5, 8], [50, 100, 200, 400]


def steps(configs: Sequence[Config], rounds: int, seconds: float) -> list[Row]:
    """Every side on the nets of `configs` (one for each norm), what one look costs, and the rate of matrix products."""
    cores = provenance.cores()
    with Team() as loops, Team() as jax, Team() as whole, Team(cores) as workers:
        made = itertools.chain(
            *(plain(loops, config, seconds) for config in configs),
            *(_jax(jax, config, seconds) for config in configs),
            *(_ours(whole, workers, config, seconds) for config in configs),
            products(whole, workers, configs[0], seconds / 3, matrix.SHAPES),
        )
        rows = in_turns(made, rounds, "steps")
        kernel = workers.ask(ours.kernel, configs[0], 1)[0]
    return [{**row, "kernel": kernel} for row in rows]


def shapes(configs: Sequence[Config], rounds: int, seconds: float) -> list[Row]:
    """The loop in memory and full stacks, on nets of other depths and widths."""
    with Team() as loops, Team(provenance.cores()) as workers:
        return in_turns(_shapes(loops, workers, configs, seconds), rounds, "shapes")


def _shapes(loops: Team, workers: Team, configs: Sequence[Config], seconds: float) -> Iterator[tuple[Row, Entry]]:
    for config in configs:
        default = config.model["depth"], config.model["width"]
        for depth, width in dict.fromkeys([*((d, default[1]) for d in DEPTHS), *((default[0], w) for w in WIDTHS)]):
            sized = config.model_copy(update={"model": {**config.model, "depth": depth, "width": width}})
            made = (_loop(loops, sized, threads, seconds) for threads in dict.fromkeys([1, len(workers.members)]))
            for row, entry in [*made, _full(workers, sized, seconds)]:
                yield {**row, "depth": depth, "width": width}, entry


def in_turns(made: Iterable[tuple[Row, Entry]], rounds: int, what: str) -> list[Row]:
    """The rows of all sides, each with what it took in every round; a side that comes twice counts once.

    On one core, all threads and one are the same side.
    """
    rows: list[Row] = []
    entries: dict[str, Entry] = {}
    for row, entry in tqdm(made, f"{what}: building", unit=" sides", mininterval=2):
        if entry.name not in entries:
            rows.append(row)
            entries[entry.name] = entry
    times = alternate(entries, rounds, what)
    return [{**row, "seconds": seen} for row, seen in zip(rows, times.values(), strict=True)]


def sweep_of(config: Config, count: int) -> list[Config]:
    """`count` runs as a sweep of rates would have them: eight rates for every seed."""
    return [
        config.model_copy(
            update={"seed": i // len(RATES), "optimizer": {**config.optimizer, "lr": RATES[i % len(RATES)]}}
        )
        for i in range(count)
    ]


def seeds_of(config: Config, count: int) -> list[Config]:
    """`count` runs with a seed each."""
    return [config.model_copy(update={"seed": seed}) for seed in range(count)]


# ---- the sides --------------------------------------------------------------------------------------------


def row_of(config: Config, side: str, count: int, setting: str, seeds: str = "shared") -> Row:
    """What is known of a side of `count` runs before it is timed."""
    return {
        "side": side,
        "norm": config.norm["name"],
        "precision": config.precision,
        "runs": count,
        "seeds": seeds,
        "setting": setting,
        "images": config.batch_size,
        "flop": matrix.operations(config),
    }


def threads_(count: int) -> str:
    """So many, in words."""
    return "1 thread" if count == 1 else f"{count} threads"


def plain(team: Team, config: Config, seconds: float, least: int = LEAST) -> Iterator[tuple[Row, Entry]]:
    """The loops in plain PyTorch, with one thread and with all, and loaders of their own or none."""
    cores = provenance.cores()
    for threads in dict.fromkeys([1, cores]):
        for loaders in (0, cores):
            setting = f"{threads_(threads)}, {loaders} loaders"
            name = f"tutorial {config.norm['name']}, {setting}"
            team.build(name, rivals.tutorial, [(config, threads, loaders)])
            yield row_of(config, "tutorial", 1, setting), Entry(team, name, seconds, least)
        yield _loop(team, config, threads, seconds, least)


def _loop(team: Team, config: Config, threads: int, seconds: float, least: int = LEAST) -> tuple[Row, Entry]:
    name = f"in memory {config.norm['name']} {config.model}, {threads}"
    team.build(name, rivals.in_memory, [(config, threads)])
    return row_of(config, "in memory", 1, threads_(threads)), Entry(team, name, seconds, least)


def _jax(team: Team, config: Config, seconds: float) -> Iterator[tuple[Row, Entry]]:
    if importlib.util.find_spec("jax") is None:
        print("jax is not installed (pip install -e .[bench]): its rows are left out", file=sys.stderr)
        return
    from benchmarks import jax_rival

    for seeds, counts in JAX_RUNS.items():
        for count in counts:
            configs = sweep_of(config, count) if seeds == "shared" else seeds_of(config, count)
            name = f"jax {config.norm['name']}, {count}, {seeds}"
            team.build(name, jax_rival.side, [(configs, seeds == "shared")])
            yield row_of(config, "jax", count, "its own threads", seeds), Entry(team, name, seconds)


def _ours(whole: Team, workers: Team, config: Config, seconds: float) -> Iterator[tuple[Row, Entry]]:
    cores = len(workers.members)
    full = cores * launcher.most_together(config)  # the smallest sweep that gives every core a full stack
    for count in sorted({*RUNS, full}):
        row, entry = _stacks(whole, workers, sweep_of(config, count), seconds, "shared")
        yield {**row, "full": count == full}, entry
    yield _stacks(whole, workers, seeds_of(config, full), seconds, "own")
    name = f"alone {config.norm['name']}"
    workers.build(name, ours.stacks, [([[config]], 1)])
    yield row_of(config, "ours", 1, "1 process, 1 thread"), Entry(workers, name, seconds)
    name = f"look {config.norm['name']}"
    workers.build(name, ours.measuring, [(config,)] * cores)
    looks = len(moments(config.steps, config.measure.per_decade, config.measure.steps))
    each = f"{cores} processes, 1 thread each"
    row = row_of(config, "look", 1, each)
    yield {**row, "looks": looks, "steps": config.steps}, Entry(workers, name, seconds, least=1)
    name = f"checkpoint {config.norm['name']}"
    stack = sweep_of(config, launcher.most_together(config))
    workers.build(name, ours.checkpoints, [(stack,)] * cores)
    row = row_of(config, "checkpoint", len(stack), each)
    yield {**row, "every": config.hardware.checkpoint, "processes": cores}, Entry(workers, name, seconds, least=1)


def _stacks(whole: Team, workers: Team, configs: list[Config], seconds: float, seeds: str) -> tuple[Row, Entry]:
    """Spread as the launcher spreads them: one stack has all threads, several go to one process a core."""
    groups, cores = launcher.group(configs), len(workers.members)
    name = f"ours {configs[0].norm['name']}, {len(configs)}, {seeds}"
    if len(groups) == 1 or cores == 1:
        whole.build(name, ours.stacks, [(groups, cores)])
        row = row_of(configs[0], "ours", len(configs), f"1 process, {threads_(cores)}", seeds)
        return row, Entry(whole, name, seconds)
    workers.build(name, ours.stacks, [(groups[i::cores], 1) for i in range(min(cores, len(groups)))])
    row = row_of(configs[0], "ours", len(configs), f"{min(cores, len(groups))} processes, 1 thread each", seeds)
    return row, Entry(workers, name, seconds)


def _full(workers: Team, config: Config, seconds: float) -> tuple[Row, Entry]:
    """A full stack on every core."""
    cores = len(workers.members)
    full = cores * launcher.most_together(config)
    groups = launcher.group(sweep_of(config, full))
    name = f"ours {config.norm['name']} {config.model}"
    workers.build(name, ours.stacks, [([group], 1) for group in groups])
    return row_of(config, "ours", full, f"{cores} processes"), Entry(workers, name, seconds)


def products(
    whole: Team, workers: Team, config: Config, seconds: float, shapes: Sequence[tuple[int, int, int, int]]
) -> Iterator[tuple[Row, Entry]]:
    """Matrix products of each shape by each kernel, in one process with all threads and in one a core."""
    cores = len(workers.members)
    for kernel in matrix.KERNELS:
        for shape in shapes:
            for team, threads in ((whole, cores), (workers, 1)):
                setting = f"{len(team.members)} × {threads_(threads)}"
                name = f"product {kernel} {shape}, {setting}"
                team.build(name, matrix.product, [(config, threads, kernel, shape)] * len(team.members))
                row = {"side": "product", "setting": setting, "product": kernel, "shape": list(shape)}
                yield row, Entry(team, name, seconds, least=1)
