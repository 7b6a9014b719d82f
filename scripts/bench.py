"""What a step costs: this engine beside the loop of a tutorial, the same in memory, and JAX, on this machine.

Sides take turns, round by round, each in processes of its own; while one is timed the others sleep. Parts:

  steps     the paper's net with and without BN: every side, ours at 1 to 256 runs; what a look costs; matrix products
  shapes    nets of other depths and widths: the loop in memory against ours
  conv      a conv net with and without BN: images a second, in fp32 and bf16 (needs CIFAR-10)
  profile   where a stacked step's time goes
  startup   from no process to the first update
  memory    at its most, for every side, and for a sweep of 256 runs
  sweep     96 runs from end to end under each launcher

With --out, the numbers of every round go to bench.json, tables to README.md, and a figure beside them; parts that were
not measured now are kept as they were. First: pip install -e '.[bench]'. JAX is compared where it is installed.
"""

import argparse
import json
import platform
import sys
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from benchmarks import figure, summary, table
from hydra import initialize_config_dir

from bnlab import plots, provenance
from bnlab.config import CONFIGS, Config, ConfigError
from bnlab.sweeps import job

PARTS = ("steps", "shapes", "conv", "profile", "startup", "memory", "sweep")
PACKAGES = ("torch", "numpy", "jax", "jaxlib")
CONV_NET = ["data=cifar10", "model=convnet", "model.width=16", "init=fan_in", "batch_size=128"]
Part = dict[str, Any]  # {"stamp": what computed it, "rows": [one for each entry]}


def main() -> None:
    asked = arguments()
    if asked.redraw:
        kept = read(asked.redraw)
        if not kept:
            raise ConfigError(f"{asked.redraw}/bench.json holds no part of the benchmark: measure with --out first")
        write(kept, asked.redraw)
        return
    with initialize_config_dir(str(CONFIGS), version_base="1.3"):
        configs = [job(None, [f"norm={norm}", f"data={asked.data}"]) for norm in summary.NORMS]
        conv_nets = [job(None, [f"norm={norm}", *CONV_NET]) for norm in summary.NORMS]
    parts = read(asked.out) if asked.out else {}
    for name, measure in measures(configs, conv_nets, asked).items():
        if name in asked.only:
            begin = time.monotonic()
            rows = measure()
            trained = conv_nets[0] if name == "conv" else configs[0]
            parts[name] = {"stamp": stamp(trained, time.monotonic() - begin), "rows": rows}
            if asked.out:  # after every part: one that fails costs no other
                write(parts, asked.out)
    print(table.page(*contents(parts)))


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS, metavar="PART", help="(default: all parts)")
    parser.add_argument("--data", default="mnist_sample", help="data set (default: mnist_sample)")
    parser.add_argument("--rounds", type=positive, default=7, help="rounds in which sides take turns (default: 7)")
    parser.add_argument("--seconds", type=float, default=0.3, help="of each side in each round (default: 0.3)")
    parser.add_argument("--sweep-steps", type=positive, default=1000, help="steps of the 96 runs (default: 1000)")
    parser.add_argument("--out", type=Path, metavar="FOLDER", help="where to write (default: only print the tables)")
    parser.add_argument("--redraw", type=Path, metavar="FOLDER", help="tables and figure again from FOLDER/bench.json")
    return parser.parse_args()


def positive(text: str) -> int:
    if int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text}: at least 1")
    return int(text)


def measures(
    configs: Sequence[Config], conv_nets: Sequence[Config], asked: argparse.Namespace
) -> dict[str, Callable[[], list[Part]]]:
    """What each part calls; commands last, as they take longest and need nothing that comes before."""
    # After the arguments are known to be good: torch takes seconds
    from benchmarks import commands, conv, parts, profile

    return {
        "steps": lambda: parts.steps(configs, asked.rounds, asked.seconds),
        "shapes": lambda: parts.shapes(configs, max(1, asked.rounds // 2), asked.seconds),
        "conv": lambda: conv.conv(conv_nets, asked.rounds, asked.seconds),
        "profile": lambda: profile.profile(configs),
        "startup": lambda: commands.startup(configs, min(3, asked.rounds)),
        "memory": lambda: commands.memory(configs),
        "sweep": lambda: commands.sweep(configs, asked.sweep_steps),
    }


def stamp(config: Config, seconds: float) -> dict[str, Any]:
    """What computed a part, and how long that took."""
    made = {"hardware": provenance.hardware(), "data": config.data["name"], **provenance.commit()}
    made |= {"python": platform.python_version(), **{package: found(package) for package in PACKAGES}}
    return made | {"measured": datetime.now(UTC).isoformat(timespec="minutes"), "took": f"{seconds:.0f} s"}


def found(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "none"


def read(folder: Path) -> dict[str, Part]:
    """The parts that lie in a folder's bench.json, none where there is none."""
    file = folder / "bench.json"
    kept = json.loads(file.read_text()) if file.is_file() else {}
    return {name: kept[name] for name in PARTS if name in kept}


def contents(parts: dict[str, Part]) -> tuple[summary.Results, dict[str, Any]]:
    """Rows by part, and stamps by part."""
    return {name: part["rows"] for name, part in parts.items()}, {name: part["stamp"] for name, part in parts.items()}


def write(parts: dict[str, Part], folder: Path) -> None:
    """bench.json (one row a line, and what is read from them), README.md and the figure."""
    results, stamps = contents(parts)
    folder.mkdir(parents=True, exist_ok=True)
    blocks = [f'"targets": {lines(summary.judged(results))}']
    for name, part in parts.items():
        blocks.append(f'"{name}": {{"stamp": {json.dumps(part["stamp"])}, "rows": {lines(part["rows"])}}}')
    (folder / "bench.json").write_text("{" + ",\n".join(blocks) + "}\n")
    (folder / "README.md").write_text(table.page(results, stamps))
    for ending in ("png", "svg"):
        plots.save(figure.draw(results), folder / f"figure.{ending}")


def lines(rows: Sequence[Any]) -> str:
    return "[\n" + ",\n".join(json.dumps(rounded(row), ensure_ascii=False) for row in rows) + "\n]"


def rounded(value: Any) -> Any:
    """Numbers to five significant digits: more is noise."""
    if isinstance(value, dict):
        return {key: rounded(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [rounded(item) for item in value]
    return float(f"{value:.5g}") if isinstance(value, float) else value


if __name__ == "__main__":
    try:
        main()
    except ConfigError as error:
        sys.exit(f"error: {error}")
    except ModuleNotFoundError as error:
        sys.exit(f"error: {error.name} is not installed: pip install -e '.[dev]'")
