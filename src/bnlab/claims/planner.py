"""What a claim trains: arms × choose × seeds, as Hydra composes them, and of that what the rule still needs."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import product
from typing import Any

import pandas as pd

from bnlab import readings, sweeps
from bnlab.claims.claim import Arm, Claim
from bnlab.config import Config, ConfigError, config_hash

Cell = dict[str, Any]  # values of knobs
Chosen = dict[Arm, list[Cell]]  # several cells where they tie
TIE = 1e-9  # means of the same numbers in another order differ by less


@dataclass(frozen=True)
class Job:
    """One run of a claim, as overrides and composed."""

    arm: Arm
    words: tuple[str, ...]
    config: Config


def pilot_words(claim: Claim) -> list[tuple[Arm, list[str]]]:
    """The overrides of each run of the pilot, with its arm; of a claim that chooses nothing those of the first look."""
    if claim.choose is None:
        return look_words(claim, {}, claim.looks[0])
    cells = _product(claim.choose.over)
    chosen = {arm: cells for arm in claim.arms if claim.choosing(arm)}
    return _words(claim, chosen, claim.choose.seeds)


def look_words(claim: Claim, chosen: Chosen, seeds: int) -> list[tuple[Arm, list[str]]]:
    """The overrides of each run up to a look after so many fresh seeds, with its arm."""
    cells: Chosen = {arm: chosen[arm] if claim.choosing(arm) else [{}] for arm in claim.arms}
    return _words(claim, cells, range(claim.fresh, claim.fresh + seeds))


def _words(claim: Claim, cells: Mapping[Arm, list[Cell]], seeds: Iterable[int]) -> list[tuple[Arm, list[str]]]:
    """Each once: what an arm sets itself is neither chosen for it nor swept."""
    grid = _product(claim.grid)
    found = {
        (
            arm,
            tuple(_word(key, value) for key, value in {**cell, **point, **claim.arms[arm], "seed": seed}.items()),
        ): None
        for arm, of_arm in cells.items()
        for cell, point, seed in product(of_arm, grid, seeds)
    }
    return [(arm, list(words)) for arm, words in found]


def _product(values: Mapping[str, Sequence[Any]]) -> list[Cell]:
    return [dict(zip(values, each, strict=True)) for each in product(*values.values())]


def _word(key: str, value: Any) -> str:
    """A Hydra override; a group that is given whole takes the place of the one composed."""
    return f"++{key}={sweeps.written(value)}" if isinstance(value, dict) else f"{key}={sweeps.written(value)}"


def jobs(claim: Claim, words: Iterable[tuple[Arm, list[str]]], overrides: Sequence[str] = ()) -> list[Job]:
    """Those runs, composed, with `overrides` that all are given."""
    arms, given = zip(*words, strict=True)
    configs = _composed(claim.name, tuple(overrides), tuple(tuple(each) for each in given))
    return [Job(*each) for each in zip(arms, map(tuple, given), configs, strict=True)]


@lru_cache(maxsize=64)
def _composed(name: str, overrides: tuple[str, ...], words: tuple[tuple[str, ...], ...]) -> list[Config]:
    first = [f"experiment={name}", f"sweep={name}"]
    return sweeps.composed_runs([[*first, *each, *overrides] for each in words])


def missing(
    claim: Claim, held: Iterable[str], chosen: Chosen | None, overrides: Sequence[str], seeds: int
) -> list[Job]:
    """What is to be trained next: the pilot while nothing is chosen, then all up to a look after so many fresh seeds.

    `held`: hashes of the runs that are there. A pure function of these.
    """
    asked = pilot_words(claim) if _pilots(claim, chosen) else look_words(claim, chosen or {}, seeds)
    there = set(held)
    todo = {config_hash(job.config): job for job in jobs(claim, asked, overrides)}
    return [job for run, job in todo.items() if run not in there]


def _pilots(claim: Claim, chosen: Chosen | None) -> bool:
    return claim.choose is not None and chosen is None


def in_arms(claim: Claim, table: pd.DataFrame, asked: Sequence[Job]) -> pd.DataFrame:
    """The records of the runs that are `asked` for, with a column `arm`; a run of two arms stands there twice."""
    plan = pd.DataFrame({"run": [config_hash(job.config) for job in asked], "arm": [job.arm for job in asked]})
    found = plan.drop_duplicates().merge(table, on="run", how="inner")
    return found.assign(arm=pd.Categorical(found["arm"], list(claim.arms))).sort_values("arm", kind="stable")


def choose(claim: Claim, table: pd.DataFrame, overrides: Sequence[str] = ()) -> Chosen:
    """The best cells of each arm that chooses, by the mean over pilot seeds and the grid; all of those that tie.

    Raises `ConfigError` where the pilot has runs missing.
    """
    assert claim.choose is not None
    words = pilot_words(claim)
    of_words = {
        tuple(each): config_hash(job.config)
        for (_, each), job in zip(words, jobs(claim, words, overrides), strict=True)
    }
    lacking = set(of_words.values()) - set(table["run"])
    if lacking:
        raise ConfigError(f"{claim.name}: {len(lacking)} of {len(of_words)} runs of the pilot are missing")
    cells = _product(claim.choose.over)
    chosen = {}
    for arm in [arm for arm in claim.arms if claim.choosing(arm)]:
        of_cells = [[of_words[tuple(w)] for _, w in _words(claim, {arm: [cell]}, claim.choose.seeds)] for cell in cells]
        scores = [_score(claim, table[table["run"].isin(of_cell)]) for of_cell in of_cells]
        chosen[arm] = _best(cells, scores, claim.choose.least)
    return chosen


def _score(claim: Claim, records: pd.DataFrame) -> float:
    """The mean over seeds, from the middle of each; one that is no number, or never, counts as the worst."""
    assert claim.choose is not None
    by = {"read": "value", "of": claim.choose.by} if isinstance(claim.choose.by, str) else claim.choose.by
    read = readings.in_unit(by, records)
    middle = (read["lo"] + read["hi"]) / 2
    return float(middle.fillna(float("inf") if claim.choose.least else 0).mean())


def _best(cells: Sequence[Cell], scores: Sequence[float], least: bool) -> list[Cell]:
    best = min(scores) if least else max(scores)
    return [cell for cell, score in zip(cells, scores, strict=True) if score == best or abs(score - best) < TIE]


def told(cell: Cell) -> str:
    """A cell in words: "optimizer.lr=0.1, init.sigma=0.3"."""
    return ", ".join(
        f"{key}={value if not isinstance(value, dict) else json.dumps(value)}" for key, value in cell.items()
    )
