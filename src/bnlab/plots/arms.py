"""Which knobs tell the arms of a set of runs apart."""

from collections.abc import Collection, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bnlab.config import ConfigError
from bnlab.plots.table import check_knobs, is_number, knobs_of

MOST_ARMS = 10  # more cannot be told apart by colour, and more rows do not fit a page


def differing(table: pd.DataFrame, without: Collection[str] = ()) -> list[str]:
    """The knobs in which runs differ, other than the seed and those `without`; where there is none, `norm.name`.

    Not what was measured of them, which changes no run.
    """
    knobs = [c for c in knobs_of(table) if not c.startswith("measure.")]
    names = [c for c in knobs if c.endswith(".name")]
    several = [c for c in dict.fromkeys([*names, *knobs]) if len(table[c].drop_duplicates()) > 1]
    kinds = [c for c in several if c in names]
    chosen = [c for c in several if c in kinds or not _comes_with_a_kind(table, c, kinds)]
    return [c for c in chosen if c not in without] or [c for c in ("norm.name", *names) if c not in without][:1]


def _comes_with_a_kind(table: pd.DataFrame, knob: str, kinds: Collection[str]) -> bool:
    """Whether `knob` differs only as norms (or optimizers, …) do, each of which has its own knobs and defaults."""
    kind = f"{knob.partition('.')[0]}.name"
    return kind in kinds and not any(len(arm[knob].drop_duplicates()) > 1 for _, arm in table.groupby(kind))


def count_arms(table: pd.DataFrame, by: Sequence[str]) -> int:
    """How many arms the knobs `by` tell apart."""
    return len(table[list(by)].drop_duplicates())


def few_arms(table: pd.DataFrame, by: Sequence[str] | None, without: Collection[str] = ()) -> list[str]:
    """`by`, else the knobs that differ; where they make too many arms for colours, one of them: the norm, if it can."""
    if by:
        check_knobs(table, by)
        return list(by)
    chosen = differing(table, without)
    if count_arms(table, chosen) <= MOST_ARMS:
        return chosen
    alone = [knob for knob in chosen if count_arms(table, [knob]) <= MOST_ARMS]
    return sorted(alone, key=lambda knob: knob != "norm.name")[:1] or ["norm.name"]


def all_arms(table: pd.DataFrame, by: Sequence[str] | None, without: Collection[str] = ()) -> list[str]:
    """`by`, else the knobs that differ; raises `ConfigError` where they make more arms than a page has room for."""
    if by:
        check_knobs(table, by)
        return list(by)
    chosen = differing(table, without)
    if (count := count_arms(table, chosen)) > MOST_ARMS:
        raise ConfigError(
            f"{count} arms, by {', '.join(chosen)}, are too many for one figure: "
            "choose some with --only KNOB=VALUE, or pool them with --by KNOB"
        )
    return chosen


def swept_numbers(table: pd.DataFrame) -> list[str]:
    """The knobs with numbers in which the runs differ and that all of them have.

    Those with most values first; with as many, those of wider range, as rates have.
    """
    knobs = [knob for knob in differing(table) if is_number(table[knob]) and table[knob].notna().all()]
    return sorted(knobs, key=lambda knob: _range(table[knob].to_numpy()), reverse=True)


def _range(column: NDArray[np.float64]) -> tuple[int, float]:
    """How many values, and over how wide a range: 100 for 0.01 to 1."""
    values = np.unique(column)
    positive = values[values > 0]
    return len(values), float(positive.max() / positive.min()) if len(positive) else 0.0
