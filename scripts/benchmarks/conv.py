"""A conv net on colour images: the tutorial's loop, the same in memory, and ours in each way to share the cores."""

import itertools
from collections.abc import Iterator, Sequence

from benchmarks import ours, parts, profile
from benchmarks.parts import row_of, threads_
from benchmarks.processes import Entry, Team
from benchmarks.summary import Row
from bnlab import provenance
from bnlab.config import Config
from bnlab.launcher import grouping as launcher

LEAST = 2  # steps at a time; one is a tenth of a second
PROFILED = 20  # steps
PRECISIONS = ("fp32", "bf16")
PRODUCT = (1, 1024, 1024, 1024)  # what the share of the best matrix rate is read against


def conv(configs: Sequence[Config], rounds: int, seconds: float) -> list[Row]:
    """Every side on the nets of `configs`, the rate of a matrix product, and where a step of ours goes."""
    with Team() as loops, Team() as whole, Team(provenance.cores()) as workers:
        made = itertools.chain(
            *(parts.plain(loops, config, seconds, LEAST) for config in configs),
            *(_ours(whole, workers, config, seconds) for config in configs),
            parts.products(whole, workers, configs[0], seconds, [PRODUCT]),
        )
        timed = parts.in_turns(made, rounds, "conv")
    return timed + [row for config in configs for precision in PRECISIONS for row in _profiled(config, precision)]


def _ours(whole: Team, workers: Team, config: Config, seconds: float) -> Iterator[tuple[Row, Entry]]:
    """As the launcher trains them, a run on each core, in both precisions; in fp32, with BN, in the other ways too."""
    cores = len(workers.members)
    for precision in PRECISIONS:
        yield _one_each(workers, config.model_copy(update={"precision": precision}), 1, seconds)
    if config.norm["name"] == "batch":
        yield _one_each(workers, config, 2, seconds)
        for count in dict.fromkeys([1, cores]):
            name = f"ours {config.norm['name']}, {count} in one process"
            whole.build(name, ours.stacks, [([parts.sweep_of(config, count)], cores)])
            row = row_of(config, "ours", count, f"1 process, {threads_(cores)}")
            yield row, Entry(whole, name, seconds, LEAST)


def _profiled(config: Config, precision: str) -> list[Row]:
    """Where a step of a run goes, every core busy with one; what is shown is the first one's.

    In processes of its own: kernels that were compiled before the profiler was asked for are not seen by it.
    """
    with Team(provenance.cores()) as fresh:
        seen = fresh.ask(profile.of_a_step, config.model_copy(update={"precision": precision}), 1, PROFILED)[0]
    of = {"side": "profile", "norm": config.norm["name"], "precision": precision}
    return [{**of, **row, "seconds": [row["seconds"]]} for row in seen]


def _one_each(workers: Team, config: Config, together: int, seconds: float) -> tuple[Row, Entry]:
    """On every core one process with one stack of so many runs."""
    cores = len(workers.members)
    name = f"ours {config.norm['name']} {config.precision}, {together} a core"
    workers.build(name, ours.stacks, [([parts.sweep_of(config, together)], 1)] * cores)
    row = row_of(config, "ours", together * cores, f"{cores} processes, 1 thread each")
    return {**row, "launched": together == launcher.most_together(config)}, Entry(workers, name, seconds, LEAST)
