"""The benchmark behind scripts/bench.py: sides, the processes that keep them, and the page that shows them."""

from collections.abc import Callable

# Makes about so many steps and returns the work done: run-steps, operations, … Each lives in processes of its own kind,
# as rivals must not profit from the memory settings and matrix kernels of the engine, nor the other way round.
Side = Callable[[int], float]
