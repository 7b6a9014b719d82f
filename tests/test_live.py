"""The live net of the ledger's page: its arithmetic is the engine's, and the section works in a browser."""

import base64
import itertools
import json
import shutil
import subprocess

import numpy as np
import pytest
import torch
from torch import nn

from bnlab import live, models, norms, runs, sample, sweeps
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


ROUNDS = """
const { rounds, norm, pixels, labels, train, settings } = INPUT;
const reports = [];
globalThis.postMessage = (seen) => reports.push(seen);
const tell = (data) => onmessage({ data });
tell({ kind: "digits", bytes: new Uint8Array(Buffer.from(pixels, "base64")), labels, train });
tell({ kind: "start", id: 1, norm, settings });
for (const updates of rounds) tell({ kind: "run", updates });
const { step, loss, accuracy, gradient, saturated } = reports.at(-1);
console.log(JSON.stringify({ step, loss, accuracy, gradient, saturated }));
"""


def in_node(script: str, given: dict, files: tuple[str, ...] = ("net.js", "draws.js")) -> dict:
    """What `script` prints as JSON, run after files of the page and with `given` as INPUT."""
    text = f"var onmessage;\n{live.source(*files)}\nconst INPUT = {json.dumps(given)};\n{script}"
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


@needs_node
def test_what_is_trained_does_not_depend_on_the_looks_at_it():
    digits = sample.read()
    settings = {"rate": 0.1, "sigma": 0.1, "depth": 2, "gamma": 1, "activation": "sigmoid"}
    x, y = digits.train_x[:600], digits.train_y[:600]
    given = {"norm": True, "pixels": live.packed(x), "labels": "".join(map(str, y)), "train": 480, "settings": settings}
    once, often = (in_node(ROUNDS, given | {"rounds": r}, live.WORKER) for r in ([12], [1, 2, 4, 5]))
    assert once == often
    assert once["step"] == 12


@needs_node
def test_a_seed_gives_nets_of_any_depth_the_same_first_layers_and_each_epoch_every_digit_once():
    script = """
    const nets = [1, 3].map((depth) => new Net({ inputs: 784, width: 100, depth, classes: 10 }, "tanh", true, 1, 60));
    nets.forEach((net, i) => drawWeights(net, 0.1 * (i + 1), 7));
    const [[first, output], [again, , , last]] = nets.map((net) => net.linears.map(({ weights }) => [...weights]));
    const next = batches(90, 60, 7);
    console.log(JSON.stringify({ first, output, again, last, epochs: [next(), next(), next()].flat() }));
    """
    found = in_node(script, {})
    for one, other in (("first", "again"), ("output", "last")):
        np.testing.assert_allclose(2 * np.array(found[one]), found[other], rtol=1e-6)
    assert np.std(found["first"]) == pytest.approx(0.1, rel=0.01)
    assert np.mean(found["first"]) == pytest.approx(0, abs=0.001)
    epochs = np.array(found["epochs"]).reshape(2, 90)
    assert (np.sort(epochs) == np.arange(90)).all()
    assert (epochs[0] != epochs[1]).any()


def test_the_pages_digits_are_the_samples(digits: Dataset):
    given = sample.read()
    bits = np.unpackbits(np.frombuffer(base64.b64decode(live.packed(given.test_x)), np.uint8)).reshape(-1, 784)
    assert (bits == digits.transform(digits.test_x).flatten(1).numpy()).all()
    assert (given.test_y == digits.test_y.numpy()).all()
    trained_on = torch.cat([digits.train_x, digits.val_x]).flatten(1).numpy()
    assert sorted(map(bytes, given.train_x)) == sorted(map(bytes, trained_on))


def test_the_section_asks_for_nothing_from_elsewhere():
    section = live.live_section()
    assert len(section) < 1_000_000
    assert not [word for word in ("http:", "https:", "src=", "import ", "fetch(", "url(") if word in section]
    assert section.count("</script>") == section.count("<script") == 3


# ---- in a browser -----------------------------------------------------------------------------------------

HEAD = '<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
ABOVE = '<div style="height: 3000px"></div>'
LONG = 300_000  # ms: much more than is needed where nothing else runs


