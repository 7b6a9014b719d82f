"""Make verdicts, figures and the ledger from the committed tables; with --runs, from fresh runs."""

import argparse
import sys
from pathlib import Path

from bnlab import claims, report
from bnlab.config import ConfigError


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "claims",
        nargs="*",
        metavar="CLAIM",
        help=f"default: all with a table, or with --runs all ({', '.join(claims.names())})",
    )
    parser.add_argument("--results", type=Path, default=Path("results"), help="folder of the ledger (default: results)")
    parser.add_argument("--runs", type=Path, help="first rewrite the tables from the runs below this folder")
    parser.add_argument("--reuse", type=Path, help="runs may also come from the tables of this ledger, say results")
    parser.add_argument(
        "--unfinished", action="store_true", help="keep what there is of a claim that misses runs, unjudged"
    )
    parser.add_argument(
        "--with",
        dest="overrides",
        nargs="+",
        default=[],
        metavar="KEY=VALUE",
        help="overrides those runs were given",
    )
    asked = parser.parse_args()
    if not asked.runs and (asked.overrides or asked.reuse or asked.unfinished):
        parser.error("--with, --reuse and --unfinished need --runs")
    chosen = asked.claims or (claims.names() if asked.runs else report.with_table(asked.results))
    if not chosen:
        raise ConfigError(f"{asked.results}: holds no table of a claim's runs; make them with --runs")
    for name in chosen:
        claims.rule(name)
    given = (asked.overrides, asked.reuse, asked.unfinished)
    fresh = {name: claims.collect(name, asked.runs, *given) for name in chosen} if asked.runs else {}
    for name, (table, missing) in fresh.items():  # when all are there: else some would be judged and none listed
        report.keep(name, asked.results, table, missing)
    for name in chosen:
        if name in fresh and (missing := fresh[name][1]):
            print(f"{name}: not judged yet, {missing} runs are missing")
            continue
        verdict = report.judge_and_draw(name, asked.results)
        print(f"{name}: {verdict['verdict']} on {verdict['data']['name']}, {verdict['seeds']} seeds")
    report.write_ledger(asked.results)
    print(f"ledger: {asked.results / 'README.md'} and {asked.results / 'index.html'}")


if __name__ == "__main__":
    try:
        main()
    except ConfigError as error:
        sys.exit(f"error: {error}")
