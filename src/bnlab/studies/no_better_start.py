"""How far from its start training ends, with and without BN, from the same weights.

Santurkar et al. 2018 (their Lemma 4.5, as Dannemann & Junike number it) derive that for the same start the nearest
optimum is nearer with BN; Dannemann & Junike 2025 give a counterexample, of one neuron. As a net with BN does not see
the scale of its weights, its nearest optimum may have any scale: the distance that counts is min over k of
‖kW − W₀‖/‖W₀‖, the sine of the angle between W and W₀.
"""

from collections.abc import Iterator
from typing import Annotated, Any

from pydantic import Field
from torch.nn import functional as F

from bnlab.data import Dataset
from bnlab.layers import ActivationName
from bnlab.studies.deep import Norm, Size
from bnlab.studies.learning import Rate, Steps, as_one_batch, descend, matrices, mini_batches, moments, net, norm_of


def no_better_start(
    seed: int,
    dataset: Dataset,
    norm: Norm = "batch",
    activation: ActivationName = "relu",
    width: Size = 100,
    depth: Size = 3,
    sigma: Annotated[float, Field(gt=0)] = 0.1,
    lr: Rate = 0.1,
    steps: Steps = 2000,
    batch: Size = 60,
) -> Iterator[dict[str, Any]]:
    """An MLP by SGD, all weights from N(0, σ²); both kinds of net begin with the same ones and see the same batches.

    Columns, before the first update and at twenty moments a decade: `train/loss` and `train/accuracy`, of 1,000
    training examples as one batch; of the hidden layers' weights, all together, `distance/moved`, ‖W − W₀‖/‖W₀‖, and
    `distance/turned`, the least over all scales of W.
    """
    network = net(
        seed,
        dataset.inputs,
        dataset.classes,
        norm_of(norm),
        {"name": "gaussian", "sigma": sigma},
        width=width,
        depth=depth,
        activation=activation,
    )
    weights = list(network.parameters())
    x, y = dataset.transform(dataset.train_x), dataset.train_y
    start, looked_at = matrices(network), moments(steps, 20)
    for t, (images, labels) in enumerate(mini_batches(seed, x, y, batch, steps + 1)):
        if t == 0 or t in looked_at:
            out, w = as_one_batch(network, x[:1000]), matrices(network)
            off = start - w * ((start @ w) / (w @ w))  # what no scale of W brings nearer
            yield {
                "step": t,
                "train/loss": float(F.cross_entropy(out, y[:1000])),
                "train/accuracy": float((out.argmax(1) == y[:1000]).double().mean()),
                "distance/moved": float((w - start).norm() / start.norm()),
                "distance/turned": float(off.norm() / start.norm()),
            }
        descend(weights, F.cross_entropy(network(images), labels), lr)
