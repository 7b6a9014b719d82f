"""The order and the views of the data: functions of the seed alone, so arms that share one see the same batches."""

from collections.abc import Callable
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor


def batches(seed: int, examples: int, batch_size: int, first: int, count: int) -> Tensor:
    """Indices (count, batch_size) of the training examples of updates first … first+count−1.

    The stream is one permutation of the training set after another; a batch may straddle two, so no example is left
    out and no batch is short.
    """
    return _stretch(lambda epoch: _permutation(seed, epoch, examples), examples, batch_size, first, count)


def fixed_batches(seed: int, examples: int, batch_size: int, first: int, count: int) -> Tensor:
    """The same for batches that are formed once: an epoch is a permutation of them, so batch mates stay together.

    What is left of the training set when it is cut into batches is left out.
    """
    whole = examples // batch_size
    formed = _permutation(seed, 0, examples)[: whole * batch_size].view(whole, batch_size)
    return formed[batches(seed, whole, 1, first, count).flatten()]


def views_of(seed: int, views: int, examples: int, batch_size: int, first: int, count: int) -> Tensor:
    """Which of its `views` is shown of each example of the same updates: (count, batch_size), each equally often."""
    return _stretch(lambda epoch: _views(seed, epoch, views, examples), examples, batch_size, first, count)


def _stretch(of_epoch: Callable[[int], Tensor], examples: int, batch_size: int, first: int, count: int) -> Tensor:
    """What `of_epoch` gives, one value an example, cut into batches from one epoch to the next."""
    begin, end = first * batch_size, (first + count) * batch_size
    epochs = range(begin // examples, (end - 1) // examples + 1)
    stream = torch.cat([of_epoch(epoch) for epoch in epochs])
    offset = begin - epochs.start * examples
    return stream[offset : offset + end - begin].view(count, batch_size)


@lru_cache(maxsize=64)
def _permutation(seed: int, epoch: int, examples: int) -> Tensor:
    return torch.from_numpy(np.random.default_rng([seed, epoch]).permutation(examples))


@lru_cache(maxsize=64)
def _views(seed: int, epoch: int, views: int, examples: int) -> Tensor:
    return torch.from_numpy(np.random.default_rng([seed, epoch, 1]).integers(views, size=examples))


ORDERS: dict[str, Callable[[int, int, int, int, int], Tensor]] = {"examples": batches, "batches": fixed_batches}
