"""The benchmark: rivals compute the same thing and train, the arithmetic is right, the page says what was measured."""

import functools
import json
import math
import os
import re
import subprocess
import sys
import time
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from bnlab.config import CONFIGS
from bnlab.data.augment import Augment
from bnlab.launcher import grouping, one_stack
from bnlab.training import checkpoint, train

SCRIPTS = CONFIGS.parent / "scripts"
sys.path.insert(0, str(SCRIPTS))

import bench  # noqa: E402
from benchmarks import commands, conv, matrix, ours, parts, profile, rivals, summary, table  # noqa: E402
from benchmarks.processes import Entry, Team, alternate  # noqa: E402

NORMS = ["none", "batch"]


@pytest.fixture
def small(make_config):
    """`small(norm)`: the config of a small net that learns fast."""
    return lambda norm="batch": make_config({"norm": {"name": norm}, "optimizer.lr": 0.5, "steps": 100})


def loss_of(network: torch.nn.Module, digits) -> float:
    x, y = digits.transform(digits.train_x), digits.train_y
    with torch.no_grad():
        return float(F.cross_entropy(network(x), y))


# ---- the sides compute what they should -------------------------------------------------------------------


@pytest.mark.parametrize("model", ["mlp", "convnet"])
@pytest.mark.parametrize("norm", NORMS)
def test_the_loops_network_is_ours(norm, model, small, digits):
    config = small(norm).model_copy(update={"model": {"name": model, "width": 4, "depth": 3}})
    own = one_stack.engine_run(config, digits.inputs, digits.classes).network
    theirs = rivals.network(config, digits.inputs, digits.classes)
    with torch.no_grad():
        for ours_, theirs_ in zip(own.parameters(), theirs.parameters(), strict=True):
            theirs_.copy_(ours_)
    x = digits.transform(digits.train_x[:50])
    torch.testing.assert_close(theirs(x), own(x))


@pytest.mark.parametrize(("side", "more"), [(rivals.tutorial, (1, 0)), (rivals.in_memory, (1,))])
def test_the_loops_train(side, more, small, digits):
    loop = side(small(), *more)
    before = loss_of(loop.network, digits)
    assert loop(300) == 300
    assert loss_of(loop.network, digits) < 0.7 * before


def test_the_tutorials_images_are_those_that_the_engine_sees(digits):
    image, label = rivals.Images(digits)[7]
    assert torch.equal(image, digits.transform(digits.train_x[7]))
    assert label == digits.train_y[7]


def test_the_tutorials_views_are_among_those_that_the_engine_draws(digits):
    augment = Augment(flip=True, pad=1)
    image, _ = rivals.Images(replace(digits, augment=augment))[7]
    views = augment(digits.train_x[7:8].expand(augment.views, -1, -1, -1), torch.arange(augment.views))
    assert any(torch.equal(image, view) for view in digits.transform(views))


@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("norm", NORMS)
def test_jax_computes_what_the_engine_computes(norm, shared, small, digits):
    pytest.importorskip("jax", reason="jax is not installed: pip install -e '.[bench]'")
    from benchmarks import jax_rival

    config, steps = small(norm), 6
    configs = parts.sweep_of(config, 3) if shared else parts.seeds_of(config, 3)
    stack = ours.make_stack(configs, 1)
    state = jax_rival.stacked([jax_rival.of_network(stack.member(k)) for k in range(3)])
    order = np.stack([jax_rival.batches(c.seed, len(digits.train_x), 20, 0, steps).numpy() for c in configs], axis=1)
    rates = np.array([c.optimizer["lr"] for c in configs], np.float32)
    data = digits.train_x.numpy(), digits.train_y.numpy()
    weights, running, losses = jax_rival.train(*state, rates, *data, order[:, 0] if shared else order)
    (moment,) = train(stack, digits.train_x, digits.train_y, 20, [steps])
    np.testing.assert_allclose(losses.mean(0), moment.batch_loss, rtol=1e-4)
    for k in range(3):
        own_weights, own_running = jax_rival.of_network(stack.member(k))
        for theirs, own in [*zip(weights, own_weights, strict=True), *zip(running, own_running, strict=True)]:
            assert theirs.keys() == own.keys()
            for name in own:
                np.testing.assert_allclose(theirs[name][k], own[name], rtol=2e-3, atol=1e-5, err_msg=name)


def test_a_side_of_ours_steps_all_its_stacks(small):
    groups = [parts.sweep_of(small(), 2), parts.seeds_of(small(), 3)]
    made = []
    make_stack = ours.make_stack
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ours, "make_stack", lambda *given: made.append(make_stack(*given)) or made[-1])
        side = ours.stacks(groups, 1)
    for stack in made:
        stack.member = None  # a moment would call it: nothing but updates is to be timed
    before = [{name: w.clone() for name, w in stack.weights.items()} for stack in made]
    assert side(250) == 250 * 5
    for stack, old in zip(made, before, strict=True):
        assert all(not torch.equal(w, old[name]) for name, w in stack.weights.items())


