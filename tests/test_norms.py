"""The norms against PyTorch's, and BatchNorm against the paper's Algorithms 1 and 2."""

import math

import numpy as np
import pytest
import torch
from scipy import stats
from torch import nn
from torch.func import functional_call, stack_module_state, vmap

from bnlab import norms
from bnlab.config import ConfigError
from bnlab.norms import NORMS, BatchNorm, BatchNormWrittenOut, precise_statistics
from bnlab.training.program import written_out

SHAPES = {1: (12, 6), 2: (4, 6, 3, 5)}
THEIRS = {1: nn.BatchNorm1d, 2: nn.BatchNorm2d}
TOLERANCE = {torch.float32: {"rtol": 1e-4, "atol": 1e-5}, torch.float64: {"rtol": 1e-9, "atol": 1e-10}}
VARIANTS = [
    (dims, dtype, eps, momentum)
    for dims in (1, 2)
    for dtype in (torch.float32, torch.float64)
    for eps, momentum in ((1e-5, 0.1), (1e-3, 0.5), (0.1, 1.0))
]


def batches(dims: int, count: int, dtype: torch.dtype = torch.float64) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(dims)
    scale = torch.arange(1, 7, dtype=dtype).view(1, 6, *[1] * (len(SHAPES[dims]) - 2))
    draw = [torch.randn(SHAPES[dims], generator=generator, dtype=dtype) for _ in range(count)]
    return [scale * x + i + scale for i, x in enumerate(draw)]


def pair(
    dims: int, dtype: torch.dtype, eps: float, momentum: float, kind: type[BatchNormWrittenOut] = BatchNorm
) -> tuple[BatchNormWrittenOut, nn.Module]:
    """Ours and PyTorch's, with the same γ and β, which are not 1 and 0."""
    ours = kind(6, dims, eps, momentum).to(dtype)
    theirs = THEIRS[dims](6, eps, momentum).to(dtype)
    with torch.no_grad():
        for gamma, beta in ((ours.gamma, ours.beta), (theirs.weight, theirs.bias)):
            gamma.copy_(torch.linspace(0.5, 2, 6))
            beta.copy_(torch.linspace(-1, 1, 6))
    return ours, theirs


@pytest.mark.parametrize("kind", [BatchNorm, BatchNormWrittenOut])
@pytest.mark.parametrize(("dims", "dtype", "eps", "momentum"), VARIANTS)
def test_batch_norm_gives_what_torch_gives(dims, dtype, eps, momentum, kind):
    ours, theirs = pair(dims, dtype, eps, momentum, kind)
    for x in batches(dims, 4, dtype):
        torch.testing.assert_close(ours(x), theirs(x), **TOLERANCE[dtype])
        torch.testing.assert_close(ours.running_mean, theirs.running_mean, **TOLERANCE[dtype])
        torch.testing.assert_close(ours.running_var, theirs.running_var, **TOLERANCE[dtype])
    x = batches(dims, 5, dtype)[-1]
    torch.testing.assert_close(ours.eval()(x), theirs.eval()(x), **TOLERANCE[dtype])


@pytest.mark.parametrize("kind", [BatchNorm, BatchNormWrittenOut])
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize(("dims", "dtype", "eps", "momentum"), VARIANTS)
def test_batch_norm_has_the_gradients_that_torch_has(dims, dtype, eps, momentum, training, kind):
    first, second = batches(dims, 2, dtype)
    pull = torch.randn(first.shape, generator=torch.Generator().manual_seed(3), dtype=dtype)
    found = []
    for module in pair(dims, dtype, eps, momentum, kind):
        module(first)  # so that the running statistics are not 0 and 1
        x = second.clone().requires_grad_()
        loss = (module.train(training)(x) * pull).sum()
        gamma, beta = (module.gamma, module.beta) if isinstance(module, kind) else (module.weight, module.bias)
        found.append(torch.autograd.grad(loss, [x, gamma, beta]))
    for ours, theirs in zip(*found, strict=True):
        torch.testing.assert_close(ours, theirs, **TOLERANCE[dtype])


