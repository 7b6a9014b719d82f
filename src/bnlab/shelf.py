"""What there is of a claim: its place in a ledger, what its pilot chose, and its runs, of which a table is kept."""

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from pathlib import Path

import pandas as pd
import yaml

from bnlab import atomic, ledger, provenance, runs
from bnlab.claims import judging, planner
from bnlab.claims.claim import Claim, load, names
from bnlab.claims.planner import Chosen, Job
from bnlab.config import ConfigError, config_hash, from_yaml
from bnlab.plots import panels
from bnlab.readings import as_tested

ALWAYS = ["test/accuracy", "validation/accuracy", "train/accuracy", "train/batch_loss"]  # kept in every table


class Shelf:
    """What there is of one claim: its place in the ledger, the folder of its runs, and a ledger that may have some."""

    def __init__(
        self, claim: Claim, results: Path, folder: Path, reuse: Path | None = None, overrides: Sequence[str] = ()
    ):
        self.claim, self.place = claim, results / claim.name
        self.ledgers = list(dict.fromkeys([results, *([reuse] if reuse else [])]))
        self.columns = [*ALWAYS, *columns(claim)]
        self.overrides, self.folder = list(overrides), str(folder)
        self.chosen = read_chosen(claim, self.place, overrides)

    def asked(self, seeds: int) -> list[Job]:
        """All runs up to a look after so many fresh seeds, and the pilot's."""
        return self._here(planner.asked_for(self.claim, self.chosen, seeds, self.overrides))

    def missing(self, seeds: int) -> list[Job]:
        """What is to be trained up to a look after so many fresh seeds; the pilot, while it has yet to choose."""
        following = planner.next_runs(self.claim, self.chosen, seeds, self.overrides)
        asked = {config_hash(job.config): job for job in self._here(following)}
        left = {run for run, job in asked.items() if not runs.finished(job.config)}
        left -= set(ledger.published(self.ledgers, left, self.columns)["run"])
        return [job for run, job in asked.items() if run in left]

    def _here(self, jobs: Sequence[Job]) -> list[Job]:
        return [replace(job, config=job.config.model_copy(update={"out": self.folder})) for job in jobs]

    def table(self, asked: Sequence[Job]) -> pd.DataFrame:
        """The records of those of the jobs that are there, in folders of runs or in tables of a ledger, each once."""
        configs = {config_hash(job.config): job.config for job in asked}
        here = {run: runs.folder(config) for run, config in configs.items() if runs.finished(config)}
        parts = [_only(runs.load(list(here.values())), self.columns)] if here else []
        found = ledger.published(self.ledgers, set(configs) - set(here), self.columns)
        parts += [found] if len(found) else []
        return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame({"run": []})

    def choose(self) -> None:
        """Have the pilot choose, and write what it chose, and the pilot's runs, where they are found again."""
        table = self.table(self.asked(0))
        self.chosen = planner.choose(self.claim, table, self.overrides)
        assert self.claim.choose
        about = {
            "by": self.claim.choose.by,
            "seeds": self.claim.choose.seeds,
            "runs": ledger.hash_of_runs(table["run"]),
            "commit": provenance.commit()["commit"],
            "when": datetime.now(UTC).isoformat(timespec="minutes"),
            "cells": self.chosen,
        }
        self.place.mkdir(parents=True, exist_ok=True)
        ledger.write_table(self.place, table)
        text = yaml.safe_dump(json.loads(json.dumps(about)), sort_keys=False, allow_unicode=True)  # no aliases
        atomic.write(self.place / "chosen.yaml", text.encode())

    def keep(self, seeds: int) -> None:
        """Write the table of the claim's runs up to a look after so many fresh seeds."""
        self.place.mkdir(parents=True, exist_ok=True)
        ledger.write_table(self.place, self.table(self.asked(seeds)))

    def answering(self) -> pd.DataFrame | None:
        """The records that answer, in their arms, from the ledger's table; None where there are none."""
        file = self.place / ledger.TABLE
        if not file.is_file():
            return None
        found = judging.fresh(self.claim, ledger.read_table(file), self.chosen, self.overrides)
        return None if found.empty else found


def read_chosen(claim: Claim, place: Path, overrides: Sequence[str] = ()) -> Chosen | None:
    """The cells that a claim's pilot chose, from its place in the ledger.

    Raises `ConfigError` where it was not this pilot that chose them, but one of other settings.
    """
    file = place / "chosen.yaml"
    if not file.is_file():
        return None
    pilot = planner.jobs(claim, planner.pilot_words(claim), overrides)
    with ledger.of_ledger(file):
        held = from_yaml(file.read_text(encoding="utf-8"))
        if held["runs"] != ledger.hash_of_runs(config_hash(job.config) for job in pilot):
            told = "chosen by a pilot of other settings; remove it, or say another --results FOLDER"
            raise ConfigError(f"{file}: {told}")
        chosen: Chosen = held["cells"]
        planner.check_cells(claim, chosen)
    return chosen


def _only(table: pd.DataFrame, wanted: Sequence[str]) -> pd.DataFrame:
    """Without the measured columns that are none of those wanted (* stands for any layer)."""
    kept = [c for c in table.columns if "/" not in c or any(fnmatchcase(c, each) for each in wanted)]
    return table[kept]


def columns(claim: Claim) -> list[str]:
    """The measured columns that a claim's questions and pictures need."""
    wanted = claim.columns() | {name for row in claim.figure.values() for name in panels.columns(row)}
    return sorted(wanted | {as_tested(name) for name in wanted})  # all that a net without batch statistics has


def check(claim: Claim) -> None:
    """Raise `ConfigError` for a picture that cannot be drawn, before anything is trained for it."""
    for row in claim.figure.values():
        panels.check(row, claim.arms)


def check_columns(claim: Claim, recorded: set[str]) -> None:
    """Raise `ConfigError`, one line, for a column that a claim reads or draws and its runs do not record."""
    for pattern in lacking(claim, recorded):
        brief = ", ".join(sorted(name for name in recorded if name.count("/") == 1))
        raise ConfigError(f"{claim.name}: {pattern} is not measured; with this measure.what there are {brief}")


def lacking(claim: Claim, recorded: set[str]) -> list[str]:
    """The columns, or patterns of them, that a claim reads or draws and its runs do not record."""
    there = {name.replace("/population/", "/batch/") for name in recorded} | recorded
    return [pattern for pattern in columns(claim) if not any(fnmatchcase(name, pattern) for name in there)]


def with_table(results: Path) -> list[str]:
    """The claims whose runs are in the ledger, and not their pilot alone."""
    there = [name for name in names() if (results / name / ledger.TABLE).is_file()]
    seeds = {name: ledger.read_table(results / name / ledger.TABLE, ["seed"])["seed"] for name in there}
    return [name for name in there if load(name).answering(seeds[name])]
