"""Data sets as uint8 tensors in memory: where they come from, and the checksums that prove it."""

from bnlab.data.dataset import Dataset, Transform
from bnlab.data.sources import DATASETS, load, present

__all__ = ["DATASETS", "Dataset", "Transform", "load", "present"]