# ---- arithmetic -------------------------------------------------------------------------------------------


def products_of(fan_in: int, classes: int, width: int, depth: int, batch_size: int) -> int:
    """Each weight takes part in the forward product and in that of its own gradient; all but the first layer's in the
    gradient of the layer's inputs, too."""
    first, later = fan_in * width, (depth - 1) * width * width + width * classes
    return 2 * batch_size * (2 * (first + later) + later)


@pytest.mark.parametrize(("width", "depth"), [(100, 3), (20, 1), (30, 5)])
def test_operations_are_those_of_the_products(width, depth, small):
    mlp = {"name": "mlp", "width": width, "depth": depth}
    counted = matrix.operations(small().model_copy(update={"model": mlp, "batch_size": 60}))
    assert counted == products_of(784, 10, width, depth, 60)
    assert (counted == 26_376_000) == (width == 100)  # the paper's net


def test_a_convolution_counts_every_position(small):
    config = small("none").model_copy(update={"model": {"name": "convnet", "width": 4, "depth": 2}})
    first, second, output = 9 * 1 * 4 * 28**2, 9 * 4 * 4 * 28**2, 4 * 10
    assert matrix.operations(config) == 2 * config.batch_size * (2 * first + 3 * second + 3 * output)


@pytest.mark.parametrize("kernel", matrix.KERNELS)
def test_products_count_their_operations_and_leave_the_kernel_as_it_was(kernel, small):
    before = torch.backends.mkldnn.matmul.fp32_precision
    assert matrix.product(small(), 1, kernel, (2, 3, 4, 5))(10) == 10 * 2 * 2 * 3 * 4 * 5
    assert torch.backends.mkldnn.matmul.fp32_precision == before


def test_the_profile_sees_every_operation_of_a_step(small):
    config = small()
    rows = profile.of_a_step(config, 8, 3)
    batched = [row for row in rows if row["what"].startswith("8×")]  # uncompiled, vmap shows products twice
    assert sum(row["flop"] for row in batched) == pytest.approx(8 * matrix.operations(config))
    assert all(row["seconds"] >= 0 for row in rows)


def test_a_checkpoint_is_written_and_its_records_before_it(small):
    config = small()
    side = ours.checkpoints([config])
    assert side(3) == 3
    out = Path(side.scratch.name)
    (folder,) = out.glob(".bnlab/stacks/*")
    step, state = next(checkpoint.load(folder))
    assert step == 2
    assert {name.partition("/")[0] for name in state} >= {"weights", "buffers", "loss_sum"}
    assert len((next(out.glob("mnist*")) / "records.jsonl").read_text().splitlines()) == 3


def test_a_fused_kernel_is_no_convolution_whatever_its_name():
    def event(key: str, ms: float):
        return SimpleNamespace(key=key, self_cpu_time_total=1000 * ms, count=1, input_shapes=[])

    fused = "graph_0_cpp_fused_add_convolution_backward_view_3"
    seen = [event("aten::convolution_backward", 4), event("aten::mkldnn_convolution", 2), event(fused, 3)]
    rows = {row["what"]: row for row in profile._rows(seen, bare=0.010, steps=1, operations=600)}
    assert rows["convolutions, forwards and backwards"]["seconds"] == pytest.approx(0.006)
    assert rows["fused kernels"]["seconds"] == pytest.approx(0.003)
    assert rows["everything else"]["seconds"] == pytest.approx(0.001)


def test_a_sweep_has_eight_rates_for_every_seed(small):
    configs = parts.sweep_of(small(), 256)
    assert len({(c.seed, c.optimizer["lr"]) for c in configs}) == 256
    assert {len({c.seed for c in stack}) for stack in grouping.group(configs)} == {1}


# ---- processes --------------------------------------------------------------------------------------------


def test_members_run_at_once_and_their_work_adds_up():
    with Team(2) as team:
        assert len(set(team.ask(os.getpid))) == 2
        team.build("both", functools.partial, [(math.sqrt,), (math.sqrt,)])
        team.build("one", functools.partial, [(math.sqrt,)])
        times = alternate({name: Entry(team, name, 0.0, least=4) for name in ("both", "one")}, 3, "try")
        assert all(len(seen) == 3 and min(seen) > 0 for seen in times.values())
        with pytest.raises(ZeroDivisionError):
            team.build("broken", divmod, [(1, 0)])


