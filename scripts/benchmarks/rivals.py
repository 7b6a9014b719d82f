"""Rivals in plain PyTorch: the loop of a tutorial, and the same with the data in memory."""

import itertools
import math
from collections.abc import Callable, Iterator
from typing import Any

import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader
from torchvision import transforms

from benchmarks import Side
from bnlab.config import Config
from bnlab.data import Dataset
from bnlab.launcher.one_stack import dataset_of


class Images(torch.utils.data.Dataset[tuple[Tensor, int]]):
    """Images as torchvision's own data sets hand them out: one by one, from PIL through transforms."""

    def __init__(self, dataset: Dataset):
        # (N, H, W), or (N, H, W, 3): how PIL wants them
        self.images, self.labels = dataset.train_x.movedim(1, -1).squeeze(-1), dataset.train_y
        steps: list[Callable[[Any], Any]] = [transforms.ToTensor()]
        if dataset.augment:
            crop = transforms.RandomCrop(dataset.inputs[1:], dataset.augment.pad)
            steps = [crop, transforms.RandomHorizontalFlip(), *steps]
        if dataset.transform.name == "binarise":
            steps.append(transforms.Lambda(lambda x: (x > 0.5).float()))
        else:
            steps.append(transforms.Normalize(dataset.transform.mean.flatten(), dataset.transform.std.flatten()))
        self.transform = transforms.Compose(steps)

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        image = Image.fromarray(self.images[index].numpy())
        return self.transform(image), int(self.labels[index])


def tutorial(config: Config, threads: int, loaders: int) -> Side:
    """A `DataLoader` with `loaders` processes, transforms, `torch.nn`, `torch.optim`."""
    dataset = dataset_of(config)
    fork = "fork" if loaders else None  # Linux's own choice, but not in a process that was itself spawned
    loader = DataLoader(Images(dataset), config.batch_size, True, num_workers=loaders, multiprocessing_context=fork)
    return _loop(config, dataset, threads, itertools.chain.from_iterable(itertools.repeat(loader)))


def in_memory(config: Config, threads: int) -> Side:
    """The same net and optimizer, the data one tensor; transformed once, or where views are drawn batch by batch."""
    dataset = dataset_of(config)
    augment, labels = dataset.augment, dataset.train_y
    images = dataset.train_x if augment else dataset.transform(dataset.train_x)

    def endless() -> Iterator[tuple[Tensor, Tensor]]:
        while True:
            for rows in torch.randperm(len(images)).split(config.batch_size):
                x = images[rows]
                if augment:
                    x = dataset.transform(augment(x, torch.randint(augment.views, rows.shape)))
                yield x, labels[rows]

    return _loop(config, dataset, threads, endless())


def network(config: Config, inputs: tuple[int, ...], classes: int) -> nn.Sequential:
    """The config's net, as one writes it with `torch.nn`; of norms, `batch` and `none`."""
    layers = {"mlp": _mlp, "convnet": _convnet}[config.model["name"]]
    width, depth, batch_norm = config.model["width"], config.model["depth"], config.norm["name"] == "batch"
    return nn.Sequential(*layers(inputs, classes, width, depth, batch_norm))


def _mlp(inputs: tuple[int, ...], classes: int, width: int, depth: int, bn: bool) -> Iterator[nn.Module]:
    yield nn.Flatten()
    for fan_in in [math.prod(inputs), *[width] * (depth - 1)]:
        yield nn.Linear(fan_in, width, bias=not bn)
        yield from [nn.BatchNorm1d(width)] if bn else []
        yield nn.Sigmoid()
    yield nn.Linear(width, classes)


def _convnet(inputs: tuple[int, ...], classes: int, width: int, depth: int, bn: bool) -> Iterator[nn.Module]:
    maps = inputs[0]
    for k in range(depth):
        yield from [nn.MaxPool2d(2)] if k and k % 2 == 0 else []
        fan_in, maps = maps, width * 2 ** (k // 2)
        yield nn.Conv2d(fan_in, maps, 3, padding=1, bias=not bn)
        yield from [nn.BatchNorm2d(maps)] if bn else []
        yield nn.ReLU()
    yield from [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(maps, classes)]


def _loop(config: Config, dataset: Dataset, threads: int, batches: Iterator[tuple[Tensor, Tensor]]) -> Side:
    torch.manual_seed(config.seed)
    net = network(config, dataset.inputs, dataset.classes)
    optimizer = torch.optim.SGD(net.parameters(), lr=config.optimizer["lr"])

    def side(steps: int) -> float:
        torch.set_num_threads(threads)
        for x, y in itertools.islice(batches, steps):
            optimizer.zero_grad()
            F.cross_entropy(net(x), y).backward()
            optimizer.step()
        return steps

    side.network = net  # type: ignore[attr-defined]  # for the tests: what is timed must train
    return side


def product(size: int, threads: int) -> Side:
    """`steps` fp32 products of square matrices; its work is in floating-point operations."""
    x, y, out = torch.rand(3, 1, size, size)

    def side(steps: int) -> float:
        torch.set_num_threads(threads)
        for _ in range(steps):
            torch.bmm(x, y, out=out)
        return 2 * size**3 * steps

    return side


def operations(config: Config) -> int:
    """Of the products in an update of an MLP: forwards, and backwards by weights and, past the first layer, inputs."""
    dataset = dataset_of(config)
    weights = network(config, dataset.inputs, dataset.classes).parameters()
    sizes = [weight.numel() for weight in weights if weight.ndim == 2]
    return 2 * config.batch_size * (3 * sum(sizes) - sizes[0])
