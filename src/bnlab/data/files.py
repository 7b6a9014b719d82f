"""The files of torchvision's data sets: where they lie, whether they are the originals, and how they are fetched."""

import gzip
import hashlib
import socket
import urllib.request
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
# md5 of the four unpacked files; torchvision checks those of the archives it downloads
MNIST_MD5 = {
    "train-images-idx3-ubyte": "6bbc9ace898e44ae57da46a324031adb",
    "train-labels-idx1-ubyte": "a25bea736e30d166cdddb491f175f624",
    "t10k-images-idx3-ubyte": "2646ac647ad5339dbf082846283269ea",
    "t10k-labels-idx1-ubyte": "27ae3e4e09519cfbb04c329615203637",
}
DOWNLOAD_TIMEOUT = 20  # seconds without an answer


def read(name: str, root: str) -> Raw:
    """The data set `name`, downloaded where files of it are missing below `root`, a folder in torchvision's layout.

    Raises `ConfigError` where it cannot be had, or a file is not the original's.
    """
    kind = _kind(name)
    below = Path(root).expanduser()
    if not present_below(name, root):
        _download(name, kind, below)
    for file in _files(kind, below):
        if not _is_original(kind, file):
            raise ConfigError(
                f"{file} is truncated, altered, or without its archive: its md5 is not the original's. "
                f"Delete {file.parent}: whatever asks for {name} next fetches it again"
            )
    train, test = (kind(str(below), train=train) for train in (True, False))
    return Raw(*_tensors(train), *_tensors(test), f"torchvision {kind.__name__}", "md5")


def present_below(name: str, root: str) -> bool:
    """Whether all files of the data set `name` are there; looks into none."""
    return all(file.is_file() for file in _files(_kind(name), Path(root).expanduser()))


def _kind(name: str) -> Any:
    from torchvision import datasets  # here: it takes seconds, and few processes need it

    kind = getattr(datasets, TORCHVISION[name])
    return type(kind.__name__, (kind,), {"mirrors": [HTTPS[name]]}) if name in HTTPS else kind


def _tensors(part: Any) -> tuple[Tensor, Tensor]:
    """Images uint8 (N, C, H, W) and labels int64 (N,) of torchvision's N×H×W or N×H×W×C."""
    x = torch.as_tensor(part.data)
    x = x.unsqueeze(1) if x.dim() == 3 else x.permute(0, 3, 1, 2).contiguous()
    return x, torch.as_tensor(part.targets).long()


def _is_cifar(kind: Any) -> bool:
    return hasattr(kind, "base_folder")


def _files(kind: Any, root: Path) -> list[Path]:
    """The files that a data set is read from."""
    if _is_cifar(kind):
        return [root / kind.base_folder / name for name in _cifar_md5(kind)]
    return [root / kind.__name__ / "raw" / name for name in MNIST_MD5]


def _cifar_md5(kind: Any) -> dict[str, str]:
    return {**dict([*kind.train_list, *kind.test_list]), kind.meta["filename"]: kind.meta["md5"]}


def _is_original(kind: Any, file: Path) -> bool:
    """Whether a file has the md5 that is known of it.

    CIFAR's are pickles, so none may be opened before. MNIST's unpacked files have their md5 here; for its relatives
    the archives that torchvision keeps beside them have, and the unpacked file must equal its archive.
    """
    content = file.read_bytes()
    known = _cifar_md5(kind) if _is_cifar(kind) else MNIST_MD5 if kind.__name__ == "MNIST" else {}
    if known:
        return hashlib.md5(content).hexdigest() == known[file.name]
    archive = file.with_name(f"{file.name}.gz")
    packed = archive.read_bytes() if archive.is_file() else b""
    intact = (archive.name, hashlib.md5(packed).hexdigest()) in kind.resources
    return intact and gzip.decompress(packed) == content


# ---- downloads --------------------------------------------------------------------------------------------


def _download(name: str, kind: Any, root: Path) -> None:
    """Have torchvision fetch a data set; it checks the md5 of an archive before it unpacks it."""
    folder = _files(kind, root)[0].parent
    made = [folder, *([] if _is_cifar(kind) else [folder.parent]), *([] if root.exists() else [root])]
    try:
        with _https_alone(DOWNLOAD_TIMEOUT):
            kind(str(root), download=True)
    except (OSError, RuntimeError) as error:
        _remove_if_empty(*made)
        reason = " ".join(str(error).split())
        raise ConfigError(
            f"data={name} is not in {root} and could not be downloaded ({reason}). Set BNLAB_DATA or data.root to a "
            f"folder that holds {folder.relative_to(root)}, or use data=mnist_sample, which needs no download"
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
