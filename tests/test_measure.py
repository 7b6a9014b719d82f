"""Measurements: right numbers, and nothing changed by taking them."""

import copy
import importlib
import math
import random
from collections import OrderedDict
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import stats
from torch import nn

from bnlab import models, norms
from bnlab.bins import HISTOGRAM_EDGES
from bnlab.config import parse
from bnlab.layers import ACTIVATIONS
from bnlab.measure import MEASUREMENTS, Probe, elsewhere, make_probe, take, untouched
from bnlab.measure.activations import percentiles
from bnlab.measure.sparse import Sparse, sparse
from bnlab.norms import NORMS
from bnlab.training.loop import train

NORM_SETTINGS = [{"name": name} for name in NORMS] + [{"name": "batch", "statistics": "precise"}]
curvature_module = importlib.import_module("bnlab.measure.curvature")  # the name is the function's
PERCENTILES = [0, 15, 50, 85, 99.5, 100]


def network_of(norm="none", activation="sigmoid", sigma=1.0, model="mlp") -> nn.Module:
    norm = {"name": norm} if isinstance(norm, str) else norm
    size = {"depth": 2} if model in ("mlp", "convnet") else {"blocks": 1}
    settings = {"name": model, "width": 20, "activation": activation} | size
    return models.build(settings, norms.build(norm), {"name": "gaussian", "sigma": sigma}, 0, (1, 4, 4), 3)


@pytest.fixture(autouse=True)
def _few_iterations(monkeypatch):
    """What a measurement leaves as it was does not hang on how long it goes on."""
    monkeypatch.setattr(curvature_module, "ITERATIONS", 5)


@pytest.fixture
def probe(problem) -> Probe:
    images, labels = problem
    parts = [(images[at], labels[at]) for at in (slice(0, 24), slice(24, 32), slice(32, 48))]
    return make_probe(*parts, lambda x: x.float() / 255, 12, [0, 3, 99], PERCENTILES, 8)


def everything(network: nn.Module) -> dict:
    """Copies of all that a measurement could change."""
    return {
        "state": {name: t.clone() for name, t in network.state_dict().items()},
        "gradients": {name: p.grad.clone() for name, p in network.named_parameters()},
        "modes": [module.training for module in network.modules()],
        "momenta": [getattr(module, "momentum", None) for module in network.modules()],
        "hooks": [len(module._forward_pre_hooks) + len(module._forward_hooks) for module in network.modules()],
        "wanted": [p.requires_grad for p in network.parameters()],
        "random": (torch.get_rng_state(), np.random.get_state()[1].tolist(), random.getstate()),  # noqa: NPY002
        "grad_mode": torch.is_grad_enabled(),
    }


def assert_same(before, after, where="") -> None:
    if isinstance(before, dict):
        assert before.keys() == after.keys(), where
        for key, value in before.items():
            assert_same(value, after[key], f"{where}/{key}")
    elif isinstance(before, torch.Tensor):
        assert torch.equal(before, after), where
    elif isinstance(before, list | tuple):
        assert len(before) == len(after), where
        for i, (b, a) in enumerate(zip(before, after, strict=True)):
            assert_same(b, a, f"{where}/{i}")
    else:
        assert before == after, where


@pytest.mark.parametrize("norm", NORM_SETTINGS, ids=lambda s: "-".join(s.values()))
@pytest.mark.parametrize("model", models.MODELS)
@pytest.mark.parametrize("what", MEASUREMENTS)
def test_measuring_changes_nothing(what, model, norm, probe):
    network = network_of(norm, model=model)
    nn.functional.cross_entropy(network(probe.x), probe.parts["test"][1][: len(probe.x)]).backward()
    for training, of_output in [(True, True), (True, False), (False, False)]:
        network.train(training)
        network.output.train(of_output)
        before = everything(network)
        buffers = dict(network.named_buffers())
        found = take(network, probe, [what])
        assert found
        assert_same(before, everything(network))
        assert all(b is buffers[name] for name, b in network.named_buffers())


