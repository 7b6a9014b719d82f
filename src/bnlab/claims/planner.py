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
Words = tuple[Arm, tuple[str, ...]]  # an arm, and the overrides of one of its runs
TIE = 1e-9  # means of the same numbers in another order differ by less


@dataclass(frozen=True)
class Job:
    """One run of a claim, as overrides and composed."""

    arm: Arm
    words: tuple[str, ...]
    config: Config


def pilot_words(claim: Claim) -> list[Words]:
    """Each run of the pilot; of a claim that chooses nothing none."""
    if claim.choose is None:
        return []
    cells = _product(claim.choose.over)
    return _words(claim, {arm: cells for arm in claim.arms if claim.choosing(arm)}, claim.choose.seeds)


def check_cells(claim: Claim, chosen: Chosen) -> None:
    """Raise `LookupError` unless each arm that chooses has cells, of those that were tried."""
    tried = _product(claim.choose.over) if claim.choose else []
    for arm in claim.arms:
        if claim.choosing(arm) and not (chosen[arm] and all(cell in tried for cell in chosen[arm])):
            raise LookupError(arm)


def look_words(claim: Claim, chosen: Chosen | None, seeds: int) -> list[Words]:
    """Each run up to a look after so many fresh seeds; none while the pilot has yet to choose."""
    if claim.choose and chosen is None:
        return []
    cells: Chosen = {arm: (chosen or {})[arm] if claim.choosing(arm) else [{}] for arm in claim.arms}
    return _words(claim, cells, range(claim.fresh, claim.fresh + seeds))


def _words(claim: Claim, cells: Mapping[Arm, list[Cell]], seeds: Iterable[int]) -> list[Words]:
    """Each once: what an arm sets itself is neither chosen for it nor swept."""
    found = [
        (arm, tuple(_word(key, value) for key, value in {**cell, **point, **claim.arms[arm], "seed": seed}.items()))
        for arm, of_arm in cells.items()
        for cell, point, seed in product(of_arm, _product(claim.grid), seeds)
    ]
    return list(dict.fromkeys(found))


def _product(values: Mapping[str, Sequence[Any]]) -> list[Cell]:
    return [dict(zip(values, each, strict=True)) for each in product(*values.values())]


def _word(key: str, value: Any) -> str:
    """A Hydra override; a group that is given whole takes the place of the one composed."""
    return f"++{key}={sweeps.written(value)}" if isinstance(value, dict) else f"{key}={sweeps.written(value)}"


def jobs(claim: Claim, words: Iterable[Words], overrides: Sequence[str] = ()) -> list[Job]:
    """Those runs, each once, composed, with `overrides` that all are given."""
    each = list(dict.fromkeys(words))
    named = tuple((f"arm={sweeps.written(arm)}", *given) for arm, given in each)
    configs = _composed(claim.name, tuple(overrides), named)
    return [Job(arm, given, config) for (arm, given), config in zip(each, configs, strict=True)]


@lru_cache(maxsize=64)
def _composed(name: str, overrides: tuple[str, ...], words: tuple[tuple[str, ...], ...]) -> list[Config]:
    first = [f"experiment={name}", f"sweep={name}"]
    return sweeps.composed_runs([[*first, *each, *overrides] for each in words])


def asked_for(claim: Claim, chosen: Chosen | None, seeds: int, overrides: Sequence[str] = ()) -> list[Job]:
    """All runs up to a look after so many fresh seeds, and the pilot's."""
    return jobs(claim, [*look_words(claim, chosen, seeds), *pilot_words(claim)], overrides)


def next_runs(claim: Claim, chosen: Chosen | None, seeds: int, overrides: Sequence[str] = ()) -> list[Job]:
    """What is trained next: the pilot while it has yet to choose, then all up to a look after so many fresh seeds.

    A run of two arms is there once.
    """
    found = jobs(claim, look_words(claim, chosen, seeds) or pilot_words(claim), overrides)
    return list({config_hash(job.config): job for job in found}.values())


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
    of_words = {job.words: config_hash(job.config) for job in jobs(claim, pilot_words(claim), overrides)}
    lacking = set(of_words.values()) - set(table["run"])
    if lacking:
        raise ConfigError(f"{claim.name}: {len(lacking)} of {len(of_words)} runs of the pilot are missing")
    cells = _product(claim.choose.over)
    chosen = {}
    for arm in [arm for arm in claim.arms if claim.choosing(arm)]:
        of_cells = [
            [of_words[words] for _, words in _words(claim, {arm: [cell]}, claim.choose.seeds)] for cell in cells
        ]
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
