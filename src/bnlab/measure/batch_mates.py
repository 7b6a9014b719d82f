"""How much of what a network says of an example is said by the others of its batch."""

import torch
from torch import nn

from bnlab.measure.probe import Probe
from bnlab.norms import OfBatch

BATCHES, DEALS = 16, 4


@torch.no_grad()
def batch_mates(network: nn.Module, probe: Probe) -> dict[str, float]:
    """`output/batch_mates`: the share of the variance of logits that an example's batch mates make (IS15 §3.4).

    Training examples, some `BATCHES` batches of them, are dealt into batches anew `DEALS` times, and normalised by
    each. Their logits vary over deals, as mates do, and over examples: the first variance (unbiased; mean over examples
    and classes) over the variance of all. 0 for a network that looks at each example by itself. Without dropout, noise.
    """
    batches = list(probe.training_batches(BATCHES))
    pool, batch_size = torch.cat(batches), len(batches[0])
    network.eval()
    for module in network.modules():
        if isinstance(module, OfBatch):
            module.training = True  # not its noise
    generator = torch.Generator().manual_seed(0)
    logits = torch.empty(DEALS, len(pool), len(network(batches[0])[0]), dtype=torch.float64)
    for deal in logits:
        order = torch.randperm(len(pool), generator=generator)
        for rows in torch.split(order, batch_size):
            deal[rows] = network(pool[rows.to(pool.device)]).double().cpu()
    of_mates = logits.var(0, correction=1).mean()
    return {"output/batch_mates": float(of_mates / logits.flatten(0, 1).var(0, correction=0).mean())}
