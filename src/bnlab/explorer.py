"""What the page's explorer shows: distributions of sigmoids' inputs over training, from a table of runs, packed small.

The table is no claim's: nothing is concluded from it. It is made by these two commands (48 runs of 10,000 steps; seed 0
is a pilot's, so that nobody looks at seeds that are to answer):

    python scripts/train.py -m norm=none,batch optimizer.lr=0.1,0.3,1,3,10,30 init.sigma=0.03,0.1,0.3,1 \\
        seed=0 steps=10000 measure.per_decade=10 out=runs/explorer
    python scripts/runs.py export results/explorer/runs.parquet runs/explorer
"""

import json
from base64 import b64encode
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bnlab.bins import HISTOGRAM_EDGES

TABLE = Path("explorer") / "runs.parquet"
LAYERS = ("hidden1", "hidden2", "hidden3")
MERGED = 2  # bins of the table in one of the page
KNOBS = ["norm.name", "optimizer.lr", "init.sigma"]


def packed(results: Path) -> dict[str, Any] | None:
    """`results/explorer/runs.parquet` as JSON for the page; None where it is not there.

    cells: by arm, rate and start, joined by "|", columns over `steps`: correct (‰ of the test digits); for each layer
    saturated (‰), gradient (100·log10 of its weights' gradient norm, null where that is 0) and percentiles (the 5th,
    50th and 95th input, in twentieths); density, base64 of bytes 255·√share (steps, layers, bins). For BN the inputs
    are those by the statistics of a batch, with which it trains.
    """
    file = results / TABLE
    if not file.is_file():
        return None
    table = pd.read_parquet(file)
    return {
        "steps": sorted(int(step) for step in table["step"].unique()),
        "rates": sorted(table["optimizer.lr"].unique().tolist()),
        "starts": sorted(table["init.sigma"].unique().tolist()),
        "range": [float(HISTOGRAM_EDGES[0]), float(HISTOGRAM_EDGES[-1])],
        "bins": (len(HISTOGRAM_EDGES) - 1) // MERGED,
        "cells": {
            "|".join([str(arm), f"{rate:g}", f"{start:g}"]): _cell(run.sort_values("step"), str(arm) == "batch")
            for (arm, rate, start), run in table.groupby(KNOBS)
        },
    }


def _cell(run: pd.DataFrame, batch: bool) -> dict[str, Any]:
    inputs = [f"{layer}.act/{'batch' if batch else 'population'}" for layer in LAYERS]
    return {
        "correct": _whole(run["test/accuracy"] * 1000),
        "saturated": [_whole(run[f"{at}/saturated"] * 1000) for at in inputs],
        "gradient": [_whole(100 * _log10(run[f"{layer}.linear/gradient_norm"])) for layer in LAYERS],
        "percentiles": [_percentiles(run, at) for at in inputs],
        "density": _density(run, inputs),
    }


def _whole(numbers: Sequence[float] | pd.Series | NDArray[np.float64]) -> list[int | None]:
    return [round(float(x)) if np.isfinite(x) else None for x in numbers]


def _log10(numbers: pd.Series) -> NDArray[np.float64]:
    with np.errstate(divide="ignore"):
        return np.asarray(np.log10(numbers.to_numpy(float)))


def _percentiles(run: pd.DataFrame, at: str) -> list[list[int | None]]:
    known = json.loads(run["measure.percentiles"].iloc[0])
    values = np.stack(run[f"{at}/percentiles"].tolist())
    return [_whole(20 * values[:, known.index(percentile)]) for percentile in (5, 50, 95)]


def _density(run: pd.DataFrame, inputs: Sequence[str]) -> str:
    counts = np.stack([np.stack(run[f"{at}/histogram"].tolist()) for at in inputs], axis=1)
    merged = counts.reshape(*counts.shape[:2], -1, MERGED).sum(-1)
    share = merged / np.maximum(merged.sum(-1, keepdims=True), 1)
    return b64encode(np.rint(255 * np.sqrt(share)).astype(np.uint8).tobytes()).decode()
