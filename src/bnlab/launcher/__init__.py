"""From resolved configs to runs on disk: the one way to run, for one job or a thousand.

Jobs that differ only in numbers of the optimizer, the initial scale, the schedule or the seed are trained together, as
stacks; stacks are spread over worker processes. Each job's folder is what it would have been alone.
"""

import copy
import json
import math
import multiprocessing
import os
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from torch import nn
from tqdm import tqdm

from bnlab import data, models, norms, runs, tracking
from bnlab.config import Config, ConfigError, config_hash, construct, identity
from bnlab.measure import MEASUREMENTS, Probe, make_probe, take
from bnlab.training import (
    PAYS_BACK,
    Machine,
    Moment,
    Program,
    Run,
    Stack,
    compiler_works,
    moments,
    prepare,
    schedules,
    train,
)
from bnlab.training.optimizers import OPTIMIZERS

POLL = 0.2  # seconds between two looks at the workers' progress


class Stopped(BaseException):
    """The sweep was told to stop."""


@dataclass(frozen=True)
class Report:
    """What became of a launch: finished now, found finished, and failed (with the reason), by folder name."""

    trained: list[str]
    skipped: list[str]
    failed: dict[str, str]


def launch(configs: Sequence[Config], progress: bool = True) -> Report:
    """Train every config that is neither finished below `config.out`, where its folder lies, nor in `config.reuse`.

    Raises `ConfigError`, before any work and with nothing written, where a config cannot be run.
    """
    unique = list({(config.out, config_hash(config)): config for config in configs}.values())
    published = {folder: set(runs.published(Path(folder), [])["run"]) for folder in {c.reuse for c in unique} if folder}
    there = [runs.finished(c) or config_hash(c) in published.get(c.reuse or "", set()) for c in unique]
    todo = [config for config, done in zip(unique, there, strict=True) if not done]
    skipped = [runs.folder(config).name for config, done in zip(unique, there, strict=True) if done]
    check(todo)
    failed = _train_all(group(todo), progress) if todo else {}
    trained = [runs.folder(config).name for config in todo if runs.folder(config).name not in failed]
    return Report(trained, skipped, failed)


def check(configs: Sequence[Config]) -> None:
    """Raise `ConfigError`, one line, for the first config that cannot be run; builds everything but trains nothing."""
    for config in configs:
        unknown = set(config.measure.what) - set(MEASUREMENTS)
        if unknown:
            raise ConfigError(
                f"measure.what={sorted(unknown)}: not known here; choose from {', '.join(sorted(MEASUREMENTS))}"
            )
        _optimizer(config)
        schedules.build(config.lr_schedule, config.steps)
        dataset = dataset_of(config)
        if config.batch_size > len(dataset.train_x):
            raise ConfigError(
                f"batch_size={config.batch_size}: must not exceed the {len(dataset.train_x)} training examples"
            )
        network = engine_run(config, dataset.inputs, dataset.classes).network
        if config.batch_size < 2 and norms.uses_batch_statistics(network):
            raise ConfigError("batch_size=1: norm=batch needs a batch of at least 2")
    if configs and configs[0].hardware.device not in ("auto", "cpu"):
        try:
            torch.zeros(1, device=configs[0].hardware.device)
        except (RuntimeError, AssertionError) as error:
            reason = str(error).splitlines()[0]
            raise ConfigError(f"hardware.device={configs[0].hardware.device}: not usable here ({reason})") from None


def group(configs: Sequence[Config]) -> list[list[Config]]:
    """Stacks of at most `hardware.stack` configs of one shape, as even in size as can be, the longest work first.

    Runs of one seed see the same batches, which a stack of theirs gathers once: where a seed has enough of them, they
    are kept together.
    """
    pools: list[list[Config]] = []
    for members in _by(configs, lambda config: str(_shape(config))):
        of_seeds = _by(members, lambda config: str(config.seed))
        enough = members[0].hardware.stack / 2
        pools += [own for own in of_seeds if len(own) >= enough]
        pools.append([config for few in of_seeds if len(few) < enough for config in few])
    stacks = []
    for pool in pools:
        count = math.ceil(len(pool) / configs[0].hardware.stack)
        stacks += [pool[i::count] for i in range(count)]
    return sorted(stacks, key=lambda stack: -len(stack) * stack[0].steps)


