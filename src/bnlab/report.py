"""The ledger: from committed tables to verdicts, figures, `README.md` and `index.html`. Trains nothing."""

import json
from collections import Counter
from io import BytesIO
from pathlib import Path
from typing import Any

import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

from bnlab import atomic, claims, plots, runs
from bnlab.config import ConfigError
from bnlab.stats import holm

ENDINGS = (".png", ".svg")
SIGNIFICANCE = 0.05


def keep(name: str, results: Path, table: pd.DataFrame, missing: int) -> None:
    """Write the table of a claim's runs to `results/NAME/runs.parquet`.

    Where runs are `missing`, it is `unfinished.parquet`, which nobody judges but others can reuse.
    """
    folder = results / name
    folder.mkdir(parents=True, exist_ok=True)
    buffer = BytesIO()
    table.to_parquet(buffer, compression="zstd", index=False)
    atomic.write(folder / (runs.UNFINISHED if missing else runs.TABLE), buffer.getvalue())
    if not missing:
        (folder / runs.UNFINISHED).unlink(missing_ok=True)


def with_table(results: Path) -> list[str]:
    """The claims whose runs are all in the ledger."""
    return [name for name in claims.names() if (results / name / runs.TABLE).is_file()]


def judge_and_draw(name: str, results: Path) -> dict[str, Any]:
    """Make `verdict.json` and the figures of `results/NAME/` anew from its table; the verdict."""
    folder = results / name
    if not (folder / runs.TABLE).is_file():
        raise ConfigError(
            f"{folder / runs.TABLE} is not there: train the claim, then `python scripts/report.py {name} --runs runs`"
        )
    table = pd.read_parquet(folder / runs.TABLE)
    verdict = claims.verdict(name, table)
    (folder / "verdict.json").write_text(json.dumps(verdict, indent=2, ensure_ascii=False) + "\n")
    for title, figure in claims.module(name).draw(table, claims.rule(name)).items():
        for ending in ENDINGS:
            plots.save(figure, folder / f"{title}{ending}")
    return verdict


def write_ledger(results: Path) -> list[dict[str, Any]]:
    """`README.md` and `index.html` of `results` from the verdicts that lie there; the verdicts, Holm-adjusted.

    A verdict that says something (not INCONCLUSIVE) keeps it only if its p-value survives Holm's adjustment.
    """
    files = sorted(results.glob("*/verdict.json"))
    verdicts = [json.loads(path.read_text()) for path in files]
    for verdict, p in zip(verdicts, holm([verdict["p"] for verdict in verdicts]), strict=True):
        verdict["p_holm"] = p
        verdict["kept"] = verdict["verdict"] == "INCONCLUSIVE" or p < SIGNIFICANCE
        verdict["alone"] = _alone(verdict)
        verdict["figures"] = sorted(
            (path.name for path in (results / verdict["claim"]).glob("*.png")),
            key=lambda n: (n != "figure.png", n),
        )
    for template in ("README.md", "index.html"):
        text = _templates().get_template(f"{template}.j2").render(verdicts=verdicts)
        (results / template).write_text(text)
    return verdicts


def _alone(verdict: dict[str, Any]) -> str:
    """The verdict without regard to other claims, and, where regimes differ, how many say so and how many the opposite.

    Without a REPRODUCED regime a claim is INCONCLUSIVE, even if some are CONTRADICTED, which must not be lost.
    """
    each = Counter(judged["verdict"] for judged in verdict["regimes"])
    opposite = each["CONTRADICTED"]
    if verdict["verdict"] == "PARTIAL":
        contradicted = f", {opposite} CONTRADICTED" if opposite else ""
        return f"PARTIAL ({each['REPRODUCED']} of {each.total()}{contradicted})"
    if verdict["verdict"] == "INCONCLUSIVE" and opposite:
        return f"INCONCLUSIVE ({opposite} of {each.total()} CONTRADICTED)"
    return str(verdict["verdict"])


def _templates() -> Environment:
    environment = Environment(
        loader=PackageLoader("bnlab"),
        undefined=StrictUndefined,
        autoescape=select_autoescape(["html.j2"]),
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {"number": _number, "estimate": _estimate, "p": _p, "each": _each}
    return environment


def _number(x: float | None, unbounded: str = "∞") -> str:
    return unbounded if x is None else f"{x:.3g}".replace("-", "−")


def _estimate(judged: dict[str, Any]) -> str:
    """Where JSON has no number, the interval tells on which side it is unbounded, if there is an estimate at all."""
    low, high = judged["interval"]
    return _number(judged["estimate"], "none" if low == high else "−∞" if low is None else "∞")


def _each(value: Any) -> str:
    """A stamp, of which `verdict.json` has a list where runs differ in it."""
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _p(x: float) -> str:
    return "< 0.0001" if x < 1e-4 else f"{x:.2g}"
