"""Which runs are trained together, and whether it pays to compile their step."""

import math
import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

import torch

from bnlab import models, provenance
from bnlab.config import Config, Hardware, identity
from bnlab.training.machine import PAYS_BACK, PAYS_BACK_ALONE, lacks_bf16, no_compiler

UNCOMPILED = "torch.compile does not work here: training goes on without, and is slower"
STACKABLE = ("seed", "optimizer", "init", "lr_schedule")


@dataclass(frozen=True)
class Work:
    """A stack to train, and whether its step is compiled."""

    configs: list[Config]
    compiled: bool
    threads: int | None = None  # torch's own, of a stack that was begun: others give other bits; None: the process's


def plan(configs: Sequence[Config]) -> list[Work]:
    """The stacks of `configs`, the longest work first, each compiled where that pays back.

    A worker compiles once for all its stacks of one layout, so what counts are the updates of runs it makes with all
    of them.
    """
    stacks = group(configs)
    hardware = stacks[0][0].hardware
    device = "cuda" if on_cuda(hardware) else "cpu"
    updates: Counter[str] = Counter()
    for stack in stacks:
        updates[_layout(stack)] += stack[0].steps * len(stack)
    shares = [updates[_layout(stack)] / processes(hardware, len(stacks)) for stack in stacks]
    pays = [PAYS_BACK if _together(stack[0]) > 1 else PAYS_BACK_ALONE for stack in stacks]
    enough = [share >= least for share, least in zip(shares, pays, strict=True)]
    compiled = enough if hardware.compile == "auto" else [hardware.compile] * len(stacks)
    if hardware.compile == "auto" and any(compiled) and (reason := no_compiler(device)):
        print(f"{UNCOMPILED} ({reason})", file=sys.stderr)
        compiled = [False] * len(stacks)
    if any(config.precision == "bf16" for config in configs) and lacks_bf16(device):
        print(
            "precision=bf16: this CPU has no bfloat16 arithmetic: rounded to it, but no faster than fp32",
            file=sys.stderr,
        )
    return [Work(stack, flag) for stack, flag in zip(stacks, compiled, strict=True)]


def processes(hardware: Hardware, stacks: int) -> int:
    """How many processes train so many stacks: by default one a core, and one in all where there is a GPU."""
    most = (1 if on_cuda(hardware) else provenance.cores()) if hardware.workers == "auto" else hardware.workers
    return min(most, stacks)


def most_together(config: Config) -> int:
    """How many runs like this one are trained as one program."""
    most = config.hardware.stack
    return _together(config) if most == "auto" else most


def _together(config: Config) -> int:
    return 1 if config.study else models.together(config.model)


def on_cuda(hardware: Hardware) -> bool:
    return hardware.device.startswith("cuda") or (hardware.device == "auto" and torch.cuda.is_available())


def _layout(stack: list[Config]) -> str:
    one_seed = len({config.seed for config in stack}) == 1
    return f"{len(stack)} {one_seed} {shape(stack[0])}"


def group(configs: Sequence[Config]) -> list[list[Config]]:
    """Stacks of at most `most_together` configs of one shape, as even in size as can be, the longest work first.

    Of equal work, shapes take turns: workers that begin together compile different programs, and each finds what the
    others compiled in the compiler's cache.
    """
    of_shapes = [_stacks(members) for members in _by(configs, lambda config: str(shape(config)))]
    in_turn = [stack for turn in zip_longest(*of_shapes) for stack in turn if stack]
    return sorted(in_turn, key=lambda stack: -len(stack) * stack[0].steps)


def _stacks(configs: Sequence[Config]) -> list[list[Config]]:
    """Of one shape. Runs of one seed see the same batches, which a stack of theirs gathers once: where a seed has
    enough of them, they are kept together."""
    most = most_together(configs[0])
    of_seeds = _by(configs, lambda config: str(config.seed))
    pools = [own for own in of_seeds if len(own) >= most / 2]
    pools.append([config for few in of_seeds if len(few) < most / 2 for config in few])
    counts = [math.ceil(len(pool) / most) for pool in pools]
    return [pool[i::count] for pool, count in zip(pools, counts, strict=True) for i in range(count)]


def _by(configs: Sequence[Config], key: Callable[[Config], str]) -> Collection[list[Config]]:
    parts: dict[str, list[Config]] = defaultdict(list)
    for config in configs:
        parts[key(config)].append(config)
    return parts.values()


def stackable(config: Config) -> dict[str, Any]:
    """The part of a config in which the runs of a stack may differ."""
    return config.model_dump(mode="json", include=set(STACKABLE))


def shape(config: Config) -> dict[str, Any]:
    """What must be the same for two runs to be trained together: all but seeds and numbers that may differ."""
    same = {key: value for key, value in identity(config).items() if key not in STACKABLE}
    kinds = {"optimizer": config.optimizer["name"], "init": config.init["name"]}
    return same | kinds | {"out": config.out, "tracker": config.tracker}
