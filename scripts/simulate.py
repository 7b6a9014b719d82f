"""How often the verdict rule errs, and after how many seeds it decides: made seeds, of which the truth is known.

python scripts/simulate.py                      prints two tables
python scripts/simulate.py --out docs/rule.md   puts them into that page, where those of before stand
python scripts/simulate.py --picture results/rule.png    draws the rule instead: a claim's interval, look by look
"""

import argparse
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

os.environ["MPLBACKEND"] = "Agg"  # the figure is a file; another backend may want a screen
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from bnlab import ledger, shelf, verdicts
from bnlab.claims import judging
from bnlab.claims.claim import load
from bnlab.config import ConfigError
from bnlab.ending import end_in_one_line
from bnlab.plots.answers import PAINT
from bnlab.plots.style import save, style
from bnlab.verdicts import Array

SHOWN = "fig1a_best_rate"  # the claim that took all four looks

LOOKS = (6, 12, 24, 48)
DELTA = 1.0
TRUTHS = {"0": 0.0, "δ/2": 0.5, "δ": 1.0, "2 δ": 2.0}
BEGIN, END = "<!-- simulated -->", "<!-- end of simulated -->"


def one_in_four(random: np.random.Generator, size: tuple[int, int]) -> Array:
    """As differences are where one net in four is stuck: far above the others."""
    return random.normal(size=size) + 10.0 * (random.random(size) < 0.25)


SHAPES = {  # how seeds scatter; each has its own mean and spread
    "normal": (lambda random, size: random.normal(size=size), 0.0, 1.0),
    "heavy tails (Student's t, 3 degrees)": (lambda random, size: random.standard_t(3, size), 0.0, 3**0.5),
    "skewed (log-normal)": (lambda random, size: random.lognormal(size=size), np.e**0.5, (np.e**2 - np.e) ** 0.5),
    "one in four is stuck": (one_in_four, 2.5, (1 + 100 * 3 / 16) ** 0.5),
}


def made(shape: str, truth: float, spread: float, size: tuple[int, int]) -> Array:
    """Effects (repetitions, seeds) that scatter so around `truth`, with that standard deviation."""
    draw, mean, deviation = SHAPES[shape]
    return truth + spread * (draw(np.random.default_rng(0), size) - mean) / deviation


def judged(effects: Array, delta: float, looks: Sequence[int]) -> dict[str, Any]:
    """What `verdicts.answer` says of each row of `effects`, all rows at once."""
    lo, hi = np.full(len(effects), -np.inf), np.full(len(effects), np.inf)
    verdict, seeds = np.full(len(effects), "", dtype=object), np.zeros(len(effects), dtype=int)
    for n, alpha in zip(looks, verdicts.spending(len(looks)), strict=True):
        left = verdict == ""
        seen = effects[left, :n]
        lo[left], hi[left] = verdicts.intersection((lo[left], hi[left]), verdicts.student(seen, seen, alpha))
        ends = zip(lo[left], hi[left], strict=True)
        verdict[left] = [verdicts.decide(*each, delta, last=n == looks[-1]) for each in ends]
        seeds[left] = n
    return {"lo": lo, "hi": hi, "verdict": verdict, "seeds": seeds}


def coverage(shape: str, truth: float, looks: Sequence[int], repetitions: int) -> float:
    """How often the interval at which one stops holds the truth."""
    found = judged(made(shape, truth, DELTA, (repetitions, looks[-1])), DELTA, looks)
    return float(np.mean((found["lo"] <= truth) & (truth <= found["hi"])))


def answers_table(repetitions: int) -> str:
    rows = [["seeds scatter by", "true effect", *verdicts.WORDS, "mean number of seeds"]]
    for name, spread in (("δ/2", DELTA / 2), ("δ", DELTA)):
        for told, truth in TRUTHS.items():
            found = judged(made("normal", truth, spread, (repetitions, LOOKS[-1])), DELTA, LOOKS)
            shares = [f"{100 * np.mean(found['verdict'] == verdict):.1f}" for verdict in verdicts.WORDS]
            rows.append([name, told, *shares, f"{found['seeds'].mean():.1f}"])
    return markdown(rows)


