"""wandb, as a second reader of the records that the store writes.

Offline unless `WANDB_MODE` says otherwise: no prompt, no network, and `wandb sync` sends later what lies in the folder
`wandb/`. Runs of a sweep share a group, those of an arm a job type; a run's name says its arm and its seed.
"""

import math
import os
import re
import shutil
from pathlib import Path
from typing import Any

from bnlab import runs
from bnlab.bins import HISTOGRAM_EDGES
from bnlab.config import Config, ConfigError, config_hash, resolved


class Log:
    """Where records go beside the store: nowhere."""

    def record(self, record: dict[str, Any]) -> None:
        """One record, as it was stored."""

    def finish(self, outcome: str) -> None:
        """The run ended."""

    def break_off(self) -> None:
        """The training ended before the run did; the same command may go on with it."""


class WandbLog(Log):
    """One wandb run: config, every number, a histogram for each layer, and at the end the figures.

    A run that was killed and goes on is the same run of wandb's, known by its hash and by when it `started`.
    """

    def __init__(self, config: Config, path: Path, provenance: dict[str, Any], started: str):
        import wandb  # here, as it takes a second that most runs need not pay

        self.wandb, self.path = wandb, path
        self.accuracies: list[float] = []
        arm = config.arm or str(config.norm["name"])
        self.run = wandb.init(
            project="bnlab",
            id=f"{config_hash(config)}-{re.sub(r'[^0-9]', '', started)}",
            resume="allow",
            group=config.sweep,
            job_type=arm,
            name=f"{arm} seed={config.seed}",
            config=resolved(config) | {"config_hash": config_hash(config), "provenance": provenance},
            dir=config.out,
            mode=os.environ.get("WANDB_MODE", "offline"),  # type: ignore[arg-type]
            reinit="create_new",  # the runs of a stack are open side by side
            settings=wandb.Settings(silent=True, console="off", x_disable_stats=True),
        )

    def record(self, record: dict[str, Any]) -> None:
        numbers = {key: value for key, value in record.items() if isinstance(value, int | float)}
        histograms = {
            key: self.wandb.Histogram(np_histogram=(value, HISTOGRAM_EDGES.tolist()))
            for key, value in record.items()
            if key.endswith("/histogram")
        }
        self.run.log(numbers | histograms, step=record["step"])
        if math.isfinite(accuracy := record.get("test/accuracy", math.nan)):
            self.accuracies.append(accuracy)

    def finish(self, outcome: str) -> None:
        from bnlab.plots import panels, picture, style  # here, like wandb above

        drawn = picture.of_runs(runs.load([self.path]))
        figures = {"accuracy": {"curves": {"log_steps": True, "bottom": None}}, "distributions": "distributions"}
        for name, panel in figures.items():
            file = Path(self.run.dir) / f"{name}.png"
            try:
                style.save(panels.draw([panel], drawn), file)
            except ConfigError:  # not measured in this run
                continue
            self.run.log({f"figures/{name}": self.wandb.Image(str(file))})
        if self.accuracies:
            self.run.summary.update({"accuracy/final": self.accuracies[-1], "accuracy/best": max(self.accuracies)})
        self.run.summary["outcome"] = outcome
        self.run.finish()
        ours = Path(self.run.dir).parent
        for older in ours.parent.glob(f"offline-run-*-{self.run.id}*"):  # of attempts that were killed; ours holds all
            if older != ours and not list(older.glob("*.synced")):
                shutil.rmtree(older)

    def break_off(self) -> None:
        self.run.finish(exit_code=1)


def open_log(config: Config, path: Path, provenance: dict[str, Any], started: str) -> Log:
    """The log that a config's `tracker` names, of the run in the folder `path`."""
    return WandbLog(config, path, provenance, started) if config.tracker == "wandb" else Log()
