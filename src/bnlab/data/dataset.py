"""A data set in memory: its parts, how pixels become a network's inputs, and what says which data it is."""

import hashlib
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from bnlab.config import ConfigError
from bnlab.data.augment import Augment

TransformName = Literal["binarise", "standardise", "scale"]


@dataclass(frozen=True)
class Transform:
    """Pixels (…, C, H, W), uint8 or the same numbers as float32, as the network sees them: float32 of the same shape.

    `binarise` is the paper's input (IS15 §4.1: "binary image"; it states no threshold, ours is 0.5).
    """

    name: TransformName
    mean: Tensor  # (C, 1, 1), of x/255
    std: Tensor  # (C, 1, 1)

    def __call__(self, x: Tensor) -> Tensor:
        if self.name == "binarise":
            return (x.float() > 127).float()  # x/255 > 0.5
        scaled = x.float() * (1 / 255)
        return scaled if self.name == "scale" else (scaled - self.mean) / self.std

    def to(self, device: torch.device) -> "Transform":
        return Transform(self.name, self.mean.to(device), self.std.to(device))


@dataclass(frozen=True)
class Dataset:
    """Images uint8 (N, C, H, W), labels int64 (N,); the validation part is cut from the training part."""

    train_x: Tensor
    train_y: Tensor
    val_x: Tensor
    val_y: Tensor
    test_x: Tensor
    test_y: Tensor
    transform: Transform
    provenance: dict[str, Any]
    augment: Augment | None = None  # of what is trained on

    @property
    def inputs(self) -> tuple[int, ...]:
        return tuple(self.train_x.shape[1:])

    @property
    def classes(self) -> int:
        return int(self.train_y.max()) + 1

    def to(self, device: torch.device) -> "Dataset":
        """The same data set with its tensors on `device`."""
        parts = vars(self).items()
        moved: dict[str, Any] = {name: part.to(device) for name, part in parts if isinstance(part, Tensor | Transform)}
        return replace(self, **moved)


@dataclass(frozen=True)
class Raw:
    """What a source gives: uint8 N×C×H×W images and int64 labels, before the validation split."""

    train_x: Tensor
    train_y: Tensor
    test_x: Tensor
    test_y: Tensor
    source: str
    checked: str


def split(raw: Raw, name: str, transform: TransformName, validation: int, augment: Augment | None = None) -> Dataset:
    """`raw` with `validation` of its training examples apart, and statistics of pixels from those that are left."""
    total = len(raw.train_x)
    if validation >= total:
        raise ConfigError(f"data.validation={validation}: must be less than the {total} training examples")
    # The split is one fixed permutation: it depends on no run's seed.
    order = torch.from_numpy(np.random.default_rng(20150211).permutation(total))
    train, val = order[validation:].sort().values, order[:validation].sort().values
    mean, std = _mean_and_std(raw.train_x[train])
    column = (-1, 1, 1)
    return Dataset(
        raw.train_x[train],
        raw.train_y[train],
        raw.train_x[val],
        raw.train_y[val],
        raw.test_x,
        raw.test_y,
        Transform(transform, mean.float().reshape(column), std.float().reshape(column)),
        provenance={
            "name": name,
            "source": raw.source,
            "checked": raw.checked,
            "sha256": _checksum(raw),
            "examples": {"train": len(train), "validation": validation, "test": len(raw.test_x)},
            "transform": transform,
        },
        augment=augment,
    )


def _mean_and_std(x: Tensor) -> tuple[Tensor, Tensor]:
    """Of x/255 by channel; from counts of the 256 values, a thousand images at a time: both in float64 and for
    counting, a whole set is eight times its size, and freed memory stays with the process."""
    channels = range(x.shape[1])
    counts = torch.zeros(len(channels), 256, dtype=torch.float64)
    for some in torch.split(x, 1000):
        counts += torch.stack([torch.bincount(some[:, c].flatten(), minlength=256) for c in channels])
    total, values = counts.sum(1), torch.arange(256).double() / 255
    mean = counts @ values / total
    return mean, ((counts @ values**2 / total - mean**2) * total / (total - 1)).sqrt()


def _checksum(raw: Raw) -> str:
    """16 hexadecimal digits over every pixel and label, whatever file they came from."""
    digest = hashlib.sha256()
    for tensor in (raw.train_x, raw.train_y, raw.test_x, raw.test_y):
        digest.update(tensor.contiguous().numpy().data)
    return digest.hexdigest()[:16]
