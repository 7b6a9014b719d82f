"""What passes through a network's layers while it computes."""

from collections.abc import Iterator
from contextlib import contextmanager

from torch import Tensor, nn


@contextmanager
def passing(network: nn.Module, *kinds: type[nn.Module]) -> Iterator[dict[str, tuple[Tensor, Tensor]]]:
    """Collects, during the block, the input and the output of each module of these kinds, by its site, in order."""
    seen: dict[str, tuple[Tensor, Tensor]] = {}
    hooks = [
        module.register_forward_hook(
            lambda _, args, out, site=site: seen.update({site: (args[0].detach(), out.detach())})
        )
        for site, module in network.named_modules()
        if isinstance(module, kinds)
    ]
    try:
        yield seen
    finally:
        for hook in hooks:
            hook.remove()


def of_units(x: Tensor) -> Tensor:
    """The values of each unit down a column: (N, C, H, W) → (N·H·W, C), as feature maps have one for every position."""
    return x.movedim(1, -1).flatten(0, -2)
