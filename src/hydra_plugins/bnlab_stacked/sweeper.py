"""The sweeper that gives stacks, as jobs, to launchers that know nothing of stacks: joblib, submitit, ray."""

import json
import sys
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hydra._internal.core_plugins.basic_launcher import BasicLauncher
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.override_parser.types import Override, RangeSweep
from hydra.core.utils import JobReturn, JobStatus
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

from hydra_plugins.bnlab_stacked.launcher import StackedLauncher


class StackingSweeper(BasicSweeper):
    """Hydra's own sweeper, whose jobs are put together on their way to the launcher.

    `basic` is left to train run by run, as one reads it; `stacked` makes its own stacks.
    """

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        if not config.hydra.sweep.dir:
            self.scratch = TemporaryDirectory(prefix="bnlab-")
            config.hydra.sweep.dir = self.scratch.name
        super().setup(hydra_context=hydra_context, task_function=task_function, config=config)
        assert self.launcher is not None
        if not isinstance(self.launcher, StackedLauncher):
            self.launcher = _Stacking(self.launcher, hydra_context, config)

    def sweep(self, arguments: list[str]) -> Any:
        """As Hydra's; of an experiment that is a claim the runs of its pilot, or those of the file `+jobs=FILE`.

        With `+jobs=null` it is what the command line sweeps, and no more. What the command line gives takes the place
        of the claim's own settings.
        """
        from bnlab.config import ConfigError
        from bnlab.sweeps import key_of

        given = {key_of(argument): argument.partition("=")[2] for argument in arguments}
        experiment = given.get("experiment", "null")
        if set(experiment) & set(",(["):
            raise ConfigError(f"experiment={experiment}: one sweep at a time; scripts/judge.py trains several claims")
        jobs = given.get("jobs")
        self.claims_own = [] if experiment == "null" else _claims_jobs(experiment, jobs, set(given))
        return super().sweep([argument for argument in arguments if key_of(argument) != "jobs"])

    def get_job_batch(self) -> list[list[str]]:
        """Each of the claim's jobs with each combination of what the command line gives."""
        asked = super().get_job_batch()
        return [[*job, *words] for words in asked for job in self.claims_own or [[]]]

    @staticmethod
    def split_arguments(overrides: list[Override], max_batch_size: int | None) -> list[list[list[str]]]:
        """As Hydra's, with the decimals of a range as they are typed: of binary ones the end may be one more value."""
        for swept in [each.value() for each in overrides]:
            for part in ("start", "stop", "step") if isinstance(swept, RangeSweep) else ():
                if isinstance(typed := getattr(swept, part), float):
                    setattr(swept, part, Decimal(str(typed)))
        return BasicSweeper.split_arguments(overrides, max_batch_size)

    def validate_batch_is_legal(self, batch: Sequence[Sequence[str]]) -> None:
        """Nothing: both launchers compose all jobs before any work, and each takes Hydra a tenth of a second."""


class _Stacking(Launcher):
    """Another launcher, given stacks as its jobs; what failed is told by name at the end, and exits with 1."""

    def __init__(self, inner: Launcher, context: HydraContext, config: DictConfig):
        self.inner, self.context, self.config = inner, context, config

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Hydra has set up the inner launcher already."""

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        from bnlab.launcher import summary  # here: it imports torch, and Hydra looks at all plugins

        jobs = self._stacks(job_overrides)
        returned = self.inner.launch(jobs, initial_job_idx)
        failed = [str(job._return_value) for job in returned if job.status is JobStatus.FAILED]
        for reason in failed:
            print(reason, file=sys.stderr)
        print(summary(self.runs))
        print(f"{len(returned) - len(failed)} of {len(returned)} jobs done")
        if failed:
            sys.exit(1)
        return returned

    def _stacks(self, job_overrides: Sequence[Sequence[str]]) -> list[list[str]]:
        """The overrides of a job for each stack: its first run's, and what its `members` differ in."""
        from bnlab import runs
        from bnlab.launcher import check, with_arms
        from bnlab.launcher.grouping import group, stackable
        from bnlab.sweeps import composed, runs_of, written

        load = self.context.config_loader.load_sweep_config
        composed_jobs = composed(lambda overrides: load(self.config, overrides), job_overrides)
        self.runs = configs = with_arms([runs_of(job)[0] for job in composed_jobs])
        given = {id(config): list(job) for config, job in zip(configs, job_overrides, strict=True)}
        check(configs)
        if isinstance(self.inner, BasicLauncher):
            return [[*given[id(config)], f"arm={written(config.arm)}"] for config in configs]
        unique = list({runs.folder(config): config for config in configs}.values())
        return [
            [*given[id(stack[0])], f"+members={written([stackable(c) | {'arm': c.arm} for c in stack])}"]
            for stack in group(unique)
        ]


def _claims_jobs(experiment: str, file: str | None, given: set[str]) -> list[list[str]]:
    """The overrides of each run of a claim's pilot, else first look, or of those in `file`, without keys `given`."""
    from bnlab.claims import planner
    from bnlab.claims.claim import load, names

    if experiment not in names():
        return []
    if file == "null":
        return [[f"sweep={experiment}"]]
    claim = load(experiment)
    pilot = planner.pilot_words(claim) or planner.look_words(claim, None, claim.looks[0])
    words = json.loads(Path(file).read_text(encoding="utf-8")) if file else [each for _, each in pilot]
    from bnlab.sweeps import key_of

    kept = {tuple(word for word in each if key_of(word) not in given): None for each in words}
    return [[*each, f"sweep={experiment}"] for each in kept]
