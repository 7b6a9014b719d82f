"""Every optimizer against the class of `torch.optim` that it stands for."""

import numpy as np
import pytest
import torch
from torch import nn

from bnlab.training.optimizers import OPTIMIZERS, broadcast
from bnlab.training.order import batches


def betas(settings: dict) -> dict:
    """Settings as `torch.optim` names them."""
    rest = {key: value for key, value in settings.items() if key not in ("beta1", "beta2")}
    return rest | {"betas": (settings["beta1"], settings["beta2"])}


# name → the class that it must equal, how that class names the settings, and settings that differ along the run axis.
# Numbers are sums of few powers of two, so float32 holds them exactly.
REFERENCES = {
    "sgd": (
        torch.optim.SGD,
        dict,
        [
            {"lr": 0.125},
            {"lr": 0.0625, "momentum": 0.875},
            {"lr": 0.03125, "momentum": 0.5, "nesterov": True},
            {"lr": 0.25, "momentum": 0.75, "nesterov": True, "weight_decay": 0.03125},
            {"lr": 0.125, "weight_decay": 0.125},
        ],
    ),
    "adam": (
        torch.optim.Adam,
        betas,
        [
            {"lr": 0.03125, "beta1": 0.875, "beta2": 0.984375},
            {"lr": 0.0625, "beta1": 0.5, "beta2": 0.75, "eps": 0.125},
            {"lr": 0.015625, "beta1": 0.0, "beta2": 0.96875, "weight_decay": 0.125},
        ],
    ),
    "adagrad": (
        torch.optim.Adagrad,
        dict,
        [
            {"lr": 0.125},
            {"lr": 0.25, "lr_decay": 0.125, "eps": 0.03125},
            {"lr": 0.0625, "lr_decay": 0.5, "weight_decay": 0.125},
        ],
    ),
    "nadam": (
        torch.optim.NAdam,
        betas,
        [
            {"lr": 0.03125, "beta1": 0.875, "beta2": 0.984375},
            {"lr": 0.0625, "beta1": 0.5, "beta2": 0.75, "momentum_decay": 0.125},
            {"lr": 0.015625, "beta1": 0.875, "beta2": 0.96875, "eps": 0.125, "weight_decay": 0.125},
        ],
    ),
}
STEPS = 30


def reference(name: str):
    if name not in REFERENCES:
        pytest.fail(f"optimizer {name} has nothing to be tested against: add a line to REFERENCES in this file")
    theirs, renamed, variants = REFERENCES[name]
    ours = [OPTIMIZERS[name](**variant) for variant in variants]
    return ours, lambda parameters, o: theirs(parameters, **renamed(o.model_dump()))


def settings_of(optimizers: list, w: torch.Tensor) -> dict[str, torch.Tensor]:
    names = type(optimizers[0]).model_fields
    shape = (-1, *[1] * (w.dim() - 1))
    columns = {name: [float(getattr(o, name)) for o in optimizers] for name in names}
    return {name: torch.tensor(values, dtype=w.dtype).view(shape) for name, values in columns.items()}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_updates_are_those_of_torch(name):
    ours, make_theirs = reference(name)
    ours = [o.model_copy(update={"weight_decay": 0.0}) for o in ours]  # the engine adds it to the gradient
    generator = torch.Generator().manual_seed(1)
    target = torch.randn(3, 4, generator=generator, dtype=torch.float64)
    w = torch.randn(len(ours), 3, 4, generator=generator, dtype=torch.float64)
    parameters = [nn.Parameter(part.clone()) for part in w]
    theirs = [make_theirs([p], o) for p, o in zip(parameters, ours, strict=True)]
    h = settings_of(ours, w)
    slots = OPTIMIZERS[name].slots(w, h)
    for t in range(1, STEPS + 1):
        now = OPTIMIZERS[name].at({key: part.flatten() for key, part in h.items()}, torch.tensor([[float(t)]]).double())
        OPTIMIZERS[name].update(w, w**3 - target, slots, h | broadcast(now, w.dim()))
        for parameter, optimizer in zip(parameters, theirs, strict=True):
            parameter.grad = parameter.detach() ** 3 - target
            optimizer.step()
    torch.testing.assert_close(w, torch.stack([p.detach() for p in parameters]), rtol=1e-5, atol=1e-7)


def train_plainly(run, make_theirs, images, labels) -> nn.Module:
    """One run by a loop as in a textbook; weight decay on matrices only."""
    network = run.network
    groups = [
        {"params": [p for p in network.parameters() if p.dim() > 1]},
        {"params": [p for p in network.parameters() if p.dim() == 1], "weight_decay": 0.0},
    ]
    optimizer = make_theirs(groups, run.optimizer)
    for rows in batches(run.seed, len(images), 8, 0, STEPS):
        optimizer.zero_grad()
        nn.functional.cross_entropy(network(images[rows].double() / 255), labels[rows]).backward()
        optimizer.step()
    return network


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_stack_trains_as_torch_does(name, make_run, make_stack, problem):
    images, labels = problem
    ours, make_theirs = reference(name)
    runs = [make_run("batch", {"name": name, **o.model_dump()}, seed=k) for k, o in enumerate(ours)]
    stack = make_stack(runs)
    orders = [batches(run.seed, len(images), 8, 0, STEPS) for run in runs]
    step = stack.step_on(images, labels)
    for t in range(STEPS):
        rows = torch.stack([order[t] for order in orders])
        step(rows, rows, stack.settings(t, 1)[0], torch.tensor(t + 1))
    for k, run in enumerate(runs):
        theirs = train_plainly(run, make_theirs, images, labels)
        for tensor, w in theirs.named_parameters():
            torch.testing.assert_close(stack.weights[tensor][k], w.detach(), rtol=1e-4, atol=1e-6)


def first(stack, images, labels) -> None:
    stack.step_on(images, labels)(torch.arange(8), torch.zeros(8), stack.settings(0, 1)[0], torch.tensor(1))


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_weight_decay_leaves_biases_gamma_and_beta_alone(name, make_run, make_stack, problem):
    images, labels = problem
    decays = (0.0, 0.5)
    runs = [make_run("batch", {"name": name, "weight_decay": decay}) for decay in decays]
    stack = make_stack(runs)
    with torch.no_grad():
        for w in stack.weights.values():
            if w.dim() == 2:
                w.fill_(2)
    first(stack, images, labels)  # both see the same gradient
    for tensor, w in stack.weights.items():
        assert torch.equal(w[0], w[1]) == (w.dim() == 2), tensor


def test_decay_pulls_weights_to_zero(make_run, make_stack, problem):
    images, labels = problem
    runs = [make_run("none", {"name": "sgd", "lr": 0.125, "weight_decay": decay}) for decay in (0.0, 0.5)]
    before = runs[0].network.hidden1.linear.weight.detach().clone()
    stack = make_stack(runs)
    first(stack, images, labels)
    plain, decayed = stack.weights["hidden1.linear.weight"]
    torch.testing.assert_close(plain - decayed, 0.125 * 0.5 * before)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_rate_of_zero_factor_moves_nothing(name, make_run, make_stack, problem):
    images, labels = problem
    run = make_run("none", name, schedule={"name": "exponential", "gamma": 0.0})
    stack = make_stack([run])
    stack.step_on(images, labels)(torch.arange(8), torch.zeros(8), stack.settings(1, 1)[0], torch.tensor(2))
    for tensor, w in run.network.named_parameters():
        assert np.array_equal(stack.weights[tensor][0], w.detach())
