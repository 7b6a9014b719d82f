"""One study: from its config to its folder."""

from collections.abc import Callable
from typing import Any

import torch

from bnlab import runs, studies, tracking
from bnlab.launcher.grouping import Work
from bnlab.launcher.half_done import locked
from bnlab.provenance import Stamp
from bnlab.training.machine import Machine


def run_study(
    work: Work, machine: Machine, stamp: Stamp, tick: Callable[[int], object], saw: Callable[[int, Any], object]
) -> None:
    """Compute the one study of a work, into its own folder; one that was broken off begins again.

    `stamp` goes into its manifest. `saw` hears each record, then `tick` is called, with 1 after the last; what it
    raises ends the study. Raises `ConfigError` where another process computes it.
    """
    (config,) = work.configs
    with locked(work.configs):
        if runs.finished(config):
            return
        assert config.study
        about, records = studies.begin(config.study, config.seed)
        engine = {"kernel": machine.kernel, "device": "cpu", "threads": torch.get_num_threads()}
        folder = runs.RunFolder(config, about, engine, stamp)
        log = tracking.open_log(config, folder.path, about, folder.manifest["started"])
        try:
            for record in records:
                folder.append(record)
                log.record(record)
                saw(0, record)
                tick(0)
        except BaseException:
            log.break_off()
            raise
        folder.finish("trained", None)
        log.finish("trained")
        tick(1)
