"""The engine: many runs of one shape trained as one program; a lone run is a stack of one."""

from bnlab.training.loop import Moment, train
from bnlab.training.machine import PAYS_BACK, PAYS_BACK_ALONE, Machine, lacks_bf16, no_compiler, prepare
from bnlab.training.moments import moments
from bnlab.training.order import batches
from bnlab.training.program import Program
from bnlab.training.stack import Run, Stack

__all__ = [
    "PAYS_BACK",
    "PAYS_BACK_ALONE",
    "Machine",
    "Moment",
    "Program",
    "Run",
    "Stack",
    "batches",
    "lacks_bf16",
    "moments",
    "no_compiler",
    "prepare",
    "train",
]