def coverage_table(repetitions: int) -> str:
    rows = [["seeds", "looks", *(f"effect {told}" for told in TRUTHS)]]
    for shape in SHAPES:
        for looks in (LOOKS, LOOKS[1:]):
            held = [f"{100 * coverage(shape, truth, looks, repetitions):.1f}" for truth in TRUTHS.values()]
            rows.append([shape, ", ".join(map(str, looks)), *held])
    return markdown(rows)


def markdown(rows: Sequence[Sequence[str]]) -> str:
    head, *body = (f"| {' | '.join(row)} |" for row in rows)
    return "\n".join([head, "|---" * len(rows[0]) + "|", *body])


def replaced(page: str, tables: str) -> str:
    """The page with these tables between its marks. Raises `ConfigError` where it has none."""
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ConfigError(f"the page has no place for tables, between {BEGIN} and {END}")
    return f"{before}{begin}\n{tables}\n{end}{after}"


def picture(results: Path, name: str) -> Figure:
    """The interval of a claim's first question at each look, from the ledger's table, and what is left of all."""
    claim = load(name)
    table = ledger.read_table(results / name / ledger.TABLE)
    effect = judging.effect(claim.primary(), judging.fresh(claim, table, shelf.read_chosen(claim, results / name)))
    delta, kept = claim.primary().delta, (-np.inf, np.inf)
    with style():
        figure, ax = plt.subplots(figsize=(7, 2.6))
        ax.axvspan(-delta, delta, color="0.9", lw=0)
        ax.axvline(0, color="0.4", lw=0.8)
        for k, (n, alpha) in enumerate(zip(claim.looks, verdicts.spending(len(claim.looks)), strict=True)):
            own = verdicts.interval(effect.iloc[:n], alpha)
            kept = verdicts.intersection(kept, own)
            verdict = verdicts.decide(*kept, delta, last=n == claim.looks[-1])
            ax.plot(own, [k, k], "|-", color="0.6", ms=8)
            ax.plot(kept, [k, k], color=PAINT.get(verdict, "0.25"), lw=4)
            said = verdicts.WORDS.get(verdict, "not decided: more seeds")
            ax.text(max(own[1], delta) + delta / 8, k, said, va="center", fontsize=8)
        ax.set_yticks(range(len(claim.looks)), [f"{n} seeds" for n in claim.looks])
        unit = claim.primary().unit or "effect"
        ax.set(ylim=(len(claim.looks) - 0.5, -0.5), xlim=(-1.2 * delta, 4 * delta), title=claim.sentence)
        ax.set_xlabel(f"{unit}; thin: the look's interval, thick: what lies in all so far, grey: too small to matter")
    return figure


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repetitions", type=int, default=10_000, help="of each row (default: 10000)")
    parser.add_argument("--picture", type=Path, help="figure to draw, of a claim in results/, in place of the tables")
    parser.add_argument("--out", type=Path, help="page to put the tables into, between its marks")
    asked = parser.parse_args()
    if asked.picture:
        save(picture(Path("results"), SHOWN), asked.picture)
        print(asked.picture)
        return
    tables = [
        f"What the rule answers, in % of {asked.repetitions:,} made claims with normal seeds, looks at {LOOKS}:",
        answers_table(asked.repetitions),
        "How often the interval at which one stops holds the truth, in %; seeds scatter by δ:",
        coverage_table(asked.repetitions),
    ]
    told = "\n\n".join(tables)
    if asked.out:
        asked.out.write_text(replaced(asked.out.read_text(encoding="utf-8"), told), encoding="utf-8")
    print(told)


if __name__ == "__main__":
    end_in_one_line(main)
