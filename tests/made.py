"""Tables of runs that were never trained, for claims to judge."""

import json
from typing import Any

import numpy as np
import pandas as pd

from bnlab.claims import Claim

STEPS = [0, 1, 10, 100, 1000, 5000, 10_000, 20_000, 30_000, 50_000]
STAMPS = {
    "steps": 50_000,
    "outcome": "trained",
    "diverged_at": np.nan,
    "commit": "c0ffee",
    "dirty": False,
    "data.name": "made",
    "model.activation": "sigmoid",
    "data.source": "made",
    "data.sha256": "0",
    "torch": "0",
    "kernel": "none",
    "hardware": "none",
    "measure.percentiles": "[15, 50, 85]",
}


def ends_table(
    rows: dict[tuple[str, float, float], float], across: str = "init.sigma", **knobs: object
) -> pd.DataFrame:
    """Runs of six seeds that end at these accuracies, by arm, value of `across`, and rate."""
    made = [
        STAMPS
        | {"run": f"{arm}-{value}-{rate}-{seed}", "norm.name": arm, across: value, "optimizer.lr": rate, "seed": seed}
        | {"step": 50_000, "validation/accuracy": end, "test/accuracy": end + 1e-5 * seed, **knobs}
        for (arm, value, rate), end in rows.items()
        for seed in range(6)
    ]
    return pd.DataFrame(made)


def facts_of(claim: Claim, table: pd.DataFrame, rule: dict[str, Any]) -> list[dict[str, Any]]:
    """The claim's facts, which `verdict.json` can hold."""
    rows = claim.facts(table, rule)
    assert json.loads(json.dumps(rows)) == rows
    return rows
