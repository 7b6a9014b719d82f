"""The engine: many runs of one shape trained as one program; a lone run is a stack of one."""

from bnlab.training.loop import Moment, train
from bnlab.training.machine import PAYS_BACK, PAYS_BACK_ALONE, Machine, no_compiler, lacks_bf16, prepare
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
    "no_compiler",
    "lacks_bf16",
    "moments",
    "prepare",
    "train",
]
