"""The order of the data: a function of the seed alone."""

import pytest
import torch

from bnlab.training.order import ORDERS, batches, fixed_batches

EXAMPLES, BATCH = 23, 5  # 5 does not divide 23: batches straddle epochs


def stream(seed: int, count: int = 40) -> torch.Tensor:
    return batches(seed, EXAMPLES, BATCH, 0, count)


def test_shape_is_updates_by_batch():
    assert stream(0).shape == (40, BATCH)


def test_the_order_is_a_function_of_the_seed_alone():
    first = stream(3)
    torch.manual_seed(99)
    stream(4)
    assert torch.equal(stream(3), first)
    assert not torch.equal(stream(4), first)


def test_every_example_comes_once_an_epoch():
    whole = stream(0, 46).flatten()[: 10 * EXAMPLES].view(10, EXAMPLES)
    assert torch.equal(whole.sort(dim=1).values, torch.arange(EXAMPLES).expand(10, EXAMPLES))


def test_epochs_have_orders_of_their_own():
    first, second = stream(0).flatten()[: 2 * EXAMPLES].view(2, EXAMPLES)
    assert not torch.equal(first, second)


@pytest.mark.parametrize("chunk", [1, 2, 7, 13, 40])
@pytest.mark.parametrize("order", ORDERS.values(), ids=ORDERS)
def test_any_chunking_gives_the_same_stream(order, chunk):
    parts = [order(0, EXAMPLES, BATCH, i, min(chunk, 40 - i)) for i in range(0, 40, chunk)]
    assert torch.equal(torch.cat(parts), order(0, EXAMPLES, BATCH, 0, 40))


def test_fixed_batches_keep_their_mates_and_come_in_another_order_each_epoch():
    whole = EXAMPLES // BATCH
    epochs = fixed_batches(3, EXAMPLES, BATCH, 0, 6 * whole).view(6, whole, BATCH).tolist()
    formed = [{tuple(batch) for batch in epoch} for epoch in epochs]
    assert all(epoch == formed[0] for epoch in formed)
    assert len({str(epoch) for epoch in epochs}) > 1
    members = sorted(example for batch in formed[0] for example in batch)
    assert len(set(members)) == whole * BATCH
    assert not torch.equal(fixed_batches(4, EXAMPLES, BATCH, 0, whole), fixed_batches(3, EXAMPLES, BATCH, 0, whole))


@pytest.mark.parametrize("batch_size", [1, EXAMPLES, EXAMPLES - 1])
def test_batches_of_any_size_cut_the_same_stream(batch_size):
    cut = batches(0, EXAMPLES, batch_size, 0, 6).flatten()
    assert torch.equal(cut, stream(0).flatten()[: 6 * batch_size])
