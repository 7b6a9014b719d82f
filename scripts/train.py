"""Train one run, a sweep (-m), or the sweep of a claim's pilot (experiment=NAME). `--help` shows groups and knobs."""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra then raises, and errors are told here, in one line
import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from bnlab.config import CONFIGS, Config, ConfigError
from bnlab.ending import GOES_ON, end_in_one_line
from bnlab.sweeps import one_line, refuse_of_study, runs_of, settings_of

if sys.version_info >= (3, 14):  # whose argparse takes no help text but a string; Hydra makes one of its own late
    argparse.ArgumentParser._check_help = lambda *_: None


class Failed(Exception):
    """Runs of a job failed; Hydra's launchers take it for the job's result, and the others go on."""


@hydra.main(version_base="1.3", config_path=str(CONFIGS), config_name="train")
def main(cfg: DictConfig | Sequence[dict[str, Any]]) -> None:
    """`cfg` is one job, of one run or of the `members` of a stack, or with the stacked launcher all jobs of a sweep."""
    alone = isinstance(cfg, DictConfig)
    jobs = [settings_of(cfg)] if alone else cfg
    if not jobs:
        sys.exit("error: the sweep has no job: one of its axes has no value")
    try:
        if alone:
            refuse_of_study(jobs[0], HydraConfig.get().overrides.task)
        failed = train([config for job in jobs for config in runs_of(job)], sweep=not alone)
    except ConfigError as error:  # here, as Hydra adds a line of its own to what leaves this function
        sys.exit(f"error: {error}")
    if failed and alone and HydraConfig.get().mode == RunMode.MULTIRUN:
        raise Failed("\n".join(failed))
    for line in failed:
        print(line, file=sys.stderr)
    if failed:
        sys.exit(1)


def train(configs: list[Config], sweep: bool) -> list[str]:
    """Train them and say what became of them, of a whole `sweep` by arm; a line for each that failed."""
    # After the config is known to be good: torch takes seconds to import
    from bnlab.launcher import Terminated, launch, summary

    try:
        report = launch(configs)
    except Terminated:
        print(f"terminated: {GOES_ON}", file=sys.stderr)
        sys.exit(143)
    out = Path(configs[0].out)
    if sweep and len(configs) > 1 and not configs[0].study:
        print(summary(configs))
    print(f"{len(report.trained)} trained, {len(report.skipped)} already there, {len(report.failed)} failed: {out}/")
    if len(configs) == 1 and not report.failed:
        print(out / (report.trained + report.skipped)[0])
    return [f"failed: {name}: {reason}" for name, reason in report.failed.items()]


def command() -> None:
    """`main`, which Hydra calls; what Hydra cannot read is told as any other mistake."""
    try:
        main()
    except (HydraException, OmegaConfBaseException) as error:
        raise ConfigError(one_line(error)) from None


if __name__ == "__main__":
    if any(word.startswith("experiment=") for word in sys.argv):
        sys.argv.append("--multirun")  # a claim is a sweep
    end_in_one_line(command, GOES_ON)
