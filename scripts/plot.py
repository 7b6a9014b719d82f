"""Draw a comparison of any set of runs, or redraw a claim from its committed table.

python scripts/plot.py                                    learning curves of everything below runs/
python scripts/plot.py curves RUNS... --metric test/loss  the same of other folders, of another metric
python scripts/plot.py response --knob optimizer.lr       where runs end over a swept knob
python scripts/plot.py percentiles --site hidden3.act     inputs of a layer's units over training
python scripts/plot.py distributions                      inputs of every layer over training
python scripts/plot.py claim fig1a_accuracy               a claim's figures again
"""

import argparse
import sys
from pathlib import Path

from bnlab import plots, report, runs
from bnlab.config import ConfigError


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "what", nargs="?", default="curves", choices=["curves", "response", "percentiles", "distributions", "claim"]
    )
    parser.add_argument("where", nargs="*", help="folders of runs (default: runs), or claims")
    parser.add_argument("--metric", default="test/accuracy", help="of curves and response (default: test/accuracy)")
    parser.add_argument(
        "--by", nargs="+", metavar="KNOB", help="of curves: colour by these (default: those that differ)"
    )
    parser.add_argument(
        "--site", default="hidden3.act", help="of percentiles: which nonlinearity (default: hidden3.act)"
    )
    parser.add_argument("--knob", help="of response: the swept knob (default: the number with most values)")
    parser.add_argument("--statistics", default="population", choices=["population", "batch"])
    parser.add_argument("--out", type=Path, help="file, .png, .svg or .pdf (default: figures/WHAT.png)")
    parser.add_argument("--results", type=Path, default=Path("results"), help="of claim: folder of the ledger")
    asked = parser.parse_args()
    if asked.what == "claim":
        for claim in asked.where:
            report.judge_and_draw(claim, asked.results)
            print(asked.results / claim)
        return
    table = runs.load(runs.find([Path(folder) for folder in asked.where or ["runs"]]))
    if asked.what == "curves":
        figure = plots.curves_figure(table, asked.metric, asked.by)
    elif asked.what == "response":
        figure = plots.response_figure(table, asked.metric, asked.knob)
    elif asked.what == "percentiles":
        figure = plots.percentiles_figure(table, asked.site, asked.statistics)
    else:
        figure = plots.distributions_figure(table)
    out = asked.out or Path("figures") / f"{asked.what}.png"
    plots.save(figure, out)
    print(out)


if __name__ == "__main__":
    try:
        main()
    except ConfigError as error:
        sys.exit(f"error: {error}")
