"""Rivals in plain PyTorch: the loop of a tutorial, and the same with the data in memory."""

import itertools
import math
from collections.abc import Iterator

import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader
from torchvision import transforms

from benchmarks.processes import Side
from bnlab import launcher
from bnlab.config import Config
from bnlab.data import Dataset


class Images(torch.utils.data.Dataset[tuple[Tensor, int]]):
    """Grey images as torchvision's own data sets hand them out: one by one, from PIL through a transform."""

    def __init__(self, dataset: Dataset):
        self.images, self.labels = dataset.train_x[:, 0], dataset.train_y
        self.transform = transforms.Compose([transforms.ToTensor(), transforms.Lambda(lambda x: (x > 0.5).float())])

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        image = Image.fromarray(self.images[index].numpy())
        return self.transform(image), int(self.labels[index])


def tutorial(config: Config, threads: int, loaders: int) -> Side:
    """A `DataLoader` with `loaders` processes, transforms, `torch.nn`, `torch.optim`."""
    dataset = launcher.dataset_of(config)
    fork = "fork" if loaders else None  # Linux's own choice, but not in a process that was itself spawned
    loader = DataLoader(Images(dataset), config.batch_size, True, num_workers=loaders, multiprocessing_context=fork)
    return _loop(config, dataset, threads, itertools.chain.from_iterable(itertools.repeat(loader)))


def in_memory(config: Config, threads: int) -> Side:
    """The same net and optimizer, the images transformed once and kept as one tensor."""
    dataset = launcher.dataset_of(config)
    images, labels = dataset.transform(dataset.train_x), dataset.train_y

    def endless() -> Iterator[tuple[Tensor, Tensor]]:
        while True:
            for rows in torch.randperm(len(images)).split(config.batch_size):
                yield images[rows], labels[rows]

    return _loop(config, dataset, threads, endless())


def network(config: Config, inputs: int, classes: int) -> nn.Sequential:
    """The config's MLP, as one writes it with `torch.nn`; of norms, `batch` and `none`."""
    width, batch_norm = config.model["width"], config.norm["name"] == "batch"
    layers: list[nn.Module] = [nn.Flatten()]
    for fan_in in [inputs, *[width] * (config.model["depth"] - 1)]:
        layers += [nn.Linear(fan_in, width, bias=not batch_norm)]
        layers += [nn.BatchNorm1d(width)] if batch_norm else []
        layers += [nn.Sigmoid()]
    return nn.Sequential(*layers, nn.Linear(width, classes))


def _loop(config: Config, dataset: Dataset, threads: int, batches: Iterator[tuple[Tensor, Tensor]]) -> Side:
    torch.manual_seed(config.seed)
    net = network(config, math.prod(dataset.inputs), dataset.classes)
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
