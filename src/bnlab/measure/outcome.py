"""How a run ended."""

from collections.abc import Mapping
from typing import Any

STUCK = 1.5  # times the accuracy of chance on the training part


def outcome(last: Mapping[str, Any], diverged: int, classes: int) -> str:
    """How a run ended, from its last record and the first update with a loss that is not finite, or −1.

    `diverged`, `stuck` (at chance, as sigmoid nets do), or `trained`; where accuracy was not measured, none is stuck.
    """
    if diverged >= 0:
        return "diverged"
    return "stuck" if last.get("train/accuracy", 1.0) < STUCK / classes else "trained"