def test_for_the_compiler_it_is_written_out_where_that_has_a_gradient():
    assert written_out(BatchNorm(6, 1)) is BatchNormWrittenOut
    assert [written_out(module) for module in (BatchNorm(6, 1, eps=0), nn.Linear(1, 1))] == [BatchNorm, nn.Linear]


@pytest.mark.parametrize("dims", [1, 2])
def test_batch_norm_passes_gradcheck(dims):
    ours, _ = pair(dims, torch.float64, 1e-5, 0.1)
    (x,) = batches(dims, 1)
    assert torch.autograd.gradcheck(ours, x.requires_grad_())


def test_running_statistics_hold_on_to_no_graph():
    layer = BatchNorm(6, 1).double()
    layer(batches(1, 1)[0].requires_grad_())
    assert not any(b.requires_grad for b in layer.buffers())


def test_evaluation_leaves_the_running_statistics_alone():
    ours, _ = pair(1, torch.float64, 1e-5, 0.1)
    before = {name: b.clone() for name, b in ours.named_buffers()}
    ours.eval()(batches(1, 1)[0])
    assert all(torch.equal(b, before[name]) for name, b in ours.named_buffers())


@pytest.mark.parametrize(("dims", "shape"), [(1, (1, 6)), (2, (1, 6, 1, 1))])
def test_one_value_a_unit_raises_in_training_only(dims, shape):
    layer = BatchNorm(6, dims)
    with pytest.raises(ValueError, match="at least two values"):
        layer(torch.ones(shape))
    assert torch.isfinite(layer.eval()(torch.ones(shape))).all()


def test_one_image_is_enough_for_feature_maps():
    assert torch.isfinite(BatchNorm(6, 2)(torch.randn(1, 6, 3, 3))).all()


@pytest.mark.parametrize("dims", [1, 2])
def test_under_vmap_running_statistics_are_those_of_separate_modules(dims):
    alone = [BatchNorm(6, dims).double() for _ in range(3)]
    template = BatchNorm(6, dims).double()
    parameters, buffers = stack_module_state(alone)
    parameters = {name: p.detach() for name, p in parameters.items()}

    def one(parameters, buffers, x):
        tensors = {**parameters, **buffers}
        y = functional_call(template, tensors, (x,))
        return y, {name: tensors[name] for name in buffers}

    x = batches(dims, 3)
    for _ in range(3):
        y, buffers = vmap(one)(parameters, buffers, torch.stack(x))
        for k, module in enumerate(alone):
            torch.testing.assert_close(y[k], module(x[k]))
    for name, stacked in buffers.items():
        torch.testing.assert_close(stacked, torch.stack([dict(m.named_buffers())[name] for m in alone]))
    assert torch.equal(template.running_mean, torch.zeros(6))


@pytest.mark.parametrize("mode", [True, False])
@pytest.mark.parametrize("dims", [1, 2])
def test_precise_statistics_are_means_over_the_batches(dims, mode):
    layer = BatchNorm(6, dims, momentum=0.3, statistics="precise").double()
    layer(batches(dims, 1)[0])  # what was gathered before has no say
    network = nn.Sequential(layer).train(mode)
    x = batches(dims, 5)
    precise_statistics(network, x)
    over = layer.over
    torch.testing.assert_close(layer.running_mean, torch.stack([b.mean(over) for b in x]).mean(0))
    torch.testing.assert_close(layer.running_var, torch.stack([b.var(over, correction=1) for b in x]).mean(0))
    assert layer.momentum == 0.3
    assert [module.training for module in network.modules()] == [mode, mode]


