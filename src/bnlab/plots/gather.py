"""Which runs a figure is drawn from."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from bnlab import runs as store
from bnlab.config import ConfigError
from bnlab.plots.arms import differing
from bnlab.plots.style import NAMES
from bnlab.plots.table import check_knobs, is_number


def gather(folders: Sequence[Path], by_folder: bool = False) -> pd.DataFrame:
    """The finished runs at or below `folders` as `bnlab.runs.load` gives them; the same run counts once.

    In the order of the knobs in which they differ: plain nets first, numbers ascending; so arms are drawn in order.
    `by_folder` adds the knob `folder` to tell them apart by, and counts a run once in each folder that holds it.
    Raises `ConfigError` naming a folder that holds none.
    """
    parts: list[pd.DataFrame] = []
    known: set[str] = set()
    for folder in folders:
        found = {_hash(path): path for path in reversed(store.find([folder]))}
        if not found:
            raise ConfigError(f"{folder}: no finished runs there: train some first, or name the folder that holds them")
        new = sorted(path for run, path in found.items() if by_folder or run not in known)
        known |= set(found)
        if new:
            parts.append(store.load(new))
        if by_folder:
            parts[-1].insert(1, "folder", str(folder))
    table = pd.concat(parts, ignore_index=True)
    return table.sort_values(
        [*differing(table, without=["folder"]), "seed"], key=_rank, kind="stable", ignore_index=True
    )


def _hash(path: Path) -> str:
    return str(json.loads((path / "manifest.json").read_text(encoding="utf-8"))["config_hash"])


def _rank(column: "pd.Series[Any]") -> "pd.Series[Any]":
    """What sorts a knob: numbers by size; norms as in legends; other words by the alphabet."""
    if is_number(column):
        return column
    norms = list(NAMES)
    return column.map(lambda word: f"{norms.index(word) if word in norms else len(norms)}{word}")


def only(table: pd.DataFrame, wanted: Mapping[str, Sequence[str]]) -> pd.DataFrame:
    """The runs whose knobs have one of the values wanted, as they are typed: `{"optimizer.lr": ["0.1", "1"]}`.

    Raises `ConfigError` for an unknown knob, or where no run is left.
    """
    for knob, values in wanted.items():
        check_knobs(table, [knob])
        here = table[knob].map(_typed)
        kept = table[here.isin([_typed(value) for value in values])]
        if kept.empty:
            there = ", ".join(sorted(table[knob].astype(str).unique()))
            raise ConfigError(f"{knob}={','.join(values)}: no such run; there are {there}")
        table = kept
    return table


def _typed(value: Any) -> Any:
    """0.10, "0.1" and 1e-1 as one number; words in lower case."""
    text = str(value).lower()
    try:
        return float(text)
    except ValueError:
        return text
