"""The launcher that trains a sweep on this machine, as stacks on all its cores."""

from collections.abc import Sequence
from typing import Any

from hydra.core.utils import JobReturn, JobStatus
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig


class StackedLauncher(Launcher):
    """Hands all jobs of a sweep to the task at once, which groups them; see `bnlab.launcher.launch`."""

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        self.context, self.task, self.config = hydra_context, task_function, config

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        from bnlab.sweeps import composed  # here, as Hydra looks at all plugins, whatever it runs

        load = self.context.config_loader.load_sweep_config
        jobs: Any = list(composed(lambda overrides: load(self.config, overrides), job_overrides))
        results = self.task(jobs)
        return [
            JobReturn(overrides=list(overrides), status=JobStatus.COMPLETED, _return_value=results)
            for overrides in job_overrides
        ]
