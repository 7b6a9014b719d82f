"""The tables of the conv net. Needs no torch."""

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
    """A line for each part of a step, and what they say of the target."""
    rows, limits = [], []
    for norm in NORMS:
        seen = rows_of(results, "conv", side="profile", norm=norm)
        total = sum(row["seconds"][0] for row in seen)
        rows += [{"": name(norm), **of_a_step(row["what"], row["seconds"][0], row["flop"], total)} for row in seen]
        limits += [_limit(results, norm, seen)] if seen else []
    return "\n".join([markdown(rows), "", *limits]) if rows else ""


def _limit(results: Results, norm: str, seen: list[Row]) -> str:
    """How far convolutions alone would let it come ahead of the tutorial loop."""
    ours, tutorial = summary.conv_ours(results, norm), summary.conv_tutorial(results, norm)
    bf16, best = summary.conv_bf16(results, norm), summary.best_product(results, "conv")
    if not (ours and tutorial and bf16 and best):
        return ""
    total = sum(row["seconds"][0] for row in seen)
    products = [row for row in seen if row["flop"]]
    seconds = sum(row["seconds"][0] for row in products)
    rate = sum(row["flop"] for row in products) / seconds
    most = median(summary.ratios(ours, tutorial)) * total / seconds
    in_bf16 = median(bf16["seconds"]) / median(ours["seconds"])
    return (
        f"- A conv net, {name(norm)}: its convolutions and products take {1e3 * seconds:.0f} of {1e3 * total:.0f} ms, "
        f"at {1e-9 * rate:.0f} billion operations a second and core; the fastest product does "
        f"{1e-9 / median(best['seconds']) / ours['runs']:.0f}. Were all else free, ours would be {most:.1f} times as "
        f"fast as the tutorial loop. In bf16 a step takes {in_bf16:.1f} times as long as in fp32."
    )


def rates(row: Row) -> list[float]:
    """Images a second, round by round."""
    return [row["images"] / s for s in row["seconds"]]
