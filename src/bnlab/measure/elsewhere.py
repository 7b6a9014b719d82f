"""The loss of a network, and its gradient, at parameters that are not its own."""

from collections.abc import Collection, Mapping

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F

from bnlab.measure.probe import Probe

Parameters = dict[str, Tensor]


def own_parameters(network: nn.Module) -> Parameters:
    return {name: p.detach() for name, p in network.named_parameters()}


def gradient_at(
    network: nn.Module, parameters: Mapping[str, Tensor], probe: Probe, of: Collection[str] | None = None
) -> tuple[Tensor, Parameters]:
    """The mean loss on `probe.train_batch` in the network's mode, and its gradient: of those trained, or those named.

    A forward and a backward pass. The network's buffers stay, and so does the noise that it would add.
    """
    x, y = probe.train_batch
    leaves = {name: p.detach().requires_grad_() for name, p in parameters.items()}
    buffers = {name: buffer.clone() for name, buffer in network.named_buffers()}  # which a pass in training changes
    loss = F.cross_entropy(functional_call(network, {**leaves, **buffers}, (x,)), y)
    trained = [name for name, p in network.named_parameters() if p.requires_grad]
    names = list(trained if of is None else of)
    gradients = torch.autograd.grad(loss, [leaves[name] for name in names])
    return loss.detach(), dict(zip(names, gradients, strict=True))


def stepped(parameters: Parameters, gradient: Parameters, rate: float) -> Parameters:
    """After a step of gradient descent of those whose gradient is given."""
    return parameters | {name: parameters[name] - rate * g for name, g in gradient.items()}


def norm(vector: Parameters) -> float:
    """ℓ2, of all numbers together."""
    return float(torch.stack([part.double().square().sum() for part in vector.values()]).sum().sqrt())


def difference(a: Parameters, b: Parameters) -> Parameters:
    return {name: a[name] - b[name] for name in a}
