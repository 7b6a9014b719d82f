"""The tables of runs that lie in a ledger, one a claim."""

import hashlib
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from fnmatch import fnmatchcase
from io import BytesIO
from pathlib import Path

import pandas as pd
import yaml
from pyarrow import parquet

from bnlab import atomic, runs
from bnlab.config import ConfigError

TABLE = "runs.parquet"  # of a claim


def published(ledgers: Iterable[Path], wanted: Collection[str], columns: Collection[str]) -> pd.DataFrame:
    """Of the runs `wanted` (hashes) those that lie in a table of one of these ledgers with all of `columns`.

    As `runs.load` gives them, each once; in a column's name * stands for any layer.
    """
    found: list[pd.DataFrame] = []
    left = set(wanted)
    tables = [path for results in ledgers for path in sorted(results.glob(f"*/{TABLE}"))]
    for path in tables if left else []:
        with of_ledger(path):
            there = parquet.read_schema(path).names
            kept = {name for name in there for pattern in columns if fnmatchcase(name, pattern)}
            if left and all(any(fnmatchcase(name, pattern) for name in kept) for pattern in columns):
                names = [name for name in there if "/" not in name or name in kept]
                table = pd.read_parquet(path, columns=names, filters=[("run", "in", left)])
                found += [table] if len(table) else []
                left -= set(table["run"])
    return pd.concat(found, ignore_index=True) if found else pd.DataFrame({"run": []})


def published_hashes(results: Path) -> set[str]:
    """The hashes of all runs in the tables of the ledger below `results`."""
    hashes: set[str] = set()
    for path in results.glob(f"*/{TABLE}"):
        with of_ledger(path):
            hashes |= set(parquet.read_table(path, columns=["run"])["run"].unique().to_pylist())
    return hashes


def read_table(path: Path, columns: list[str] | None = None) -> pd.DataFrame:
    """A table of runs that lies in a ledger. Raises `ConfigError` where it cannot be read."""
    with of_ledger(path):
        table = pd.read_parquet(path, columns=columns)
        table[columns or ["run", "step", "seed"]]  # there must be these
        return table


def write_table(place: Path, table: pd.DataFrame) -> None:
    """Write the table of a claim's runs into its place in a ledger."""
    buffer = BytesIO()
    for knob in runs.knobs(table):  # numbers and words, as of norm.p=1,max: a column of a file has one type
        if {str} < set(table[knob].dropna().map(type)):
            table = table.assign(**{knob: table[knob].map(str, na_action="ignore")})
    table.sort_values(["run", "step"], kind="stable").to_parquet(buffer, compression="zstd", index=False)
    atomic.write(place / TABLE, buffer.getvalue())


@contextmanager
def of_ledger(file: Path) -> Iterator[None]:
    """Within, a file of a ledger is read. Raises `ConfigError` where it turns out not to be as it was written."""
    try:
        yield
    except ConfigError:
        raise
    except (OSError, ValueError, LookupError, TypeError, AttributeError, yaml.YAMLError):
        raise ConfigError(f"{file} is damaged: `git checkout {file}`, or remove it and judge its claim again") from None


def hash_of_runs(hashes: Iterable[str]) -> str:
    """12 hexadecimal digits that name a set of runs, in whatever order."""
    return hashlib.sha256(" ".join(sorted(set(hashes))).encode()).hexdigest()[:12]
