"""What a claim's figure is drawn from."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from bnlab.plots.style import arm_colours


@dataclass(frozen=True)
class Asked:
    """A question as a figure shows it."""

    effect: pd.DataFrame  # lo and hi, by seed
    interval: tuple[float, float]
    estimate: float
    delta: float
    verdict: str
    shown: str
    base: int | None  # of the logarithm, of a ratio


@dataclass(frozen=True)
class Picture:
    """What a claim's figure is drawn from: records of fresh seeds and of the pilot, each in its `arm`; answers."""

    fresh: pd.DataFrame
    pilot: pd.DataFrame
    asked: dict[str, Asked]
    setting: str

    def by(self) -> list[str]:
        """What tells arms apart, and, where their norms differ, gives them their colours."""
        return ["norm.name", "arm"] if len(self.fresh["norm.name"].drop_duplicates()) > 1 else ["arm"]

    def arms(self, table: pd.DataFrame | None = None) -> list[str]:
        """Those that there are, in the order of the claim."""
        there = (self.fresh if table is None else table)["arm"]
        return [str(arm) for arm in there.cat.categories if (there == arm).any()]

    def colours(self) -> dict[str, str]:
        """The colour of each arm."""
        first = self.fresh.drop_duplicates("arm")
        keys = [tuple(row) for row in first[self.by()].itertuples(index=False)]
        return {str(key[-1]): paint for key, paint in zip(keys, arm_colours(self.by(), keys), strict=True)}

    def of(self, arms: Sequence[str] | None) -> pd.DataFrame:
        """The fresh records of some arms, or of all."""
        found: pd.DataFrame = self.fresh if arms is None else self.fresh[self.fresh["arm"].isin(arms)]
        return found


def middles(effect: pd.DataFrame) -> Any:
    """The middle of each interval; of one without bound the end that it has."""
    return effect.replace([np.inf, -np.inf], np.nan).mean(axis=1).to_numpy()
