"""What measurements look at: fixed examples, the same for every run on a data set."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import torch
from torch import Tensor

from bnlab.measure.sparse import Sparse, sparse

TRAIN_PART = 1000  # training examples on which loss and accuracy are measured


@dataclass(frozen=True)
class Probe:
    """Images as the network sees them (float32) and labels.

    `x`: the examples whose activations are looked at, from the test set ("held-out", as in IS15 Fig. 1).
    `train_batch`: as many from the training set, for gradients. `parts`: all the examples whose loss and accuracy are
    measured, by name; `sparse`: their images once more, where they are mostly 0.
    """

    x: Tensor
    train_batch: tuple[Tensor, Tensor]
    parts: dict[str, tuple[Tensor, Tensor]]
    units: list[int]
    percentiles: list[float]
    training_batches: Callable[[int], Iterator[Tensor]]  # the first so many, whole ones; each is made when asked for
    rate: float = 0.1  # of the run's next update, from where it is looked at
    sparse: dict[str, Sparse | None] = field(default_factory=dict)


def make_probe(
    train: tuple[Tensor, Tensor],
    validation: tuple[Tensor, Tensor],
    test: tuple[Tensor, Tensor],
    transform: Callable[[Tensor], Tensor],
    size: int,
    units: list[int],
    percentiles: list[float],
    batch_size: int,
) -> Probe:
    """The first `size` examples of the test and of the training part, and all of test and validation.

    Images come as uint8 (N, C, H, W), and are transformed here, once, but those of `training_batches`. The sets are in
    random order of class.
    """

    def training_batches(count: int) -> Iterator[Tensor]:
        some = train[0][: count * batch_size]
        return (transform(images) for images in torch.split(some, batch_size) if len(images) == batch_size)

    seen = {
        "train": (transform(train[0][:TRAIN_PART]), train[1][:TRAIN_PART]),
        "validation": (transform(validation[0]), validation[1]),
        "test": (transform(test[0]), test[1]),
    }
    return Probe(
        x=seen["test"][0][:size],
        train_batch=(transform(train[0][:size]), train[1][:size]),
        parts=seen,
        units=units,
        percentiles=percentiles,
        training_batches=training_batches,
        sparse={name: sparse(x) for name, (x, _) in seen.items()},
    )