def _by(configs: Sequence[Config], key: Callable[[Config], str]) -> Collection[list[Config]]:
    parts: dict[str, list[Config]] = defaultdict(list)
    for config in configs:
        parts[key(config)].append(config)
    return parts.values()


def _shape(config: Config) -> dict[str, Any]:
    """What must be the same for two runs to be trained together: all but seeds and numbers that may differ."""
    shape = identity(config) | {
        "seed": None,
        "lr_schedule": None,
        "out": config.out,
        "tracker": config.tracker,
    }
    for part in ("optimizer", "init"):
        shape[part] = shape[part]["name"]
    return shape


# ---- one process, or several ------------------------------------------------------------------------------


def _train_all(stacks: list[list[Config]], progress: bool) -> dict[str, str]:
    hardware = stacks[0][0].hardware
    total = sum(stack[0].steps * len(stack) for stack in stacks)
    on_cuda = hardware.device.startswith("cuda") or (hardware.device == "auto" and torch.cuda.is_available())
    long = max(stack[0].steps for stack in stacks) >= PAYS_BACK
    if hardware.compile == "auto" and long and not compiler_works("cuda" if on_cuda else "cpu"):
        print(
            "torch.compile does not work here (no C++ compiler or no Python headers?): training is slower",
            file=sys.stderr,
        )
    workers = (1 if on_cuda else runs.cores()) if hardware.workers == "auto" else hardware.workers
    runs_word = "run" if total == stacks[0][0].steps else f"{sum(map(len, stacks))} runs"
    with tqdm(total=total, unit=" updates", desc=runs_word, disable=not progress, smoothing=0.05) as bar:
        if min(workers, len(stacks)) == 1:
            threads = None if hardware.workers == "auto" else hardware.workers
            machine = prepare(hardware, threads)
            return _train_here(stacks, machine, bar.update)
        return _train_in_workers(stacks, min(workers, len(stacks)), bar)


def _train_here(stacks: list[list[Config]], machine: Machine, tick: Callable[[int], object]) -> dict[str, str]:
    failed: dict[str, str] = {}
    for stack in stacks:
        failed |= _attempt(stack, machine, tick)
    return failed


def _attempt(stack: list[Config], machine: Machine, tick: Callable[[int], object]) -> dict[str, str]:
    """Train a stack; what goes wrong with it is reported by run and harms no other stack."""
    try:
        train_stack(stack, machine, tick)
    except Exception as error:  # whatever it is, the other stacks go on, and it is told at the end
        reason = f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
        return {runs.folder(config).name: reason for config in stack}
    return {}


_shared: Any = None  # in a worker: its machine, the counter of updates, and the flag that says stop


def _start_worker(config: Config, done: Any, stop: Any) -> None:
    global _shared
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _shared = (prepare(config.hardware, threads=1), done, stop)


