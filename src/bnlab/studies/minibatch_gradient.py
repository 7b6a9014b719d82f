"""How well the gradient of a mini-batch stands for that of the whole set, over the size of the batch.

Of m examples drawn at random from N, the variance of the mean of their gradients is the examples' own over m, times
(N − m)/(N − 1), as they are drawn without replacement. With BN an example's gradient hangs on its batch mates, and the
mean over batches is no longer the gradient of the whole.
"""

from collections.abc import Iterator
from typing import Annotated, Any

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from bnlab.data import Dataset
from bnlab.layers import ActivationName
from bnlab.studies.learning import Rate, descend, mini_batches, net, norm_of

SIZES = [2, 4, 8, 16, 32, 64, 128, 256, 512, 1024]
DRAWS = 64  # batches of each size
BATCH = 60  # of training


def minibatch_gradient(
    seed: int,
    dataset: Dataset,
    norm: str = "none",
    activation: ActivationName = "relu",
    updates: Annotated[int, Field(ge=0)] = 100,
    lr: Rate = 0.1,
) -> Iterator[dict[str, Any]]:
    """A record for each size m, as `step`, of the MLP 784-100-100-100-10 after some `updates` of SGD.

    G: the gradient of the loss on all training examples as one batch, all parameters together; g: on a batch of m drawn
    without replacement. Means over batches: `gradient/variance`, of ‖g − ḡ‖²/‖G‖², ḡ their mean, unbiased;
    `gradient/distance`, of ‖g − G‖²/‖G‖²; `gradient/cosine`, of g and G. `gradient/law`: the variance times m, over the
    part of the set that is not drawn, (N − m)/(N − 1).
    """
    images, labels = dataset.transform(dataset.train_x), dataset.train_y
    network = net(seed, dataset.inputs, dataset.classes, norm_of(norm), activation=activation)
    for x, y in mini_batches(seed, images, labels, BATCH, updates) if updates else []:
        descend(list(network.parameters()), F.cross_entropy(network(x), y), lr)
    whole = _gradient(network, images, labels)
    unit, draw = whole.square().sum(), torch.Generator().manual_seed(seed)
    for m in [m for m in SIZES if m <= len(labels) // 2]:
        drawn = [torch.randperm(len(labels), generator=draw)[:m] for _ in range(DRAWS)]
        seen = torch.stack([_gradient(network, images.index_select(0, rows), labels[rows]) for rows in drawn])
        variance = float(seen.var(0).sum() / unit)
        yield {
            "step": m,
            "gradient/variance": variance,
            "gradient/law": variance * m * (len(labels) - 1) / (len(labels) - m),
            "gradient/distance": float((seen - whole).square().sum(1).mean() / unit),
            "gradient/cosine": float(F.cosine_similarity(seen, whole.unsqueeze(0)).mean()),
        }


def _gradient(network: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    loss = F.cross_entropy(network(x), y)
    return torch.cat([g.flatten() for g in torch.autograd.grad(loss, list(network.parameters()))]).double()
