"""Arms: which knobs tell a set of runs apart, and what each arm is called and coloured, in every picture."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.colors import to_hex, to_rgb
from numpy.typing import NDArray

from bnlab.config import ConfigError
from bnlab.plots.style import NO_NORMS, colour, short
from bnlab.plots.table import check_knobs, is_number, knobs_of

SHADES = 4  # of one colour that can be told apart
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
    return [c for c in chosen if c not in without] or [
        c for c in ("norm.name", *names) if c in knobs and c not in without
    ][:1]


def _comes_with_a_kind(table: pd.DataFrame, knob: str, kinds: Collection[str]) -> bool:
    """Whether `knob` differs only as norms (or optimizers, …) do, each of which has its own knobs and defaults."""
    kind = f"{knob.partition('.')[0]}.name"
    return kind in kinds and not any(len(arm[knob].drop_duplicates()) > 1 for _, arm in table.groupby(kind))


def count_arms(table: pd.DataFrame, by: Sequence[str]) -> int:
    """How many arms the knobs `by` tell apart."""
    return len(table[list(by)].drop_duplicates())


def telling_apart(table: pd.DataFrame, without: Collection[str] = (), pool: bool = False) -> list[str]:
    """The knobs that differ. Where they make too many arms, with `pool` one of them: the norm, if it can.

    Raises `ConfigError` for too many arms without `pool`.
    """
    chosen = differing(table, without)
    if (count := count_arms(table, chosen)) <= MOST_ARMS:
        return chosen
    if not pool:
        raise ConfigError(
            f"{count} arms, by {', '.join(chosen)}, are too many for one figure: "
            "choose some with --only KNOB=VALUE, or pool them with --by KNOB"
        )
    alone = [knob for knob in chosen if count_arms(table, [knob]) <= MOST_ARMS]
    return sorted(alone, key=lambda knob: knob != "norm.name")[:1] or ["norm.name"]


def in_arms(table: pd.DataFrame, by: Sequence[str]) -> pd.DataFrame:
    """With a column `arm`, named by the knobs `by`, in the order in which they come.

    Raises `ConfigError` for what is no knob.
    """
    check_knobs(table, by)
    rows = table[list(by)].drop_duplicates().to_dict("records")
    names = [_described(row) for row in rows]
    if len(set(names)) < len(names):  # numbers that differ in later digits, knobs of one name
        names = [", ".join(f"{knob}={value}" for knob, value in row.items()) for row in rows]
    of_rows = table.groupby(list(by), sort=False, dropna=False).ngroup()
    return table.assign(arm=pd.Categorical.from_codes(of_rows.to_numpy(), categories=pd.Index(names)))


def _described(arm: Mapping[Any, Any]) -> str:
    """An arm by its knobs: "with BN, lr 0.1"; without those that its kind does not have."""
    return ", ".join(
        short(value) if knob.endswith(".name") else f"{knob.rpartition('.')[2].replace('_', ' ')} {short(value)}"
        for knob, value in arm.items()
        if not pd.isna(value)
    )


def arms_of(table: pd.DataFrame) -> list[str]:
    """The arms that have records in `table`, in order."""
    return [str(arm) for arm in table["arm"].cat.categories if (table["arm"] == arm).any()]


def colours(table: pd.DataFrame) -> dict[str, str]:
    """The colour of each arm: where norms tell arms apart a shade of its norm's, from light to dark; else its own.

    And its own where a norm has so many arms that shades could not be told apart.
    """
    arms = arms_of(table)
    named = next(table[column] for column in ("norm.name", "study.norm", "study.name") if column in table)
    norms = [named[table["arm"] == arm].unique() for arm in arms]
    kinds = Counter(map(tuple, norms))
    by_norm = all(len(kind) == 1 for kind in kinds) and (len(kinds) > 1 or len(arms) == 1)
    by_norm = by_norm and max(kinds.values()) <= SHADES
    own = [colour(norm[0], i) if by_norm else NO_NORMS[i % len(NO_NORMS)] for i, norm in enumerate(norms)]
    return {
        arm: _shade(paint, own[:i].count(paint), own.count(paint))
        for i, (arm, paint) in enumerate(zip(arms, own, strict=True))
    }


def _shade(paint: str, k: int, count: int) -> str:
    """The `k`-th of `count` shades of a colour; itself where it is the only one."""
    if count == 1:
        return paint
    towards_white = 0.6 - 1.05 * k / (count - 1)
    end = max(np.sign(towards_white), 0.0)
    red, green, blue = (part + abs(towards_white) * (end - part) for part in to_rgb(paint))
    return to_hex((red, green, blue))


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
