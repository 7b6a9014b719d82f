"""What is timed or weighed as whole processes: starting up, a sweep from end to end, memory."""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any
from unittest import mock

import psutil
from tqdm import tqdm

from benchmarks import ours, sides
from benchmarks.page import NORMS, Row
from benchmarks.processes import Team, Way
from bnlab import runs
from bnlab.config import CONFIGS, Config, ConfigError
from bnlab.launcher.grouping import most_together

TRAIN = [sys.executable, str(CONFIGS.parent / "scripts" / "train.py")]
LAUNCHERS = ["stacked", "joblib", "basic"]
SEEDS = 6  # of the sweep: two norms × eight rates × six seeds are 96 runs
MANY_RUNS = 256  # of the sweep whose memory is measured
LOOK_EVERY = 0.2  # seconds between two looks at memory
LARGE = 1e8  # bytes; of a process that holds more than an interpreter


def startup(config: Config, rounds: int) -> list[Row]:
    """Seconds from a cold process to the first update, in several ways; the data set is the package's own digits."""
    torch = [sys.executable, "-c", "import torch"]
    one = [*TRAIN, "data=mnist_sample", "steps=1", "measure.what=[accuracy]"]
    stack = sides.sweep_of(config, most_together(config))
    first = f"first update of a compiled stack of {len(stack)}, {NORMS[config.norm['name']]}"
    with tempfile.TemporaryDirectory() as scratch:
        timed: dict[str, list[float]] = {
            "`import torch`, alone": [_seconds(torch) for _ in range(rounds)],
            "`scripts/train.py steps=1`, to the end": [_seconds([*one, f"out={scratch}/{k}"]) for k in range(rounds)],
        }
        with mock.patch.dict(os.environ, TORCHINDUCTOR_CACHE_DIR=f"{scratch}/compiled"):
            for cache in ("cold", "warm"):
                begin = time.perf_counter()
                _once(sides.way(config, "stacked", ours.stacks, [([stack], 1)]), 1)
                timed[f"{first}, {cache} cache"] = [round(time.perf_counter() - begin, 3)]
    return [{"what": what, "seconds": seconds} for what, seconds in timed.items()]


def _once(way: Way, steps: int) -> None:
    with Team() as team:
        team.build("once", way)
        team.time("once", steps)


def sweep(configs: Sequence[Config], steps: int) -> list[Row]:
    """Wall seconds of one sweep under each launcher, from the command to its end, everything at its default."""
    count, rows = len(configs) * len(sides.RATES) * SEEDS, []
    for name in tqdm(LAUNCHERS, desc=f"sweep of {count} runs"):
        with tempfile.TemporaryDirectory() as out:
            seconds = _seconds([*_sweep(configs, SEEDS), f"steps={steps}", f"hydra/launcher={name}", f"out={out}"])
            finished = len(runs.find([Path(out)]))
        if finished != count:
            raise ConfigError(f"the sweep under hydra/launcher={name} finished {finished} of its {count} runs")
        rows.append({"what": f"{count} runs of {steps} steps, `hydra/launcher={name}`", "seconds": [seconds]})
    return rows


def _sweep(configs: Sequence[Config], seeds: int) -> list[str]:
    norms, rates = ",".join(config.norm["name"] for config in configs), ",".join(map(str, sides.RATES))
    axes = [f"norm={norms}", f"optimizer.lr={rates}", f"seed=range({seeds})"]
    return [*TRAIN, "-m", *axes, f"data={configs[0].data['name']}", "measure.what=[accuracy]"]


def _seconds(line: Sequence[str]) -> float:
    """Of a command; its own words are told only where it fails."""
    begin = time.perf_counter()
    done = subprocess.run(line, capture_output=True, encoding="utf-8", errors="replace", check=False)
    if done.returncode:
        raise ConfigError(f"{' '.join(line)} failed: {done.stderr.strip()[-500:]}")
    return round(time.perf_counter() - begin, 3)


def memory(config: Config) -> Iterator[Row]:
    """Most memory that all processes of a side have at any one time."""
    norm, torch = config.norm["name"], [sys.executable, "-c", "import time, torch; time.sleep(1)"]
    yield {"side": "import torch", "norm": norm, "runs": 0, **peak(_seconds, torch)}
    plain = [way for way in sides.loops(config) if way.row["threads"] == 1 and not way.row.get("loaders")]
    for way in [*plain, *(way for way in sides.jax(config) if way.row["runs"] == 8)]:
        yield {"side": way.row["side"], "norm": norm, "runs": way.row["runs"], **peak(_once, way, 200)}
    few = ["steps=50", "measure.per_decade=0", "hardware.compile=true"]  # but compiled, as long runs are
    alone = [*TRAIN, f"norm={norm}", f"data={config.data['name']}", "measure.what=[accuracy]"]
    for count, words in {1: alone, MANY_RUNS: _sweep([config], MANY_RUNS // len(sides.RATES))}.items():
        with tempfile.TemporaryDirectory() as out:
            yield {"side": "ours", "norm": norm, "runs": count, **peak(_seconds, [*words, *few, f"out={out}"])}


def peak(work: Callable[..., object], *arguments: Any) -> Row:
    """Most memory during `work(*arguments)` of all processes below this one, in MB of 1e6 bytes.

    In `rss` a page that two processes share counts twice, in `pss` once; `processes` counts the large ones.
    """
    most = [0.0, 0.0, 0]
    with ThreadPoolExecutor() as pool:
        done = pool.submit(work, *arguments)
        while not done.done():
            now = [sum(amounts) for amounts in zip(*_memory_now(), strict=True)]
            most = list(map(max, most, now)) if now else most
            time.sleep(LOOK_EVERY)
    done.result()
    return {what: round(amount, 1) for what, amount in zip(("rss", "pss", "processes"), most, strict=True)}


def _memory_now() -> Iterator[tuple[float, float, bool]]:
    """Of each process: MB resident, MB in proportion, and whether it is large."""
    for process in psutil.Process().children(recursive=True):
        with suppress(psutil.NoSuchProcess, psutil.AccessDenied):
            now = process.memory_full_info()
            yield now.rss / 1e6, getattr(now, "pss", now.rss) / 1e6, now.rss > LARGE  # Linux alone tells what is shared
