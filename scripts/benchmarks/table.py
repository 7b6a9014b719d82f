"""The tables of results/bench/README.md, from the rows. Needs no torch."""

from collections.abc import Callable, Iterator
from statistics import median
from typing import Any

from benchmarks import conv_table, profile_table, summary
from benchmarks.cells import by_norm, by_side, markdown, setting, spread
from benchmarks.summary import NORMS, Results, Row, quartiles, rows_of
from bnlab.plots import name

SIDES = {
    "tutorial": "tutorial loop: DataLoader, transforms, torch.nn, torch.optim",
    "in memory": "the same, data in memory",
    "jax": "JAX: jit, scan, vmap",
    "ours": "ours",
    "import torch": "a process that imports torch, no more",
}
INTRODUCTION = """`make bench` measures; `python scripts/bench.py --redraw results/bench` makes this page and the
figure again from `bench.json`. The net is the paper's (784-100-100-100-10, sigmoid, batches of 60, SGD) where no
other is named. Times are medians over rounds in which the sides take turns, quartiles in brackets;
ratios are medians of each round's ratio, and so differ from the ratios of medians."""
ANSWER = {True: "met", False: "**missed**", None: "not measured"}


def page(results: Results, stamps: dict[str, dict[str, Any]]) -> str:
    """The whole page; a part that was not measured is left out."""
    parts = [
        "# What a step costs",
        INTRODUCTION,
        "![Cost of a step](figure.png)",
        *_sections(results),
        _stamps(stamps),
    ]
    return "\n\n".join(parts) + "\n"


def targets(results: Results) -> str:
    rows = [
        {
            "target": row["what"],
            "bound": row["bound"],
            **{name(norm): spread(row["values"].get(norm)) for norm in NORMS},
            "": ANSWER[row["met"]],
        }
        for row in summary.judged(results)
    ]
    return markdown(rows)


def _sections(results: Results) -> Iterator[str]:
    sections: list[tuple[str, str, str, Callable[[Results], str]]] = [
        (
            "",
            "Targets",
            "For 2 cores; the worse of the two nets decides, where an aim is not for the net with BN alone.",
            targets,
        ),
        ("steps", "One step of one run", STEPS, _steps),
        ("steps", "Over the number of runs", RUNS, _runs),
        ("shapes", "Over depth and width", SHAPES, _shapes),
        ("steps", "The fastest matrix product", PRODUCTS, _products),
        ("profile", "Where a step goes", profile_table.STEPS, profile_table.steps),
        ("steps", "Measuring", LOOKS, _looks),
        ("steps", "Checkpoints", CHECKPOINTS, _checkpoints),
        ("conv", "A conv net", conv_table.SIDES, conv_table.sides),
        ("conv", "How conv nets share the cores", conv_table.WAYS, conv_table.ways),
        ("conv", "Where a conv net's step goes", conv_table.STEP, conv_table.step),
        ("startup", "Starting up", STARTUP, _startup),
        ("sweep", "A sweep from end to end", SWEEP, _sweep),
        ("memory", "Memory", MEMORY, _memory),
    ]
    for part, title, text, table in sections:
        if (not part or results.get(part)) and (found := table(results)):
            yield f"## {title}\n\n{text}\n\n{found}"


# ---- one section each -------------------------------------------------------------------------------------

STEPS = """What the whole machine gives, in microseconds for a step of a run: a loop has the number of threads that
suits it best, JAX the number of runs, ours, stacked, a full stack on every core. *share* is the rate of its matrix
products (26.4 million floating-point operations a step) over the fastest at which any product was done here."""


def _steps(results: Results) -> str:
    def line(row: Row) -> Row:
        ours = summary.stacked(results, row["norm"])
        shares = summary.peak_shares(results, row)
        return {
            "µs a step of a run": spread(quartiles([1e6 * s for s in row["seconds"]])),
            "over ours, stacked": spread(quartiles(summary.ratios(ours, row))) if ours else "",
            "share, %": f"{median(shares):.1f}" if shares else "",
            "best with": setting(row),
        }

    entries = [
        ("tutorial loop", summary.tutorial),
        ("the same in memory", summary.in_memory),
        ("JAX alone", summary.jax_alone),
        ("JAX at its best", summary.jax),
        ("ours, alone", summary.alone),
        ("ours, stacked", summary.stacked),
        ("ours, stacked, a seed each", lambda results, norm: summary.stacked(results, norm, "own")),
    ]
    rows = by_side(results, entries, line)
    best, ours = summary.best_product(results), rows_of(results, "steps", side="ours")
    if best is None or not ours:
        return rows
    floor = 1e6 * median(best["seconds"]) * ours[0]["flop"]
    return f"{rows}\n\nThe products alone, at the rate of the fastest, would take {floor:.0f} µs."


RUNS = """*shared batches*: sweeps of eight learning rates for every seed; ours as the launcher spreads them, JAX
mapped over all runs at once. *own batches*: a seed for every run."""


def _runs(results: Results) -> str:
    def line(row: Row) -> Row:
        return {"side": f"{SIDES[row['side']]}, {row['seeds']} batches", "runs": row["runs"], "with": row["setting"]}

    kinds = ("jax", "ours")
    return by_norm([row for row in results["steps"] if row["side"] in kinds], line, lambda s: f"{1e6 * s:.0f}", "µs")


SHAPES = "Microseconds for a step of a run; ours with a full stack on every core."


