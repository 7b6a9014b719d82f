"""The benchmark behind scripts/bench.py: what is timed, how, and how it is shown.

A *side* is a function `steps -> work done`, kept in a process of its own kind: the rivals must not profit from the
memory settings and matrix kernels of the engine, nor the other way round. Sides are timed in turn, round by round.
"""
