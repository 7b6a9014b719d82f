"""Train one run, a sweep (-m), or a claim's sweep (experiment=NAME). `--help` shows groups and knobs."""

import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path

os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra then raises, and errors are told here, in one line
import hydra
from hydra.errors import HydraException, OverrideParseException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from bnlab.config import Config, ConfigError, parse


@hydra.main(version_base="1.3", config_path="../configs", config_name="train")
def main(cfg: DictConfig | Sequence[DictConfig]) -> None:
    """`cfg` is one job, or with the stacked launcher all jobs of a sweep."""
    jobs = [cfg] if isinstance(cfg, DictConfig) else cfg
    try:
        train([parse(OmegaConf.to_container(_without_hydra(job), resolve=True)) for job in jobs])
    except ConfigError as error:  # here, as Hydra adds a line of its own to what leaves this function
        sys.exit(f"error: {error}")


def train(configs: list[Config]) -> None:
    """Train them, say what became of them, and exit with 1 where one failed."""
    from bnlab.launcher import launch  # after the config is known to be good: torch takes seconds to import

    report = launch(configs)
    for name, reason in report.failed.items():
        print(f"failed: {name}: {reason}", file=sys.stderr)
    out = Path(configs[0].out)
    print(f"{len(report.trained)} trained, {len(report.skipped)} already there, {len(report.failed)} failed: {out}/")
    if len(configs) == 1 and not report.failed:
        print(out / (report.trained + report.skipped)[0])
    if report.failed:
        sys.exit(1)


def _without_hydra(job: DictConfig) -> DictConfig:
    return OmegaConf.masked_copy(job, [key for key in job if key != "hydra"])


def one_line(error: Exception) -> str:
    """What is wrong, from Hydra's several lines."""
    if isinstance(error, OverrideParseException):
        return f"{error.override!r} cannot be read as KEY=VALUE"
    text = " ".join(str(error).split())
    unknown = re.match(r"Could not override '(?P<key>[^']*)'", text)
    if unknown:
        return f"{unknown['key']}: there is no such knob with these groups; --help lists them"
    return text.split(" Config search path")[0].split(" See https://")[0]


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        print("interrupted: finished runs stay, the same command trains the others", file=sys.stderr)
        sys.exit(130)
    except (HydraException, OmegaConfBaseException) as error:
        sys.exit(f"error: {one_line(error)}")
