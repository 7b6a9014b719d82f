"""List, remove and export runs.

python scripts/runs.py list                       those below runs/: settings that differ, how they ended, when, size
python scripts/runs.py list A B                   those below other folders
python scripts/runs.py remove --half-done --stuck             says what it would remove, and asks; --yes does not ask
python scripts/runs.py remove --diverged --older-than 30      diverged, and ended more than 30 days ago
python scripts/runs.py remove --other-commit HEAD             made by another commit than that of this checkout
python scripts/runs.py remove 012a6e24abf2 'mnist-mlp-none-*' --runs A      by hash, or by name, of those below A
python scripts/runs.py export runs.csv            a row for each record of the finished runs below runs/
python scripts/runs.py export runs.parquet A B    .csv (lists as JSON), .json or .parquet, of those below other folders

What another command trains right now stays. A run of a stack that is half done takes its checkpoints along: the others
of that stack begin anew.
"""

import argparse
import json
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from fnmatch import fnmatchcase
from io import BytesIO
from pathlib import Path
from typing import Any

import pandas as pd
from tabulate import tabulate

from bnlab import atomic, provenance, runs
from bnlab.config import ConfigError, path
from bnlab.ending import end_in_one_line

Runs = dict[Path, dict[str, Any]]  # what is known of each, by its folder
ENDS = (*runs.FINISHED, "half-done")
IN_NAME = {"seed", "data.name", "model.name", "norm.name", "optimizer.name"}


def main(words: Sequence[str] | None = None) -> None:
    asked = parse(words)
    asked.do(asked)


def parse(words: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True, metavar="list | remove | export")
    listing, removal, exporting = (commands.add_parser(name) for name in ("list", "remove", "export"))
    listing.set_defaults(do=show)
    removal.set_defaults(do=remove)
    exporting.set_defaults(do=export)
    removal.add_argument("names", nargs="*", metavar="RUN", help="hash, folder or name; * stands for anything")
    for end in ENDS:
        removal.add_argument(f"--{end}", dest="ends", action="append_const", const=end, help=f"those that are {end}")
    removal.add_argument("--other-commit", metavar="COMMIT", help="those of another commit (HEAD: than this one)")
    removal.add_argument("--older-than", type=float, metavar="DAYS", help="those that ended, or began, before that")
    removal.add_argument("--yes", action="store_true", help="remove them without asking")
    removal.add_argument("--runs", dest="folders", nargs="+", type=path, default=[Path("runs")], metavar="FOLDER")
    exporting.add_argument("file", type=path, help="one that ends with .csv, .json or .parquet")
    for command in (listing, exporting):
        command.add_argument("folders", nargs="*", type=path, default=[Path("runs")], metavar="FOLDER")
    return parser.parse_args(words)


def find(folders: Sequence[Path]) -> Runs:
    for folder in folders:
        if not folder.is_dir():
            raise ConfigError(f"{folder}: no such folder")
    return {path: runs.glance(path) for path in runs.every(folders)}


def show(asked: argparse.Namespace) -> None:
    """Print a line for each run, and totals."""
    found = find(asked.folders)
    print(tabulate([row(path, seen, differing(found)) for path, seen in found.items()], headers="keys"))
    print(total(found))


def differing(found: Runs) -> list[str]:
    """The knobs in which the runs differ, those apart that a folder's name tells."""
    knobs = {knob: None for seen in found.values() for knob in seen["knobs"] if knob not in IN_NAME}
    return [knob for knob in knobs if len({str(seen["knobs"].get(knob)) for seen in found.values()}) > 1]


def row(path: Path, seen: dict[str, Any], shown: Sequence[str]) -> dict[str, str]:
    knobs = seen["knobs"]
    return {
        "run": path.name,
        "settings": " ".join(f"{knob}={knobs[knob]}" for knob in shown if knob in knobs),
        "ended": seen["ended"],
        "steps": f"{seen['step'] or 0} of {knobs.get('steps', '?')}",
        "when": f"{seen['when']:%Y-%m-%d %H:%M}",
        "size": size(seen["bytes"]),
    }


