"""Hydra plugins that make stacks, not runs, the unit of work: Hydra finds them in the package `hydra_plugins`."""
