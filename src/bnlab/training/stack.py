"""A stack: runs of one shape, trained together. Weights carry a leading run axis; a lone run is a stack of one."""

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor, nn

from bnlab.training.optimizers import Optimizer, Slots, broadcast
from bnlab.training.program import Program, Step
from bnlab.training.schedules import Schedule


@dataclass(frozen=True)
class Run:
    """What the engine needs of one run: a network with its initial weights, and how it is trained."""

    seed: int  # of the order of the data
    network: nn.Module
    optimizer: Optimizer
    schedule: Schedule

    def rate(self, made: int) -> float:
        """The learning rate of the update after so many."""
        return self.optimizer.lr * float(self.schedule(np.array([made]))[0])


class Augment(Protocol):
    """Views of images, by number: (m, C, H, W), (m,) → (m, C, H, W)."""

    @property
    def views(self) -> int: ...

    def __call__(self, x: Tensor, views: Tensor) -> Tensor: ...


class Stack:
    """Runs whose networks and optimizers are such as `program` updates, trained on views that `augment` makes.

    The tensors, K runs first: `weights`, `buffers`, `slots` (what the optimizer remembers, of the weights that are
    trained), and per run `loss_sum` (of the batches since it was last cleared) and `diverged` (first update with a loss
    that is not finite, or −1).
    Raises `ValueError` for an optimizer of another kind.
    """

    def __init__(self, runs: Sequence[Run], program: Program, device: torch.device, augment: Augment | None = None):
        kinds = {type(run.optimizer) for run in runs}
        if kinds != {program.kind}:
            raise ValueError(f"runs of one stack need one kind of optimizer, {program.kind}, not {kinds}")
        self.runs, self.device, self.augment = runs, device, augment
        self.views = augment.views if augment else 1  # of each image, of which one is shown
        self.one_batch = len({run.seed for run in runs}) == 1  # runs of one seed see the same examples
        self.template = copy.deepcopy(runs[0].network).to(device).train()
        self.weights = _stacked([dict(run.network.named_parameters()) for run in runs], device)
        self.buffers = _stacked([dict(run.network.named_buffers()) for run in runs], device)
        self.program, self.hyper = program, _hyper([run.optimizer for run in runs])
        first = self.settings(0, 1)[0]
        trained = {name: self.weights[name] for name, p in self.template.named_parameters() if p.requires_grad}
        self.slots = {name: program.kind.slots(w, broadcast(first, w.dim())) for name, w in trained.items()}
        self.loss_sum = torch.zeros(len(runs), device=device)
        self.diverged = torch.full((len(runs),), -1, dtype=torch.int64, device=device)

    def __len__(self) -> int:
        return len(self.runs)

    def settings(self, first: int, count: int) -> list[Slots]:
        """The optimizers' settings (K,) for each of the updates first + 1 … first + count."""
        made = np.arange(first, first + count)
        factors = torch.from_numpy(np.stack([run.schedule(made) for run in self.runs], axis=1))
        h = {**self.hyper, "lr": self.hyper["lr"] * factors}
        h |= self.program.kind.at(h, torch.from_numpy(made).double().unsqueeze(1) + 1)
        like = next(iter(self.weights.values()))
        columns = [part.to(like).expand(count, len(self)).unbind() for part in h.values()]
        return [dict(zip(h, at, strict=True)) for at in zip(*columns, strict=True)]

    def step_on(self, images: Tensor, labels: Tensor) -> Callable[[Tensor, Tensor, Slots, Tensor], None]:
        """`step(rows, views, settings, t)`: update number `t` (0-d, from 1) of every run, on rows of these examples.

        Images are uint8 (N, C, H, W), labels (N,). `rows` and `views`, the number of the view that is shown of each,
        are (m,) where the stack is of `one_batch`, else (K, m); `m` is the same at every call.
        """
        started: Step | None = None

        def step(rows: Tensor, views: Tensor, settings: Slots, t: Tensor) -> None:
            nonlocal started
            flat = rows.flatten()
            # Looked up out here: compiled, it would be byte by byte, and the place of each pixel of a view worked out.
            # And made float32, which compiled takes ten times as long
            shown = images.index_select(0, flat)
            shown = (self.augment(shown, views.flatten()) if self.augment else shown).float()
            batch = shown.view(*rows.shape, *shown.shape[1:]), labels.index_select(0, flat).view(rows.shape)
            arguments = self.weights, self.buffers, self.slots, settings, self.loss_sum, self.diverged, *batch, t
            if started is None:
                started = self.program.start(*arguments)
            else:
                started(*arguments)

        return step

    def rehearse(self, images: Tensor, labels: Tensor, batch_size: int) -> None:
        """Make an update and take it back, to know whether the program, compiled, works."""
        before = {name: tensor.clone() for name, tensor in self.state().items()}
        rows = torch.zeros(batch_size if self.one_batch else (len(self), batch_size), dtype=torch.int64)
        t = torch.ones((), dtype=torch.int64, device=self.device)
        self.step_on(images, labels)(rows.to(self.device), rows.to(self.device), self.settings(0, 1)[0], t)
        self.load(before)

    def lost(self) -> bool:
        """Whether no update can change anything any more: every number of every run that updates change is nan."""
        if not (self.diverged >= 0).all():
            return False
        trained = [self.weights[name] for name in self.slots]
        changing = [*trained, *(b for b in self.buffers.values() if b.is_floating_point())]
        return all(bool(t.isnan().all()) for t in changing)

    def state(self) -> dict[str, Tensor]:
        """All tensors that updates change, by name."""
        slots = {f"slots/{w}/{name}": t for w, of_weight in self.slots.items() for name, t in of_weight.items()}
        weights = {f"weights/{name}": t for name, t in self.weights.items()}
        buffers = {f"buffers/{name}": t for name, t in self.buffers.items()}
        return {**weights, **buffers, **slots, "loss_sum": self.loss_sum, "diverged": self.diverged}

    def load(self, state: dict[str, Tensor]) -> None:
        """Become what `state` was taken of. Raises `ValueError` where that was a stack of another shape."""
        own = self.state()
        if {name: t.shape for name, t in own.items()} != {name: t.shape for name, t in state.items()}:
            raise ValueError("this is the state of another stack")
        for name, tensor in own.items():
            tensor.copy_(state[name])

    def member(self, k: int) -> nn.Module:
        """Run k as an ordinary module in training mode, its weights and buffers views of the stack's."""
        network = copy.deepcopy(self.template)
        for name, parameter in network.named_parameters():
            parameter.data = self.weights[name][k]
        for name, _ in list(network.named_buffers()):
            owner, _, leaf = name.rpartition(".")
            setattr(network.get_submodule(owner), leaf, self.buffers[name][k])
        return network


def _stacked(tensors: Sequence[dict[str, Tensor]], device: torch.device) -> Slots:
    return {name: torch.stack([t[name].detach() for t in tensors]).to(device) for name in tensors[0]}


def _hyper(optimizers: Sequence[Optimizer]) -> Slots:
    """Each setting of the optimizer as one tensor (K,), in float64, without a weight decay where no run has one."""
    names = type(optimizers[0]).model_fields  # type: ignore[attr-defined]
    hyper = {name: torch.tensor([float(getattr(o, name)) for o in optimizers], dtype=torch.float64) for name in names}
    return {name: values for name, values in hyper.items() if name != "weight_decay" or values.any()}
