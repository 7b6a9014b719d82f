"""Make verdicts, figures and the ledger again from the committed tables. Trains nothing; judge.py does."""

import argparse
import os
from pathlib import Path

os.environ["MPLBACKEND"] = "Agg"  # figures are files; another backend may want a screen
from bnlab import report, shelf
from bnlab.claims.claim import load
from bnlab.config import ConfigError, path
from bnlab.ending import end_in_one_line

README = Path(__file__).parents[1] / "README.md"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("claims", nargs="*", metavar="CLAIM", help="(default: all whose runs are in the ledger)")
    parser.add_argument("--results", type=path, default=Path("results"), help="folder of the ledger (default: results)")
    parser.add_argument("--list", action="store_true", help="only print the answers that stand in the ledger")
    asked = parser.parse_args()
    if asked.list:
        for verdict in report.standing(asked.results):
            print(f"{verdict['claim']:26} {verdict['answer']:45} {verdict['questions'][0]['shown']}")
        return
    chosen = asked.claims or shelf.with_table(asked.results)
    if not chosen:
        raise ConfigError(f"{asked.results}: holds no table of a claim's runs; scripts/judge.py makes them")
    report.standing(asked.results)  # whether they can be read, before anything is written
    for claim in [load(name) for name in chosen]:
        verdict = report.judge_and_draw(claim, asked.results)
        print(f"{claim.name}: {verdict['answer']} ({verdict['verdict']}, {verdict['seeds']} seeds)")
    found = report.write_ledger(asked.results)
    if asked.results.resolve() == (README.parent / "results").resolve():
        README.write_text(report.with_answers(README.read_text(encoding="utf-8"), found), encoding="utf-8")
    print(f"ledger: {asked.results / 'README.md'} and {asked.results / 'index.html'}")


if __name__ == "__main__":
    end_in_one_line(main)
