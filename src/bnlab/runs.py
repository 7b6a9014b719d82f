"""The store: write a run, find runs, load them as one tidy table.

A run's folder is named `<data>-<model>-<norm>-<optimizer>-seed<seed>-<hash>` and holds `config.yaml` (resolved),
`records.jsonl` (append-only, one record a line) and `manifest.json` (what computed it, and how it ended). A run is
found again by its hash; one without a manifest that says how it ended is not finished.
"""

import hashlib
import json
import math
import os
import platform
import subprocess
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from bnlab.config import Config, ConfigError, config_hash, flat, identity

PACKAGES = ("bnlab", "torch", "torchvision", "numpy", "hydra-core")
FINISHED = ("trained", "stuck", "diverged")
REPOSITORY = Path(__file__).parents[2]


class RunFolder:
    """The folder of one run, open for writing. `append` records, then `finish`."""

    def __init__(self, config: Config, data: dict[str, Any], engine: dict[str, Any]):
        self.path = folder(config)
        self.path.mkdir(parents=True, exist_ok=True)
        (self.path / "config.yaml").write_text(yaml.safe_dump(identity(config), sort_keys=False))
        self.manifest = {
            "config_hash": config_hash(config),
            **commit(),
            "data": data,
            "engine": engine,
            "versions": {package: version(package) for package in PACKAGES},
            "python": platform.python_version(),
            "hardware": hardware(),
            "started": datetime.now(UTC).isoformat(timespec="seconds"),
        }
        self._write_manifest()
        self.records = (self.path / "records.jsonl").open("w")

    def append(self, record: dict[str, Any]) -> None:
        """Write one record, a flat dict of numbers and lists."""
        self.records.write(json.dumps(record) + "\n")
        self.records.flush()

    def finish(self, outcome: str, seconds: float, diverged_at: int | None) -> None:
        """Close the run: from now on it counts as a result. `seconds`: its share of its stack's time."""
        self.records.close()
        self.manifest |= {"outcome": outcome, "seconds": round(seconds, 3), "diverged_at": diverged_at}
        self._write_manifest()

    def _write_manifest(self) -> None:
        part = self.path / "manifest.json.part"
        part.write_text(json.dumps(self.manifest, indent=2) + "\n")
        part.replace(self.path / "manifest.json")


def folder(config: Config) -> Path:
    """Where a run is kept: below `config.out`, under a name that its config alone decides."""
    kinds = [str(group.get("name")) for group in (config.data, config.model, config.norm, config.optimizer)]
    return Path(config.out) / f"{'-'.join(kinds)}-seed{config.seed}-{config_hash(config)}"


def finished(config: Config) -> bool:
    """Whether this very run is already there, whole."""
    return _outcome(folder(config)) in FINISHED


def _outcome(path: Path) -> str | None:
    manifest = path / "manifest.json"
    return json.loads(manifest.read_text()).get("outcome") if manifest.is_file() else None


def find(roots: Iterable[Path]) -> list[Path]:
    """The folders of all finished runs at or below `roots`, sorted."""
    found = {path.parent for root in roots for path in Path(root).rglob("manifest.json")}
    return sorted(path for path in found if _outcome(path) in FINISHED)


def load(folders: Sequence[Path], columns: Sequence[str] | None = None) -> pd.DataFrame:
    """One tidy table of many runs: a row for each record.

    Columns: `run` (its hash), the knobs that Hydra's overrides name (`norm.name`, `optimizer.lr`, `seed`, …), `step`,
    `outcome`, `diverged_at`, stamps (`commit`, `dirty`, `data.sha256`, …), and what was measured (lists stay lists).
    `columns` keeps of the measured ones only those named. Raises `ConfigError` where there is no run.
    """
    if not folders:
        raise ConfigError("no finished runs there: train some first, or name the folder that holds them")
    return pd.concat([_load_one(Path(path), columns) for path in folders], ignore_index=True)


def _load_one(path: Path, columns: Sequence[str] | None) -> pd.DataFrame:
    manifest = json.loads((path / "manifest.json").read_text())
    knobs = flat(yaml.safe_load((path / "config.yaml").read_text()))
    with (path / "records.jsonl").open() as lines:
        records = [json.loads(line) for line in lines]
    if columns is not None:
        keep = {"step", *columns}
        records = [{key: value for key, value in record.items() if key in keep} for record in records]
    table = pd.DataFrame(records)
    stamps = {
        "run": manifest["config_hash"],
        **{key: str(value) if isinstance(value, list) else value for key, value in knobs.items()},
        "outcome": manifest["outcome"],
        "diverged_at": math.nan if manifest["diverged_at"] is None else manifest["diverged_at"],
        "commit": manifest["commit"],
        "dirty": manifest["dirty"],
        "data.source": manifest["data"]["source"],
        "data.sha256": manifest["data"]["sha256"],
        "data.train_examples": manifest["data"]["examples"]["train"],
        "kernel": manifest["engine"]["kernel"],
        "torch": manifest["versions"]["torch"],
        "hardware": manifest["hardware"],
        "seconds": manifest["seconds"],
    }
    front = pd.DataFrame(stamps, index=table.index)
    return pd.concat([front, table], axis=1)


def published(results: Path, columns: Sequence[str]) -> pd.DataFrame:
    """The runs of the ledger's tables below `results` that measured `columns`, each once, as `load` gives them."""
    found: list[pd.DataFrame] = []
    known: set[str] = set()
    for path in sorted(Path(results).glob("*/runs.parquet")):
        table = pd.read_parquet(path)
        if set(columns) <= set(table.columns):
            found.append(table[~table["run"].isin(known)])
            known |= set(table["run"])
    return pd.concat(found, ignore_index=True) if found else pd.DataFrame({"run": []})


@lru_cache
def commit() -> dict[str, Any]:
    """The commit of the code that runs, and whether it has uncommitted changes; None outside a checkout."""

    def git(*words: str) -> str:
        return subprocess.run(
            ["git", "-C", str(REPOSITORY), *words], capture_output=True, text=True, check=True
        ).stdout.strip()

    try:
        code = ("src", "scripts", "configs", "pyproject.toml", "requirements.lock")
        return {"commit": git("rev-parse", "HEAD"), "dirty": bool(git("status", "--porcelain", "--", *code))}
    except (OSError, subprocess.CalledProcessError):
        return {"commit": None, "dirty": None}


@lru_cache
def hardware() -> str:
    """One line that says on what a run was computed: "AMD EPYC (family 26, model 2), 2 cores"."""
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        pairs = [line.split(":", 1) for line in cpuinfo.read_text().splitlines() if ":" in line]
        of_last = {key.strip(): value.strip() for key, value in pairs}
        if "model name" in of_last:  # on ARM there is none
            # The name alone may be that of a whole family: one "AMD EPYC" can be twice as fast as another.
            model = f"{of_last['model name']} (family {of_last.get('cpu family')}, model {of_last.get('model')})"
    return f"{model}, {cores()} cores"


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def hash_of_runs(hashes: Iterable[str]) -> str:
    """12 hexadecimal digits that name a set of runs, in whatever order."""
    return hashlib.sha256(" ".join(sorted(set(hashes))).encode()).hexdigest()[:12]
