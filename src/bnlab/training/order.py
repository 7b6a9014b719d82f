"""The order of the data: a function of the seed alone, so arms that share a seed see the same batches."""

from functools import lru_cache

import numpy as np
import torch
from torch import Tensor


def batches(seed: int, examples: int, batch_size: int, first: int, count: int) -> Tensor:
    """Indices (count, batch_size) of the training examples of updates first … first+count−1.

    The stream is one permutation of the training set after another; a batch may straddle two, so no example is left
    out and no batch is short.
    """
    begin, end = first * batch_size, (first + count) * batch_size
    epochs = range(begin // examples, (end - 1) // examples + 1)
    stream = torch.cat([_permutation(seed, epoch, examples) for epoch in epochs])
    offset = begin - epochs.start * examples
    return stream[offset : offset + end - begin].view(count, batch_size)


@lru_cache(maxsize=64)
def _permutation(seed: int, epoch: int, examples: int) -> Tensor:
    return torch.from_numpy(np.random.default_rng([seed, epoch]).permutation(examples))