def total(found: Runs) -> str:
    """How many runs they are, how they ended, and what they take."""
    ends = Counter(seen["ended"] for seen in found.values())
    counts = ", ".join(f"{ends[end]} {end}" for end in ENDS if ends[end])
    many = f"{len(found)} run{'' if len(found) == 1 else 's'}"
    return f"{many}{f' ({counts})' if counts else ''}, {size(sum(seen['bytes'] for seen in found.values()))}"


def size(count: float) -> str:
    return f"{count / 1e6:,.1f} MB" if count >= 1e6 else f"{count / 1e3:,.1f} kB"


def remove(asked: argparse.Namespace) -> None:
    """Say which runs all conditions hold for, ask, and remove those that nobody trains."""
    if not (asked.names or asked.ends or asked.other_commit or asked.older_than is not None):
        raise ConfigError("remove which? Name runs, or say --half-done, --stuck, --older-than DAYS, …; see --help")
    if asked.other_commit == "HEAD":
        asked.other_commit = provenance.commit()["commit"]
        if not asked.other_commit:
            raise ConfigError("--other-commit HEAD: this is no git checkout; name a commit")
    found = find(asked.folders)
    for name in asked.names:
        if not any(is_named(name, path) for path in found):
            raise ConfigError(f"{name}: no run of this name below {', '.join(map(str, asked.folders))}")
    going = {path: seen for path, seen in found.items() if meets(path, seen, asked)}
    if not going:
        print("nothing to remove")
        return
    from bnlab.launcher.half_done import checkpoints_of, delete  # here, as it imports torch, which takes seconds

    checkpoints = {there for path in going if (there := checkpoints_of(path))}
    beside = sum(file.stat().st_size for folder in checkpoints for file in folder.glob("*") if file.is_file())
    for run, seen in going.items():
        print(f"{run}  {seen['ended']}  {size(seen['bytes'])}")
    print(f"to remove: {total(going)}{f', and {size(beside)} of checkpoints' if beside else ''}")
    if not (asked.yes or agreed()):
        print("nothing removed")
        return
    removed = [path for path in going if removed_it(path, delete)]
    print(f"removed {len(removed)} of {len(going)}")


def meets(path: Path, seen: dict[str, Any], asked: argparse.Namespace) -> bool:
    """Whether all the conditions asked for hold for a run."""
    return (
        (not asked.names or any(is_named(name, path) for name in asked.names))
        and (not asked.ends or seen["ended"] in asked.ends)
        and (not asked.other_commit or not str(seen["commit"]).startswith(asked.other_commit))
        and (asked.older_than is None or datetime.now(UTC) - seen["when"] > timedelta(days=asked.older_than))
    )


def is_named(name: str, path: Path) -> bool:
    if "/" in name:
        return path.resolve() == Path(name).resolve()
    return fnmatchcase(path.name, name) or path.name.endswith(f"-{name}")


def agreed() -> bool:
    try:
        return input("remove them? [y/N] ").strip().lower() in ("y", "yes")
    except EOFError:
        return False


def removed_it(path: Path, how: Callable[[Path], None]) -> bool:
    try:
        how(path)
    except (ConfigError, OSError) as error:
        print(f"left: {path}: {error}", file=sys.stderr)
        return False
    return True


def export(asked: argparse.Namespace) -> None:
    """Write the table of the runs, as `runs.load` gives it."""
    if asked.file.suffix not in WRITERS:
        raise ConfigError(f"{asked.file}: its ending must be one of {', '.join(WRITERS)}")
    table = runs.load(runs.find(asked.folders))
    try:
        atomic.write(asked.file, WRITERS[asked.file.suffix](table))
    except OSError as error:
        raise ConfigError(f"{asked.file} cannot be written: {error.strerror}") from None
    print(f"{len(table)} records of {table['run'].nunique()} runs: {asked.file}")


def csv(table: pd.DataFrame) -> bytes:
    flat = table.map(lambda value: json.dumps(value) if isinstance(value, list) else value)
    return flat.to_csv(index=False).encode()


def parquet(table: pd.DataFrame) -> bytes:
    buffer = BytesIO()
    table.to_parquet(buffer, compression="zstd", index=False)
    return buffer.getvalue()


WRITERS: dict[str, Callable[[pd.DataFrame], bytes]] = {
    ".csv": csv,
    ".json": lambda table: table.to_json(orient="records").encode(),
    ".parquet": parquet,
}


if __name__ == "__main__":
    end_in_one_line(main)
