"""When a run is measured."""

from collections.abc import Iterable

import numpy as np


def moments(steps: int, per_decade: int, listed: Iterable[int] = ()) -> list[int]:
    """Sorted numbers of updates made, from 0 to `steps`: log-spaced ones, those `listed`, and both ends.

    `per_decade` moments per factor of ten, counted from the first update; 0 for none. The end stands for a log-spaced
    moment less than half a spacing before it.
    """
    chosen = {0, steps, *(step for step in listed if step <= steps)}
    if per_decade:
        decades = np.log10(steps)
        spaced = 10 ** np.linspace(0, np.ceil(decades), int(np.ceil(decades)) * per_decade + 1)
        last = steps / 10 ** (0.5 / per_decade)
        chosen |= {int(step) for step in np.rint(spaced) if step <= last}
    return sorted(chosen)
