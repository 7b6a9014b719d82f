"""What is read from the rows, and results/bench/README.md, which is made of that. Needs no torch."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from statistics import median
from typing import Any

import numpy as np
from tabulate import tabulate

Row = dict[str, Any]
Parts = dict[str, dict[str, Any]]  # each {"stamp": what computed it, "rows": [one for each way that was timed]}
Rounds = list[float]
Quantity = Callable[[Parts, str], Rounds]  # of the net with this norm; raises `Unmeasured`

NORMS = {"none": "without BN", "batch": "with BN"}
MEMORY, EACH = "the same in memory", "in memory, a loop on each core"
STACKS = "ours, a stack of eight on each core, uncompiled"
SIDES: dict[str, dict[str, Row]] = {  # by part and name: the columns of the rows that it is the fastest of
    "steps": {
        "tutorial loop": {"side": "tutorial"},
        MEMORY: {"side": "in memory"},
        EACH: {"side": "in memory, one a core"},
        "JAX alone": {"side": "jax", "runs": 1},
        "JAX at its best": {"side": "jax"},
        "ours, alone, uncompiled": {"side": "uncompiled"},
        STACKS: {"side": "uncompiled stacks"},
        "ours, alone": {"side": "ours"},
        "ours, stacked": {"side": "stacked"},
    },
    "conv": {
        "tutorial loop": {"side": "tutorial"},
        "the same in memory": {"side": "in memory"},
        "ours": {"side": "ours"},
        "ours, precision=bf16": {"side": "ours, bf16"},
    },
}


class Unmeasured(LookupError):
    """What is asked for was not measured."""


def rows_of(parts: Parts, part: str, **wanted: Any) -> list[Row]:
    """The rows of a part whose columns have the values `wanted`. Raises `Unmeasured` where there is none."""
    rows = parts[part]["rows"] if part in parts else []
    found = [row for row in rows if all(row.get(column) == value for column, value in wanted.items())]
    if not found:
        raise Unmeasured
    return found


def fastest(rows: Sequence[Row]) -> Row:
    """The row of the lowest median: of a side's settings, the one that suits it best."""
    return min(rows, key=lambda row: median(row["seconds"]))


def pick(parts: Parts, part: str, side: str, norm: str) -> Row:
    """A side of the page at its best."""
    return fastest(rows_of(parts, part, norm=norm, **SIDES[part][side]))


def times(part: str, side: str, rival: str, always: str = "") -> Quantity:
    """Rounds of (time of `rival`) / (time of `side`), of the net with the norm that is asked for, or `always` one."""

    def of(parts: Parts, norm: str) -> Rounds:
        ours, theirs = (pick(parts, part, one, always or norm)["seconds"] for one in (side, rival))
        return [b / a for a, b in zip(ours, theirs, strict=True)]

    return of


def share_of_peak(parts: Parts, norm: str) -> Rounds:
    """Percent of the best matrix rate at which the stacks do their products."""
    row, best = pick(parts, "steps", "ours, stacked", norm), fastest(rows_of(parts, "steps", side="product"))
    return [100 * row["flop"] * per_flop / s for s, per_flop in zip(row["seconds"], best["seconds"], strict=True)]


def measuring_share(parts: Parts, norm: str) -> Rounds:
    """Percent of a default stacked run that the default measurements at the default moments take."""
    (row,), stack = rows_of(parts, "steps", norm=norm, side="look"), pick(parts, "steps", "ours, stacked", norm)
    pairs = [(row["looks"] * s, row["steps"] * t) for s, t in zip(row["seconds"], stack["seconds"], strict=True)]
    return [100 * looking / (looking + training) for looking, training in pairs]


def checkpointing_share(parts: Parts, norm: str) -> Rounds:
    """Percent of a stack's time that its checkpoints take: each process makes its own, all at the same time."""
    (row,) = rows_of(parts, "steps", norm=norm, side="checkpoint")
    return [100 * s * row["processes"] / row["every"] for s in row["seconds"]]


