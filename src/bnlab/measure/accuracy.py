"""How well the network does: loss and accuracy, with population statistics."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bnlab.measure.probe import Probe
from bnlab.measure.sparse import first_layer_takes

# Images at a time, so that activations stay in the cache, or nearly so; a convolution has one for every position
CHUNK, CONV_CHUNK = 2500, 64


@torch.no_grad()
def accuracy(network: nn.Module, probe: Probe) -> dict[str, float]:
    """`<part>/loss` (mean cross-entropy, nats) and `<part>/accuracy` (share) on train, validation and test.

    In evaluation mode, so no example's answer depends on those it is tested with.
    """
    network.eval()
    found = {}
    convolves = any(isinstance(module, nn.Conv2d) for module in network.modules())
    at_once = CONV_CHUNK if convolves else CHUNK
    for part, (x, y) in probe.parts.items():
        loss, correct, few = torch.zeros(()), torch.zeros(()), probe.sparse.get(part)
        for first in range(0, len(y), at_once):
            last = min(first + at_once, len(y))
            seen = x[first:last]
            if convolves:  # three times as fast as with channels first
                seen = seen.contiguous(memory_format=torch.channels_last)
            with first_layer_takes(network, seen, few and few.chunk(first, last)):
                chunk_loss, chunk_correct = _totals(network(seen), y[first:last])
            loss, correct = loss + chunk_loss.cpu(), correct + chunk_correct.cpu()
        found[f"{part}/loss"] = loss.item() / len(y)
        found[f"{part}/accuracy"] = correct.item() / len(y)
    return found


def _totals(logits: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    return F.cross_entropy(logits, y, reduction="sum"), (logits.argmax(1) == y).sum()