def _shapes(results: Results) -> str:
    rows = []
    sizes = dict.fromkeys((row["depth"], row["width"]) for row in results["shapes"])
    for depth, width in sizes:
        line: Row = {"depth": depth, "width": width}
        for norm in NORMS:
            of_size = {"depth": depth, "width": width, "norm": norm}
            loop = summary.fastest(rows_of(results, "shapes", side="in memory", **of_size))
            ours = summary.fastest(rows_of(results, "shapes", side="ours", **of_size))
            if loop and ours:
                ratio = median(summary.ratios(ours, loop))
                line |= {
                    f"{name(norm)}: loop in memory": f"{1e6 * median(loop['seconds']):.0f}",
                    f"{name(norm)}: ours": f"{1e6 * median(ours['seconds']):.0f}",
                    f"{name(norm)}: ratio": f"{ratio:.1f}",
                }
        rows.append(line)
    return markdown(rows)


PRODUCTS = """Billions of floating-point operations a second, fp32, every core busy. *chosen* is what the engine uses:
oneDNN's kernel where `hardware.matmul=auto` found it as exact as fp32, else torch's own; *numpy* is OpenBLAS."""


def _products(results: Results) -> str:
    lines: dict[str, Row] = {}
    for row in rows_of(results, "steps", side="product"):
        _, m, k, n = row["shape"]
        line = lines.setdefault(f"{row['shape']} {row['setting']}", {"product": f"{m}×{k} @ {k}×{n}"})
        line |= {"processes × threads": row["setting"], row["product"]: f"{1e-9 / median(row['seconds']):.0f}"}
    kernels = {row["kernel"] for row in results["steps"] if "kernel" in row}
    return f"{markdown(list(lines.values()))}\n\nChosen here: {', '.join(sorted(kernels))}."


LOOKS = "What the default measurements at the default moments add to a default run in a full stack, every core busy."


def _looks(results: Results) -> str:
    def line(row: Row) -> Row:
        ms = spread(quartiles([1000 * s for s in row["seconds"]]))
        return {"looks at a run": row["looks"], "steps": row["steps"], "ms a look": ms}

    return _shares(results, "look", summary.measuring_share, line)


CHECKPOINTS = (
    "All that a stack has changed, and its runs' records, on disk: fsynced, checksummed; every core busy with it."
)


def _checkpoints(results: Results) -> str:
    def line(row: Row) -> Row:
        ms = spread(quartiles([1000 * s * row["processes"] for s in row["seconds"]]))
        return {"runs of the stack": row["runs"], "ms a checkpoint": ms, "one every": f"{row['every']:g} s"}

    return _shares(results, "checkpoint", summary.checkpointing_share, line)


def _shares(
    results: Results,
    side: str,
    share_of: Callable[[Results, str], summary.Rounds | None],
    line: Callable[[Row], Row],
) -> str:
    """What is done beside training: a line for each norm, with its share of a run."""
    rows = []
    for row in rows_of(results, "steps", side=side):
        share = share_of(results, row["norm"])
        rows.append({"": name(row["norm"]), **line(row), "% of the run": spread(quartiles(share)) if share else ""})
    return markdown(rows)


STARTUP = "Seconds from no process at all; *cold cache*: nothing that `torch.compile` made before is left."


def _startup(results: Results) -> str:
    rows = []
    for row in results["startup"]:
        what = f"{row['what']}, {name(row['norm'])}" if "norm" in row else row["what"]
        rows.append({"what": what, "seconds": f"{median(row['seconds']):.1f}", "times": len(row["seconds"])})
    return markdown(rows)


SWEEP = """`python scripts/train.py -m norm=none,batch optimizer.lr=0.01,0.03,0.1,0.3,1,3,10,30 'seed=range(6)'
steps=… 'measure.what=[accuracy]' hydra/launcher=…`, once each and whole, from the command to its end: imports and
measuring included, and compiling where the launcher's own rule has it pay back."""


def _sweep(results: Results) -> str:
    ours = median(rows_of(results, "sweep", launcher="stacked")[0]["seconds"])
    rows = [
        {
            "launcher": row["launcher"],
            "runs": row["runs"],
            "steps": row["steps"],
            "seconds": f"{median(row['seconds']):.0f}",
            "over stacked": f"{median(row['seconds']) / ours:.1f}",
        }
        for row in results["sweep"]
    ]
    return markdown(rows)


MEMORY = """MB at its most, of all processes of a side together, parent and compiler included. *resident* counts a
page that two processes share twice, *proportional* once; the target is judged by the first."""


def _memory(results: Results) -> str:
    rows = [
        {
            "side": SIDES[row["side"]],
            "runs": row["runs"],
            "": name(row["norm"]),
            "processes": row.get("processes", ""),
            "resident": f"{row['rss']:.0f}",
            "proportional": f"{row['pss']:.0f}",
        }
        for row in results["memory"]
    ]
    return f"{markdown(rows)}\n\n{_least(results)}"


def _least(results: Results) -> str:
    """Why many runs cannot do with less."""
    torch = rows_of(results, "memory", side="import torch")
    many = max(rows_of(results, "memory", side="ours"), key=lambda row: float(row["runs"]), default=None)
    if not torch or many is None:
        return ""
    least = many["processes"] * torch[0]["rss"]
    return (
        f"The {many['processes']} processes of {many['runs']} runs (the command, the server that workers are forked "
        f"from, and a worker for each core) would have {least:.0f} MB resident with nothing but torch."
    )


def _stamps(stamps: dict[str, dict[str, Any]]) -> str:
    """What computed each part: one line where it is the same for all of them."""
    lines: dict[str, list[str]] = {}
    for part, stamp in stamps.items():
        lines.setdefault(", ".join(f"{key} {value}" for key, value in stamp.items()), []).append(part)
    return "## What computed it\n\n" + "\n".join(f"- {', '.join(parts)}: {line}" for line, parts in lines.items())
