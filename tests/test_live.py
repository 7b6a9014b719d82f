"""The live net of the ledger's page: its arithmetic is the engine's, and the section works in a browser."""

import itertools
import json
import shutil
import subprocess

import numpy as np
import pytest
from torch import nn

from bnlab import live, models, norms, runs, sweeps
from bnlab.data import Dataset
from bnlab.launcher import launch
from bnlab.training.order import batches

STEPS, SEED, SIGMA = 50, 3, 0.1
NETS = list(itertools.product(["none", "batch"], ["sigmoid", "relu", "tanh"]))
NODE = shutil.which("node")
needs_node = pytest.mark.skipif(NODE is None, reason="node, which runs JavaScript, is not here")

TRAIN = """
const { width, depth, activation, batchNorm, gamma, rate, layers, rows, pixels, labels, test } = INPUT;
const bytes = (text) => new Uint8Array(Buffer.from(text, "base64"));
const images = unpack(bytes(pixels), 784), tested = unpack(bytes(test.pixels), 784);
const net = new Net({ inputs: 784, width, depth, classes: 10 }, activation, batchNorm, gamma, rows[0].length);
net.linears.forEach(({ weights }, k) => weights.set(layers[k].flat()));
const losses = rows.map((batch) => net.update(batch.map((r) => images[r]), batch.map((r) => labels[r]), rate));
const { accuracy, loss } = net.evaluate(tested, test.labels);
console.log(JSON.stringify({ losses, accuracy, loss }));
"""


def in_node(script: str, given: dict) -> dict:
    """What `script` prints as JSON, run after the page's arithmetic and with `given` as INPUT."""
    arithmetic = live.source("net.js", "draws.js")
    text = f"{arithmetic}\nconst INPUT = {json.dumps(given)};\n{script}"
    done = subprocess.run([str(NODE), "-"], input=text, capture_output=True, encoding="utf-8", timeout=300)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def pixels_of(images) -> str:
    return live.packed(images.flatten(1).numpy())


@pytest.fixture(scope="module")
def of_the_engine(tmp_path_factory) -> dict:
    """Records at every step, by norm and activation."""
    out = tmp_path_factory.mktemp("engine")
    words = [
        [
            *("data=mnist_sample", f"norm={norm}", *(["norm.gamma=0.5"] if norm == "batch" else [])),
            *(f"model.activation={activation}", f"init.sigma={SIGMA}", f"steps={STEPS}", f"seed={SEED}"),
            *("measure.what=[accuracy]", "measure.per_decade=0", f"measure.steps={[*range(1, STEPS + 1)]}"),
            *("hardware=plain", f"out={out}"),
        ]
        for norm, activation in NETS
    ]
    configs = list(sweeps.composed_runs(words))
    assert launch(configs, progress=False).failed == {}
    found = [[r for r in runs.records(runs.folder(config)) if r["step"]] for config in configs]
    return dict(zip(NETS, found, strict=True))


@needs_node
@pytest.mark.parametrize(("norm", "activation"), NETS)
def test_the_pages_net_and_the_engine_give_the_same_numbers(norm, activation, of_the_engine, digits: Dataset):
    """From the same weights, on the same batches; γ begins at 0.5."""
    network = models.build(
        {"name": "mlp", "activation": activation},
        norms.build({"name": norm}),
        {"name": "gaussian", "sigma": SIGMA},
        SEED,
        digits.inputs,
        digits.classes,
    )
    layers = [m.weight.T.tolist() for m in network.modules() if isinstance(m, nn.Linear)]
    given = {
        "width": 100,
        "depth": 3,
        "activation": activation,
        "batchNorm": norm == "batch",
        "gamma": 0.5,
        "rate": 0.1,
        "layers": layers,
        "rows": batches(SEED, len(digits.train_x), 60, 0, STEPS).tolist(),
        "pixels": pixels_of(digits.train_x),
        "labels": digits.train_y.tolist(),
        "test": {"pixels": pixels_of(digits.test_x), "labels": digits.test_y.tolist()},
    }
    ours, theirs = in_node(TRAIN, given), of_the_engine[norm, activation]
    np.testing.assert_allclose(ours["losses"], [record["train/batch_loss"] for record in theirs], rtol=1e-4, atol=1e-4)
    assert ours["losses"][-1] != pytest.approx(ours["losses"][0], rel=1e-2)
    assert ours["loss"] == pytest.approx(theirs[-1]["test/loss"], rel=1e-4)
    assert ours["accuracy"] == pytest.approx(theirs[-1]["test/accuracy"], abs=1.5 / len(digits.test_y))
