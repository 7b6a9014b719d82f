"""What is timed or weighed as whole processes: starting up, a sweep from end to end, memory."""

import importlib.util
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import psutil
from tqdm import tqdm

from benchmarks import ours, rivals
from benchmarks.parts import RATES, sweep_of
from benchmarks.processes import Side, Team
from benchmarks.summary import Row
from bnlab import runs
from bnlab.config import CONFIGS, Config, ConfigError
from bnlab.launcher import grouping as launcher

TRAIN = CONFIGS.parent / "scripts" / "train.py"
SEEDS = 6  # of the sweep: two norms × eight rates × six seeds are 96 runs
LAUNCHERS = ["stacked", "joblib", "basic"]
MANY_RUNS = 256  # of the sweep whose memory is measured
LOOK_EVERY = 0.2  # seconds between two looks at memory
LARGE = 1e8  # bytes; of a process that holds more than an interpreter
IMPORT_TORCH = "import time, torch; time.sleep(1)"


# ---- starting up ------------------------------------------------------------------------------------------


def startup(configs: Sequence[Config], rounds: int) -> list[Row]:
    """Seconds from a cold process to the first update, in several ways; the data set is the package's own digits."""
    with tempfile.TemporaryDirectory() as scratch:
        one = ["data=mnist_sample", "steps=1", "measure.what=[accuracy]"]
        timed = {
            "import torch, alone": lambda k: _seconds([sys.executable, "-c", "import torch"]),
            "scripts/train.py steps=1, to the end": lambda k: _train(Path(scratch) / str(k), one),
        }
        rows: list[Row] = [
            {"what": what, "seconds": [seconds(k) for k in tqdm(range(rounds), desc=what)]}
            for what, seconds in timed.items()
        ]
        for config in tqdm(configs, desc="first update of a compiled stack"):
            cache = Path(scratch) / f"inductor-{config.norm['name']}"
            for state in ("cold", "warm"):
                what = f"first update of a compiled stack of {launcher.most_together(config)}, {state} cache"
                rows.append({"what": what, "norm": config.norm["name"], "seconds": [_first_update(config, cache)]})
    return rows


def _first_update(config: Config, cache: Path) -> float:
    """From no process to one update of a full stack, with the compiler's cache in the folder `cache`."""
    begin = time.perf_counter()
    with mock.patch.dict(os.environ, TORCHINDUCTOR_CACHE_DIR=str(cache)), Team() as team:
        team.build("stack", ours.stacks, [([sweep_of(config, launcher.most_together(config))], 1)])
        team.time("stack", 1)
        return time.perf_counter() - begin


# ---- a sweep ----------------------------------------------------------------------------------------------


def sweep(configs: Sequence[Config], steps: int) -> list[Row]:
    """Wall seconds of one sweep under each launcher, from the command to its end, everything at its default."""
    norms, data = [config.norm["name"] for config in configs], configs[0].data["name"]
    words = _sweep_words(norms, SEEDS, data, [f"steps={steps}"])
    count = len(norms) * len(RATES) * SEEDS
    rows: list[Row] = []
    for name in tqdm(LAUNCHERS, desc=f"sweep of {count} runs"):
        if name == "joblib" and importlib.util.find_spec("hydra_plugins.hydra_joblib_launcher") is None:
            print("hydra-joblib-launcher is not installed: its row of the sweep is left out", file=sys.stderr)
            continue
        with tempfile.TemporaryDirectory() as scratch:
            out = Path(scratch) / "runs"
            seconds = _train(out, [*words, f"hydra/launcher={name}"])
            finished = len(runs.find([out]))
        if finished != count:
            raise ConfigError(f"the sweep under hydra/launcher={name} finished {finished} of its {count} runs")
        rows.append({"launcher": name, "runs": count, "steps": steps, "seconds": [seconds]})
    return rows


def _sweep_words(norms: Sequence[str], seeds: int, data: str, more: Sequence[str]) -> list[str]:
    rates = ",".join(map(str, RATES))
    axes = [f"norm={','.join(norms)}", f"optimizer.lr={rates}", f"seed=range({seeds})"]
    return ["-m", *axes, f"data={data}", "measure.what=[accuracy]", *more]


