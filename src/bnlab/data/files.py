"""The files of torchvision's data sets: where they lie, whether they are the originals, and how they are fetched."""

import gzip
import hashlib
import socket
import urllib.request
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn
from urllib.error import URLError

import torch
from torch import Tensor

from bnlab.config import ConfigError
from bnlab.data.dataset import Raw

TORCHVISION = {  # names of its classes
    "mnist": "MNIST",
    "fashion_mnist": "FashionMNIST",
    "cifar10": "CIFAR10",
    "cifar100": "CIFAR100",
}
# torchvision's own address of Fashion-MNIST is http; its authors keep the same archives in their repository
HTTPS = {"fashion_mnist": "https://github.com/zalandoresearch/fashion-mnist/raw/master/data/fashion/"}
# md5 of the unpacked files, however they are packed: training images and labels, then those to test
IDX_MD5 = {
    "mnist": {
        "train-images-idx3-ubyte": "6bbc9ace898e44ae57da46a324031adb",
        "train-labels-idx1-ubyte": "a25bea736e30d166cdddb491f175f624",
        "t10k-images-idx3-ubyte": "2646ac647ad5339dbf082846283269ea",
        "t10k-labels-idx1-ubyte": "27ae3e4e09519cfbb04c329615203637",
    },
    "fashion_mnist": {
        "train-images-idx3-ubyte": "f4a8712d7a061bf5bd6d2ca38dc4d50a",
        "train-labels-idx1-ubyte": "9018921c3c673c538a1fc5bad174d6f9",
        "t10k-images-idx3-ubyte": "8181f5470baa50b63fa0f6fddb340f0a",
        "t10k-labels-idx1-ubyte": "15d484375f8d13e6eb1aabb0c3f46965",
    },
}
OFFLINE = {  # other ways to come by the same files
    "fashion_mnist": "on Debian: apt install dataset-fashion-mnist, then data.root=/usr/share/datasets/fashion-mnist",
}
DOWNLOAD_TIMEOUT = 20  # seconds without an answer


def read(name: str, root: str) -> Raw:
    """The data set `name`, downloaded where files of it are missing below `root`.

    `root` is a folder in torchvision's layout. The four files of MNIST or of its relatives may also lie in `root`
    itself, and each may be packed by gzip. Raises `ConfigError` where the data set cannot be had, or a file is not the
    original's.
    """
    below = Path(root).expanduser()
    if not present_below(name, root):
        _download(name, below)
    contents = (_checked(file, md5, name) for file, md5 in _files(name, below).items())
    source = f"torchvision {TORCHVISION[name]}"
    if name in IDX_MD5:
        train_x, train_y, test_x, test_y = map(_idx, contents)
        return Raw(train_x, train_y, test_x, test_y, source, "md5")
    for _ in contents:  # all are checked before one is opened: they are pickles
        pass
    train, test = (_kind(name)(str(below), train=train) for train in (True, False))
    return Raw(*_tensors(train), *_tensors(test), source, "md5")


def present_below(name: str, root: str) -> bool:
    """Whether all files of the data set `name` are there; looks into none."""
    return all(file.is_file() for file in _files(name, Path(root).expanduser()))


def _kind(name: str) -> Any:
    from torchvision import datasets  # here: it takes seconds, and few processes need it

    kind = getattr(datasets, TORCHVISION[name])
    return type(kind.__name__, (kind,), {"mirrors": [HTTPS[name]]}) if name in HTTPS else kind


def _files(name: str, root: Path) -> dict[Path, str]:
    """The files that a data set is read from, with the md5 of what is in them."""
    if name not in IDX_MD5:
        kind = _kind(name)
        known = {**dict([*kind.train_list, *kind.test_list]), kind.meta["filename"]: kind.meta["md5"]}
        return {root / kind.base_folder / file: md5 for file, md5 in known.items()}
    wanted = IDX_MD5[name]
    usual = _folder(name, root)
    found = [{_packed_or_not(folder / file): md5 for file, md5 in wanted.items()} for folder in (usual, root)]
    return next((files for files in found if all(file.is_file() for file in files)), found[0])


def _folder(name: str, root: Path) -> Path:
    """Where torchvision keeps the files of a data set."""
    return root / TORCHVISION[name] / "raw" if name in IDX_MD5 else root / _kind(name).base_folder


def _packed_or_not(file: Path) -> Path:
    archive = file.with_name(f"{file.name}.gz")
    return archive if archive.is_file() and not file.is_file() else file


def _checked(file: Path, md5: str, name: str) -> bytes:
    """What is in a file, unpacked. Raises `ConfigError` where that is not what has this md5."""
    try:
        content = file.read_bytes()
        content = gzip.decompress(content) if file.suffix == ".gz" else content
    except (EOFError, gzip.BadGzipFile, zlib.error):
        content = b""
    if hashlib.md5(content).hexdigest() != md5:
        raise ConfigError(
            f"{file} is truncated, altered, or of another data set: the md5 of what is in it is not that of {name}'s. "
            f"Name another data.root, or delete it: whatever asks for {name} next fetches it again"
        )
    return content


def _idx(content: bytes) -> Tensor:
    """Images uint8 (N, 1, 28, 28), or labels int64 (N,), of a file in MNIST's format.

    Its head is 4 bytes, the last of them the number of dimensions, and 4 bytes for the size of each.
    """
    dimensions = content[3]
    values = torch.frombuffer(bytearray(content), dtype=torch.uint8, offset=4 + 4 * dimensions)
    return values.view(-1, 1, 28, 28) if dimensions == 3 else values.long()


def _tensors(part: Any) -> tuple[Tensor, Tensor]:
    """Images uint8 (N, C, H, W) and labels int64 (N,) of torchvision's N×H×W×C."""
    return torch.as_tensor(part.data).permute(0, 3, 1, 2).contiguous(), torch.as_tensor(part.targets).long()


# ---- downloads --------------------------------------------------------------------------------------------


def _download(name: str, root: Path) -> None:
    """Have torchvision fetch a data set; it checks the md5 of an archive before it unpacks it."""
    folder = _folder(name, root)
    made = [folder, *([folder.parent] if name in IDX_MD5 else []), *([] if root.exists() else [root])]
    try:
        with _https_alone(DOWNLOAD_TIMEOUT):
            _kind(name)(str(root), download=True)
    except (OSError, RuntimeError) as error:
        _remove_if_empty(*made)
        reason = " ".join(str(error).split())
        other = f" ({OFFLINE[name]})" if name in OFFLINE else ""
        raise ConfigError(
            f"data={name} is not in {root} and could not be downloaded ({reason}). Set BNLAB_DATA or data.root to a "
            f"folder that holds {folder.relative_to(root)}{other}, or use data=mnist_sample, which needs no download"
        ) from None


def _remove_if_empty(*folders: Path) -> None:
    for folder in folders:
        if folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()


class _RefuseHTTP(urllib.request.HTTPHandler):
    """torchvision tries http where https does not answer, and a redirect may lead there too."""

    def http_open(self, request: urllib.request.Request) -> NoReturn:
        raise URLError(f"{request.full_url} is not https")


@contextmanager
def _https_alone(seconds: float) -> Iterator[None]:
    """Within, nothing is fetched over plain http, and a server that is silent for `seconds` is given up."""
    timeout, opener = socket.getdefaulttimeout(), urllib.request._opener  # type: ignore[attr-defined]
    socket.setdefaulttimeout(seconds)
    urllib.request.install_opener(urllib.request.build_opener(_RefuseHTTP))
    try:
        yield
    finally:
        socket.setdefaulttimeout(timeout)
        urllib.request.install_opener(opener)
