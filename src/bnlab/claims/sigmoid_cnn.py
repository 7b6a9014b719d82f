"""sigmoid_cnn: a deep conv net with sigmoids trains with BN alone (IS15 §4.2.2)."""

from itertools import product
from typing import Any

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.figure import Figure

from bnlab import plots, stats
from bnlab.claims import cells

DEEPEST = 6
COLUMNS = [
    *cells.COLUMNS,
    *(f"hidden{k}.act/population/{what}" for k in range(1, DEEPEST + 1) for what in ("histogram", "saturated")),
    *(f"hidden{k}.conv/gradient_norm" for k in range(1, DEEPEST + 1)),
]


def effect(table: pd.DataFrame, rule: dict[str, Any], regime: str) -> stats.Effect:
    """Each regime asks of one arm, at its best cell, on which side of chance it ends."""
    return stats.paired(beyond(table, rule, rule["regimes"][regime]), rule["resolution"])


def beyond(table: pd.DataFrame, rule: dict[str, Any], terms: dict[str, Any]) -> list[float]:
    """Points above (or below) chance at which the arm of the regime ends, one a seed."""
    arm, sign = (terms["above"], 1) if "above" in terms else (terms["below"], -1)
    cell = best(table, terms["depth"], arm, rule)
    return list(sign * 100 * (cell.set_index("seed")[rule["metric"]] - rule["chance"]))


def best(table: pd.DataFrame, depth: int, arm: str, rule: dict[str, Any]) -> pd.DataFrame:
    """The last records of the arm's best cell (rate and initial scale) at this depth, one a seed."""
    return cells.best(table[table["model.depth"] == depth], arm, rule)


def facts(table: pd.DataFrame, rule: dict[str, Any]) -> list[dict[str, Any]]:
    """A row for each depth, arm and initial scale, at its best rate: what it gets, saturation, and gradients."""
    rows = []
    for depth, arm in product(sorted(table["model.depth"].unique()), ("none", "batch")):
        of_depth = table[table["model.depth"] == depth]
        the_best = set(best(table, depth, arm, rule)["run"])
        for gain in sorted(table["init.gain"].unique()):
            cell = cells.best(of_depth[of_depth["init.gain"] == gain], arm, rule)
            above = (cell[rule["metric"]] > rule["chance"]).sum()
            rate = f"rate {cell[rule['knob']].iloc[0]:g}" if above else "none trains"  # the first of cells that tie
            chosen = ", the best" if above and set(cell["run"]) == the_best else ""
            start = of_depth[of_depth["run"].isin(cell["run"]) & (of_depth["step"] == 0)]
            rows.append(
                {
                    "layers": int(depth),
                    "arm": plots.name(arm),
                    "weights, best rate": f"{cells.start(cell)}, {rate}{chosen}",
                    "final test accuracy, %": f"{plots.percent(cell[rule['metric']])} (sd)",
                    f"above {100 * rule['chance']:g} %": f"{above} of {len(cell)}",
                    "saturated at the start, by layer, %": _saturated(start, depth),
                    "at the end": _saturated(cell[cell["outcome"] != "diverged"], depth),
                    "gradient, first layer over last, start and end": f"{_gradients(start)}, {_gradients(cell)}",
                    "runs": cells.outcomes(cell),
                }
            )
    return rows


def _saturated(records: pd.DataFrame, depth: int) -> str:
    means = [records[f"hidden{k}.act/population/saturated"].mean() for k in range(1, depth + 1)]
    return ", ".join(f"{100 * mean:.0f}" for mean in means)


def _gradients(records: pd.DataFrame) -> str:
    last = records["model.depth"].iloc[0]
    return f"{(records['hidden1.conv/gradient_norm'] / records[f'hidden{last}.conv/gradient_norm']).median():.2g}"


def draw(table: pd.DataFrame, rule: dict[str, Any]) -> dict[str, Figure]:
    """`figure`: where runs end. `distributions`: each layer's inputs over training, at the deep net's best cells."""
    deepest = table["model.depth"].max()
    runs = [best(table, deepest, arm, rule)["run"] for arm in ("none", "batch")]
    at_best = table[table["run"].isin(pd.concat(runs))]
    return {"figure": _ends(table, rule), "distributions": plots.distributions_figure(at_best, by=["norm.name"])}


def _ends(table: pd.DataFrame, rule: dict[str, Any]) -> Figure:
    depths, gains = (sorted(table[knob].unique()) for knob in ("model.depth", "init.gain"))
    with plots.style():
        figure, axes = plt.subplots(len(depths), len(gains), figsize=(8, 5.6), sharex=True, sharey=True, squeeze=False)
        for row, depth in zip(axes, depths, strict=True):
            for ax, gain in zip(row, gains, strict=True):
                cell = table[(table["model.depth"] == depth) & (table["init.gain"] == gain)]
                plots.response(ax, cell, rule["knob"], rule["choose"])
                ax.axhline(rule["chance"], color="0.4", lw=0.6, ls=":", label=f"{100 * rule['chance']:g} %")
                ax.set_title(f"{depth} layers, weights {gain:g}/√fan-in")
        axes[0, 0].set_ylim(0, None)  # of all, when all are drawn
        told = {label: mark for ax in axes.flat for mark, label in zip(*ax.get_legend_handles_labels(), strict=True)}
        figure.legend(told.values(), told.keys(), loc="outside lower center", ncols=5)
        plots.say_setting(figure, table, rule)
    return figure
