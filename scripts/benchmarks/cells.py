"""What the tables of the page are made of. Needs no torch."""

from collections.abc import Callable, Sequence
from statistics import median

from tabulate import tabulate

from benchmarks.summary import NORMS, Results, Row
from bnlab.plots import name


def by_norm(rows: list[Row], line: Callable[[Row], Row], show: Callable[[float], str], unit: str) -> str:
    """A line for rows that differ in the norm alone, which has its columns."""
    lines: dict[str, Row] = {}
    for row in rows:
        made = line(row)
        lines.setdefault(str(made), made)[f"{name(row['norm'])}, {unit}"] = show(median(row["seconds"]))
    return markdown(list(lines.values()))


def by_side(
    results: Results,
    entries: Sequence[tuple[str, Callable[[Results, str], Row | None]]],
    line: Callable[[Row], Row],
) -> str:
    """For each norm, a line for each of the named sides that was measured."""
    return markdown(
        [
            {"": name(norm), "side": label, **line(row)}
            for norm in NORMS
            for label, side in entries
            if (row := side(results, norm))
        ]
    )


def of_a_step(what: str, seconds: float, flop: float, total: float) -> Row:
    """A part of a step that takes `total` seconds: its share of them, and its rate where it is a product."""
    rate = f"{1e-9 * flop / seconds:.0f}" if flop else ""
    return {"what": what, "% of the step": f"{100 * seconds / total:.1f}", "GFLOP/s": rate}


def setting(row: Row) -> str:
    """What a side was best with."""
    return f"{row['setting']}, {row['runs']} runs" if row["runs"] > 1 else row["setting"]


def spread(values: tuple[float, float, float] | None) -> str:
    """Median [lower quartile, upper quartile], to three digits."""
    if values is None:
        return ""
    middle, low, high = (f"{value:.3g}" if value < 100 else f"{value:.0f}" for value in values)
    return middle if low == high else f"{middle} [{low}, {high}]"


def markdown(rows: list[Row]) -> str:
    """A table of rows whose keys are its head."""
    return str(tabulate(rows, headers="keys", tablefmt="github", disable_numparse=True))
