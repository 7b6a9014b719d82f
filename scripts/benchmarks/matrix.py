"""The arithmetic of a step, and the fastest fp32 matrix product that this machine can be made to do."""

import json
from functools import cache
from typing import Any

import numpy as np
import torch
from threadpoolctl import threadpool_limits
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from benchmarks import rivals
from benchmarks.ours import machine
from benchmarks.processes import Side
from bnlab.config import Config
from bnlab.launcher import one_stack as launcher

# (b, m, k, n): b products m×k @ k×n. Squares, where a kernel is at its best, and the largest of a stack of 8.
SHAPES = [(1, 512, 512, 512), (1, 1024, 1024, 1024), (1, 2048, 2048, 2048), (1, 60, 784, 800), (1, 800, 60, 784)]
KERNELS = ["torch", "chosen", "numpy"]  # torch's default; what `prepare` chose, where that is another; OpenBLAS


def operations(config: Config) -> int:
    """Floating-point operations of the products and convolutions in one update of one run, as torch counts them."""
    dataset = launcher.dataset_of(config)
    return _operations(config.model_dump_json(include={"model", "norm", "batch_size"}), dataset.inputs, dataset.classes)


@cache
def _operations(settings: str, inputs: tuple[int, ...], classes: int) -> int:
    config = Config.model_construct(**json.loads(settings))
    x = torch.empty(config.batch_size, *inputs, device="meta")
    y = torch.zeros(config.batch_size, dtype=torch.int64, device="meta")
    network = rivals.network(config, inputs, classes).to("meta")
    with FlopCounterMode(display=False) as counter:
        F.cross_entropy(network(x), y).backward()
    return int(counter.get_total_flops())


def product(config: Config, threads: int, kernel: str, shape: tuple[int, int, int, int]) -> Side:
    """`steps` products of one shape, in place; its work is in floating-point operations."""
    machine(config, threads)
    chosen: Any = torch.backends.mkldnn.matmul  # type: ignore[attr-defined]
    precision = chosen.fp32_precision
    b, m, k, n = shape
    x, y, out = (torch.rand(b, *size) for size in [(m, k), (k, n), (m, n)])
    arrays = x.numpy(), y.numpy(), out.numpy()

    def side(steps: int) -> float:
        if kernel == "numpy":
            with threadpool_limits(threads):
                for _ in range(steps):
                    np.matmul(*arrays[:2], out=arrays[2])
            return 2 * b * m * k * n * steps
        chosen.fp32_precision = "none" if kernel == "torch" else precision
        for _ in range(steps):
            torch.bmm(x, y, out=out)
        chosen.fp32_precision = precision
        return 2 * b * m * k * n * steps

    return side
