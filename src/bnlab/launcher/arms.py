"""Arms of a sweep: what tells its runs apart, seeds aside, and how they ended."""

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from statistics import median
from typing import Any

from tabulate import tabulate

from bnlab import runs
from bnlab.config import Config, flat, resolved

FEW = 4  # arms that have room on a line


def with_arms(configs: Sequence[Config]) -> list[Config]:
    """The same runs, each with the name of its `arm`: the knobs in which these differ. One that has a name keeps it.

    A knob that only comes with a kind, as `norm.momentum` does with BN, is none in which they differ.
    """
    trees = [flat(resolved(config)) for config in configs]
    knobs = sorted(filter(_tells, dict.fromkeys(key for tree in trees for key in tree)), key=_is_value)
    several = [knob for knob in knobs if len({str(tree[knob]) for tree in trees if knob in tree}) > 1]
    named = [" ".join(_said(knob, tree[knob]) for knob in several if knob in tree) for tree in trees]
    pairs = zip(configs, named, strict=True)
    return [config if config.arm else config.model_copy(update={"arm": name}) for config, name in pairs]


def _tells(knob: str) -> bool:
    return knob != "seed" and not knob.startswith("measure.")


def _is_value(knob: str) -> bool:
    """Not the name of a kind; those come first."""
    return not knob.endswith(".name")


def _said(knob: str, value: Any) -> str:
    """`none`, or `lr=0.1`."""
    shown = f"{value:g}" if isinstance(value, float) else str(value)
    return f"{knob.rpartition('.')[2]}={shown}" if _is_value(knob) else shown


def now(arms: Sequence[str], accuracies: Iterable[float]) -> str:
    """The median test accuracy of each arm so far, on a line; of many arms that of the best."""
    seen = _by_arm(arms, accuracies)
    medians = {arm: median(values) for arm, values in seen.items()}
    if not medians:
        return ""
    if len(set(arms)) > FEW:
        best = max(medians, key=lambda arm: medians[arm])
        return f"best test accuracy {100 * medians[best]:.1f} % ({best})"
    return "test accuracy " + ", ".join(f"{arm} {100 * value:.1f} %".strip() for arm, value in medians.items())


def _by_arm(arms: Sequence[str], accuracies: Iterable[float]) -> dict[str, list[float]]:
    seen: dict[str, list[float]] = {arm: [] for arm in arms}
    for arm, accuracy in zip(arms, accuracies, strict=True):
        if math.isfinite(accuracy):
            seen[arm].append(accuracy)
    return {arm: values for arm, values in seen.items() if values}


def summary(configs: Sequence[Config]) -> str:
    """A table with a row for each arm: the final test accuracy, median and range over its runs, and how they ended."""
    unique = list({runs.folder(config): config for config in with_arms(configs)}.values())
    ends = [runs.ending(config) for config in unique]
    arms = [config.arm for config in unique]
    finals = _by_arm(arms, (float(end.get("test/accuracy", math.nan)) for end in ends))
    rows = []
    for arm in dict.fromkeys(arms):
        outcomes = Counter(end.get("outcome", "not there") for end, of in zip(ends, arms, strict=True) if of == arm)
        ended = ", ".join(f"{count} {outcome}" for outcome, count in outcomes.items())
        rows.append([arm, *_shown(finals.get(arm, [])), ended])
    return str(
        tabulate(rows, headers=["arm", "final test accuracy, %", "lowest to highest", "runs"], disable_numparse=True)
    )


def _shown(finals: Sequence[float]) -> tuple[str, str]:
    if not finals:
        return "", ""
    return f"{100 * median(finals):.2f}", f"{100 * min(finals):.2f} to {100 * max(finals):.2f}"
