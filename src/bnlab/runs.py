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
import re
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from bnlab import atomic, provenance
from bnlab.config import Config, ConfigError, config_hash, defaults, flat, from_yaml, resolved
from bnlab.provenance import Stamp

if TYPE_CHECKING:  # who trains has no need of tables; pandas takes a third of the time that a process needs to start
    import pandas as pd

PACKAGES = ("bnlab", "torch", "torchvision", "numpy", "hydra-core")
# The columns of a table of runs that are neither knobs nor, with a slash in their name, what was measured
STAMPS = {"run", "step", "outcome", "diverged_at", "commit", "dirty", "kernel", "torch", "hardware", "arm", "overrides"}
STAMPS |= {"data.source", "data.sha256", "data.train_examples", "seconds"}
FINISHED = ("trained", "stuck", "diverged")
# What a manifest must have to be believed
MANIFEST = {"config_hash", "commit", "dirty", "hardware", "engine.kernel", "versions.torch"}
MANIFEST |= {"data.source", "data.sha256", "data.examples.train"}
FILES = ("config.yaml", "records.jsonl", "manifest.json")
NAME = re.compile(r".+-seed\d+-[0-9a-f]{12}")  # of a run's folder


class RunFolder:
    """The folder of one run, open for writing. `append` records, then `finish`.

    `begin`: the update from which the run goes on; records of earlier steps stay, later ones will come again.
    """

    def __init__(self, config: Config, data: dict[str, Any], engine: dict[str, Any], stamp: Stamp, begin: int = 0):
        self.path = folder(config)
        self.path.mkdir(parents=True, exist_ok=True)
        kept = [line for step, line in _lines(self.path / "records.jsonl") if step < begin]
        text = yaml.safe_dump(resolved(config), sort_keys=False).encode()
        before = _manifest(self.path)
        self.manifest = {
            "config_hash": config_hash(config),
            **asdict(stamp),
            "data": data,
            "engine": engine,
            "versions": {package: version(package) for package in PACKAGES},
            "python": platform.python_version(),
            "hardware": provenance.hardware(),
            "started": before.get("started", datetime.now(UTC).isoformat(timespec="seconds")),
            "went_on_from": [*before.get("went_on_from", []), begin] if begin else [],
            "sha256": {"config.yaml": _sha256(text)},
        }
        atomic.write(self.path / "config.yaml", text)
        self._write_manifest()
        atomic.write(self.path / "records.jsonl", b"".join(kept))
        self.records = (self.path / "records.jsonl").open("a", encoding="utf-8")

    def append(self, record: dict[str, Any]) -> None:
        """Write one record, a flat dict of numbers and lists."""
        self.records.write(json.dumps(record) + "\n")
        self.records.flush()

    def sync(self) -> None:
        """Have all records on disk when this returns."""
        os.fsync(self.records.fileno())

    def finish(self, outcome: str, diverged_at: int | None) -> None:
        """Close the run: from now on it counts as a result."""
        self.sync()
        self.records.close()
        self.manifest |= {
            "outcome": outcome,
            "diverged_at": diverged_at,
            "sha256": self.manifest["sha256"] | {"records.jsonl": _sha256((self.path / "records.jsonl").read_bytes())},
            "ended": datetime.now(UTC).isoformat(timespec="seconds"),
        }
        self._write_manifest()

    def _write_manifest(self) -> None:
        atomic.write(self.path / "manifest.json", (json.dumps(self.manifest, indent=2) + "\n").encode())


def folder(config: Config) -> Path:
    """Where a run is kept: below `config.out`, under a name that its config alone decides."""
    groups = (config.data, config.model, config.norm, config.optimizer)
    kinds = ["study", config.study["name"]] if config.study else [str(group.get("name")) for group in groups]
    return Path(config.out) / f"{'-'.join(kinds)}-seed{config.seed}-{config_hash(config)}"


def finished(config: Config) -> bool:
    """Whether this very run is already there, whole."""
    return _manifest(folder(config)).get("outcome") in FINISHED


def ending(config: Config) -> dict[str, Any]:
    """The last record of a run that is there, whole, with its `outcome`; {} of any other."""
    path = folder(config)
    outcome = _manifest(path).get("outcome")
    if outcome not in FINISHED:
        return {}
    last: dict[str, Any] = json.loads((path / "records.jsonl").read_bytes().splitlines()[-1])
    return last | {"outcome": outcome}


def code_of(config: Config) -> str | None:
    """The hash of the code that made this run; None where it was not begun."""
    code: str | None = _manifest(folder(config)).get("code")
    return code


def stack_of(config: Config) -> str | None:
    """The key of the stack that trained, or trains, this run; None where it was not begun."""
    key: str | None = _manifest(folder(config)).get("engine", {}).get("stack_key")
    return key


def refuse_foreign(config: Config) -> None:
    """Raise `ConfigError`, with the difference, where the run's folder holds another run."""
    path = folder(config)
    held = _manifest(path)
    if not held:
        return
    ours, theirs = _with_defaults(resolved(config)), _knobs_in(path)
    missing = object()
    differing = sorted(k for k in ours.keys() | theirs.keys() if ours.get(k, missing) != theirs.get(k, missing))
    if differing:
        told = "; ".join(f"{key}={theirs.get(key)} there, {ours.get(key)} here" for key in differing)
        raise ConfigError(f"{path} holds another run ({told}): another out= starts over beside it")