def test_memory_is_that_of_a_process_and_all_below_it():
    with commands._peak(os.getpid()) as peak, Team(2) as team:
        members = team.ask(os.getpid)
        assert {process.pid for process in commands._family(os.getpid())} >= {os.getpid(), *members}
        time.sleep(3 * commands.LOOK_EVERY)
    assert min(peak["rss"], peak["pss"]) > 50
    assert peak["processes"] >= 1


def test_a_command_that_fails_is_told_in_one_line():
    with pytest.raises(commands.ConfigError, match="no such thing"):
        commands._seconds([sys.executable, "-c", "raise SystemExit('no such thing')"])


class Here(Team):
    """A team whose only member is this process: six seconds less for each."""

    def __init__(self, size: int = 1):
        self.members = [SameProcess()]


class SameProcess:
    def submit(self, function, *given):
        done = Future()
        done.set_result(function(*given))
        return done

    def shutdown(self, **options):
        pass


@pytest.fixture
def here(monkeypatch):
    monkeypatch.setattr(parts.provenance, "cores", lambda: 1)
    monkeypatch.setattr(parts, "Team", Here)
    monkeypatch.setattr(conv, "Team", Here)
    tutorial = rivals.tutorial  # its loaders are forked, which a process with JAX in it must not be
    monkeypatch.setattr(rivals, "tutorial", lambda config, threads, loaders: tutorial(config, threads, 0))


def test_every_side_is_timed_in_every_round(here, small, monkeypatch):
    monkeypatch.setattr(parts, "RUNS", [1])
    monkeypatch.setattr(parts, "JAX_RUNS", {"shared": [1]})
    monkeypatch.setattr(matrix, "SHAPES", [(1, 8, 8, 8)])
    rows = parts.steps([small()], rounds=2, seconds=0.001)
    assert all(len(row["seconds"]) == 2 and min(row["seconds"]) > 0 for row in rows)
    found = {row["what"] for row in summary.judged({"steps": rows}) if row["met"] is not None}
    apart = ("JAX", "memory of", "conv net")
    assert {target.what for target in summary.TARGETS if not any(a in target.what for a in apart)} <= found


def test_every_side_of_the_conv_net_is_timed(here, make_config, monkeypatch):
    config = make_config({"model": {"name": "convnet", "width": 2, "depth": 1}, "hardware.stack": "auto"})
    monkeypatch.setattr(conv, "PROFILED", 2)
    rows = conv.conv([config], rounds=2, seconds=0.001)
    timed = [row for row in rows if row["side"] != "profile"]
    assert all(len(row["seconds"]) == 2 and min(row["seconds"]) > 0 for row in timed)
    judged = {row["what"]: row for row in summary.judged({"conv": rows})}
    assert judged["conv net, against the tutorial loop"]["met"] is not None
    assert judged["conv net in bf16, against the same"]["met"] is not None
    page = table.page({"conv": rows}, {})
    assert "ours, precision=bf16" in page
    assert "## How conv nets share the cores" in page
    assert "convolutions, forwards and backwards" in page
    assert re.search(
        r"- A conv net, with BN, bf16: its convolutions and products take \d+ of \d+ ms, at .* times as fast as the",
        page,
    )


# ---- the page ---------------------------------------------------------------------------------------------


def made_rows(stacked: float = 100e-6) -> dict[str, list[dict]]:
    """A benchmark in which a stacked step takes `stacked` seconds, and the rivals 3000, 500 and 210 µs."""
    rows = []
    for norm in NORMS:
        row = {"norm": norm, "runs": 1, "seeds": "shared", "setting": "1 thread", "flop": 26.4e6}
        rows += [
            {**row, "side": "tutorial", "seconds": [3000e-6, 3100e-6, 2900e-6]},
            {**row, "side": "tutorial", "setting": "2 threads", "seconds": [9000e-6] * 3},
            {**row, "side": "in memory", "seconds": [500e-6] * 3},
            {**row, "side": "jax", "seconds": [300e-6] * 3},
            {**row, "side": "jax", "runs": 8, "seconds": [210e-6] * 3},
            {**row, "side": "ours", "seconds": [250e-6] * 3},
            {**row, "side": "ours", "runs": 16, "full": True, "seconds": [stacked] * 3},
            {**row, "side": "look", "looks": 15, "steps": 50_000, "seconds": [0.01] * 3},
            {**row, "side": "checkpoint", "runs": 8, "every": 30, "processes": 2, "seconds": [0.03] * 3},
        ]
    product = {"side": "product", "setting": "2 × 1 thread", "product": "chosen", "shape": [1, 512, 512, 512]}
    rows.append({**product, "seconds": [1 / 400e9] * 3})
    return {"steps": rows}


def verdicts(results: dict[str, list[dict]]) -> dict[str, bool | None]:
    return {row["what"]: row["met"] for row in summary.judged(results)}


