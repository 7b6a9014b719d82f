"""Where the time of a compiled stack's step goes: products, convolutions, copies, fused kernels, and all the rest."""

import time
from collections.abc import Sequence
from math import prod
from typing import Any

import torch

from benchmarks import matrix, ours
from benchmarks.parts import sweep_of
from benchmarks.processes import Team
from benchmarks.summary import Row
from bnlab import provenance
from bnlab.config import Config
from bnlab.launcher import grouping as launcher

STEPS = 200  # of the stack
PRODUCTS = ("aten::mm", "aten::bmm", "aten::addmm", "aten::baddbmm", "aten::addmm_", "aten::baddbmm_")


def profile(configs: Sequence[Config]) -> list[Row]:
    """A row for each matrix product by its shape, one for copies, fused kernels, and the rest.

    For each norm, of a full stack, every core busy with one as in a sweep (what is shown is the first one's); and of a
    run alone, where one core is idle.
    """
    rows: list[Row] = []
    with Team(provenance.cores()) as workers, Team() as one:
        for config in configs:
            for team, count in ((workers, launcher.most_together(config)), (one, 1)):
                seen = team.ask(of_a_step, config, count, STEPS)[0]
                rows += [{"norm": config.norm["name"], "runs": count, **row} for row in seen]
    return rows


def of_a_step(config: Config, count: int, steps: int) -> list[Row]:
    """Seconds that one step of a stack of `count` runs spends where, over `steps`; on this core, with one thread."""
    torch._inductor.config.cpp.enable_kernel_profile = True  # else compiled kernels are not seen
    side = ours.stacks([sweep_of(config, count)], 1)
    side(steps)
    begin = time.perf_counter()
    side(steps)
    bare = (time.perf_counter() - begin) / steps
    with torch.profiler.profile(record_shapes=True) as seen:
        side(steps)
    return _rows(seen.key_averages(group_by_input_shape=True), bare, steps, count * matrix.operations(config))


def _rows(events: Any, bare: float, steps: int, operations: int) -> list[Row]:
    """Seconds of one step of the stack; the rest is what is left of a step without the profiler, `bare`.

    What of its `operations` is in no product is in convolutions.
    """
    rows: list[Row] = []
    convolutions, other = 0.0, {"copies into operands of products": 0.0, "fused kernels": 0.0}
    for event in events:
        seconds = event.self_cpu_time_total * 1e-6 / steps
        if event.key in PRODUCTS:
            added = "add" in event.key  # to what stands first; after the operands may stand where the result goes
            a, b = event.input_shapes[added : added + 2]
            what = " @ ".join("×".join(map(str, shape)) for shape in (a, b)) + (", added to weights" if added else "")
            flop = 2 * prod(a) * b[-1] * event.count / steps
            rows.append({"what": what, "seconds": seconds, "flop": flop})
        elif "fused" in event.key:  # first, as its name lists what it holds, or lies between
            other["fused kernels"] += seconds
        elif "convolution" in event.key:
            convolutions += seconds
        elif event.key == "aten::copy_":  # made inside a product, of an operand that is not laid out as it needs
            other["copies into operands of products"] += seconds
    if convolutions:
        flop = operations - sum(row["flop"] for row in rows)
        rows.append({"what": "convolutions, forwards and backwards", "seconds": convolutions, "flop": flop})
    rows.sort(key=lambda row: -float(row["seconds"]))
    other["everything else"] = max(0.0, bare - sum(other.values()) - sum(row["seconds"] for row in rows))
    return rows + [{"what": what, "seconds": seconds, "flop": 0} for what, seconds in other.items()]