def _train(out: Path, words: Sequence[str]) -> float:
    return _seconds([sys.executable, str(TRAIN), *words, f"out={out}"])


def _seconds(line: Sequence[str]) -> float:
    """Of a command; its own words are told only where it fails."""
    begin = time.perf_counter()
    done = subprocess.run(line, capture_output=True, text=True, check=False)
    if done.returncode:
        raise ConfigError(f"{' '.join(line)} failed: {done.stderr.strip()[-500:]}")
    return time.perf_counter() - begin


# ---- memory -----------------------------------------------------------------------------------------------


def memory(configs: Sequence[Config]) -> list[Row]:
    """Most memory that all processes of a side have at any one time, on the last of `configs`: no other needs more."""
    return list(tqdm(_memory(configs[-1]), desc="memory", unit=" sides"))


def _memory(config: Config) -> Iterator[Row]:
    norm = config.norm["name"]
    yield {"side": "import torch", "norm": norm, "runs": 0, **_memory_of([sys.executable, "-c", IMPORT_TORCH])}
    yield {"side": "tutorial", "norm": norm, "runs": 1, **_memory_of_loop(rivals.tutorial, config, 1, 0)}
    yield {"side": "in memory", "norm": norm, "runs": 1, **_memory_of_loop(rivals.in_memory, config, 1)}
    if importlib.util.find_spec("jax"):
        from benchmarks import jax_rival

        yield {"side": "jax", "norm": norm, "runs": 8, **_memory_of_loop(jax_rival.side, sweep_of(config, 8), True)}
    few = ["steps=50", "measure.per_decade=0", "hardware.compile=true"]  # but compiled, as long runs are
    alone = [f"norm={norm}", f"data={config.data['name']}", "measure.what=[accuracy]", *few]
    yield {"side": "ours", "norm": norm, "runs": 1, **_memory_of_command(alone)}
    many = _sweep_words([norm], MANY_RUNS // len(RATES), config.data["name"], few)
    yield {"side": "ours", "norm": norm, "runs": MANY_RUNS, **_memory_of_command(many)}


def _memory_of_loop(factory: Callable[..., Side], *arguments: Any) -> Row:
    with Team() as team, _peak(team.ask(os.getpid)[0]) as peak:
        team.build("loop", factory, [arguments])
        team.time("loop", 200)
    return peak


def _memory_of_command(words: Sequence[str]) -> Row:
    with tempfile.TemporaryDirectory() as scratch:
        return _memory_of([sys.executable, str(TRAIN), *words, f"out={scratch}/runs"])


def _memory_of(line: Sequence[str]) -> Row:
    process = subprocess.Popen(line, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    with process, _peak(process.pid) as peak:
        process.wait()
    if process.returncode:
        raise ConfigError(f"{' '.join(line)} failed")
    return peak


@contextmanager
def _peak(pid: int) -> Iterator[Row]:
    """Most memory at any one time of a process and all below it, in MB of 1e6 bytes.

    `rss`: what each has in memory, summed, so that a page of two processes counts twice; `pss`: it counts once.
    `processes`: how many large ones there were at most.
    """
    peak: Row = {"rss": 0.0, "pss": 0.0, "processes": 0}
    over = threading.Event()

    def watch() -> None:
        while not over.wait(LOOK_EVERY):
            seen = [_memory_now(process) for process in _family(pid)]
            for i, kind in enumerate(("rss", "pss")):
                peak[kind] = max(peak[kind], sum(now[i] for now in seen) / 1e6)
            peak["processes"] = max(peak["processes"], sum(rss > LARGE for rss, _ in seen))

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield peak
    finally:
        over.set()
        watcher.join()


def _family(pid: int) -> list[psutil.Process]:
    try:
        head = psutil.Process(pid)
        return [head, *head.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def _memory_now(process: psutil.Process) -> tuple[float, float]:
    try:
        now = process.memory_full_info()
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return 0.0, 0.0
    return now.rss, getattr(now, "pss", now.rss)  # Linux alone tells what is shared
