"""What figures are drawn from."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from bnlab.plots.arms import arms_of, colours, count_arms, differing, in_arms, telling_apart
from bnlab.plots.table import subtitle
from bnlab.verdicts import Answer


class Asked(NamedTuple):
    """A question as a figure shows it."""

    answer: Answer
    effect: pd.DataFrame  # lo and hi, by seed
    delta: float
    base: int | None  # of the logarithm, of a ratio
    unit: str


@dataclass(frozen=True)
class Picture:
    """What a figure is drawn from: records, each in its `arm`; of a claim those of fresh seeds, and its answers."""

    records: pd.DataFrame
    pilot: pd.DataFrame  # of a claim that chooses, else `records`
    setting: str
    asked: Mapping[str, Asked] = field(default_factory=dict)

    @cached_property
    def colours(self) -> dict[str, str]:
        """The colour of each arm, the same in every panel."""
        return colours(self.records)

    def arms(self, among: Collection[str] | None = None) -> dict[str, pd.DataFrame]:
        """The records of each arm, or of each `among` these, in order."""
        names = [arm for arm in arms_of(self.records) if among is None or arm in among]
        return {arm: self.records[self.records["arm"] == arm] for arm in names}

    def of(self, arms: Collection[str] | None) -> pd.DataFrame:
        """The records of some arms, or of all."""
        return self.records if arms is None else self.records[self.records["arm"].isin(list(arms))]


def of_runs(
    table: pd.DataFrame, by: Sequence[str] | None = None, without: Collection[str] = (), pool: bool = False
) -> Picture:
    """Any set of runs, told apart `by` knobs, by default those that differ, other than those `without`.

    Its setting is what the runs have in common. `pool`: with very many arms, by one knob alone, as the setting then
    says; else they raise `ConfigError`, as what is no knob does.
    """
    by = list(by or telling_apart(table, without, pool))
    records = in_arms(table, by)
    settings = count_arms(table, differing(table, without))
    pooled = f"; {settings} settings, told apart by {', '.join(by)}" if settings > count_arms(table, by) else ""
    return Picture(records, records, subtitle(table) + pooled)


def middles(effect: pd.DataFrame) -> Any:
    """The middle of each interval; of one without bound the end that it has."""
    return effect.replace([np.inf, -np.inf], np.nan).mean(axis=1).to_numpy()
