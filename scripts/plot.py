"""Draw comparisons of any set of runs.

python scripts/plot.py                                    what fits the runs below runs/, into figures/
python scripts/plot.py RUNS...                            the same of the runs below other folders
python scripts/plot.py curves RUNS... --metric test/loss  learning curves
python scripts/plot.py response --knob optimizer.lr       where runs end over a swept knob
python scripts/plot.py heatmap --knobs optimizer.lr init.sigma        and over two
python scripts/plot.py percentiles --site hidden3.act     inputs of a layer's units over training
python scripts/plot.py distributions                      inputs of every layer over training
python scripts/plot.py film                               the same, animated

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

from bnlab.config import ConfigError, path
from bnlab.ending import end_in_one_line
from bnlab.plots import panels
from bnlab.plots.arms import swept_numbers
from bnlab.plots.film import film
from bnlab.plots.gather import gather, only
from bnlab.plots.picture import of_runs
from bnlab.plots.style import ENDINGS, FILM_ENDINGS, check_ending, save
from bnlab.plots.table import check_knobs, is_number

KINDS = ("curves", "response", "heatmap", "percentiles", "distributions", "film")


def main() -> None:
    asked = parse()
    what = asked.words[0] if asked.words and asked.words[0] in KINDS else None
    where = asked.words[1:] if what else asked.words
    if not what and where and not path(where[0]).exists():
        raise ConfigError(f"{where[0]}: neither a figure ({', '.join(KINDS)}) nor a folder of runs")
    out = asked.out or Path("figures") / (file_of(what) if what else "")
    if what:
        check_ending(out, FILM_ENDINGS if what == "film" else ENDINGS)
    elif out.suffix:
        raise ConfigError(f"--out {out}: say which figure, one of {', '.join(KINDS)}; or name a folder for several")
    table = gather([path(folder) for folder in where or ["runs"]], by_folder="folder" in (asked.by or []))
    table = only(table, dict(asked.only))
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
        help="file: .png, .svg or .pdf, of a film .gif; without WHAT a folder (default: figures/WHAT.png)",
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


def file_of(what: str) -> str:
    return "film.gif" if what == "film" else f"{what}.png"


def overview(table: pd.DataFrame, asked: argparse.Namespace, folder: Path) -> None:
    """Everything that fits these runs, and why what would fit could not be drawn."""
    numbers = len(swept_numbers(table))
    histograms = any(column.endswith("/histogram") for column in table.columns)
    fitting = {"curves": True, "response": numbers > 0, "heatmap": numbers > 1}
    fitting |= {"distributions": histograms, "film": histograms}
    for what in (kind for kind, fits in fitting.items() if fits):
        try:
            write(what, table, asked, folder / file_of(what))
        except ConfigError as error:
            if what == "curves":
                raise
            print(f"{what}: {error}", file=sys.stderr)


def write(what: str, table: pd.DataFrame, asked: argparse.Namespace, out: Path) -> None:
    save(draw(what, table, asked), out)
    print(out)


def draw(what: str, table: pd.DataFrame, asked: argparse.Namespace) -> Figure | Animation:
    metric = asked.metric or ("test/accuracy" if "test/accuracy" in table else "train/batch_loss")
    if what == "curves":
        terms = {"of": metric, "log_steps": True, "bottom": None}
        return panels.draw([{what: terms}], of_runs(table, asked.by, pool=True))
    if what == "response":
        knob = asked.knob or swept(table, 1)[0]
        check_knobs(table, [knob])
        if not is_number(table[knob]):
            raise ConfigError(f"{knob}: not a number; swept here: {', '.join(swept_numbers(table)) or 'none'}")
        terms = {"knob": knob, "of": metric, "bottom": None}
        return panels.draw([{what: terms}], of_runs(table[table[knob].notna()], asked.by, [knob], pool=True))
    if what == "heatmap":
        x, y = asked.knobs or swept(table, 2)
        if x == y:
            raise ConfigError(f"{x}: a map needs two different knobs")
        check_knobs(table, [x, y])
        terms = {"x": x, "y": y, "of": metric, "within": asked.within, "low": None}
        return panels.draw([{"heat": terms}], of_runs(table.dropna(subset=[x, y]), asked.by, [x, y]))
    picture = of_runs(table, asked.by)
    if what == "film":
        return film(picture, asked.site, asked.statistics, metric)
    return panels.draw([{what: {"site": asked.site, "statistics": asked.statistics}}], picture)


def swept(table: pd.DataFrame, count: int) -> list[str]:
    """The numbers in which the runs differ most. Raises `ConfigError` where they are fewer."""
    numbers = swept_numbers(table)
    if len(numbers) < count:
        raise ConfigError(
            f"this is drawn over {count} swept number{'s' * (count > 1)}, and these runs differ in "
            f"{', '.join(numbers) or 'none'} beside the seed: sweep more, as in optimizer.lr=0.01,0.1,1, or name knobs"
        )
    return numbers[:count]


if __name__ == "__main__":
    end_in_one_line(main)