@pytest.mark.parametrize("what", MEASUREMENTS)
def test_a_measurement_that_fails_changes_nothing_either(what, probe):
    network = network_of({"name": "batch", "statistics": "precise"})
    nn.functional.cross_entropy(network(probe.x), probe.parts["test"][1][: len(probe.x)]).backward()
    before = everything(network)
    network.output.register_forward_hook(lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        take(network, probe, [what])
    network.output._forward_hooks.clear()
    assert_same(before, everything(network))


@pytest.mark.parametrize("norm", NORM_SETTINGS, ids=lambda s: "-".join(s.values()))
def test_training_ends_at_the_same_weights_whether_measured_or_not(norm, probe, problem, make_run, make_stack):
    measured, plain = (make_stack([make_run(norm, dtype=torch.float32)]) for _ in range(2))
    for moment in train(measured, *problem, 8, (0, 1, 4, 10)):
        take(moment.networks[0], probe, MEASUREMENTS)
    list(train(plain, *problem, 8, (10,)))
    for ours, theirs in ((measured.weights, plain.weights), (measured.buffers, plain.buffers)):
        assert_same(ours, theirs)


@pytest.mark.parametrize("norm", NORM_SETTINGS, ids=lambda s: "-".join(s.values()))
def test_everything_taken_can_be_held_by_json_and_taken_again(norm, probe):
    network = network_of(norm)
    first = take(network, probe, MEASUREMENTS)
    assert take(network, probe, MEASUREMENTS) == first
    assert all(isinstance(value, int | float | list) for value in first.values())


def test_gradients_are_looked_at_of_the_weights_that_are_trained(probe):
    network = network_of("batch")
    whole = take(network, probe, ["gradients"])
    network.hidden1.requires_grad_(False)
    found = take(network, probe, ["gradients", "gradient_shift"])
    assert {name.split("/")[0] for name in found} == {"hidden2.linear", "output"}
    assert all(found[name] == value for name, value in whole.items() if not name.startswith("hidden1"))
    assert found["hidden2.linear/shift/l2"] == 0  # of what lies below it nothing steps
    assert found["output/shift/l2"] > 0


def test_the_config_measures_what_there_is(raw_config):
    assert set(parse(raw_config()).measure.what) <= set(MEASUREMENTS)


# ---- activations ------------------------------------------------------------------------------------------


def inputs_by_hand(network: nn.Module, x: torch.Tensor, site: str) -> torch.Tensor:
    for name, module in network.named_children():
        if name == site:
            return module.norm(module.linear(x)).detach()
        x = module(x)
    raise AssertionError(f"no site {site}")


@pytest.mark.parametrize("norm", NORMS)
def test_percentiles_and_histogram_are_numpys(norm, probe):
    network = network_of(norm, sigma=5.0)  # inputs beyond the histogram's ends
    found = take(network, probe, ["activations"])
    for site in ("hidden1", "hidden2"):
        x = inputs_by_hand(copy.deepcopy(network).eval(), probe.x, site).double().numpy()
        at = f"{site}.act/population"
        np.testing.assert_allclose(found[f"{at}/percentiles"], np.percentile(x, PERCENTILES), rtol=1e-5, atol=1e-5)
        units = np.percentile(x[:, [0, 3]], PERCENTILES, axis=0).T  # there is no unit 99
        np.testing.assert_allclose(found[f"{at}/unit_percentiles"], units, rtol=1e-5, atol=1e-5)
        clipped = np.clip(x, HISTOGRAM_EDGES[0], HISTOGRAM_EDGES[-1])
        np.testing.assert_array_equal(found[f"{at}/histogram"], np.histogram(clipped, HISTOGRAM_EDGES)[0])
        assert found[f"{at}/mean"] == pytest.approx(x.mean(), rel=1e-4, abs=1e-5)
        assert found[f"{at}/std"] == pytest.approx(x.std(), rel=1e-4)


@pytest.mark.parametrize("norm", NORMS)
def test_a_convolutions_units_are_its_feature_maps(norm, probe):
    network = network_of(norm, model="convnet")
    found = take(network, probe, ["activations"])
    x = network.eval().hidden1.norm(network.hidden1.conv(probe.x)).detach().double().numpy()
    at = "hidden1.act/population"
    np.testing.assert_allclose(found[f"{at}/percentiles"], np.percentile(x, PERCENTILES), rtol=1e-5, atol=1e-5)
    units = np.percentile(x[:, [0, 3]], PERCENTILES, axis=(0, 2, 3)).T
    np.testing.assert_allclose(found[f"{at}/unit_percentiles"], units, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("count", [1, 2, 7, 100])
def test_percentiles_of_sorted_values_are_numpys(count):
    values = np.sort(np.random.default_rng(count).normal(size=count).astype(np.float32))
    wanted = [0, 1, 12.5, 50, 99, 100]
    np.testing.assert_allclose(percentiles(values, wanted), np.percentile(values.astype(float), wanted), rtol=1e-12)


def test_values_on_an_edge_go_to_the_bin_above(probe):
    network = network_of(activation="identity")
    with torch.no_grad():
        network.hidden1.linear.weight.zero_()
        network.hidden1.linear.bias.copy_(torch.linspace(-2, 2.75, 20))  # all are edges: bins are 0.25 wide
    found = take(network, probe, ["activations"])["hidden1.act/population/histogram"]
    x = np.repeat(np.linspace(-2, 2.75, 20), len(probe.x))
    np.testing.assert_array_equal(found, np.histogram(x, HISTOGRAM_EDGES)[0])


def test_nan_gives_nan_percentiles_and_is_in_no_bin(probe):
    network = network_of()
    with torch.no_grad():
        network.hidden1.linear.bias[3] = math.nan
    found = take(network, probe, ["activations"])
    assert np.isnan(found["hidden1.act/population/percentiles"]).all()
    healthy, sick = found["hidden1.act/population/unit_percentiles"]
    assert np.isfinite(healthy).all()
    assert np.isnan(sick).all()
    assert sum(found["hidden1.act/population/histogram"]) == 19 * len(probe.x)


SATURATED = {
    "sigmoid": lambda x: (torch.sigmoid(x) < 0.05) | (torch.sigmoid(x) > 0.95),
    "tanh": lambda x: torch.tanh(x).abs() > 0.9,
    "relu": lambda x: x <= 0,
    "identity": lambda x: torch.zeros_like(x, dtype=torch.bool),
}
SLOPE = {
    "sigmoid": lambda x: torch.sigmoid(x) * (1 - torch.sigmoid(x)),
    "tanh": lambda x: 1 - torch.tanh(x) ** 2,
    "relu": lambda x: (x > 0).double(),
    "identity": torch.ones_like,
}


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_saturated_share_and_mean_slope_follow_their_formulas(activation, probe):
    network = network_of(activation=activation, sigma=2.0)
    found = take(network, probe, ["activations"])
    x = inputs_by_hand(network, probe.x, "hidden1").double()
    share = SATURATED[activation](x).double().mean().item()
    assert found["hidden1.act/population/saturated"] == pytest.approx(share, abs=1e-6)
    assert found["hidden1.act/population/slope"] == pytest.approx(SLOPE[activation](x).mean().item(), rel=1e-5)
    assert activation == "identity" or 0.1 < share < 0.9


@pytest.mark.parametrize("norm", NORMS)
def test_only_nets_that_use_batch_statistics_have_two_kinds(norm, probe):
    network = network_of(norm)
    kinds = {key.split("/")[1] for key in take(network, probe, ["activations"])}
    both = norms.uses_batch_statistics(network)
    assert kinds == ({"population", "batch"} if both else {"population"})


def test_batch_statistics_normalise_the_probe_and_population_statistics_do_not(probe):
    network = network_of("batch")
    with torch.no_grad():
        network.hidden1.norm.gamma.fill_(2)
        network.hidden1.norm.beta.fill_(0.5)
    found = take(network.eval(), probe, ["activations"])
    u = network.hidden1.linear(network.flatten(probe.x)).detach()
    x_hat = (u - u.mean(0)) / (u.var(0, correction=0) + 1e-5).sqrt()
    expected = {"batch": 2 * x_hat + 0.5, "population": 2 * u / math.sqrt(1 + 1e-5) + 0.5}
    for statistics, x in expected.items():
        wanted = np.percentile(x.numpy(), PERCENTILES)
        at = f"hidden1.act/{statistics}/percentiles"
        np.testing.assert_allclose(found[at], wanted, rtol=1e-4, atol=1e-4)
    assert found["hidden1.act/batch/mean"] == pytest.approx(0.5, abs=1e-5)
    assert found["hidden1.act/batch/std"] == pytest.approx(2, abs=1e-3)


def test_precise_population_statistics_are_those_of_training_batches(probe):
    network = network_of({"name": "batch", "statistics": "precise"})
    found = take(network, probe, ["activations"])
    before = [network.hidden1.linear(network.flatten(b)).detach() for b in probe.training_batches(100)]
    mean = torch.stack([u.mean(0) for u in before]).mean(0)
    var = torch.stack([u.var(0, correction=1) for u in before]).mean(0)
    u = network.hidden1.linear(network.flatten(probe.x)).detach()
    x = (u - mean) / (var + 1e-5).sqrt()
    wanted = np.percentile(x.numpy(), PERCENTILES)
    np.testing.assert_allclose(found["hidden1.act/population/percentiles"], wanted, rtol=1e-4, atol=1e-4)


# ---- accuracy and gradients -------------------------------------------------------------------------------


@pytest.mark.parametrize("norm", NORMS)
def test_accuracy_and_loss_are_those_of_evaluation(norm, probe):
    network = network_of(norm)
    network(probe.x)  # moves the running statistics
    found = take(network, probe, ["accuracy"])
    network.eval()
    for part, (x, y) in probe.parts.items():
        logits = network(x).detach()
        right = sum(int(row.argmax()) == int(label) for row, label in zip(logits, y, strict=True))
        assert found[f"{part}/accuracy"] == pytest.approx(right / len(y))
        losses = [-row.log_softmax(0)[label] for row, label in zip(logits.double(), y, strict=True)]
        assert found[f"{part}/loss"] == pytest.approx(float(sum(losses)) / len(y), rel=1e-4)
    assert set(found) == {f"{p}/{n}" for p in ("train", "validation", "test") for n in ("loss", "accuracy")}


@pytest.fixture
def dark(probe) -> Probe:
    """The probe with images of which few pixels are not 0, and of the first none."""
    generator = torch.Generator().manual_seed(3)
    parts = {}
    for name, (x, y) in probe.parts.items():
        lit = x * (torch.rand(x.shape, generator=generator) < 0.2)
        lit[0] = 0
        parts[name] = lit, y
    return replace(probe, parts=parts, sparse={name: sparse(x) for name, (x, _) in parts.items()})


class Backwards(nn.Module):
    """The layer that it names first comes last."""

    def __init__(self):
        super().__init__()
        self.above, self.flat, self.below = nn.Linear(16, 3), nn.Flatten(), nn.Linear(16, 16)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.above(self.below(self.flat(x)))


def test_images_that_are_mostly_zero_are_told_from_others(probe, dark):
    assert all(sparse(x) is None for x, _ in probe.parts.values())
    for name, (x, _) in dark.parts.items():
        again = torch.zeros(x.flatten(1).shape)
        for i in range(len(x)):
            own = dark.sparse[name].chunk(i, i + 1)
            again[i, own.places.long()] = own.values
        assert torch.equal(again.view_as(x), x)


@pytest.mark.parametrize("network", [network_of(norm) for norm in NORMS] + [Backwards()], ids=[*NORMS, "backwards"])
def test_accuracy_is_the_same_of_images_that_are_mostly_zero(network, dark, monkeypatch):
    through = []
    was = Sparse.through
    monkeypatch.setattr(Sparse, "through", lambda self, layer: through.append(layer) or was(self, layer))
    nn.functional.cross_entropy(network(dark.x), dark.parts["test"][1][: len(dark.x)]).backward()
    before = everything(network)
    found = take(network, dark, ["accuracy"])
    assert_same(before, everything(network))
    assert len(through) == (0 if isinstance(network, Backwards) else len(dark.parts))
    assert found == pytest.approx(take(network, replace(dark, sparse={}), ["accuracy"]), rel=1e-5)


@pytest.mark.parametrize(("model", "chunk"), [("mlp", "CHUNK"), ("convnet", "CONV_CHUNK")])
def test_accuracy_is_taken_in_chunks_without_a_trace(model, chunk, probe, monkeypatch):
    network = network_of("batch", model=model).eval()
    whole = take(network, probe, ["accuracy"])
    monkeypatch.setattr(importlib.import_module("bnlab.measure.accuracy"), chunk, 5)
    assert take(network, probe, ["accuracy"]) == pytest.approx(whole, rel=1e-5)
    x, y = probe.parts["test"]
    with torch.no_grad():
        assert whole["test/loss"] == pytest.approx(float(nn.functional.cross_entropy(network(x), y)), rel=1e-5)


@pytest.mark.parametrize("norm", NORMS)
def test_gradient_norms_are_autograds(norm, probe):
    network = network_of(norm)
    found = take(network.eval(), probe, ["gradients"])
    network.train()
    x, y = probe.train_batch
    nn.functional.cross_entropy(network(x), y).backward()
    matrices = {n.removesuffix(".weight"): p for n, p in network.named_parameters() if p.dim() > 1}
    assert set(found) == {f"{site}/{kind}_norm" for site in matrices for kind in ("gradient", "weight")}
    for site, w in matrices.items():
        by_hand = {"gradient": w.grad.square().sum().sqrt().item(), "weight": w.square().sum().sqrt().item()}
        for kind, value in by_hand.items():
            assert found[f"{site}/{kind}_norm"] == pytest.approx(value, rel=1e-4)


# ---- collapse, shift and landscape ------------------------------------------------------------------------


def quadratic(monkeypatch, rate: float) -> tuple[nn.Module, Probe, torch.Tensor, torch.Tensor]:
    """Two linear layers, one example, and the loss ½|V W x − t|²: network, probe, x and t in float64."""
    network = nn.Sequential(OrderedDict(below=nn.Linear(3, 2, bias=False), above=nn.Linear(2, 2, bias=False))).double()
    x, t = torch.tensor([[1.0, -2.0, 0.5]]).double(), torch.tensor([[0.3, -0.7]]).double()
    monkeypatch.setattr(elsewhere.F, "cross_entropy", lambda out, y: (out - y).square().sum() / 2)
    return network, Probe(x, (x, t), {}, [], [], lambda count: iter(()), rate), x, t


def test_the_shift_of_gradients_is_that_of_a_linear_net(monkeypatch):
    rate = 0.7
    network, probe, x, t = quadratic(monkeypatch, rate)
    w, v = (layer.weight.detach() for layer in network)
    below = v.T @ (v @ w @ x.T - t.T) @ x  # ∂L/∂W
    moved = w - rate * below
    before = (v @ w @ x.T - t.T) @ (w @ x.T).T  # ∂L/∂V
    after = (v @ moved @ x.T - t.T) @ (moved @ x.T).T
    found = take(network, probe, ["gradient_shift"])
    expected = {
        "below/shift/l2": 0,
        "below/shift/relative": 0,
        "below/shift/cosine": 1,
        "above/shift/l2": float((before - after).norm()),
        "above/shift/relative": float((before - after).norm() / before.norm()),
        "above/shift/cosine": float((before * after).sum() / before.norm() / after.norm()),
    }
    assert found == pytest.approx(expected, rel=1e-9)
    assert found["above/shift/relative"] > 0.01


def test_gammas_and_betas_below_a_layer_step_too(probe):
    network = network_of("batch")
    still = copy.deepcopy(network)
    found = take(network, replace(probe, rate=0.5), ["gradient_shift"])
    x, y = probe.train_batch
    for p in still.parameters():
        p.requires_grad_()
    names = [name for name, _ in still.named_parameters()]
    grads = torch.autograd.grad(nn.functional.cross_entropy(still(x), y), list(still.parameters()))
    with torch.no_grad():
        for name, p, g in zip(names, list(still.parameters()), grads, strict=True):
            if not name.startswith("output"):
                p -= 0.5 * g
    (after,) = torch.autograd.grad(nn.functional.cross_entropy(still(x), y), still.output.weight)
    expected = float((after - grads[names.index("output.weight")]).norm())
    assert found["output/shift/l2"] == pytest.approx(expected, rel=1e-4)


def test_the_landscape_of_a_linear_layer_is_a_parabola(monkeypatch):
    rate = 0.05
    network, probe, x, t = quadratic(monkeypatch, rate)
    del network.below
    x = x[:, :2]
    probe = replace(probe, train_batch=(x, t))
    residual, curvature = float((network(x).detach() - t).square().sum()), float(x.square().sum())
    losses = [residual / 2 * (1 - step * rate * curvature) ** 2 for step in (0.5, 1, 2, 4)]
    found = take(network, probe, ["landscape"])
    gradient = math.sqrt(residual * curvature)
    assert found["landscape/loss_range"] == pytest.approx(max(losses) - min(losses), rel=1e-6)
    assert found["landscape/gradient_change"] == pytest.approx(4 * rate * gradient * curvature, rel=1e-6)
    assert found["landscape/smoothness"] == pytest.approx(curvature, rel=1e-6)


@pytest.mark.parametrize("norm", ["none", "batch"])
def test_curvature_is_that_of_the_dense_hessian(norm, probe, monkeypatch):
    network = network_of(norm).double()
    probe = replace(probe, train_batch=(probe.train_batch[0].double(), probe.train_batch[1]))
    monkeypatch.setattr(curvature_module, "ITERATIONS", 200)
    monkeypatch.setattr(curvature_module, "WITHIN", 1e-9)
    with untouched(network):  # with its running statistics as they are
        found = MEASUREMENTS["curvature"](network, probe)
    assert len(found) == {"none": 2, "batch": 4}[norm]
    for name, value in found.items():
        _, statistics, what = name.split("/")
        network.train(statistics == "batch")
        values = dense_eigenvalues(network, *probe.train_batch)
        assert value == pytest.approx(float(values[-1] / (1 if what == "top" else values[-4])), rel=1e-6)


@pytest.mark.parametrize("count", [1, 11])
def test_eigenvalues_are_sought_until_they_are_known(count, monkeypatch):
    monkeypatch.setattr(curvature_module, "ITERATIONS", 100)
    spectrum = torch.cat([torch.linspace(1, 10, 12), torch.linspace(-1, 0.5, 1000)])  # outliers, and a bulk
    asked = []

    def times(v):
        asked.append(v)
        return spectrum * v

    values = curvature_module.eigenvalues(times, spectrum, count)
    assert len(values) == len(asked) < curvature_module.ITERATIONS
    assert (len(asked) < 20) == (count == 1)
    true = spectrum.sort(descending=True).values
    for k in (0, count - 1):
        assert float(values[k]) == pytest.approx(float(true[k]), rel=curvature_module.WITHIN)


def test_eigenvalues_of_few_directions_need_few_products(monkeypatch):
    monkeypatch.setattr(curvature_module, "ITERATIONS", 100)
    spectrum = torch.zeros(50, dtype=torch.float64)
    spectrum[:3] = torch.tensor([3.0, 2.0, 1.0])
    values = curvature_module.eigenvalues(lambda v: spectrum * v, spectrum, 11)
    assert values.tolist() == pytest.approx([3, 2, 1, 0], abs=1e-9)  # of all, 0 stands for the rest
    none = curvature_module.eigenvalues(lambda v: spectrum * torch.nan, spectrum, 11)
    assert none.isnan().all()


def dense_eigenvalues(network, x, y):
    """Of the Hessian written out, ascending."""
    named = {name: p.detach() for name, p in network.named_parameters()}
    sizes = [p.numel() for p in named.values()]

    def loss(flat):
        parts = (part.view_as(p) for part, p in zip(flat.split(sizes), named.values(), strict=True))
        buffers = {name: buffer.clone() for name, buffer in network.named_buffers()}
        logits = torch.func.functional_call(network, dict(zip(named, parts, strict=True)) | buffers, (x,))
        return nn.functional.cross_entropy(logits, y)

    flat = torch.cat([p.flatten() for p in named.values()])
    return torch.linalg.eigvalsh(torch.autograd.functional.hessian(loss, flat))


def test_collapse_is_the_share_of_variance(probe):
    network = network_of()
    with torch.no_grad():
        network.hidden1.linear.bias.fill_(0.4)
        network.hidden2.linear.weight.zero_()
        network.hidden2.linear.bias.fill_(1)
    found = take(network, probe, ["collapse"])
    x = inputs_by_hand(network, probe.x, "hidden1").double().numpy()
    assert found["hidden1.act/population/differs"] == pytest.approx(x.var(0).mean() / (x**2).mean(), rel=1e-5)
    assert found["hidden2.act/population/differs"] == 0


@pytest.mark.parametrize(("norm", "differs"), [("center", 1), ("batch", 1), ("scale", None)])
def test_centred_units_tell_all_examples_apart(norm, differs, probe):
    found = take(network_of(norm), probe, ["collapse"])["hidden2.act/batch/differs"]
    assert found == pytest.approx(1, abs=1e-5) if differs else found < 0.99


@pytest.mark.parametrize(("norm", "statistics"), [("none", "population"), ("batch", "batch"), ("batch", "population")])
def test_the_response_to_a_perturbation_is_scipys_distance_of_distributions(norm, statistics, probe):
    network = network_of(norm).double()
    probe = replace(probe, x=probe.x.double())
    found = take(network, probe, ["perturbation"])
    shaken = copy.deepcopy(network)
    weight = shaken.hidden1.linear.weight.detach()
    direction = torch.randn(weight.shape, generator=torch.Generator().manual_seed(0)).double()
    weight += 0.01 * weight.norm() / direction.norm() * direction
    for site in ("hidden1", "hidden2"):
        before, after = (
            inputs_by_hand(copy.deepcopy(net).train(statistics == "batch"), probe.x, site).numpy()
            for net in (network, shaken)
        )
        moved = [stats.wasserstein_distance(b, a) for b, a in zip(before.T, after.T, strict=True)]
        at = f"{site}.act/{statistics}/response"
        assert found[at] == pytest.approx(np.mean(moved), rel=1e-6)
        assert found[f"{at}_spread"] == pytest.approx(np.mean(moved) / before.std(0).mean(), rel=1e-6)
        assert found[at] > 0


# ---- the probe --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("model", ["mlp", "convnet"])
def test_gaussianity_is_scipys_by_unit(model, probe):
    network = network_of("batch", "relu", model=model)
    found = take(network, probe, ["gaussianity"])
    layers = {"mlp": ["hidden2.linear", "output"], "convnet": ["hidden2.conv", "output"]}[model]
    assert {key.partition("/")[0] for key in found} == set(layers)
    network.eval()
    with torch.no_grad():
        u = network.hidden1(network.flatten(probe.x) if model == "mlp" else probe.x)
        x = network.hidden2[0](u)
    for side, values in (("inputs", u), ("outputs", x)):
        of_units = values.movedim(1, -1).flatten(0, -2).double().numpy()
        of_units = of_units[:, of_units.std(0) > 0]
        key = f"{layers[0]}/{side}"
        assert found[f"{key}/skewness"] == pytest.approx(np.abs(stats.skew(of_units)).mean(), rel=1e-6)
        assert found[f"{key}/excess_kurtosis"] == pytest.approx(np.abs(stats.kurtosis(of_units)).mean(), rel=1e-6)
        assert found[f"{key}/sparsity"] == pytest.approx(float((values == 0).double().mean()))
    assert found[f"{layers[0]}/inputs/sparsity"] > 0.1  # a ReLU made them
    assert found[f"{layers[0]}/outputs/sparsity"] == 0


@pytest.mark.parametrize("model", ["mlp", "convnet"])
@pytest.mark.parametrize("norm", NORMS)
def test_only_batch_norm_has_batch_mates_speak(norm, model, probe):
    share = take(network_of(norm, model=model), probe, ["batch_mates"])["output/batch_mates"]
    assert (1e-4 < share < 1) if norms.uses_batch_statistics(network_of(norm)) else share < 1e-10


def test_the_share_of_batch_mates_is_that_of_their_shift(probe, monkeypatch):
    class Shift(norms.BatchNorm):
        """Adds to each example the mean of its batch."""

        def forward(self, x):
            return x + x.mean(0, keepdim=True) if self.training else x

    monkeypatch.setattr(importlib.import_module("bnlab.measure.batch_mates"), "DEALS", 400)
    network = nn.Sequential(nn.Flatten(), Shift(16, 1)).eval()
    x = torch.cat(list(probe.training_batches(16))).flatten(1).double()
    n, m = len(x), 8
    mates = (m - 1) / m**2 * (1 - (m - 1) / (n - 1)) * x.var(0, correction=1)  # those of a sample without replacement
    all_of_it = take(network, probe, ["batch_mates"])["output/batch_mates"]
    own = x * (1 + 1 / m) + (m - 1) / m * (x.sum(0) - x) / (n - 1)  # mean over deals
    expected = mates.mean() / (mates + own.var(0, correction=0)).mean()
    assert all_of_it == pytest.approx(float(expected), rel=0.05)


def test_the_masks_of_dropout_are_no_batch_mates(probe):
    settings = {"name": "convnet", "width": 8, "depth": 2, "dropout": 0.5}
    network = models.build(settings, norms.build({"name": "none"}), {"name": "fan_in"}, 0, (1, 4, 4), 3)
    assert take(network.train(), probe, ["batch_mates"])["output/batch_mates"] < 1e-10


def test_a_probe_is_cut_from_held_out_and_training_examples(probe, problem):
    images, _ = problem
    assert torch.equal(probe.x, images[32:44].float() / 255)
    assert torch.equal(probe.train_batch[0], images[:12].float() / 255)
    assert [len(y) for _, y in probe.parts.values()] == [24, 8, 16]
    assert [len(batch) for batch in probe.training_batches(100)] == [8, 8, 8]


def test_a_probe_of_digits_holds_all_ten_evenly(digits):
    parts = (
        (digits.train_x, digits.train_y),
        (digits.val_x, digits.val_y),
        (digits.test_x, digits.test_y),
    )
    probe = make_probe(*parts, digits.transform, 500, [0], [50], 60)
    for y in (probe.train_batch[1], probe.parts["train"][1], probe.parts["validation"][1]):
        share = torch.bincount(y, minlength=10) / len(y)
        assert share.min() > 0.04, share
        assert share.max() < 0.17, share
