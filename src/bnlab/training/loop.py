"""The loop: a generator of moments. It knows no data set by name, no measurement, no figure, no tracker."""

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from bnlab.config import Shuffle
from bnlab.training.machine import gather_pages
from bnlab.training.optimizers import Slots
from bnlab.training.order import ORDERS, views_of
from bnlab.training.stack import Stack

CHUNK = 200  # updates whose batches are looked up at once


@dataclass(frozen=True)
class Moment:
    """A stack, stopped after `step` updates to be looked at; lists are over its runs."""

    step: int
    networks: list[nn.Module]
    batch_loss: list[float]  # mean over the batches since the moment before; nan at step 0
    diverged: list[int]  # first update with a loss that is not finite, or −1


def train(
    stack: Stack,
    images: Tensor,
    labels: Tensor,
    batch_size: int,
    moments: Collection[int],
    tick: Callable[[int], object] = lambda step: None,
    begin: int = 0,
    shuffle: Shuffle = "examples",
) -> Iterator[Moment]:
    """Train `stack` on images uint8 (N, C, H, W) and labels (N,) from update `begin` to the last of `moments`.

    Stops at each of them to be looked at. `tick` hears after each update how many have been made, before a moment of
    that step is given: a state that is taken there goes on from there, with that moment first. What it raises ends the
    training.
    """
    before = [step for step in sorted(moments) if step < begin]
    since = before[-1] if before else 0
    at, step = begin, stack.step_on(images, labels)
    for end in sorted(step for step in moments if step >= begin):
        for update in _updates(stack, len(images), batch_size, at, end, ORDERS[shuffle]):
            step(*update)
            at += 1
            if at - begin == CHUNK:  # it is a long training, and memory has grown as large as it gets
                gather_pages()
            tick(at)
        if at < end:  # all is lost
            at = end
            stack.loss_sum.fill_(torch.nan)
            tick(at)
        loss = stack.loss_sum / max(end - since, 1) if end else stack.loss_sum * torch.nan
        yield Moment(end, [stack.member(k) for k in range(len(stack))], loss.tolist(), stack.diverged.tolist())
        since = end
        stack.loss_sum.zero_()


def _updates(
    stack: Stack, examples: int, batch_size: int, first: int, end: int, order: Callable[..., Tensor]
) -> Iterator[tuple[Tensor, Tensor, Slots, Tensor]]:
    """Rows, views, settings, and the number of each update first + 1 … end, as `Stack.step_on` has it.

    No more of them once the stack is `lost`: at rates that are too high, that is soon.
    """
    seeds = [run.seed for run in (stack.runs[:1] if stack.one_batch else stack.runs)]
    for at in range(first, end, CHUNK):
        if stack.lost():
            return
        count = min(CHUNK, end - at)
        which = (examples, batch_size, at, count)
        rows = _of_seeds([order(seed, *which) for seed in seeds])
        several = stack.views > 1  # else nobody asks which
        views = _of_seeds([views_of(seed, stack.views, *which) for seed in seeds]) if several else rows
        numbers = torch.arange(at + 1, at + count + 1)
        on_device = [part.to(stack.device).unbind() for part in (rows, views, numbers)]
        yield from zip(*on_device[:2], stack.settings(at, count), on_device[2], strict=True)


def _of_seeds(each: list[Tensor]) -> Tensor:
    """(count, m) of one seed, else (count, K, m)."""
    return each[0] if len(each) == 1 else torch.stack(each, dim=1)
