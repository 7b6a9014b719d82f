"""The rival in JAX: the same net and update, compiled as a scan over steps of a vmap over runs."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from torch import nn

from benchmarks import Side
from bnlab.config import Config
from bnlab.launcher.one_stack import dataset_of, engine_run
from bnlab.norms import BatchNorm
from bnlab.training.order import batches

jax.config.update("jax_default_matmul_precision", "highest")

CHUNK = 100  # steps of one call of the compiled scan
Layers = list[dict[str, Any]]


def side(configs: Sequence[Config]) -> Side:
    """Runs with rates of their own; all see the batches of the first one's seed, gathered once."""
    dataset = dataset_of(configs[0])
    networks = [engine_run(c, dataset).network for c in configs]
    weights, running = stacked([of_network(network) for network in networks])
    rates = jnp.array([config.optimizer["lr"] for config in configs], jnp.float32)
    images, labels = jnp.asarray(dataset.train_x.numpy()), jnp.asarray(dataset.train_y.numpy())
    seed, batch_size = configs[0].seed, configs[0].batch_size
    state = [weights, running]

    def run(steps: int) -> float:
        chunks = max(1, round(steps / CHUNK))
        for k in range(chunks):
            rows = jnp.asarray(batches(seed, len(images), batch_size, k * CHUNK, CHUNK).numpy(), jnp.int32)
            *state[:], losses = train(*state, rates, images, labels, rows)
        losses.block_until_ready()
        return chunks * CHUNK * len(configs)

    return run


def of_network(network: nn.Module) -> tuple[Layers, Layers]:
    """Weights and running statistics of an MLP of ours, layer by layer."""
    weights: Layers = []
    running: Layers = []
    for module in network.modules():
        if isinstance(module, nn.Linear):
            weights.append({"w": jnp.array(module.weight.detach().numpy().T)})
            if module.bias is not None:
                weights[-1]["b"] = jnp.array(module.bias.detach().numpy())
        if isinstance(module, BatchNorm):
            weights[-1] |= {name: jnp.array(p.detach().numpy()) for name, p in module.named_parameters()}
            running.append({name: jnp.array(buffer.numpy()) for name, buffer in module.named_buffers()})
    return weights, running


def stacked(runs: Sequence[tuple[Layers, Layers]]) -> Any:
    """The same trees with a leading axis of runs."""
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *runs)


@partial(jax.jit, donate_argnums=(0, 1))
def train(weights: Layers, running: Layers, rates: Any, images: Any, labels: Any, rows: Any) -> tuple[Any, Any, Any]:
    """Updates of stacked runs on `rows` (steps, m) of images uint8; with the losses (steps, K)."""

    def update(state: tuple[Layers, Layers], at: Any) -> tuple[tuple[Layers, Layers], Any]:
        x = (images[at] > 127).astype(jnp.float32).reshape(*at.shape, -1)
        return jax.vmap(_update_one, (0, 0, 0, None, None))(*state, rates, x, labels[at])

    state, losses = jax.lax.scan(update, (weights, running), rows)
    return *state, losses


def _update_one(weights: Layers, running: Layers, rate: Any, x: Any, y: Any) -> tuple[tuple[Layers, Layers], Any]:
    (loss, running), gradient = jax.value_and_grad(_loss, has_aux=True)(weights, running, x, y)
    return (jax.tree.map(lambda w, g: w - rate * g, weights, gradient), running), loss


def _loss(weights: Layers, running: Layers, x: Any, y: Any) -> tuple[Any, Layers]:
    *hidden, output = weights
    moved = []
    for k, layer in enumerate(hidden):
        x = x @ layer["w"] + layer.get("b", 0.0)
        if "gamma" in layer:
            x, seen = _batch_norm(x, layer["gamma"], layer["beta"], running[k])
            moved.append(seen)
        x = jax.nn.sigmoid(x)
    log_p = jax.nn.log_softmax(x @ output["w"] + output["b"])
    return -jnp.take_along_axis(log_p, y[:, None], axis=1).mean(), moved


def _batch_norm(x: Any, gamma: Any, beta: Any, running: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    """With ε = 1e-5 and momentum 0.1, the defaults of `norm=batch`."""
    m = len(x)
    mean, var = x.mean(0), x.var(0)
    seen = {"running_mean": jax.lax.stop_gradient(mean), "running_var": jax.lax.stop_gradient(var) * (m / (m - 1))}
    moved = {name: old + 0.1 * (seen[name] - old) for name, old in running.items()}
    return (x - mean) * (gamma * jax.lax.rsqrt(var + 1e-5)) + beta, moved
