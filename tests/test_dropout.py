"""Dropout: the right share, scaled, random to the eye, and a function of its key alone."""

import pytest
import torch
from torch.func import functional_call, stack_module_state, vmap

from bnlab.dropout import Dropout

ONES = torch.ones(200, 500)


def layer(p: float = 0.5, key: int = 7) -> Dropout:
    made = Dropout(p)
    made.key.fill_(key)
    return made


@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
def test_drops_the_share_asked_for_and_keeps_the_mean(p):
    out = layer(p)(ONES)
    assert out.unique().tolist() == pytest.approx([0, 1 / (1 - p)])
    four_sd = 4 * (p * (1 - p) / ONES.numel()) ** 0.5
    assert float((out == 0).float().mean()) == pytest.approx(p, abs=four_sd)
    assert (out == 0).float().mean(0).std() == pytest.approx((p * (1 - p) / 200) ** 0.5, rel=0.2)  # over units
    assert (out == 0).float().mean(1).std() == pytest.approx((p * (1 - p) / 500) ** 0.5, rel=0.2)  # over examples


def test_masks_of_passes_and_of_keys_know_nothing_of_each_other():
    one, other = layer(key=7), layer(key=8_000_000)
    masks = [made(ONES) == 0 for made in (one, one, one, other)]
    for i, a in enumerate(masks):
        for b in masks[:i]:
            assert float((a == b).float().mean()) == pytest.approx(0.5, abs=4 * 0.5 / ONES.numel() ** 0.5)
    neighbours = (masks[0][:, 1:] == masks[0][:, :-1]).float().mean()
    assert float(neighbours) == pytest.approx(0.5, abs=4 * 0.5 / ONES.numel() ** 0.5)


def test_the_key_alone_decides():
    torch.manual_seed(0)
    first, key = layer(key=3)(ONES), torch.get_rng_state()
    assert torch.equal(torch.get_rng_state(), key)
    torch.manual_seed(1)
    assert torch.equal(layer(key=3)(ONES), first)


def test_evaluation_drops_nothing_and_leaves_the_key():
    made = layer().eval()
    assert torch.equal(made(ONES), ONES)
    assert made.key == 7


def test_gradients_pass_where_values_do():
    x = ONES.clone().requires_grad_()
    out = layer(0.25)(x)
    out.sum().backward()
    assert torch.equal(x.grad, out.detach())


def test_in_a_stack_each_run_has_the_masks_of_its_key():
    layers = [layer(key=1), layer(key=2**32 + 5)]
    _, buffers = stack_module_state(layers)

    def of_one(held, x):
        return functional_call(layers[0], held, (x,)), held["key"]

    out, _ = vmap(of_one, (0, None))(buffers, ONES)
    assert torch.equal(out, torch.stack([made(ONES) for made in layers]))