def records(path: Path) -> list[dict[str, Any]]:
    """The whole records that the run in the folder `path` has so far, in order."""
    return [json.loads(line) for _, line in _lines(path / "records.jsonl")]


def _lines(path: Path) -> list[tuple[int, bytes]]:
    """Step and text of each whole line; what follows a broken one does not count."""
    found: list[tuple[int, bytes]] = []
    if path.is_file():
        for line in path.read_bytes().splitlines(keepends=True):
            try:
                found.append((int(json.loads(line)["step"]), line))
            except (ValueError, KeyError, TypeError):
                break
            if not line.endswith(b"\n"):
                return found[:-1]
    return found


def _manifest(path: Path) -> dict[str, Any]:
    """The manifest of the run in the folder `path`; {} where it, or a file that it vouches for, is not as written."""
    try:
        held: dict[str, Any] = json.loads((path / "manifest.json").read_bytes())
        vouched = held.get("sha256", {})  # a run of old has none
        whole = flat(held).keys() >= MANIFEST and vouched == {
            each: _sha256((path / each).read_bytes()) for each in vouched
        }
    except (OSError, ValueError, AttributeError):
        return {}
    return held if whole else {}


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def find(roots: Iterable[Path]) -> list[Path]:
    """The folders of all finished runs at or below `roots`, sorted."""
    found = {path.parent for root in roots for path in Path(root).rglob("manifest.json")}
    return sorted(path for path in found if _manifest(path).get("outcome") in FINISHED)


def every(roots: Iterable[Path]) -> list[Path]:
    """The folders of all runs at or below `roots`, finished or not, sorted."""
    found = {path.parent for root in roots for path in Path(root).rglob("config.yaml")}
    return sorted(path for path in found if NAME.fullmatch(path.name) and not path.is_symlink())


def glance(path: Path) -> dict[str, Any]:
    """What is to be known of the run in a folder at a glance.

    `knobs` (none where they cannot be read), `ended` (an outcome, or "half-done"), `step` (the last), `when` that was,
    `commit`, `stack` (its key) and `bytes`.
    """
    manifest = _manifest(path)
    try:
        knobs = _knobs_in(path)
    except ConfigError:
        knobs = {}
    whole = manifest.get("outcome") in FINISHED
    written = datetime.fromtimestamp(path.stat().st_mtime, UTC).isoformat(timespec="seconds")
    return {
        "knobs": knobs,
        "ended": manifest["outcome"] if whole else "half-done",
        "step": knobs.get("steps") if whole else next((r["step"] for r in reversed(records(path))), None),
        "when": datetime.fromisoformat(manifest.get("ended", manifest.get("started", written))),
        "commit": manifest.get("commit"),
        "stack": manifest.get("engine", {}).get("stack_key"),
        "bytes": sum((path / name).stat().st_size for name in FILES if (path / name).is_file()),
    }


def load(folders: Sequence[Path]) -> "pd.DataFrame":
    """One tidy table of many runs: a row for each record.

    Columns: `run` (its hash), the knobs that Hydra's overrides name (`norm.name`, `optimizer.lr`, `seed`, …), `step`,
    `outcome`, `diverged_at`, stamps (`commit`, `dirty`, `data.sha256`, …), and what was measured (lists stay lists).
    Raises `ConfigError` where there is no run.
    """
    import pandas as pd

    if not folders:
        raise ConfigError("no finished runs there: train some first, or name the folder that holds them")
    whole = pd.concat([_load_one(Path(path)) for path in folders], ignore_index=True)
    return whole.copy()  # runs of unlike networks leave it in hundreds of pieces, which pandas then warns of


def _load_one(path: Path) -> "pd.DataFrame":
    import pandas as pd

    manifest, knobs, seen = _manifest(path), _knobs_in(path), records(path)
    if manifest.get("outcome") not in FINISHED:
        raise ConfigError(f"{path}: holds no finished run, or files of it are damaged")
    table = pd.DataFrame(seen)
    stamps = {
        "run": manifest["config_hash"],
        **{key: str(value) if isinstance(value, list) else value for key, value in knobs.items()},
        **(
            {} if "steps" in knobs else {"steps": seen[-1]["step"], "data.name": manifest["data"]["name"]}
        ),  # of a study
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
    }
    front = pd.DataFrame(stamps, index=table.index)
    return pd.concat([front, table], axis=1)


def _knobs_in(path: Path) -> dict[str, Any]:
    """The knobs of the run in the folder `path`; one from before a knob was there has its default.

    Raises `ConfigError` where they cannot be read.
    """
    try:
        return _with_defaults(from_yaml((path / "config.yaml").read_bytes()))
    except (OSError, yaml.YAMLError, AttributeError, TypeError):
        raise ConfigError(f"{path / 'config.yaml'} cannot be read: remove {path}, or name another folder") from None


def _with_defaults(run: dict[str, Any]) -> dict[str, Any]:
    return flat(defaults(run)) | flat(run)


def knobs(table: "pd.DataFrame") -> list[str]:
    """The columns of a table of runs that are knobs."""
    return [str(name) for name in table.columns if "/" not in str(name) and name not in STAMPS]
