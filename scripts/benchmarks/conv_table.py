"""The tables of the conv net. Needs no torch."""

import itertools
from statistics import median

from benchmarks import summary
from benchmarks.cells import by_side, markdown, of_a_step, setting, spread
from benchmarks.summary import NORMS, Results, Row, quartiles, rows_of
from bnlab.plots import name

SIDES = """Six convolutions of 16 to 64 maps (`model=convnet model.width=16`), CIFAR-10 with flips and padded crops,
batches of 128; images a second of the whole machine, training. The tutorial loop draws its views with torchvision's
transforms, from PIL; ours runs as the launcher spreads conv nets, one on each core. *share* is the rate of its products
and convolutions, over that of the fastest fp32 product of 1024×1024 matrices here."""


def sides(results: Results) -> str:
    """Each side at its best, by norm."""

    def line(row: Row) -> Row:
        tutorial = summary.conv_tutorial(results, row["norm"])
        ratio = summary.ratios(row, tutorial) if tutorial else None
        shares = summary.peak_shares(results, row, "conv")
        return {
            "images a second": spread(quartiles(rates(row))),
            "times the tutorial loop": spread(quartiles(ratio)) if ratio else "",
            "share, %": f"{median(shares):.1f}" if shares else "",
            "best with": setting(row),
        }

    entries = [
        ("tutorial loop", summary.conv_tutorial),
        ("the same net in memory", summary.conv_in_memory),
        ("ours", summary.conv_ours),
        ("ours, precision=bf16", summary.conv_bf16),
    ]
    return by_side(results, entries, line)


WAYS = "Ours, fp32, with BN: one process or one a core, each with one run or with two as a stack."


def ways(results: Results) -> str:
    """A line for each way."""
    rows = rows_of(results, "conv", side="ours", norm="batch", precision="fp32")
    return markdown(
        [{"": row["setting"], "runs": row["runs"], "images a second": spread(quartiles(rates(row)))} for row in rows]
    )


STEP = """Shares of a step of ours, from the profiler, every core busy with a run of its own; rates on one core. BN,
ReLU and pooling are the fused kernels; the drawing of views is in *everything else*, which is what is left of a step
that no profiler slowed down."""


def step(results: Results) -> str:
    """A line for each part of a step, and what they say of the targets."""
    rows, limits = [], []
    for norm, side in itertools.product(NORMS, (summary.conv_ours, summary.conv_bf16)):
        ours, tutorial = side(results, norm), summary.conv_tutorial(results, norm)
        seen = rows_of(results, "conv", side="profile", norm=norm, precision=ours["precision"]) if ours else []
        if not (ours and tutorial and seen):
            continue
        total = sum(row["seconds"][0] for row in seen)
        of = f"{name(norm)}, {ours['precision']}"
        rows += [{"": of, **of_a_step(row["what"], row["seconds"][0], row["flop"], total)} for row in seen]
        limits.append(_limit(of, seen, median(summary.ratios(ours, tutorial))))
    best = summary.best_product(results, "conv")
    if best:
        limits.append(
            f"- The fastest fp32 product: {1e-9 / median(best['seconds']):.0f} billion a second on all cores."
        )
    return "\n".join([markdown(rows), "", *limits]) if rows else ""


def _limit(of: str, seen: list[Row], times: float) -> str:
    """How far convolutions alone would let it come ahead of the tutorial loop, `times` as fast as which it is."""
    total = sum(row["seconds"][0] for row in seen)
    products = [row for row in seen if row["flop"]]
    seconds = sum(row["seconds"][0] for row in products)
    rate = sum(row["flop"] for row in products) / seconds
    return (
        f"- A conv net, {of}: its convolutions and products take {1e3 * seconds:.0f} of {1e3 * total:.0f} ms, at "
        f"{1e-9 * rate:.0f} billion operations a second and core. Were all else free, ours would be "
        f"{times * total / seconds:.1f} times as fast as the tutorial loop, instead of {times:.1f}."
    )


def rates(row: Row) -> list[float]:
    """Images a second, round by round."""
    return [row["images"] / s for s in row["seconds"]]
