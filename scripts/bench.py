"""What a step costs: this engine beside the loop of a tutorial, the same in memory, and JAX where it is installed.

Sides take turns, round by round, each in processes of its own; while one is timed the others sleep. Parts:

  steps     the paper's net with and without BN: every side; what measuring and a checkpoint cost; matrix products
  batches   the loop in memory with mini-batches of 1 to 4,096 examples
  conv      a conv net with and without BN, in fp32 and bf16 (needs CIFAR-10)
  startup   from no process to the first update
  memory    at its most, for every side, and for a sweep of 256 runs
  sweep     96 runs from end to end under each launcher

With --out, the numbers of every round go to bench.json, and README.md is made of them; parts that were not measured now
are kept as they were. First: pip install -e '.[bench]'
"""

import argparse
import json
import platform
import sys
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import version
from importlib.util import find_spec
from itertools import chain
from pathlib import Path
from typing import Any

from benchmarks.page import NORMS, Parts, Row, page

from bnlab import provenance
from bnlab.config import Config, ConfigError
from bnlab.ending import end_in_one_line
from bnlab.sweeps import composed_runs

PACKAGES = ("torch", "numpy", "jax", "jaxlib")
PARTS = ("steps", "batches", "conv", "startup", "memory", "sweep")
CONV_NET = ["data=cifar10", "model=convnet", "model.width=16", "init=fan_in", "batch_size=128"]


def main() -> None:
    asked = arguments()
    if asked.redraw:
        kept = read(asked.redraw)
        if not kept:
            raise ConfigError(f"{asked.redraw}/bench.json holds no part of the benchmark: measure with --out first")
        (asked.redraw / "README.md").write_text(page(kept), encoding="utf-8")
        return
    configs = composed_runs([[f"norm={norm}", f"data={asked.data}"] for norm in NORMS])
    conv_nets = composed_runs([[f"norm={norm}", *CONV_NET] for norm in NORMS]) if "conv" in asked.only else []
    if asked.profile:
        profile([*(configs if "steps" in asked.only else []), *conv_nets])
    else:
        measure(configs, conv_nets, asked)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS, metavar="PART", help="(default: all parts)")
    parser.add_argument("--data", default="mnist_sample", help="data set (default: mnist_sample)")
    parser.add_argument("--rounds", type=int, default=7, help="rounds in which sides take turns (default: 7)")
    parser.add_argument("--seconds", type=float, default=0.3, help="of each side in each round (default: 0.3)")
    parser.add_argument("--sweep-steps", type=int, default=1000, help="steps of the 96 runs (default: 1000)")
    parser.add_argument("--out", type=Path, metavar="FOLDER", help="where to write (default: only print the page)")
    parser.add_argument("--redraw", type=Path, metavar="FOLDER", help="the page again from FOLDER/bench.json")
    parser.add_argument("--profile", action="store_true", help="only print where steps spend their time")
    asked = parser.parse_args()
    if min(asked.rounds, asked.sweep_steps) < 1:
        parser.error("--rounds and --sweep-steps must be at least 1")
    return asked


def measure(configs: Sequence[Config], conv_nets: Sequence[Config], asked: argparse.Namespace) -> None:
    """The parts that are asked for; commands last, as they take longest and need nothing that comes before."""
    # After the arguments are known to be good: torch takes seconds
    from benchmarks import commands, sides
    from benchmarks.processes import in_turns

    turns = partial(in_turns, rounds=asked.rounds, seconds=asked.seconds)
    measures: dict[str, Callable[[], list[Row]]] = {
        "steps": lambda: turns([*chain(*map(sides.step, configs)), *sides.products()]),
        "batches": lambda: turns([*chain(*map(sides.batches, configs))]),
        "conv": lambda: turns([*chain(*map(sides.conv, conv_nets))]),
        "startup": lambda: commands.startup(configs[-1], min(3, asked.rounds)),
        "memory": lambda: list(commands.memory(configs[-1])),
        "sweep": lambda: commands.sweep(configs, asked.sweep_steps),
    }
    parts = read(asked.out) if asked.out else {}
    for name in [part for part in PARTS if part in asked.only]:
        begin, trained = time.monotonic(), conv_nets[0] if name == "conv" else configs[0]
        rows = measures[name]()
        parts[name] = {"stamp": stamp(trained, time.monotonic() - begin), "rows": rows}
        if asked.out:  # after every part: one that fails costs no other
            write(parts, asked.out)
    print(page(parts))


def profile(configs: Sequence[Config]) -> None:
    """Print, for each net, where the steps of a full stack go, and those of a run alone, on one thread."""
    import torch
    from benchmarks import ours, sides

    from bnlab.launcher.grouping import most_together

    torch._inductor.config.cpp.enable_kernel_profile = True  # kernels that were compiled before are not seen
    for config in configs:
        for count in sorted({1, most_together(config)}):
            side = ours.stacks([sides.sweep_of(config, count)], 1)
            side(20)
            with torch.profiler.profile(record_shapes=True) as seen:
                side(20)
            print(f"{config.model['name']} {NORMS[config.norm['name']]}, a stack of {count}:")
            print(seen.key_averages(group_by_input_shape=True).table("self_cpu_time_total", row_limit=15))


def stamp(config: Config, seconds: float) -> dict[str, Any]:
    """What computed a part, and how long that took."""
    versions = {package: version(package) if find_spec(package) else "none" for package in PACKAGES}
    made = {"hardware": provenance.hardware(), "data": config.data["name"], **provenance.commit()}
    made |= {"python": platform.python_version(), **versions}
    return made | {"measured": datetime.now(UTC).isoformat(timespec="minutes"), "took": f"{seconds:.0f} s"}


def read(folder: Path) -> Parts:
    """The parts that lie in a folder's bench.json, none where there is none."""
    file = folder / "bench.json"
    kept = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    return {name: kept[name] for name in PARTS if name in kept}


def write(parts: Parts, folder: Path) -> None:
    """bench.json, one row a line, and README.md."""
    folder.mkdir(parents=True, exist_ok=True)
    blocks = []
    for name, part in parts.items():
        rows = ",\n".join(json.dumps(row, ensure_ascii=False) for row in part["rows"])
        blocks.append(f'"{name}": {{"stamp": {json.dumps(part["stamp"])}, "rows": [\n{rows}\n]}}')
    (folder / "bench.json").write_text("{" + ",\n".join(blocks) + "}\n", encoding="utf-8")
    (folder / "README.md").write_text(page(parts), encoding="utf-8")


if __name__ == "__main__":
    try:
        end_in_one_line(main)
    except ModuleNotFoundError as error:
        sys.exit(f"error: {error.name} is not installed: pip install -e '.[dev]'")
