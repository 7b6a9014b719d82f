"""wandb, as a second reader of the records that the store writes.

Offline unless `WANDB_MODE` says otherwise: no prompt, no network, and `wandb sync` sends later what lies in the folder
`wandb/`. Runs of a sweep share a group.
"""

import os
from pathlib import Path
from typing import Any, Protocol

from bnlab.config import HISTOGRAM_EDGES, Config, config_hash, identity


class Log(Protocol):
    """Where records go beside the store."""

    def record(self, record: dict[str, Any]) -> None:
        """One record, as it was stored."""

    def finish(self, outcome: str) -> None:
        """The run ended."""


class NoLog:
    """Nobody listens."""

    def record(self, record: dict[str, Any]) -> None:
        pass

    def finish(self, outcome: str) -> None:
        pass


class WandbLog:
    """One wandb run: config, every number, and a histogram for each layer."""

    def __init__(self, config: Config, path: Path, provenance: dict[str, Any]):
        import wandb  # here, as it takes a second that most runs need not pay

        self.wandb = wandb
        self.run = wandb.init(
            project="bnlab",
            group=config.sweep,
            id=f"{config_hash(config)}-{os.urandom(3).hex()}",
            name=path.name,
            config=identity(config) | {"provenance": provenance},
            dir=config.out,
            mode=os.environ.get("WANDB_MODE", "offline"),  # type: ignore[arg-type]
            reinit="create_new",
            settings=wandb.Settings(silent=True, console="off", x_disable_stats=True),
        )

    def record(self, record: dict[str, Any]) -> None:
        shown = {key: value for key, value in record.items() if isinstance(value, int | float)}
        histograms = {
            key: self.wandb.Histogram(np_histogram=(value, HISTOGRAM_EDGES.tolist()))
            for key, value in record.items()
            if key.endswith("/histogram")
        }
        self.run.log(shown | histograms, step=record["step"])

    def finish(self, outcome: str) -> None:
        self.run.summary["outcome"] = outcome
        self.run.finish()


def open_log(config: Config, path: Path, provenance: dict[str, Any]) -> Log:
    """The log that a config's `tracker` names."""
    return WandbLog(config, path, provenance) if config.tracker == "wandb" else NoLog()