def memory_of_many(parts: Parts, norm: str) -> Rounds:
    """GB of the largest sweep, a page that two processes share counted twice; of the net with BN, which needs most."""
    return [row["rss"] / 1000 for row in rows_of(parts, "memory", side="ours", runs=256)]


TARGETS: list[tuple[str, str, float, str, Quantity]] = [
    ("stacked, against the tutorial loop", "≥", 25, "×", times("steps", "ours, stacked", "tutorial loop")),
    ("stacked, against the loop in memory", "≥", 5, "×", times("steps", "ours, stacked", "the same in memory")),
    ("stacked, against JAX at its best", "≥", 2, "×", times("steps", "ours, stacked", "JAX at its best")),
    ("stacked, share of the best matrix rate", "≥", 60, "%", share_of_peak),
    ("alone and uncompiled, over the loop in memory", "≤", 1.2, "×", times("steps", MEMORY, "ours, alone, uncompiled")),
    ("stacks of eight, uncompiled, over a loop on each core", "≤", 1, "×", times("steps", EACH, STACKS)),
    ("alone, against JAX alone", "≥", 1, "×", times("steps", "ours, alone", "JAX alone")),
    ("memory of 256 runs", "≤", 2, "GB", memory_of_many),
    ("measuring, share of a run", "≤", 5, "%", measuring_share),
    ("checkpoints, share of a run", "≤", 2, "%", checkpointing_share),
    ("conv net with BN, against the tutorial loop", "≥", 2, "×", times("conv", "ours", "tutorial loop", "batch")),
    ("the same in bf16", "≥", 4, "×", times("conv", "ours, precision=bf16", "tutorial loop", "batch")),
]


def judged(parts: Parts) -> list[list[str]]:
    """Of each target: what it is, its aim, what the worse of the two nets reached, and whether it is met."""
    lines = []
    for what, sign, bound, unit, of in TARGETS:
        line = [what, f"{sign} {bound:g} {unit}"]
        try:
            worse = (min if sign == "≥" else max)([of(parts, norm) for norm in NORMS], key=median)
            met = median(worse) >= bound if sign == "≥" else median(worse) <= bound
            lines.append([*line, spread(worse), "met" if met else "**missed**"])
        except Unmeasured:
            lines.append([*line, "", "not measured"])
    return lines


INTRODUCTION = """# What a step costs

`make bench` measures; `python scripts/bench.py --redraw results/bench` makes this page again from `bench.json`.
Medians over rounds in which the sides take turns, quartiles in brackets; ratios are medians of each round's ratio. A
step is one of the paper's net (784-100-100-100-10, sigmoid, batches of 60, SGD), and its time what a run takes of the
whole machine. The conv net has six convolutions of 16 to 64 maps, and trains on flipped and cropped CIFAR-10 images in
batches of 128."""


def page(parts: Parts) -> str:
    """The whole page; a part that was not measured is left out."""
    told = [INTRODUCTION]
    for title, section in SECTIONS.items():
        with suppress(Unmeasured):
            told.append(f"## {title}\n\n{section(parts)}")
    return "\n\n".join([*told, _stamps(parts)]) + "\n"


def _sides(parts: Parts, part: str, base: str, value: Callable[[Row, float], float]) -> str:
    """A line for each side: by norm its value, and that over the value of the side `base`; and what suited it best."""

    def rounds(side: str, norm: str) -> Rounds:
        row = pick(parts, part, side, norm)
        return [value(row, seconds) for seconds in row["seconds"]]

    lines = []
    for side in SIDES[part]:
        with suppress(Unmeasured):
            cells = [side]
            for norm in NORMS:
                pairs = zip(rounds(side, norm), rounds(base, norm), strict=True)
                cells += [spread(rounds(side, norm)), spread([own / of_base for own, of_base in pairs])]
            lines.append([*cells, " / ".join(dict.fromkeys(setting(pick(parts, part, side, norm)) for norm in NORMS))])
    return markdown(["side", *(head for norm in NORMS.values() for head in (norm, f"over {base}")), "best with"], lines)