def test_precise_statistics_see_the_layers_before_as_in_training():
    first, second = (BatchNorm(6, 1, statistics="precise").double() for _ in range(2))
    x = batches(1, 4)
    precise_statistics(nn.Sequential(first, nn.Tanh(), second).eval(), x)
    seen = [torch.tanh((b - b.mean(0)) / (b.var(0, correction=0) + 1e-5).sqrt()) for b in x]
    torch.testing.assert_close(second.running_mean, torch.stack([b.mean(0) for b in seen]).mean(0))


def test_precise_statistics_leave_moving_averages_alone():
    layer = BatchNorm(6, 1).double()
    precise_statistics(layer, batches(1, 3))
    assert torch.equal(layer.running_mean, torch.zeros(6).double())


def test_layer_norm_is_torch_layer_norm():
    ours, theirs = norms.build({"name": "layer", "eps": 1e-3})(6, 1), nn.LayerNorm(6, 1e-3)
    x = batches(1, 1, torch.float32)[0]
    torch.testing.assert_close(ours(x), theirs(x))


@pytest.mark.parametrize("dims", [1, 2])
@pytest.mark.parametrize("groups", [1, 2, 3])
def test_group_norm_is_torch_group_norm(groups, dims):
    ours = norms.build({"name": "group", "groups": groups, "eps": 1e-3})(6, dims)
    x = batches(dims, 1, torch.float32)[0]
    torch.testing.assert_close(ours(x), nn.functional.group_norm(x, groups, eps=1e-3))


@pytest.mark.parametrize("name", sorted(set(NORMS) - {"none"}))
def test_norms_compute_in_the_precision_of_their_weights(name):
    coarse = torch.randn(4, 20, 3, 3, generator=torch.Generator().manual_seed(0)).bfloat16()
    norm = norms.build({"name": name})
    assert torch.equal(norm(20, 2)(coarse), norm(20, 2)(coarse.float()))


def test_groups_that_do_not_divide_the_width_are_refused():
    with pytest.raises(ConfigError, match=r"^norm=group: groups=4 .* width 6$"):
        norms.build({"name": "group", "groups": 4})(6, 1)


def test_none_is_the_identity():
    layer, x = norms.build({"name": "none"})(6, 1), batches(1, 1)[0]
    assert layer(x) is x
    assert not list(layer.parameters())


@pytest.mark.parametrize("dims", [1, 2])
@pytest.mark.parametrize("name", NORMS)
def test_every_norm_keeps_shape_and_passes_gradients(name, dims):
    layer = norms.build({"name": name})(20, dims)
    x = torch.randn((8, 20) if dims == 1 else (8, 20, 3, 3), requires_grad=True)
    y = layer(x)
    assert y.shape == x.shape
    (gradient,) = torch.autograd.grad((y**3).sum(), x)
    assert torch.isfinite(gradient).all()
    assert gradient.abs().max() > 0


@pytest.mark.parametrize("name", NORMS)
def test_uses_batch_statistics_says_whether_training_and_evaluation_differ(name):
    layer = norms.build({"name": name})(20, 1)
    x = 3 * torch.randn(8, 20) + 1
    differ = not torch.allclose(layer.train()(x), layer.eval()(x))
    assert norms.uses_batch_statistics(nn.Sequential(layer)) == (differ and name != "noise")


# ---- parts of BatchNorm, other norms of a batch, and noise ------------------------------------------------

OF_BATCH = {  # x and its mean, over examples and positions, in training
    "center": lambda x, mean: x - mean + 0.5,
    "scale": lambda x, mean: 2 * x / ((x - mean).square().mean(OVER, keepdim=True) + 1e-5).sqrt() + 0.5,
    "lp": lambda x, mean: (
        2 * (x - mean) / (x.abs().mean(OVER, keepdim=True).square() * math.pi / 2 + 1e-5).sqrt() + 0.5
    ),
}
OVER = (0, 2, 3)


def set_affine(layer: nn.Module) -> nn.Module:
    """With γ = 2, where there is one, and β = 0.5."""
    for name, p in layer.named_parameters():
        nn.init.constant_(p, 2 if name == "gamma" else 0.5)
    return layer.double()


