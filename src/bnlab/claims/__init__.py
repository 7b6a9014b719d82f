"""Claims: a sentence of a paper, the sweep that tests it, the rule fixed beforehand, and the picture.

A claim NAME is the pair `configs/experiment/NAME.yaml` (sweep and rule) and `bnlab/claims/NAME.py`, which has `COLUMNS`
(the measured columns it needs), `effect(table, rule, regime)`, `facts(table, rule)` and `draw(table, rule)`. Here they
are found and put to work; what several of them need is in `cells.py`.
"""

import importlib
import shlex
from pathlib import Path
from typing import Any, Protocol, cast

import pandas as pd
import yaml
from matplotlib.figure import Figure

from bnlab import plots, runs, stats, sweeps
from bnlab.config import CONFIGS, ConfigError, config_hash


class Claim(Protocol):
    """What a claim's module has."""

    COLUMNS: list[str]

    def effect(self, table: pd.DataFrame, rule: dict[str, Any], regime: str) -> stats.Effect:
        """What the runs say of one regime of the rule."""

    def facts(self, table: pd.DataFrame, rule: dict[str, Any]) -> list[dict[str, Any]]:
        """Rows of numbers to read beside the verdict; they decide nothing."""

    def draw(self, table: pd.DataFrame, rule: dict[str, Any]) -> dict[str, Figure]:
        """Figures by file name; `figure` is the one that the ledger shows first."""


def names() -> list[str]:
    """All claims, sorted."""
    return sorted(path.stem for path in (CONFIGS / "experiment").glob("*.yaml") if "claim" in _read(path))


def rule(name: str) -> dict[str, Any]:
    """The `claim` section of the YAML. Raises `ConfigError` for a claim that is not there."""
    path = CONFIGS / "experiment" / f"{name}.yaml"
    found = _read(path).get("claim") if path.is_file() else None
    if found is None:
        raise ConfigError(f"claim {name}: not known here; choose from {', '.join(names())}")
    return cast(dict[str, Any], found)


def module(name: str) -> Claim:
    """The module `bnlab.claims.NAME`."""
    return cast(Claim, importlib.import_module(f"bnlab.claims.{name}"))


def collect(
    name: str, root: Path, overrides: list[str], reuse: Path | None = None, unfinished: bool = False
) -> tuple[pd.DataFrame, int]:
    """The table of the runs that the claim's sweep (with `overrides`) names, and how many are missing below `root`.

    A column of its own says what the overrides are. Runs that are not there may lie in the tables of `reuse`. Unless
    the table may be `unfinished`, raises `ConfigError` where runs are missing, with the command that trains them:
    without `reuse`, where its tables have them but not what this claim reads.
    """
    given = [*overrides, f"out={root}"]
    configs = sweeps.sweep(name, given)
    columns = module(name).COLUMNS
    here = [runs.folder(config) for config in configs if runs.finished(config)]
    elsewhere = {config_hash(config) for config in configs if not runs.finished(config)}
    parts = [runs.load(here, columns)] if here else []
    if reuse:
        published = runs.published(reuse, columns)
        found = published[published["run"].isin(elsewhere)]
        parts += [found] if len(found) else []  # an empty part would make floats of whole numbers
        elsewhere -= set(found["run"])
    if elsewhere and not (unfinished and parts):
        helps = reuse and elsewhere.isdisjoint(runs.published(reuse, [])["run"])
        command = shlex.join(
            ["python", "scripts/train.py", f"experiment={name}", *given, *([f"reuse={reuse}"] if helps else [])]
        )
        raise ConfigError(
            f"{name}: {len(elsewhere)} of {len(configs)} runs are not finished below {root}; run `{command}`"
        )
    table = pd.concat(parts, ignore_index=True).drop(columns="overrides", errors="ignore")  # of tables of `reuse`
    return table.assign(overrides=shlex.join(overrides)) if overrides else table, len(elsewhere)


def judge(claim: Claim, table: pd.DataFrame, rule: dict[str, Any]) -> list[stats.Judgement]:
    """What the rule says of each of its regimes."""
    return [
        stats.judge(regime, terms["statistic"], terms["delta"], claim.effect(table, rule, regime))
        for regime, terms in rule["regimes"].items()
    ]


def verdict(name: str, table: pd.DataFrame) -> dict[str, Any]:
    """The claim's verdict and all that it rests on, as `verdict.json` holds it."""
    the_rule = rule(name)
    judged = judge(module(name), table, the_rule)
    first = judged[0].to_json()
    per_run = table.drop_duplicates("run")
    return {
        "claim": name,
        "sentence": the_rule["sentence"],
        "source": the_rule["source"],
        "setting": plots.setting(table, the_rule),
        "verdict": stats.combine([judgement.verdict for judgement in judged]),
        **{key: first[key] for key in ("statistic", "delta", "estimate", "interval", "seeds")},
        "p": max((judgement.p for judgement in judged if judgement.verdict != "INCONCLUSIVE"), default=1.0),
        "regimes": [judgement.to_json() for judgement in judged],
        "facts": module(name).facts(table, the_rule),
        "runs": len(per_run),
        "outcomes": {str(k): int(v) for k, v in per_run["outcome"].value_counts().sort_index().items()},
        "steps": sorted(int(count) for count in per_run["steps"].unique()),
        "data": {key: per_run[f"data.{key}"].iloc[0] for key in ("name", "source", "sha256")},
        "config_hash": runs.hash_of_runs(per_run["run"]),
        **{key: _all(per_run[key]) for key in ("commit", "dirty", "torch", "kernel", "hardware")},
    }


def _all(column: "pd.Series[Any]") -> Any:
    """The one value of a column, or all of them where runs differ."""
    values = [value.item() if hasattr(value, "item") else value for value in column.unique()]
    return values[0] if len(values) == 1 else sorted(values, key=str)


def _read(path: Path) -> dict[str, Any]:
    return cast(dict[str, Any], yaml.safe_load(path.read_text()))
