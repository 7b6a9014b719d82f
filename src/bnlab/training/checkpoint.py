"""Checkpoints: all that a training has changed, on disk; whole or not there, and loaded without running any code."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

import safetensors.torch
from safetensors import SafetensorError
from torch import Tensor

from bnlab import atomic

KEPT = 2  # the newest, and the one before it, should the newest be damaged
ENDING = ".checkpoint"
DIGEST = hashlib.sha256().digest_size


def save(folder: Path, step: int, state: dict[str, Tensor]) -> None:
    """Write `state` as the checkpoint of `step` into `folder`, and forget those before the last.

    The file is the SHA-256 of what follows, and the tensors in the format of safetensors.
    """
    content = safetensors.torch.save({name: tensor.contiguous() for name, tensor in state.items()})
    atomic.write(folder / f"{step:012d}{ENDING}", hashlib.sha256(content).digest() + content)
    for old in _by_age(folder)[KEPT:]:
        old.unlink()


def load(folder: Path) -> Iterator[tuple[int, dict[str, Tensor]]]:
    """Step and state of each checkpoint in `folder` that is whole, the newest first."""
    for path in _by_age(folder):
        raw = path.read_bytes()
        digest, content = raw[:DIGEST], raw[DIGEST:]
        if hashlib.sha256(content).digest() == digest:
            try:
                yield int(path.stem), safetensors.torch.load(content)
            except SafetensorError:  # a right checksum of something else
                continue


def _by_age(folder: Path) -> list[Path]:
    return sorted(folder.glob(f"*{ENDING}"), reverse=True)
