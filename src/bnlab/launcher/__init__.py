"""From resolved configs to runs on disk: the one way to run, for one job or a thousand.

Jobs that differ only in numbers of the optimizer, the initial scale, the schedule or the seed are trained together, as
stacks; stacks are spread over worker processes. Each job's folder is what it would have been alone.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import torch

from bnlab import norms, runs
from bnlab.config import Config, ConfigError, config_hash, construct
from bnlab.launcher.grouping import Work, group, plan, stackable
from bnlab.launcher.one_stack import dataset_of, engine_run, probe_of, train_stack
from bnlab.launcher.workers import train_all
from bnlab.measure import MEASUREMENTS
from bnlab.training import schedules
from bnlab.training.optimizers import OPTIMIZERS

__all__ = [
    "Report",
    "check",
    "dataset_of",
    "engine_run",
    "group",
    "launch",
    "probe_of",
    "stackable",
    "train_stack",
]


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
    unique = list({runs.folder(config): config for config in configs}.values())
    there = {runs.folder(config) for config in unique if _there(config)}
    todo = [config for config in unique if runs.folder(config) not in there]
    check(todo)
    # Put together, and compiled or not, as if none were there yet, so that how a run is computed does not hang on it.
    planned = plan(unique)
    left = [Work([c for c in work.configs if runs.folder(c) not in there], work.compiled) for work in planned]
    failed = train_all([work for work in left if work.configs], progress) if todo else {}
    trained = [runs.folder(config).name for config in todo if runs.folder(config).name not in failed]
    return Report(trained, [path.name for path in there], failed)


def _there(config: Config) -> bool:
    """Whether a run needs no training."""
    return runs.finished(config) or (config.reuse is not None and config_hash(config) in _published(config.reuse))


@lru_cache
def _published(results: str) -> set[str]:
    return set(runs.published(Path(results), [])["run"])


def check(configs: Sequence[Config]) -> None:
    """Raise `ConfigError`, one line, for the first config that cannot be run; builds everything but trains nothing."""
    for config in configs:
        unknown = set(config.measure.what) - set(MEASUREMENTS)
        if unknown:
            raise ConfigError(
                f"measure.what={sorted(unknown)}: not known here; choose from {', '.join(sorted(MEASUREMENTS))}"
            )
        construct(OPTIMIZERS, "optimizer", config.optimizer)
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
