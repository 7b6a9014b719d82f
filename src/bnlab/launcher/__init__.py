"""From resolved configs to runs on disk: the one way to run, for one job or a thousand.

Jobs that differ only in numbers of the optimizer, the initial scale, the schedule or the seed are trained together, as
stacks; stacks are spread over worker processes. Each job's folder is what it would have been alone, to rounding.
"""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from bnlab import provenance, runs
from bnlab.config import Config, config_hash
from bnlab.launcher.arms import summary, with_arms
from bnlab.launcher.check import check
from bnlab.launcher.grouping import Work, plan, processes
from bnlab.launcher.half_done import half_done
from bnlab.launcher.workers import Terminated, train_all

__all__ = ["Report", "Terminated", "check", "launch", "summary", "with_arms"]


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
    unique = list({runs.folder(config): config for config in with_arms(configs)}.values())
    check(unique)
    for config in unique:
        runs.refuse_foreign(config)
    there = {runs.folder(config): _there(config) for config in unique}
    stamp = provenance.stamp()
    work = _work(unique, there, stamp.code) if not all(there.values()) else None
    _tell_of_other_code([config for config in unique if runs.finished(config)], stamp.code)
    failed = train_all(*work, stamp, progress) if work else {}
    trained = [path.name for path, skipped in there.items() if not skipped and path.name not in failed]
    return Report(trained, [path.name for path, skipped in there.items() if skipped], failed)


def _tell_of_other_code(finished: Sequence[Config], code: str) -> None:
    """Say in one line how many of these runs were made by other code than `code`."""
    others = [config for config in finished if runs.code_of(config) != code]
    if others:
        count = "1 finished run was" if len(others) == 1 else f"{len(others)} finished runs were"
        one = f"{runs.folder(others[0]).name} by {runs.code_of(others[0])}, here {code}"
        print(f"{count} made by other code ({one}): taken as they are; another out= trains them anew", file=sys.stderr)


def _work(configs: Sequence[Config], there: Mapping[Path, bool], code: str) -> tuple[list[Work], int]:
    """The stacks that are left to train, and in how many processes.

    Stacks are put together, compiled or not, and spread as if no run were there yet; those that are there then leave
    their stack, which is to the last bits all that hangs on when the command was given.
    """
    begun = half_done(configs, code)
    taken = {runs.folder(config) for work in begun for config in work.configs}
    taken |= {path for path, skipped in there.items() if skipped}
    planned = plan(configs)
    rest = [Work([c for c in work.configs if runs.folder(c) not in taken], work.compiled) for work in planned]
    count = processes(configs[0].hardware, len(planned))
    return [*begun, *(work for work in rest if work.configs)], count


def _there(config: Config) -> bool:
    """Whether a run needs no training."""
    return runs.finished(config) or (config.reuse is not None and config_hash(config) in _published(config.reuse))


@lru_cache
def _published(results: str) -> set[str]:
    from bnlab.ledger import published_hashes  # here: pandas takes a second to import

    return published_hashes(Path(results))