@pytest.mark.parametrize("name", OF_BATCH)
def test_a_norm_of_the_batch_follows_its_formula(name):
    (x,) = batches(2, 1)
    layer = set_affine(norms.build({"name": name})(6, 2))
    torch.testing.assert_close(layer(x), OF_BATCH[name](x, x.mean(OVER, keepdim=True)))


@pytest.mark.parametrize("name", OF_BATCH)
def test_a_norm_of_the_batch_is_evaluated_with_what_it_gathered(name):
    (x,) = batches(2, 1)
    layer = set_affine(norms.build({"name": name, "momentum": 1})(6, 2))
    trained = layer(x)
    layer.lost = 0  # so that what is gathered is what was used
    layer(x)
    torch.testing.assert_close(layer.eval()(x), trained)


def test_the_centred_norm_of_two_is_batch_norm():
    theirs, ours = BatchNorm(6, 2).double(), norms.build({"name": "lp", "p": 2, "centred": True})(6, 2).double()
    for x in batches(2, 3):
        torch.testing.assert_close(ours(x), theirs(x))
    torch.testing.assert_close(ours.eval()(x), theirs.eval()(x))


@pytest.mark.parametrize("p", [1, 2, "max"])
def test_lp_norms_give_a_gaussian_the_spread_one(p):
    x = 3 * torch.randn(60, 4000, generator=torch.Generator().manual_seed(0))
    assert norms.build({"name": "lp", "p": p})(4000, 1)(x).std().item() == pytest.approx(1, abs=0.03)


def test_gamma_begins_where_it_is_told_to():
    (x,) = batches(1, 1, torch.float32)
    one, eight = (norms.build({"name": "batch", "gamma": gamma})(6, 1) for gamma in (1, 8))
    torch.testing.assert_close(eight(x), 8 * one(x))


def noise_of(layer: nn.Module) -> tuple[torch.Tensor, torch.Tensor]:
    """The s and m (examples, units) of a step, as its answers to 0 and to 1 would be with the same key."""
    key = layer.key.clone()
    zero = layer(torch.zeros(2000, 50))
    layer.key = key
    return layer(torch.ones(2000, 50)) - zero, zero


def test_noise_has_the_distributions_of_its_docstring():
    layer = norms.build({"name": "noise"})(50, 1)
    steps = [noise_of(layer) for _ in range(40)]
    sigma = torch.stack([s.mean(0) for s, _ in steps]).flatten()
    mu = torch.stack([m.mean(0) for _, m in steps]).flatten()
    assert stats.kstest(sigma.numpy(), stats.uniform(1, 0.25).cdf).pvalue > 0.01
    assert stats.kstest(mu.numpy(), stats.uniform(-0.5, 1).cdf).pvalue > 0.01
    s, m = steps[0]
    assert stats.kstest(((s - s.mean(0)) / 0.1).flatten().numpy(), stats.norm.cdf).pvalue > 0.01
    assert stats.kstest((m - m.mean(0)).flatten().numpy(), stats.uniform(-0.1, 0.2).cdf).statistic < 0.01
    assert abs(np.corrcoef(s.flatten(), m.flatten())[0, 1]) < 0.02 + abs(np.corrcoef(s.mean(0), m.mean(0))[0, 1])


def test_noise_can_be_shared_by_a_layer():
    s, m = noise_of(norms.build({"name": "noise", "per": "layer"})(50, 1))
    assert s.mean(0).std() < 0.01
    assert m.mean(0).std() < 0.01


def test_noisy_batch_norm_is_batch_norm_and_then_noise():
    (x,) = batches(1, 1)
    noisy, plain = (norms.build({"name": name})(6, 1).double() for name in ("noisy_batch", "batch"))
    noise = norms.build({"name": "noise"})(6, 1)
    for _ in range(2):
        torch.testing.assert_close(noisy(x), noise(plain(x)))
    torch.testing.assert_close(noisy.eval()(x), plain.eval()(x))
