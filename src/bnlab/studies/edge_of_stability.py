"""Gradient descent on a whole small training set: how sharp the loss gets where it is.

On a quadratic, descent with rate η diverges where the largest eigenvalue of the Hessian, the sharpness, exceeds 2/η.
Cohen et al. 2021 find that the sharpness of nets climbs until it is there, and then hovers.
"""

from collections.abc import Iterator
from typing import Annotated, Any

import torch
from pydantic import Field
from torch.nn import functional as F

from bnlab.data import Dataset
from bnlab.layers import ActivationName
from bnlab.measure.curvature import eigenvalues, products
from bnlab.studies.learning import Rate, Steps, lost, net, norm_of


def edge_of_stability(
    seed: int,
    dataset: Dataset,
    norm: str = "none",
    examples: Annotated[int, Field(ge=2)] = 500,
    activation: ActivationName = "tanh",
    steps: Steps = 1500,
    every: Steps = 50,
    lr: Rate = 0.1,
) -> Iterator[dict[str, Any]]:
    """The MLP 784-100-100-100-10 and half the squared distance to the one-hot label, mean over the first examples.

    In training mode throughout, so that BN's statistics are those of all examples, and the function is the one that is
    descended. A record `every` so many steps: `loss/train`; `sharpness/top`; `sharpness/relative`, that times η/2, 1 at
    the edge.
    """
    x, y = dataset.transform(dataset.train_x[:examples]), F.one_hot(dataset.train_y[:examples], dataset.classes).float()
    network = net(seed, dataset.inputs, dataset.classes, norm_of(norm), activation=activation)
    weights = list(network.parameters())
    for t in range(steps + 1):
        looked_at = t % every == 0
        if lost(weights) and not looked_at:
            continue
        loss = (network(x) - y).square().sum(1).mean() / 2
        gradient = torch.autograd.grad(loss, weights, create_graph=looked_at)
        if looked_at:
            top = float(eigenvalues(*products(gradient, weights), count=1)[0])
            yield {
                "step": t,
                "loss/train": float(loss.detach()),
                "sharpness/top": top,
                "sharpness/relative": top * lr / 2,
            }
        with torch.no_grad():
            for w, g in zip(weights, gradient, strict=True):
                w.sub_(g, alpha=lr)
