"""Networks: sizes, names of sites, order of layers, and weights that pair the arms."""

import math

import pytest
import torch
from torch import nn

from bnlab import models, norms, starts
from bnlab.config import ConfigError
from bnlab.layers import ACTIVATIONS, MaxPool2x2
from bnlab.models import MODELS
from bnlab.norms import NORMS
from bnlab.starts import INITS

PIXELS = (1, 28, 28)


def build(norm="none", init=None, seed=0, pixels=PIXELS, **model) -> nn.Module:
    settings = {"name": "mlp"} | model
    of_norm = {"name": norm} | ({"groups": 4} if norm == "group" else {})
    return models.build(settings, norms.build(of_norm), init or {"name": "gaussian"}, seed, pixels, 10)


def weights(network: nn.Module) -> dict[str, torch.Tensor]:
    return {name: m.weight for name, m in network.named_modules() if isinstance(m, nn.Linear | nn.Conv2d)}


@pytest.mark.parametrize(
    ("norm", "parameters"),
    [
        ("none", 99_710),
        ("batch", 100_010),
        ("center", 99_710),
        ("scale", 100_010),
        ("lp", 100_010),
        ("noise", 99_710),
        ("noisy_batch", 100_010),
        ("layer", 100_310),
        ("group", 100_310),
    ],
)
def test_parameter_count_of_the_papers_net(norm, parameters):
    assert sum(p.numel() for p in build(norm).parameters()) == parameters


def test_every_norm_has_a_parameter_count_above():
    counted = test_parameter_count_of_the_papers_net.pytestmark[0].args[1]
    assert {norm for norm, _ in counted} == set(NORMS)


@pytest.mark.parametrize("pixels", [PIXELS, (3, 32, 32)])
@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("norm", NORMS)
def test_every_model_maps_images_to_logits_with_every_norm(name, norm, pixels):
    network = build(norm, pixels=pixels, **{"name": name})
    assert network(torch.randn(4, *pixels)).shape == (4, 10)


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
    of_batch = norms.uses_batch_statistics(build(norm))
    assert has_bias == (not of_batch or position == "after")


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_the_named_nonlinearity_is_the_one_that_is_built(name):
    assert type(build(activation=name).hidden3.act) is ACTIVATIONS[name]


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("init", INITS)
def test_arms_of_a_seed_share_their_base_weights(norm, init, name):
    plain, arm = (build(n, {"name": init}, seed=3, **{"name": name}) for n in ("none", norm))
    assert all(torch.equal(w, weights(arm)[site]) for site, w in weights(plain).items())


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


# ---- starts that are set once -----------------------------------------------------------------------------


def inputs_of_nonlinearities(network: nn.Module, x: torch.Tensor) -> list[torch.Tensor]:
    """(values, units) of each, in plain torch."""
    seen = []
    for module in network.modules():
        if type(module) in ACTIVATIONS.values():
            module.register_forward_pre_hook(lambda _, given: seen.append(given[0].movedim(1, -1).flatten(0, -2)))
    network.eval()(x)
    return seen


@pytest.mark.parametrize("once", ["center", "normalise"])
@pytest.mark.parametrize(
    "settings",
    [{"norm": "none"}, {"norm": "noise"}, {"norm": "none", "name": "convnet", "width": 4, "pixels": (3, 8, 8)}],
    ids=["mlp", "noise", "convnet"],
)
def test_a_start_set_once_gives_each_unit_its_mean_and_variance(settings, once):
    x = torch.rand(200, *settings.get("pixels", PIXELS), generator=torch.Generator().manual_seed(0))
    network, default = (build(init={"name": "fan_in", "once": how}, **settings) for how in (once, "none"))
    starts.start_once(network, once, x)
    for values in inputs_of_nonlinearities(network, x):
        assert values.mean(0).abs().max() < 1e-5
        if once == "normalise":
            assert (values.std(0, correction=0) - 1).abs().max() < 1e-5
    ours, drawn = weights(network), weights(default)
    assert all(torch.equal(w, drawn[site]) for site, w in ours.items()) == (once == "center")
    assert torch.equal(ours["output"], drawn["output"])


def test_a_unit_that_does_not_vary_keeps_its_weights():
    network = build("none", {"name": "gaussian", "sigma": 0})
    starts.start_once(network, "normalise", torch.rand(20, *PIXELS))
    assert all(torch.isfinite(p).all() for p in network.parameters())


@pytest.mark.parametrize(
    ("norm", "model"), [("batch", "mlp"), ("layer", "mlp"), ("none", "resnet"), ("none", "residual_mlp")]
)
def test_nets_without_such_a_start_are_refused(norm, model):
    with pytest.raises(ConfigError, match=r"^init.once=center: .*norm=none"):
        starts.feeding(build(norm, name=model), "center")


