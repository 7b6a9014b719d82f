"""bfloat16: whether what BN adds hangs on the precision of products (the contrary of Kalamkar et al. 2019)."""

from typing import Any

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.figure import Figure

from bnlab import plots, runs, stats
from bnlab.claims import cells

COLUMNS = cells.COLUMNS


def effect(table: pd.DataFrame, rule: dict[str, Any], regime: str) -> stats.Effect:
    """Each regime is a sum of what rounding costs the arms it names."""
    return stats.paired(costs(table, rule["regimes"][regime]["of"], rule))


def costs(table: pd.DataFrame, arms: dict[str, int], rule: dict[str, Any]) -> list[float]:
    """Final accuracy in fp32 minus in bf16, summed over `arms` with their signs, in points, one a seed."""
    ends = plots.final(table)
    by_seed = (
        ends.assign(precision=runs.choice(ends, "precision")).set_index(["norm.name", "precision", "seed"]).sort_index()
    )
    accuracy = 100 * by_seed[rule["metric"]]
    return list(sum(sign * (accuracy[arm, "fp32"] - accuracy[arm, "bf16"]) for arm, sign in arms.items()))


def facts(table: pd.DataFrame, rule: dict[str, Any]) -> list[dict[str, Any]]:
    """A row for each arm in each precision."""
    ends = plots.final(table)
    return [
        {
            "arm": plots.name(arm),
            "precision": precision,
            "final test accuracy, %": f"{plots.percent(cell[rule['metric']])} (sd)",
            "runs": cells.outcomes(cell),
        }
        for (arm, precision), cell in ends.groupby(["norm.name", runs.choice(ends, "precision")], sort=False)
    ]


def draw(table: pd.DataFrame, rule: dict[str, Any]) -> dict[str, Figure]:
    """The curves of both precisions, and what rounding costs."""
    cost = {regime: costs(table, terms["of"], rule) for regime, terms in rule["regimes"].items()}
    with plots.style():
        figure, (curves, differences) = plt.subplots(1, 2, figsize=(11, 4), layout="constrained")
        shown = table.assign(precision=runs.choice(table, "precision"))
        plots.curves(curves, shown, rule["metric"], by=["norm.name", "precision"])
        curves.set(ylim=(0, None), title="test accuracy")
        curves.legend(loc="lower right")
        plots.differences(differences, cost, cells.first_delta(rule))
        differences.set(xlabel="percentage points", title="fp32 minus bf16")
        plots.say_setting(figure, table, rule)
    return {"figure": figure}