def _batches(parts: Parts) -> str:
    """A line for each size m: by norm, examples a second; and how many times m passes of one example one of m takes."""
    plain = rows_of(parts, "batches", norm="none")
    (single,) = rows_of(parts, "batches", norm="none", images=1)
    with_bn = {row["images"]: row for row in rows_of(parts, "batches", norm="batch")}
    lines = []
    for row in plain:
        m, seconds = row["images"], row["seconds"]
        gained = spread([m * one / s for one, s in zip(single["seconds"], seconds, strict=True)])
        cells = [spread([m / s for s in one["seconds"]]) if one else "" for one in (row, with_bn.get(m))]
        lines.append([f"{m:,}", *cells, gained])
    return markdown(["m", *NORMS.values(), "over m passes of one, without BN"], lines)


def _seconds(parts: Parts) -> str:
    rows = [row for part in ("startup", "sweep") if part in parts for row in parts[part]["rows"]]
    seconds = [median(row["seconds"]) for row in rows]
    lines = [[row["what"], f"{s:.1f}" if s < 60 else f"{s:.0f}"] for row, s in zip(rows, seconds, strict=True)]
    return markdown(["what", "seconds"], lines)


def _memory(parts: Parts) -> str:
    rows = rows_of(parts, "memory")
    lines = [[row["side"], row["runs"], row["processes"], f"{row['rss']:.0f}", f"{row['pss']:.0f}"] for row in rows]
    return markdown(["side", "runs", "processes", "resident", "proportional: a shared page counts once"], lines)


def _stamps(parts: Parts) -> str:
    """What is the same for all parts, and the rest by part."""
    stamps = [part["stamp"].items() for part in parts.values()]
    shared = [item for item in stamps[0] if all(item in stamp for stamp in stamps)]
    own = [[item for item in stamp if item not in shared] for stamp in stamps]
    told = {"All parts": shared, **dict(zip(parts, own, strict=True))}
    return "; ".join(
        f"{part}: " + ", ".join(f"{key} {value}" for key, value in told[part]) for part in told if told[part]
    )


SECTIONS: dict[str, Callable[[Parts], str]] = {
    "A step, in microseconds": lambda p: _sides(p, "steps", "ours, stacked", lambda row, s: 1e6 * s),
    "Mini-batches of m, in examples a second of the loop in memory on one thread": _batches,
    "A conv net, in images a second": lambda p: _sides(p, "conv", "tutorial loop", lambda row, s: row["images"] / s),
    "Starting up, and a sweep from end to end, in seconds": _seconds,
    "Memory at its most, of all processes together, with BN, in MB": _memory,
    "Targets for 2 cores; the worse net decides": lambda p: markdown(["target", "aim", "reached", ""], judged(p)),
}


def setting(row: Row) -> str:
    """What a side was best with."""
    least = {"runs": 2, "processes": 2, "threads": 1, "loaders": 1}  # that is worth telling; JAX has threads of its own
    return ", ".join(f"{what} {row[what]}" for what in least if (row.get(what) or 0) >= least[what])


def spread(rounds: Rounds) -> str:
    """Median [lower quartile, upper quartile], to three digits."""
    low, middle, high = (f"{q:.3g}" if q < 100 else f"{q:.0f}" for q in np.percentile(rounds, [25, 50, 75]))
    return middle if low == high else f"{middle} [{low}, {high}]"


def markdown(head: Sequence[str], lines: Sequence[Sequence[Any]]) -> str:
    """A table. Raises `Unmeasured` where it has no lines."""
    if not lines:
        raise Unmeasured
    return str(tabulate(lines, head, tablefmt="github", disable_numparse=True))
