"""What is read from the rows: medians, ratios of rounds, and whether the targets are met. Needs no torch."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

import numpy as np

Row = dict[str, Any]
Results = Mapping[str, list[Row]]  # rows by part
Rounds = list[float]

NORMS = ("none", "batch")


@dataclass(frozen=True)
class Target:
    """A bound on a quantity; `of` gives its rounds from the results, for one norm."""

    what: str
    sign: str  # ≥ or ≤
    bound: float
    unit: str
    of: Callable[[Results, str], Rounds | None]

    def met(self, value: float) -> bool:
        return value >= self.bound if self.sign == "≥" else value <= self.bound

    def worse(self, values: Sequence[float]) -> float:
        return min(values) if self.sign == "≥" else max(values)


def rows_of(results: Results, part: str, **wanted: Any) -> list[Row]:
    """The rows of a part whose columns have the values `wanted`."""
    rows = results.get(part, [])
    return [row for row in rows if all(row.get(column) == value for column, value in wanted.items())]


def fastest(rows: Sequence[Row]) -> Row | None:
    """The row of the lowest median: of a rival's settings, the one that suits it best."""
    return min(rows, key=lambda row: median(row["seconds"]), default=None)


def quartiles(rounds: Sequence[float]) -> tuple[float, float, float]:
    """Median, and the quartiles below and above it."""
    low, middle, high = np.percentile(rounds, [25, 50, 75])
    return float(middle), float(low), float(high)


# ---- the sides that are compared --------------------------------------------------------------------------


def tutorial(results: Results, norm: str) -> Row | None:
    return fastest(rows_of(results, "steps", norm=norm, side="tutorial"))


def in_memory(results: Results, norm: str) -> Row | None:
    return fastest(rows_of(results, "steps", norm=norm, side="in memory"))


def jax(results: Results, norm: str) -> Row | None:
    return fastest(rows_of(results, "steps", norm=norm, side="jax"))


def jax_alone(results: Results, norm: str) -> Row | None:
    return fastest(rows_of(results, "steps", norm=norm, side="jax", runs=1))


def alone(results: Results, norm: str) -> Row | None:
    return fastest(rows_of(results, "steps", norm=norm, side="ours", runs=1))


def stacked(results: Results, norm: str, seeds: str = "shared") -> Row | None:
    """The smallest sweep that gives every core a full stack: what any larger one repeats."""
    rows = rows_of(results, "steps", norm=norm, side="ours", seeds=seeds, full=True)
    return rows[0] if rows else None


def best_product(results: Results, part: str = "steps") -> Row | None:
    return fastest(rows_of(results, part, side="product"))


def conv_tutorial(results: Results, norm: str) -> Row | None:
    return fastest(rows_of(results, "conv", norm=norm, side="tutorial"))


def conv_in_memory(results: Results, norm: str) -> Row | None:
    return fastest(rows_of(results, "conv", norm=norm, side="in memory"))


def conv_ours(results: Results, norm: str, precision: str = "fp32") -> Row | None:
    """Conv nets as the launcher spreads them."""
    return fastest(rows_of(results, "conv", norm=norm, side="ours", precision=precision, launched=True))


def conv_bf16(results: Results, norm: str) -> Row | None:
    return conv_ours(results, norm, "bf16")


# ---- quantities, round by round ---------------------------------------------------------------------------

Pick = Callable[[Results, str], Row | None]  # the rows of a side, of the net with this norm


def times_faster(side: Pick, rival: Pick) -> Callable[[Results, str], Rounds | None]:
    """Rounds of (time of `rival`) / (time of `side`)."""

    def of(results: Results, norm: str) -> Rounds | None:
        ours, theirs = side(results, norm), rival(results, norm)
        if ours is None or theirs is None:
            return None
        return ratios(ours, theirs)

    return of