def test_no_hidden_layer_is_a_linear_classifier():
    assert sum(p.numel() for p in build(depth=0).parameters()) == 7_850


# ---- conv nets --------------------------------------------------------------------------------------------


def test_sites_of_a_conv_net_are_named_by_layer():
    network = build("batch", name="convnet", depth=3, width=8)
    sites = [name for name, module in network.named_modules() if not list(module.children())]
    hidden = [[f"hidden{k}.{site}" for site in ("conv", "norm", "act")] for k in (1, 2, 3)]
    assert sites == [*hidden[0], *hidden[1], "pool1", *hidden[2], "mean", "flatten", "output"]


def test_a_conv_net_is_what_torch_makes_of_the_same_layers():
    network = build("batch", {"name": "fan_in"}, name="convnet", depth=3, width=8, pixels=(3, 8, 8))
    reference = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1, bias=False),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.Conv2d(8, 8, 3, padding=1, bias=False),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(8, 16, 3, padding=1, bias=False),
        nn.BatchNorm2d(16),
        nn.ReLU(),
    )
    convolutions = [module for module in reference if isinstance(module, nn.Conv2d)]
    for k, convolution in enumerate(convolutions, 1):
        convolution.weight.data = network.get_submodule(f"hidden{k}.conv").weight.data
    x = torch.randn(4, 3, 8, 8)
    torch.testing.assert_close(network(x), network.output(reference(x).mean((2, 3))))


def test_a_residual_block_adds_its_input():
    block = build("none", name="resnet", width=8, pixels=(3, 8, 8)).stage1block1
    nn.init.zeros_(block.hidden2.conv.weight)
    u = torch.randn(2, 8, 8, 8)
    assert torch.equal(block(u), u.relu())


def test_a_residual_block_with_more_maps_takes_every_second_position_and_adds_zeros():
    block = build("none", name="resnet", width=8, pixels=(3, 8, 8)).stage2block1
    nn.init.zeros_(block.hidden2.conv.weight)
    u = torch.rand(2, 8, 8, 8)
    assert torch.equal(block(u), torch.cat([u[:, :, ::2, ::2], torch.zeros(2, 8, 4, 4)], dim=1))


@pytest.mark.parametrize("norm", ["none", "batch"])
def test_a_branch_is_a_norm_a_nonlinearity_and_a_linear_layer_beside_its_input(norm):
    network = build(norm, {"name": "fan_in"}, name="residual_mlp", width=8, blocks=2, branch="closed")
    block, u = network.hidden2, torch.randn(5, 8)
    assert torch.equal(block(u), u)  # s begins at 0
    nn.init.constant_(block.scale, 0.5)
    normed = nn.functional.batch_norm(u, None, None, training=True) if norm == "batch" else u
    torch.testing.assert_close(block(u), u + 0.5 * nn.functional.linear(normed.relu(), block.linear.weight))


def test_closed_branches_begin_as_no_branches_and_open_ones_do_not():
    few, many, opened = (
        build(name="residual_mlp", blocks=blocks, branch=branch)(torch.ones(1, *PIXELS))
        for blocks, branch in ((1, "closed"), (5, "closed"), (5, "open"))
    )
    assert torch.equal(few, many)
    assert not torch.equal(many, opened)


@pytest.mark.parametrize(
    ("blocks", "parameters"),
    [(3, 269_722), (9, 853_018)],  # with a bias nowhere but in the output, and γ and β: 20 and 56 layers
)
def test_a_residual_net_has_the_size_of_the_papers(blocks, parameters):
    network = build("batch", name="resnet", blocks=blocks, pixels=(3, 32, 32))
    assert sum(p.numel() for p in network.parameters()) == parameters  # He et al. 2016, Table 6: 0.27 M and 0.85 M
    assert len(weights(network)) == 6 * blocks + 2


def test_convolutions_have_the_fan_in_of_all_their_inputs():
    w = build(init={"name": "fan_in"}, name="convnet").hidden3.conv.weight
    assert w.std().item() == pytest.approx(1 / math.sqrt(32 * 9), rel=0.03)


def test_a_conv_net_that_halves_too_often_is_refused():
    build(name="convnet", depth=10)
    with pytest.raises(ConfigError, match=r"\Amodel=convnet: depth=11 halves images of 28×28 pixels 5 times\Z"):
        build(name="convnet", depth=11)


@pytest.mark.parametrize("size", [(6, 8), (7, 5)])
def test_pooling_and_its_gradient_are_those_of_torch(size):
    x = torch.randn(3, 2, *size, requires_grad=True)
    ours, theirs = MaxPool2x2()(x), nn.MaxPool2d(2)(x)
    assert torch.equal(ours, theirs)
    weights = torch.randn(ours.shape)
    gradients = [torch.autograd.grad((out * weights).sum(), x)[0] for out in (ours, theirs)]
    assert torch.equal(*gradients)