@pytest.fixture(scope="module")
def browser():
    api = pytest.importorskip("playwright.sync_api", reason="playwright is not here: pip install -e '.[browser]'")
    found = shutil.which("chromium") or shutil.which("google-chrome")
    if found is None:
        pytest.skip("no Chromium is here")
    with api.sync_playwright() as playwright:
        yield playwright.chromium.launch(executable_path=found, args=["--no-sandbox"])


@pytest.fixture
def open_page(browser, tmp_path):
    """`open_page(…)` opens a page that is little but the section; in the end none has had an error."""
    errors, pages = [], []

    def open_it(address: str = "", width: int = 1280, above: str = "", before: str = ""):
        (tmp_path / "page.html").write_text(f"{HEAD}<body>{above}{live.live_section()}", encoding="utf-8")
        page = browser.new_page(viewport={"width": width, "height": 900})
        page.set_default_timeout(LONG)
        page.on("pageerror", lambda error: errors.append(error.message))
        page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
        page.add_init_script(before)
        page.goto(f"{(tmp_path / 'page.html').as_uri()}{address}")
        pages.append(page)
        return page

    yield open_it
    for page in pages:
        page.close()
    assert errors == []


def step_of(page) -> int:
    return int(page.inner_text("[data-shows=step]").removeprefix("step ").replace(",", ""))


def pause(page) -> None:
    page.click("text=Pause")
    page.wait_for_selector(".live:not(.busy) [data-does=toggle]:text-is('Go')")


def reached(page, words: str) -> None:
    page.wait_for_function("words => document.querySelector('.now').textContent.startsWith(words)", arg=words)


def test_it_learns_and_can_be_paused_and_begun_again(open_page):
    page = open_page()
    page.wait_for_function("parseFloat(document.querySelector('[data-shows=bn]').textContent) >= 80")
    pause(page)
    at = step_of(page)
    assert at > 20
    page.click("text=One step")
    reached(page, f"step {at + 1:,}")
    assert page.inner_text("[data-shows=speed]") == ""
    page.click("text=Start over")
    reached(page, "step 0")


def test_the_address_holds_the_settings(open_page):
    page = open_page("#live?rate=3&depth=2&activation=relu&sigma=nonsense")
    held = page.eval_on_selector_all(".live output", "all => all.map((each) => each.value)")
    assert held == ["3", "0.1", "2", "1"]
    assert page.input_value("[name=activation]") == "relu"
    assert page.locator(".layers figure").count() == 2
    page.press("[name=depth]", "ArrowRight")
    assert page.evaluate("location.hash") == "#live?rate=3&sigma=0.1&depth=3&gamma=1&activation=relu"
    assert page.locator(".layers figure").count() == 3
    page.evaluate("location.hash = '#another'")
    page.wait_for_timeout(200)
    assert page.input_value("[name=activation]") == "relu"
    page.click('a:has-text("the paper\'s net")')
    page.wait_for_function("document.querySelector('[name=activation]').value === 'sigmoid'")


def test_it_does_nothing_until_it_is_in_view(open_page):
    page = open_page(above=ABOVE)
    page.wait_for_function("document.querySelector('[data-does=toggle]').textContent === 'Pause'")
    assert page.workers == []
    page.evaluate("document.querySelector('.live').scrollIntoView()")
    page.wait_for_selector(".live.busy")
    assert len(page.workers) == 2
    page.evaluate("scrollTo(0, 0)")
    page.wait_for_selector(".live:not(.busy)")
    at = step_of(page)
    page.wait_for_timeout(1000)
    assert step_of(page) == at


@pytest.mark.parametrize("before", ["delete window.Worker", "Worker = class { constructor() { throw Error('no') } }"])
def test_a_browser_without_workers_is_told_so(open_page, before):
    page = open_page(before=before)
    page.wait_for_selector(".live .failed[role]")
    assert not page.is_visible(".live form")


def test_it_fits_a_telephone(open_page):
    page = open_page("#live?depth=5", width=390)
    assert page.evaluate("document.documentElement.scrollWidth") == 390