def ratios(row: Row, rival: Row) -> Rounds:
    """Rounds of (time of `rival`) / (time of `row`)."""
    return [b / a for a, b in zip(row["seconds"], rival["seconds"], strict=True)]


def share_of_peak(results: Results, norm: str) -> Rounds | None:
    """Percent of the best matrix rate at which the stacks do their products."""
    row = stacked(results, norm)
    return None if row is None else peak_shares(results, row)


def peak_shares(results: Results, row: Row, part: str = "steps") -> Rounds | None:
    """The same of any side of a part."""
    best = best_product(results, part)
    if best is None:
        return None
    return [100 * row["flop"] * per_flop / s for s, per_flop in zip(row["seconds"], best["seconds"], strict=True)]


def with_bn(of: Callable[[Results, str], Rounds | None]) -> Callable[[Results, str], Rounds | None]:
    """The quantity, asked of the net with BN alone."""
    return lambda results, norm: of(results, norm) if norm == "batch" else None


def measuring_share(results: Results, norm: str) -> Rounds | None:
    """Percent of a default stacked run that the default measurements at the default moments take."""
    row, looks = stacked(results, norm), rows_of(results, "steps", norm=norm, side="look")
    if row is None or not looks:
        return None
    count, steps = looks[0]["looks"], looks[0]["steps"]
    pairs = zip(looks[0]["seconds"], row["seconds"], strict=True)
    return [100 * count * look / (count * look + steps * step) for look, step in pairs]


def checkpointing_share(results: Results, norm: str) -> Rounds | None:
    """Percent of a stack's time that its checkpoints take."""
    found = rows_of(results, "steps", norm=norm, side="checkpoint")
    # One at a time in each process, while `seconds` are those of the whole machine: all processes at once.
    return [100 * s * row["processes"] / row["every"] for row in found for s in row["seconds"]] or None


def memory_of_many(results: Results, norm: str) -> Rounds | None:
    """GB of the largest sweep, a page that two processes share counted twice."""
    found = rows_of(results, "memory", norm=norm, side="ours", runs=256)
    return [found[0]["rss"] / 1000] if found else None


# Whom the stack is to beat, and how many times over
RIVALS = [("the tutorial loop", tutorial, 25), ("the loop in memory", in_memory, 5), ("JAX at its best", jax, 2)]

TARGETS = [
    *(
        Target(f"stacked, against {what}", "≥", times, "×", times_faster(stacked, rival))
        for what, rival, times in RIVALS
    ),
    Target("stacked, share of the best matrix rate", "≥", 60, "%", share_of_peak),
    Target("alone, against the loop in memory", "≥", 1.5, "×", times_faster(alone, in_memory)),
    Target("alone, against JAX alone", "≥", 1, "×", times_faster(alone, jax_alone)),
    Target("memory of 256 runs", "≤", 2, "GB", memory_of_many),
    Target("measuring, share of a run", "≤", 5, "%", measuring_share),
    Target("checkpoints, share of a run", "≤", 2, "%", checkpointing_share),
    Target("conv net, against the tutorial loop", "≥", 2, "×", with_bn(times_faster(conv_ours, conv_tutorial))),
    Target("conv net in bf16, against the same", "≥", 4, "×", with_bn(times_faster(conv_bf16, conv_tutorial))),
]


def judged(results: Results) -> list[Row]:
    """A row for each target: median and quartiles by norm, the worse of them, and `met` (None: not measured)."""
    rows: list[Row] = []
    for target in TARGETS:
        rounds = {norm: target.of(results, norm) for norm in NORMS}
        values = {norm: quartiles(seen) for norm, seen in rounds.items() if seen}
        worse = target.worse([middle for middle, _, _ in values.values()]) if values else None
        met = None if worse is None else target.met(worse)
        bound = f"{target.sign} {target.bound:g} {target.unit}"
        rows.append({"what": target.what, "bound": bound, "values": values, "worse": worse, "met": met})
    return rows
