"""The arithmetic of a step, and the fastest fp32 matrix product that this machine can be made to do."""

from typing import Any

import numpy as np
import torch
from threadpoolctl import threadpool_limits

from benchmarks.ours import machine
from benchmarks.processes import Side
from bnlab.config import Config

# (b, m, k, n): b products m×k @ k×n. Squares, where a kernel is at its best, and the largest of a stack of 8.
SHAPES = [(1, 512, 512, 512), (1, 1024, 1024, 1024), (1, 2048, 2048, 2048), (1, 60, 784, 800), (1, 800, 60, 784)]
KERNELS = ["torch", "chosen", "numpy"]  # torch's default; what `prepare` chose, where that is another; OpenBLAS


def flops(fan_in: int, classes: int, width: int, depth: int, batch_size: int) -> int:
    """Floating-point operations of the matrix products in one update of one MLP.

    Each weight takes part in the forward product and in that of its own gradient; all but the first layer's in the
    gradient of the layer's inputs, too.
    """
    first, later = fan_in * width, (depth - 1) * width * width + width * classes
    return 2 * batch_size * (2 * (first + later) + later)


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
