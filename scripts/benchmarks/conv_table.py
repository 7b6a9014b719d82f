"""The tables of the conv net. Needs no torch."""

from statistics import median

from benchmarks import summary
from benchmarks.cells import by_side, markdown, setting, spread
from benchmarks.summary import Results, Row, quartiles, rows_of

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


def rates(row: Row) -> list[float]:
    """Images a second, round by round."""
    return [row["images"] / s for s in row["seconds"]]
