"""Tables of the part `profile`: where a step goes, and what that says of the targets. Needs no torch."""

from statistics import median

from benchmarks import summary
from benchmarks.cells import markdown, of_a_step
from benchmarks.summary import NORMS, Results, Row, rows_of
from bnlab.plots import name

STEPS = """Shares of a compiled step, from the profiler: of a stack of eight runs of one seed, every core busy, and
of a run alone on one core; with the rate of each product, on one core. What is no product is the part that no faster
matrix kernel can shorten; *everything else* is Python around compiled code, and the looking up of batches."""


def steps(results: Results) -> str:
    rows = []
    groups = [(norm, runs) for runs in (True, False) for norm in NORMS]
    for norm, stack in groups:
        seen = _profiled(results, norm, stack)
        total = sum(row["seconds"] for row in seen)
        for row in seen:
            part = of_a_step(row["what"], row["seconds"], row["flop"], total)
            rows.append({"": name(norm), "runs": row["runs"], **part})
    limits = [limit for of in (_limit, _aims, _limit_alone) for norm in NORMS if (limit := of(results, norm))]
    return "\n".join([markdown(rows), *(["", *limits] if limits else [])])


def _profiled(results: Results, norm: str, stack: bool) -> list[Row]:
    """Of a stack, or of a run alone."""
    return [row for row in rows_of(results, "profile", norm=norm) if (row["runs"] > 1) == stack]


def _limit(results: Results, norm: str) -> str:
    """What the share of the best matrix rate could be at most, with the products as fast as they are."""
    products = [row for row in _profiled(results, norm, stack=True) if row["flop"]]
    best, kept = summary.best_product(results), rows_of(results, "steps", side="checkpoint")
    if not products or best is None or not kept:
        return ""
    of_one_core = 1 / median(best["seconds"]) / kept[0]["processes"]
    rate = sum(row["flop"] for row in products) / sum(row["seconds"] for row in products)
    share = 100 * rate / of_one_core
    return (
        f"- A stack, {name(norm)}: its products take place at {1e-9 * rate:.0f} billion operations a second and core, "
        f"the fastest at {1e-9 * of_one_core:.0f}: were all else free, the step would reach {share:.0f} % of that."
    )


def _aims(results: Results, norm: str) -> str:
    """At what share of the best matrix rate the stack would meet its targets against rivals."""
    told = []
    for what, rival, times in summary.RIVALS:
        row = rival(results, norm)
        shares = summary.peak_shares(results, row) if row else None
        if shares:
            told.append(f"{times * median(shares):.0f} % for {times} times {what}")
    return f"- What the targets take, {name(norm)}: {', '.join(told)}." if told else ""


def _limit_alone(results: Results, norm: str) -> str:
    """What a run alone spends outside of compiled code, beside JAX, whose loop itself is compiled."""
    seen, rival = _profiled(results, norm, stack=False), summary.jax_alone(results, norm)
    if not seen or rival is None:
        return ""
    rest = sum(row["seconds"] for row in seen if row["what"] == "everything else")
    total, theirs = sum(row["seconds"] for row in seen), median(rival["seconds"])
    return (
        f"- Alone, {name(norm)}: of {1e6 * total:.0f} µs a step, {1e6 * rest:.0f} are spent outside of products and "
        f"kernels. JAX, which compiles the loop over steps as well (`scan`), takes {1e6 * theirs:.0f}."
    )
