"""Draw comparisons of any set of runs.

python scripts/plot.py                                    what fits the runs below runs/, into figures/
python scripts/plot.py RUNS...                            the same of the runs below other folders
python scripts/plot.py curves RUNS... --metric test/loss  learning curves
python scripts/plot.py response --knob optimizer.lr       where runs end over a swept knob
python scripts/plot.py heatmap --knobs optimizer.lr init.sigma        and over two
python scripts/plot.py percentiles --site hidden3.act     inputs of a layer's units over training
python scripts/plot.py distributions                      inputs of every layer over training
python scripts/plot.py film --out figures/film.gif        the same, animated; as .png, .svg or .pdf some frames in a row

--only optimizer.lr=0.1 norm.name=none,batch    draws of these runs only
--by norm.name                                  tells runs apart by this alone
A B --by folder                                 compares the runs below A with those below B
"""

import argparse
import os
import sys
from pathlib import Path

os.environ["MPLBACKEND"] = "Agg"  # figures are files; another backend may want a screen
import pandas as pd
from matplotlib.animation import Animation
from matplotlib.figure import Figure

from bnlab import plots
from bnlab.config import ConfigError, path

KINDS = ("curves", "response", "heatmap", "percentiles", "distributions", "film")


def main() -> None:
    asked = parse()
    what = asked.words[0] if asked.words and asked.words[0] in KINDS else None
    where = asked.words[1:] if what else asked.words
    if not what and where and not path(where[0]).exists():
        raise ConfigError(f"{where[0]}: neither a figure ({', '.join(KINDS)}) nor a folder of runs")
    out = asked.out or Path("figures") / (f"{what}.png" if what else "")
    if what:
        plots.check_ending(out, plots.FILM_ENDINGS if what == "film" else plots.ENDINGS)
    elif out.suffix:
        raise ConfigError(f"--out {out}: say which figure, one of {', '.join(KINDS)}; or name a folder for several")
    table = plots.gather([path(folder) for folder in where or ["runs"]], by_folder="folder" in (asked.by or []))
    table = plots.only(table, dict(asked.only))
    if what:
        write(what, table, asked, out)
    else:
        overview(table, asked, out)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "words",
        nargs="*",
        metavar="WHAT | RUNS",
        help=f"one of {', '.join(KINDS)} (default: what fits the runs); then folders of runs (default: runs)",
    )
    parser.add_argument("--metric", help="of all but percentiles and distributions (default: test/accuracy)")
    parser.add_argument("--by", nargs="+", metavar="KNOB", help="what makes an arm (default: the knobs that differ)")
    parser.add_argument(
        "--only", nargs="+", type=condition, default=[], metavar="KNOB=VALUE,…", help="draw these runs only"
    )
    parser.add_argument("--knob", help="of response: the swept knob (default: the number with most values)")
    parser.add_argument(
        "--knobs", nargs=2, metavar=("X", "Y"), help="of heatmap: the two knobs (default: the numbers with most values)"
    )
    parser.add_argument(
        "--within", type=share, default=0.01, help="of heatmap: outline what is that close to the best (default: 0.01)"
    )
    parser.add_argument(
        "--site",
        help="of percentiles: which nonlinearity (default: the last); of distributions and film: this one alone",
    )
    parser.add_argument(
        "--statistics",
        default="population",
        choices=["population", "batch"],
        help="of percentiles, distributions and film",
    )
    parser.add_argument(
        "--out",
        type=path,
        help="file: .png, .svg or .pdf, of a film also .gif, which moves; without WHAT a folder "
        "(default: figures/WHAT.png)",
    )
    return parser.parse_intermixed_args()


def share(text: str) -> float:
    if not 0 <= float(text) <= 1:
        raise argparse.ArgumentTypeError(f"{text}: between 0 and 1")
    return float(text)


def condition(text: str) -> tuple[str, list[str]]:
    """ "optimizer.lr=0.1,1" → ("optimizer.lr", ["0.1", "1"])."""
    knob, _, values = text.partition("=")
    if not values:
        raise argparse.ArgumentTypeError(f"{text}: say KNOB=VALUE")
    return knob, values.split(",")


def overview(table: pd.DataFrame, asked: argparse.Namespace, folder: Path) -> None:
    """Everything that fits these runs, and why what would fit could not be drawn."""
    numbers = len(plots.swept_numbers(table))
    histograms = any(column.endswith("/histogram") for column in table.columns)
    fitting = {"curves": True, "response": numbers > 0, "heatmap": numbers > 1}
    fitting |= {"distributions": histograms, "film": histograms}
    for what in (kind for kind, fits in fitting.items() if fits):
        try:
            write(what, table, asked, folder / f"{what}.png")
        except ConfigError as error:
            if what == "curves":
                raise
            print(f"{what}: {error}", file=sys.stderr)


def write(what: str, table: pd.DataFrame, asked: argparse.Namespace, out: Path) -> None:
    plots.save(draw(what, table, asked, moving=out.suffix == ".gif"), out)
    print(out)


def draw(what: str, table: pd.DataFrame, asked: argparse.Namespace, moving: bool) -> Figure | Animation:
    metric = asked.metric or ("test/accuracy" if "test/accuracy" in table else "train/batch_loss")
    if what == "curves":
        return plots.curves_figure(table, metric, asked.by)
    if what == "response":
        return plots.response_figure(table, metric, asked.knob, asked.by)
    if what == "heatmap":
        return plots.heatmap_figure(table, metric, asked.knobs, asked.by, asked.within)
    if what == "percentiles":
        return plots.percentiles_figure(table, asked.site, asked.statistics, asked.by)
    if what == "distributions":
        return plots.distributions_figure(table, asked.site, asked.statistics, asked.by)
    film = plots.film_animation if moving else plots.film_figure
    return film(table, asked.site, asked.statistics, metric, asked.by)


if __name__ == "__main__":
    try:
        main()
    except ConfigError as error:
        sys.exit(f"error: {error}")
    except OSError as error:
        sys.exit(f"error: {error.filename}: {error.strerror}")
