"""How far the gradient can be trusted: what the loss and its gradient do along it."""

from torch import nn

from bnlab.measure.elsewhere import difference, gradient_at, norm, own_parameters, stepped
from bnlab.measure.probe import Probe

STEPS = 0.5, 1.0, 2.0, 4.0  # times the run's rate


def landscape(network: nn.Module, probe: Probe) -> dict[str, float]:
    """`landscape/…` along the gradient g of the loss L on `probe.train_batch` as one batch, in training mode.

    At x − ηg, for η of ½, 1, 2 and 4 times `probe.rate` (Santurkar et al. 2018, Fig. 4): loss_range, the largest minus
    the smallest L; gradient_change, the largest ‖∇L(x) − ∇L(x − ηg)‖ (their predictiveness); smoothness, the largest
    ‖∇L(x) − ∇L(x − ηg)‖ / ‖ηg‖ (their effective β). All parameters that are trained count. Costs five backward
    passes.
    """
    network.train()
    here = own_parameters(network)
    _, g = gradient_at(network, here, probe)
    there = [gradient_at(network, stepped(here, g, step * probe.rate), probe) for step in STEPS]
    losses = [float(loss) for loss, _ in there]
    changes = [norm(difference(g, gradient)) for _, gradient in there]
    length = norm(g)
    lengths = [step * probe.rate * length for step in STEPS]
    return {
        "landscape/loss_range": max(losses) - min(losses),
        "landscape/gradient_change": max(changes),
        "landscape/smoothness": max(c / length for c, length in zip(changes, lengths, strict=True)),
    }
