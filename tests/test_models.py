"""Networks: sizes, names of sites, order of layers, and weights that pair the arms."""

import math

import pytest
import torch
from torch import nn

from bnlab import models, norms
from bnlab.models import ACTIVATIONS, INITS, MODELS
from bnlab.norms import NORMS

PIXELS = (1, 28, 28)


def build(norm="none", init=None, seed=0, **model) -> nn.Module:
    settings = {"name": "mlp"} | model
    return models.build(settings, norms.build({"name": norm}), init or {"name": "gaussian"}, seed, PIXELS, 10)


def weights(network: nn.Module) -> dict[str, torch.Tensor]:
    return {name: m.weight for name, m in network.named_modules() if isinstance(m, nn.Linear)}


@pytest.mark.parametrize(
    ("norm", "parameters"), [("none", 99_710), ("batch", 100_010), ("layer", 100_310), ("group", 100_310)]
)
def test_parameter_count_of_the_papers_net(norm, parameters):
    assert sum(p.numel() for p in build(norm).parameters()) == parameters


def test_every_norm_has_a_parameter_count_above():
    counted = test_parameter_count_of_the_papers_net.pytestmark[0].args[1]
    assert {norm for norm, _ in counted} == set(NORMS)


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("norm", NORMS)
def test_every_model_maps_images_to_logits_with_every_norm(name, norm):
    network = build(norm, **{"name": name})
    assert network(torch.randn(4, *PIXELS)).shape == (4, 10)


@pytest.mark.parametrize("name", MODELS)
def test_every_model_has_an_output_and_nonlinearities_as_sites(name):
    sites = [site for site, module in build(name=name).named_modules() if type(module) in ACTIVATIONS.values()]
    assert sites
    assert all(site.endswith(".act") for site in sites)
    assert isinstance(build(name=name).get_submodule("output"), nn.Linear)


def test_sites_are_named_by_layer():
    sites = [name for name, module in build("batch", depth=2).named_modules() if not list(module.children())]
    hidden = [f"hidden{k}.{site}" for k in (1, 2) for site in ("linear", "norm", "act")]
    assert sites == ["flatten", *hidden, "output"]


@pytest.mark.parametrize(
    ("position", "order"), [("before", ["linear", "norm", "act"]), ("after", ["linear", "act", "norm"])]
)
def test_norm_stands_before_or_after_the_nonlinearity(position, order):
    assert [name for name, _ in build("batch", norm_position=position).hidden1.named_children()] == order


@pytest.mark.parametrize(("norm", "position"), [(n, p) for n in NORMS for p in ("before", "after")])
def test_only_a_norm_right_behind_it_takes_a_linear_layers_bias(norm, position):
    has_bias = build(norm, norm_position=position).hidden1.linear.bias is not None
    assert has_bias == (norm != "batch" or position == "after")


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_the_named_nonlinearity_is_the_one_that_is_built(name):
    assert type(build(activation=name).hidden3.act) is ACTIVATIONS[name]


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("init", INITS)
def test_arms_of_a_seed_share_their_base_weights(norm, init):
    plain, arm = build("none", {"name": init}, seed=3), build(norm, {"name": init}, seed=3)
    assert all(torch.equal(w, weights(arm)[name]) for name, w in weights(plain).items())


@pytest.mark.parametrize("init", INITS)
def test_weights_do_not_depend_on_what_was_drawn_before(init):
    torch.manual_seed(1)
    first = build(init={"name": init}, seed=3)
    torch.manual_seed(2)
    assert all(torch.equal(w, weights(build(init={"name": init}, seed=3))[n]) for n, w in weights(first).items())


def test_a_layer_keeps_its_weights_when_the_net_grows():
    assert torch.equal(build(depth=2).hidden2.linear.weight, build(depth=5).hidden2.linear.weight)


def test_seeds_and_layers_have_weights_of_their_own():
    zero, one = build(seed=0), build(seed=1)
    assert not torch.equal(zero.hidden2.linear.weight, one.hidden2.linear.weight)
    assert not torch.equal(zero.hidden2.linear.weight, zero.hidden3.linear.weight)


def test_sigma_is_a_factor():
    small, large = (weights(build(init={"name": "gaussian", "sigma": s})) for s in (0.01, 0.5))
    for name, w in small.items():
        torch.testing.assert_close(50 * w, large[name])


@pytest.mark.parametrize(
    ("init", "std"),
    [
        ({"name": "gaussian", "sigma": 0.07}, lambda fan_in: 0.07),
        ({"name": "fan_in", "gain": 2.0}, lambda fan_in: 2 / math.sqrt(fan_in)),
    ],
)
def test_weights_have_the_standard_deviation_asked_for(init, std):
    for w in (build(init=init).hidden1.linear.weight, build(init=init).hidden2.linear.weight):
        assert w.std().item() == pytest.approx(std(w.shape[1]), rel=0.03)
        assert abs(w.mean().item()) < 4 * std(w.shape[1]) / math.sqrt(w.numel())


@pytest.mark.parametrize("init", INITS)
def test_biases_and_betas_begin_at_zero_and_gammas_at_one(init):
    for norm in NORMS:
        vectors = [p for p in build(norm, {"name": init}).parameters() if p.dim() == 1]
        assert all(bool((p == 0).all() or (p == 1).all()) for p in vectors)
        assert (build(norm, {"name": init}).output.bias == 0).all()
    assert (build("batch").hidden1.norm.gamma == 1).all()
    assert (build("batch").hidden1.norm.beta == 0).all()


def test_no_hidden_layer_is_a_linear_classifier():
    assert sum(p.numel() for p in build(depth=0).parameters()) == 7_850
