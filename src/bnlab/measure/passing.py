"""What passes through a network's layers while it computes."""

from collections.abc import Iterator
from contextlib import contextmanager

from torch import Tensor, nn

from bnlab.layers import ACTIVATIONS
from bnlab.norms import uses_batch_statistics


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


def nonlinearities_inputs(network: nn.Module, x: Tensor) -> Iterator[tuple[str, str, Tensor]]:
    """Site, kind of statistics and inputs (values, units) of every nonlinearity, as the images `x` pass.

    `population`: the network as it is tested. `batch`: all of `x` as one training batch; only where that is
    another function. Changes the network's mode.
    """
    for statistics in ("population", "batch") if uses_batch_statistics(network) else ("population",):
        network.train(statistics == "batch")
        with passing(network, *ACTIVATIONS.values()) as seen:
            network(x)
        for site, (inputs, _) in seen.items():
            yield site, statistics, of_units(inputs)
