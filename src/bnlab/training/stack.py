"""A stack: runs of one shape, trained together. Weights carry a leading run axis; a lone run is a stack of one."""

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad_and_value, vmap
from torch.nn import functional as F

from bnlab.training.optimizers import Optimizer, Slots
from bnlab.training.schedules import Schedule

Transform = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Run:
    """What the engine needs of one run: a network with its initial weights, and how it is trained."""

    seed: int  # of the order of the data
    network: nn.Module
    optimizer: Optimizer
    schedule: Schedule


class Stack:
    """Runs whose networks have the same modules and whose optimizers are of one kind.

    `transform` turns gathered uint8 images into what the networks see. The tensors, K runs first: `weights`, `buffers`,
    `slots` (what the optimizer remembers), and per run `loss_sum` (of the batches since it was last cleared) and
    `diverged` (first update with a loss that is not finite, or −1).
    """

    def __init__(self, runs: Sequence[Run], transform: Transform, device: torch.device, compiled: bool):
        kinds = {type(run.optimizer) for run in runs}
        if len(kinds) != 1:
            raise ValueError(f"runs of one stack need one kind of optimizer, not {kinds}")
        self.runs, self.device = runs, device
        self.template = copy.deepcopy(runs[0].network).to(device).train()
        self.weights = _stacked([dict(run.network.named_parameters()) for run in runs], device)
        self.buffers = _stacked([dict(run.network.named_buffers()) for run in runs], device)
        self.hyper = _hyper([run.optimizer for run in runs], device)
        self.kind = type(runs[0].optimizer)
        self.slots = {name: self.kind.slots(w, _broadcast(self.hyper, w)) for name, w in self.weights.items()}
        self.loss_sum = torch.zeros(len(runs), device=device)
        self.diverged = torch.full((len(runs),), -1, dtype=torch.int64, device=device)
        step = _make_step(self.template, transform, self.kind)
        self._step = torch.compile(step, fullgraph=True, dynamic=False) if compiled else step

    def __len__(self) -> int:
        return len(self.runs)

    def step(self, x: Tensor, y: Tensor, t: int, lr_factor: Tensor) -> None:
        """Update number t (from 1) of every run: x (K, m, C, H, W) uint8, y (K, m), lr_factor (K,)."""
        hyper = {**self.hyper, "lr": self.hyper["lr"] * lr_factor}
        number = torch.tensor(float(t), device=self.device)
        self._step(self.weights, self.buffers, self.slots, hyper, self.loss_sum, self.diverged, x, y, number)

    def member(self, k: int) -> nn.Module:
        """Run k as an ordinary module in training mode, its weights and buffers views of the stack's."""
        network = copy.deepcopy(self.template)
        for name, parameter in network.named_parameters():
            parameter.data = self.weights[name][k]
        for name, _ in list(network.named_buffers()):
            owner, _, leaf = name.rpartition(".")
            setattr(network.get_submodule(owner), leaf, self.buffers[name][k])
        return network


def _make_step(template: nn.Module, transform: Transform, kind: type[Optimizer]) -> Callable[..., None]:
    def loss_of_one(weights: Slots, buffers: Slots, x: Tensor, y: Tensor) -> tuple[Tensor, Slots]:
        tensors = {**weights, **buffers}
        loss = F.cross_entropy(functional_call(template, tensors, (x,)), y)
        return loss, {name: tensors[name] for name in buffers}  # a functional call puts new buffers into `tensors`

    gradient = vmap(grad_and_value(loss_of_one, has_aux=True))

    def step(
        weights: Slots,
        buffers: Slots,
        slots: dict[str, Slots],
        hyper: Slots,
        loss_sum: Tensor,
        diverged: Tensor,
        x: Tensor,
        y: Tensor,
        t: Tensor,
    ) -> None:
        gradients, (loss, new_buffers) = gradient(weights, buffers, transform(x), y)
        with torch.no_grad():
            for name, buffer in buffers.items():
                buffer.copy_(new_buffers[name])
            for name, w in weights.items():
                h = _broadcast(hyper, w)
                g = gradients[name]
                if w.dim() > 2:  # (runs, out, in, …): a weight matrix; biases, γ and β are not decayed
                    g = g + h["weight_decay"] * w
                kind.update(w, g, slots[name], h, t)
            loss_sum.add_(loss)
            first = ~torch.isfinite(loss) & (diverged < 0)
            diverged.copy_(torch.where(first, t.to(diverged.dtype), diverged))

    return step


def _stacked(tensors: Sequence[dict[str, Tensor]], device: torch.device) -> Slots:
    return {name: torch.stack([t[name].detach() for t in tensors]).to(device) for name in tensors[0]}


def _hyper(optimizers: Sequence[Optimizer], device: torch.device) -> Slots:
    """Each setting of the optimizer as one tensor (K,)."""
    names = type(optimizers[0]).model_fields  # type: ignore[attr-defined]
    return {name: torch.tensor([float(getattr(o, name)) for o in optimizers], device=device) for name in names}


def _broadcast(hyper: Slots, w: Tensor) -> Slots:
    return {name: h.view(-1, *[1] * (w.dim() - 1)) for name, h in hyper.items()}
