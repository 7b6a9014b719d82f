"""Show what data sets are here, and get those named that are missing.

python scripts/data.py                       a line for each data set: there or not, from where, checksum
python scripts/data.py mnist fashion_mnist   get these where they are missing
python scripts/data.py --first mnist mnist_sample   print the first of these that can be had (for scripts)

Without a network, Fashion-MNIST comes on Debian with `apt install dataset-fashion-mnist`: then give
data.root=/usr/share/datasets/fashion-mnist to train.py. Any folder will do that holds the four files, packed or not.
"""

import argparse
import sys
from typing import Any

from tabulate import tabulate

from bnlab import data, sweeps
from bnlab.config import ConfigError
from bnlab.ending import end_in_one_line


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"data sets to get: {', '.join(data.DATASETS)}")
    parser.add_argument(
        "--first", action="store_true", help="print only the first NAME that can be had; say why on stderr"
    )
    asked = parser.parse_args()
    for name in set(asked.names) - set(data.DATASETS):
        raise ConfigError(f"{name}: not known here; choose from {', '.join(data.DATASETS)}")
    if asked.first:
        print(first(asked.names))
        return
    print(tabulate([row(name, fetch=name in asked.names) for name in data.DATASETS], headers="keys"))
    print(f"root: {settings('mnist')['root']} (set BNLAB_DATA to use another)")


def first(names: list[str]) -> str:
    """The first data set that is there or can be fetched; says on stderr why others were not."""
    for name in names:
        try:
            data.load(settings(name))
        except ConfigError as error:
            print(error, file=sys.stderr)
        else:
            print(f"using {name}", file=sys.stderr)
            return name
    raise ConfigError(f"none of these can be had: {', '.join(names) or 'no NAME given'}")


def row(name: str, fetch: bool) -> dict[str, str]:
    """What is known of one data set; an absent one is fetched only on request."""
    if not fetch and not data.present(settings(name)):
        return {"data set": name, "state": "missing", "source": f"get it: python scripts/data.py {name}"}
    try:
        found = data.load(settings(name))
    except ConfigError as error:
        if fetch:
            raise
        return {"data set": name, "state": "BROKEN", "source": str(error)}
    provenance = found.provenance
    counts = ", ".join(f"{count} {part}" for part, count in provenance["examples"].items())
    return {
        "data set": name,
        "state": "there",
        "source": provenance["source"],
        "sha256": provenance["sha256"],
        "checked": provenance["checked"],
        "examples": counts,
    }


def settings(name: str) -> dict[str, Any]:
    """The `data` group of the data set's own YAML."""
    return sweeps.group_settings("data", name)


if __name__ == "__main__":
    end_in_one_line(main)