def test_targets_are_met_or_missed_by_the_medians():
    assert verdicts(made_rows()) == {
        "stacked, against the tutorial loop": True,  # 30
        "stacked, against the loop in memory": True,  # 5.0
        "stacked, against JAX at its best": True,  # 2.1
        "stacked, share of the best matrix rate": True,  # 66 %
        "alone, against the loop in memory": True,  # 2
        "alone, against JAX alone": True,  # 1.2
        "memory of 256 runs": None,
        "measuring, share of a run": True,  # 2.9 %
        "checkpoints, share of a run": True,  # 0.2 %
        "conv net, against the tutorial loop": None,
        "conv net in bf16, against the same": None,
    }
    slower = verdicts(made_rows(stacked=130e-6))
    assert [what for what, met in slower.items() if met is False] == [
        "stacked, against the tutorial loop",
        "stacked, against the loop in memory",
        "stacked, against JAX at its best",
        "stacked, share of the best matrix rate",
    ]


def test_the_worse_net_decides():
    results = made_rows()
    for row in summary.rows_of(results, "steps", side="ours", norm="batch", full=True):
        row["seconds"] = [200e-6] * 3
    row = summary.judged(results)[0]
    assert (row["values"]["none"][0], row["values"]["batch"][0]) == pytest.approx((30, 15))
    assert row["worse"] == pytest.approx(15)
    assert row["met"] is False
    sweep = {"side": "ours", "runs": 256, "pss": 1.0}
    results["memory"] = [{**sweep, "norm": "none", "rss": 1500.0}, {**sweep, "norm": "batch", "rss": 2500.0}]
    assert verdicts(results)["memory of 256 runs"] is False


def test_the_page_shows_what_was_measured_and_nothing_else():
    page = table.page(made_rows(), {"steps": {"hardware": "a machine"}})
    assert "| stacked, against the tutorial loop" in page
    assert "not measured" in page
    assert "## The fastest matrix product" in page
    assert "## Memory" not in page
    assert "- steps: hardware a machine" in page


def test_the_page_says_what_the_products_alone_would_reach():
    profiled = [
        {"norm": "batch", "runs": runs, "what": what, "seconds": seconds, "flop": flop}
        for runs, seconds in ((8, 1e-3), (1, 250e-6))
        for what, flop in (("a product", 100e6), ("everything else", 0))
    ]
    page = table.page({**made_rows(), "profile": profiled}, {})
    assert "100 billion operations a second and core" in page
    assert "the fastest at 200: were all else free, the step would reach 50 % of that" in page
    assert "of 500 µs a step, 250 are spent outside of products and kernels" in page
    assert re.search(r"- What the targets take, with BN: \d+ % for 25 times the tutorial loop, \d+ % for 5 times", page)


def test_the_page_says_what_processes_weigh_before_they_do_anything():
    rows = [
        {"side": "import torch", "norm": "batch", "runs": 0, "processes": 1, "rss": 500.0, "pss": 400.0},
        {"side": "ours", "norm": "batch", "runs": 256, "processes": 4, "rss": 3000.0, "pss": 2000.0},
    ]
    page = table.page({**made_rows(), "memory": rows}, {})
    assert "would have 2000 MB resident with nothing but torch" in page


def test_bench_json_keeps_other_parts_and_redraws_without_torch(tmp_path):
    part = {"stamp": {"hardware": "a machine"}, "rows": made_rows()["steps"]}
    bench.write({"steps": part}, tmp_path)
    again = bench.read(tmp_path)
    assert again["steps"] == json.loads(json.dumps(bench.rounded(part)))
    row = {"launcher": "stacked", "runs": 96, "steps": 1, "seconds": [2.0]}
    bench.write(again | {"sweep": {"stamp": {}, "rows": [row]}}, tmp_path)
    assert set(bench.read(tmp_path)) == {"steps", "sweep"}
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert set(before) == {"bench.json", "README.md", "figure.png", "figure.svg"}
    subprocess.run([sys.executable, "-c", WITHOUT_TORCH, str(SCRIPTS), "--redraw", str(tmp_path)], check=True)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_nothing_to_redraw_is_one_line(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["bench.py", "--redraw", str(tmp_path)])
    with pytest.raises(bench.ConfigError, match="no part"):
        bench.main()
    assert not list(tmp_path.iterdir())


WITHOUT_TORCH = """
import runpy, sys
class NoTorch:
    def find_spec(self, name, *others):
        if name.partition(".")[0] == "torch":
            raise ImportError("this needs torch")
sys.meta_path.insert(0, NoTorch())
sys.argv[0] = sys.argv.pop(1)
sys.path.insert(0, sys.argv[0])
runpy.run_path(sys.argv[0] + "/bench.py", run_name="__main__")
"""