def _end_with_parent() -> None:
    """A worker whose parent was killed would wait for work forever."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _work(stack: list[Config]) -> dict[str, str]:
    machine, done, stop = _shared

    def tick(count: int) -> None:
        with done.get_lock():
            done.value += count
        if stop.is_set():
            raise Stopped

    return _attempt(stack, machine, tick)


def _train_in_workers(stacks: list[list[Config]], workers: int, bar: "tqdm[Any]") -> dict[str, str]:
    context = multiprocessing.get_context("spawn")
    done, stop = context.Value("q", 0), context.Event()
    start = (stacks[0][0], done, stop)
    failed: dict[str, str] = {}
    with ProcessPoolExecutor(workers, context, _start_worker, start) as pool:
        pending: dict[Future[dict[str, str]], list[Config]] = {pool.submit(_work, s): s for s in stacks}
        try:
            while pending:
                finished, _ = wait(pending, timeout=POLL, return_when=FIRST_COMPLETED)
                bar.update(done.value - bar.n)
                for future in finished:
                    stack = pending.pop(future)
                    error = future.exception()
                    lost = {runs.folder(config).name: f"its worker died ({error})" for config in stack}
                    failed |= lost if error else future.result()
        except BaseException:
            stop.set()
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return failed


# ---- one stack --------------------------------------------------------------------------------------------


def train_stack(configs: list[Config], machine: Machine, tick: Callable[[int], object]) -> None:
    """Train configs of one shape together, each into its own folder.

    Progress is told in updates of runs: a stack of K makes K an update.
    """
    config = configs[0]
    dataset = dataset_of(config).to(machine.device)
    engine_runs = [engine_run(c, dataset.inputs, dataset.classes) for c in configs]
    compiled = machine.compiles(config.steps)
    program = _program(config, engine_runs[0], dataset.transform, compiled)
    stack = Stack(engine_runs, program, machine.device)
    probe = probe_of(config, dataset)
    when = moments(config.steps, config.measure.per_decade, config.measure.steps)
    engine = {
        "kernel": machine.kernel,
        "device": machine.device.type,
        "compiled": compiled,
        "stack": len(configs),
    }
    started = time.monotonic()
    folders = [runs.RunFolder(c, dataset.provenance, engine) for c in configs]
    logs = [tracking.open_log(c, folder.path, dataset.provenance) for c, folder in zip(configs, folders, strict=True)]
    last: list[dict[str, Any]] = []
    moment = None
    for moment in train(
        stack, dataset.train_x, dataset.train_y, config.batch_size, when, lambda n: tick(n * len(stack))
    ):
        last = list(_records(moment, probe, config.measure.what))
        for folder, log, record in zip(folders, logs, last, strict=True):
            folder.append(record)
            log.record(record)
    assert moment is not None
    seconds = (time.monotonic() - started) / len(configs)
    for folder, log, record, diverged in zip(folders, logs, last, moment.diverged, strict=True):
        outcome = _outcome(record, diverged, dataset.classes)
        folder.finish(outcome, seconds, diverged if diverged >= 0 else None)
        log.finish(outcome)


_programs: dict[str, Program] = {}  # of this process


def _program(config: Config, run: Run, transform: data.Transform, compiled: bool) -> Program:
    """The program of a config's shape: stacks of one shape compile once."""
    key = f"{compiled} {transform.mean.device} {_shape(config)}"
    if key not in _programs:
        _programs[key] = Program(copy.deepcopy(run.network).train(), transform, type(run.optimizer), compiled)
    return _programs[key]


def _records(moment: Moment, probe: Probe, what: list[str]) -> Iterator[dict[str, Any]]:
    for network, loss in zip(moment.networks, moment.batch_loss, strict=True):
        yield {"step": moment.step, "train/batch_loss": loss, **take(network, probe, what)}


def _outcome(record: dict[str, Any], diverged: int, classes: int) -> str:
    """How a run ended: `diverged` (a loss not finite), `stuck` (at chance, as sigmoid nets do), or `trained`."""
    if diverged >= 0:
        return "diverged"
    return "stuck" if record.get("train/accuracy", 1.0) < 1.5 / classes else "trained"


def engine_run(config: Config, inputs: tuple[int, ...], classes: int) -> Run:
    """What the engine needs of a config, for images of shape `inputs`."""
    network: nn.Module = models.build(config.model, norms.build(config.norm), config.init, config.seed, inputs, classes)
    return Run(config.seed, network, _optimizer(config), schedules.build(config.lr_schedule, config.steps))


def _optimizer(config: Config) -> Any:
    return construct(OPTIMIZERS, "optimizer", config.optimizer)


def dataset_of(config: Config) -> data.Dataset:
    """The config's data set; the last two that were asked for stay in memory."""
    return _cached_dataset(json.dumps(config.data), os.environ.get("BNLAB_DATA"))


@lru_cache(maxsize=2)
def _cached_dataset(settings: str, root: str | None) -> data.Dataset:
    return data.load(json.loads(settings))


def probe_of(config: Config, dataset: data.Dataset) -> Probe:
    """What the config's runs are measured on."""
    return make_probe(
        (dataset.train_x, dataset.train_y),
        (dataset.val_x, dataset.val_y),
        (dataset.test_x, dataset.test_y),
        dataset.transform,
        config.measure.probe,
        config.measure.units,
        config.measure.percentiles,
        config.batch_size,
    )
