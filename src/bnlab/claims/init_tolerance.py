"""init_tolerance: with BN the scale of the initial weights matters less (IS15 §3.3)."""

from typing import Any

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.figure import Figure

from bnlab import plots, stats
from bnlab.claims import cells
from bnlab.claims.rate_tolerance import per_seed, width

COLUMNS = cells.COLUMNS
RATE = "optimizer.lr"
Rates = dict[Any, Any]  # the rate that an arm has at each scale


def effect(table: pd.DataFrame, rule: dict[str, Any], regime: str) -> stats.Effect:
    """A regime is a way to give each arm its rate at each scale; its range is a number of each arm and seed."""
    return stats.paired(gains(table, regime, rule), rule["resolution"])


def gains(table: pd.DataFrame, regime: str, rule: dict[str, Any]) -> list[float]:
    """Batch minus none, in decades of the tolerated range, one a seed."""
    none, batch = (per_seed(given_rates(table, arm, regime, rule), arm, width, rule) for arm in ("none", "batch"))
    return list(batch - none)


def given_rates(table: pd.DataFrame, arm: str, regime: str, rule: dict[str, Any]) -> pd.DataFrame:
    """The records of the arm's runs that have, at their scale, the rate that the regime gives it."""
    of_arm = table[table["norm.name"] == arm]
    rates = of_arm[rule["knob"]].map(RATES[regime](of_arm, rule))
    given: pd.DataFrame = of_arm[of_arm[RATE] == rates]
    return given


def _matched(of_arm: pd.DataFrame, rule: dict[str, Any]) -> Rates:
    return dict.fromkeys(of_arm[rule["knob"]].unique(), rule["rate"])


def _of_best_cell(of_arm: pd.DataFrame, rule: dict[str, Any]) -> Rates:
    means = _means(of_arm, rule)
    return dict.fromkeys(means.columns, means.max(axis=1).idxmax())


def _best_at_each(of_arm: pd.DataFrame, rule: dict[str, Any]) -> Rates:
    return dict(_means(of_arm, rule).idxmax())


def _means(of_arm: pd.DataFrame, rule: dict[str, Any]) -> pd.DataFrame:
    """What rates are chosen by, mean over seeds: rates down, scales across; a run that has none counts as the worst."""
    ends = plots.final(of_arm)
    ends = ends.assign(value=ends[rule["choose"]].fillna(0))
    return ends.pivot_table(index=RATE, columns=rule["knob"], values="value")


RATES = {"matched rate": _matched, "own best rate": _of_best_cell, "best rate at each σ": _best_at_each}


def facts(table: pd.DataFrame, rule: dict[str, Any]) -> list[dict[str, Any]]:
    """A row for each regime and scale: each arm's rate, where it ends on the test set, and how many runs trained."""
    rows = []
    for regime in rule["regimes"]:
        by_arm = {arm: plots.final(given_rates(table, arm, regime, rule)) for arm in ("none", "batch")}
        for sigma in sorted(table[rule["knob"]].unique()):
            row: dict[str, Any] = {"regime": regime, "σ": f"{sigma:g}"}
            for arm, ends in by_arm.items():
                at = ends[ends[rule["knob"]] == sigma]
                trained = int((at[rule["metric"]] >= rule["trains"]).sum())
                accuracy = f"{100 * at[rule['metric']].mean():.2f} %"
                row[plots.name(arm)] = f"{accuracy} at rate {at[RATE].iloc[0]:g} ({trained} of {len(at)} trained)"
            rows.append(row)
    return rows


def draw(table: pd.DataFrame, rule: dict[str, Any]) -> dict[str, Figure]:
    """Where runs end over σ in each regime, and the map of each arm that rates are chosen from."""
    with plots.style():
        figure, axes = plt.subplots(1, len(rule["regimes"]), figsize=(12, 3.6), layout="constrained")
        for ax, regime in zip(axes, rule["regimes"], strict=True):
            given = pd.concat([given_rates(table, arm, regime, rule) for arm in ("none", "batch")])
            plots.response(ax, given, rule["knob"], rule["metric"])
            for arm, ends in plots.final(given).groupby("norm.name"):
                best = ends.groupby(rule["knob"])[rule["metric"]].median().max()
                ax.axhline(best - rule["within"], color=plots.colour(arm), lw=0.8, ls=":")
            title = f"{regime} ({rule['rate']:g})" if regime == "matched rate" else regime
            ax.set(title=title)
        axes[0].legend(loc="lower center")
        dotted = f"dotted: {100 * rule['within']:g} point below the arm's best"
        plots.say_setting(figure, table, rule, dotted)

        maps, axes = plt.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
        for ax, arm in zip(axes, ("none", "batch"), strict=True):
            of_arm = table[table["norm.name"] == arm]
            mesh = plots.heat_map(ax, of_arm, RATE, rule["knob"], rule["choose"], rule["within"], plots.TOP)
            ax.set(title=plots.name(arm))
        maps.colorbar(mesh, ax=axes, label="validation accuracy, mean over seeds", extend="min")
        maps.legend(
            handles=plots.heat_legend(table, rule["choose"], rule["within"]), loc="outside lower center", ncols=4
        )
        plots.say_setting(maps, table, rule)
    return {"figure": figure, "maps": maps}
