"""accelerations: what else pays with BN, one change at a time (IS15 §4.2.1)."""

import math
from functools import lru_cache
from typing import Any

import matplotlib.pyplot as plt
import pandas as pd
import yaml
from matplotlib.figure import Figure

from bnlab import plots, runs, stats
from bnlab.claims import cells
from bnlab.config import CHOICES, CONFIGS, flat

COLUMNS = cells.COLUMNS
FOLDER = CONFIGS / "accelerations"


def effect(table: pd.DataFrame, rule: dict[str, Any], regime: str) -> stats.Effect:
    """Each regime is a change; paired by seed."""
    return stats.paired(gains(table, rule["regimes"][regime]["change"], rule))


def gains(table: pd.DataFrame, change: str, rule: dict[str, Any]) -> list[float]:
    """Final accuracy with the change minus without, in points, one a seed."""
    without, changed = (cells.percent(plots.final(runs_of(table, arm)), rule["metric"]) for arm in ("base", change))
    return list(changed - without)


def runs_of(table: pd.DataFrame, arm: str) -> pd.DataFrame:
    """The records of the runs in which `arm`'s knobs, and no other arm's, are changed."""
    every = _knobs("all")
    changed = pd.DataFrame({knob: _values(table, knob) == value for knob, value in every.items()})
    wanted = [knob in _knobs(arm) for knob in every]
    found: pd.DataFrame = table[(changed == wanted).all(axis=1)]
    return found


def _values(table: pd.DataFrame, knob: str) -> "pd.Series[Any]":
    """What the runs have; nan where their kind of data has no such knob."""
    if knob in CHOICES:
        return runs.choice(table, knob)
    return table[knob] if knob in table else pd.Series(math.nan, table.index)


@lru_cache
def _knobs(arm: str) -> dict[str, Any]:
    """What an arm's file changes, by the knob's name."""
    settings = yaml.safe_load((FOLDER / f"{arm}.yaml").read_text())
    parts = settings.pop("defaults", [])
    found = {knob: value for part in parts if part != "_self_" for knob, value in _knobs(part).items()}
    return found | flat(settings)


def facts(table: pd.DataFrame, rule: dict[str, Any]) -> list[dict[str, Any]]:
    """A row for each arm: what it changes, and where it ends."""
    rows = []
    for arm in ("base", *(terms["change"] for terms in rule["regimes"].values())):
        ends = plots.final(runs_of(table, arm))
        if ends.empty:  # left out of the sweep
            continue
        rows.append(
            {
                "arm": arm,
                "changes": ", ".join(f"{knob}={value}" for knob, value in _knobs(arm).items()),
                "final test accuracy, %": f"{plots.percent(ends['test/accuracy'])} (sd)",
                "final training accuracy, %": f"{plots.percent(ends['train/accuracy'])} (sd)",
                "runs": cells.outcomes(ends),
            }
        )
    return rows


def draw(table: pd.DataFrame, rule: dict[str, Any]) -> dict[str, Figure]:
    """What each change adds, and the curves of the base, of the higher rate and of all."""
    gain = {regime: gains(table, terms["change"], rule) for regime, terms in rule["regimes"].items()}
    with plots.style():
        figure, (differences, curves) = plt.subplots(1, 2, figsize=(11, 4.2), layout="constrained")
        plots.differences(differences, gain, cells.first_delta(rule))
        differences.set(xlabel="percentage points", title="final test accuracy, with − without the change")
        told = {"base": "none of the changes"} | {terms["change"]: each for each, terms in rule["regimes"].items()}
        shown = pd.concat([runs_of(table, arm).assign(**{"change.name": told[arm]}) for arm in ("base", "rate", "all")])
        plots.curves(curves, shown, rule["metric"], by=["change.name"])
        curves.set(ylim=(0, None), title="test accuracy")
        curves.legend(loc="upper center", bbox_to_anchor=(0.5, -0.15), fontsize=7)
        plots.say_setting(figure, table, rule)
    return {"figure": figure}
