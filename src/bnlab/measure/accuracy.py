"""How well the network does: loss and accuracy, with population statistics."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bnlab.measure.probe import Probe

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
        loss, correct = torch.zeros(()), torch.zeros(())
        for x_chunk, y_chunk in zip(torch.split(x, at_once), torch.split(y, at_once), strict=True):
            if convolves:  # three times as fast as with channels first
                x_chunk = x_chunk.contiguous(memory_format=torch.channels_last)
            chunk_loss, chunk_correct = _totals(network(x_chunk), y_chunk)
            loss, correct = loss + chunk_loss.cpu(), correct + chunk_correct.cpu()
        found[f"{part}/loss"] = loss.item() / len(y)
        found[f"{part}/accuracy"] = correct.item() / len(y)
    return found


def _totals(logits: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    return F.cross_entropy(logits, y, reduction="sum"), (logits.argmax(1) == y).sum()
