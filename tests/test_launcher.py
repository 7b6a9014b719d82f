"""From configs to runs on disk: grouping, skipping, failing, outcomes, one process or two."""

import json
import math
import os
import shutil
import signal
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, replace
from types import SimpleNamespace

import pytest
import torch

from bnlab import runs
from bnlab.config import ConfigError
from bnlab.data.augment import Augment
from bnlab.launcher import Report, check, launch, one_stack, workers
from bnlab.launcher.board import WAITING, Board
from bnlab.launcher.grouping import Work, group, plan
from bnlab.launcher.one_stack import Stopped
from bnlab.launcher.workers import Worker, train_all
from bnlab.measure import take
from bnlab.models import MODELS
from bnlab.norms import NORMS
from bnlab.provenance import Stamp
from bnlab.training.machine import PAYS_BACK, PAYS_BACK_ALONE, no_compiler, prepare

STAMP = Stamp("madeupcode00", "c0ffee", True)


def records(config) -> list[dict]:
    return [json.loads(line) for line in (runs.folder(config) / "records.jsonl").read_text().splitlines()]


def manifest(config) -> dict:
    return json.loads((runs.folder(config) / "manifest.json").read_text())


def name(config) -> str:
    return runs.folder(config).name


def assert_close(first: list[dict], second: list[dict], tolerance: float = 1e-4) -> None:
    assert [record.keys() for record in first] == [record.keys() for record in second]
    for ours, theirs in zip(first, second, strict=True):
        for key, value in ours.items():
            slack = 3 if key.endswith("/histogram") else tolerance  # a value on an edge may change its bin
            assert flattened(value) == pytest.approx(flattened(theirs[key]), rel=tolerance, abs=slack, nan_ok=True), key


def flattened(value) -> list[float]:
    return [x for part in value for x in flattened(part)] if isinstance(value, list) else [value]


# ---- grouping ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("count", "most"), [(1, 8), (8, 8), (9, 8), (10, 4), (5, 4), (7, 3), (3, 1), (24, 8)])
def test_stacks_are_as_few_and_as_even_as_can_be(count, most, make_config):
    configs = [make_config({"seed": seed, "hardware.stack": most}) for seed in range(count)]
    stacks = group(configs)
    sizes = [len(stack) for stack in stacks]
    assert sorted(config.seed for stack in stacks for config in stack) == list(range(count))
    assert max(sizes) <= most
    assert len(sizes) == math.ceil(count / most)
    assert max(sizes) - min(sizes) <= 1


@pytest.mark.parametrize(("model", "sizes"), [("mlp", [5, 5]), ("convnet", [1] * 10), ("resnet", [1] * 10)])
def test_left_to_itself_a_stack_is_as_large_as_suits_the_model(model, sizes, make_config):
    configs = [make_config({"model": {"name": model}, "seed": s, "hardware.stack": "auto"}) for s in range(10)]
    assert [len(stack) for stack in group(configs)] == sizes


@pytest.mark.parametrize(
    "changes",
    [
        {"seed": 1},
        {"optimizer.lr": 0.5},
        {"optimizer.momentum": 0.9},
        {"optimizer.weight_decay": 0.1},
        {"init.sigma": 0.5},
        {"lr_schedule.name": "cosine"},
        {"lr_schedule.warmup": 2},
    ],
)
def test_runs_that_differ_in_numbers_share_a_stack(changes, make_config):
    assert len(group([make_config(), make_config(changes)])) == 1


@pytest.mark.parametrize(
    "changes",
    [
        {"norm.name": "none"},
        {"norm.statistics": "precise"},
        {"norm.momentum": 0.5},
        {"norm.eps": 0.1},
        {"model.width": 30},
        {"model.activation": "relu"},
        {"model.norm_position": "after"},
        {"optimizer": {"name": "adam"}},
        {"steps": 4},
        {"batch_size": 30},
        {"shuffle": "batches"},
        {"data.transform": "scale"},
        {"measure.probe": 51},
        {"out": "elsewhere"},
        {"tracker": "wandb"},
    ],
)
def test_runs_of_different_shapes_stand_apart(changes, make_config):
    assert len(group([make_config(), make_config(changes)])) == 2


def test_runs_of_one_seed_are_kept_together_where_there_are_enough(make_config):
    rates = (0.1, 0.2, 0.3, 0.4)
    configs = [make_config({"seed": seed, "optimizer.lr": lr}) for lr in rates for seed in (0, 1)]
    configs += [make_config({"seed": seed}) for seed in (2, 3)]
    seeds = sorted([config.seed for config in stack] for stack in group(configs))
    assert seeds == [[0] * 4, [1] * 4, [2, 3]]


def test_shapes_take_turns(make_config):
    jobs = [make_config({"norm.name": n, "seed": s, "hardware.stack": 1}) for n in ("none", "batch") for s in range(3)]
    assert [stack[0].norm["name"] for stack in group(jobs)] == ["none", "batch"] * 3


def test_the_longest_work_comes_first(make_config):
    stacks = group([make_config({"steps": steps}) for steps in (2, 9, 5)])
    assert [stack[0].steps for stack in stacks] == [9, 5, 2]


def test_how_the_data_are_shuffled_reaches_the_training(make_config):
    one, other = make_config(), make_config({"shuffle": "batches"})
    assert launch([one, other], progress=False).failed == {}
    assert records(one)[-1]["train/batch_loss"] != records(other)[-1]["train/batch_loss"]


def test_the_views_of_a_data_set_reach_the_training_alone(make_config, monkeypatch, tmp_path):
    plain, moved = make_config(), make_config({"out": str(tmp_path / "moved")})
    assert launch([plain], progress=False).failed == {}
    # Those data sets that have views are not on every machine, so the digits are given some
    digits = replace(one_stack.dataset_of(plain), augment=Augment(flip=True, pad=2))
    monkeypatch.setattr(one_stack, "dataset_of", lambda config: digits)
    assert launch([moved], progress=False).failed == {}
    assert records(moved)[0] == records(plain)[0] | {"train/batch_loss": records(moved)[0]["train/batch_loss"]}
    assert records(moved)[-1]["train/batch_loss"] != records(plain)[-1]["train/batch_loss"]


# ---- one launch after another -----------------------------------------------------------------------------


def test_a_finished_run_is_skipped_and_its_records_are_untouched(make_config):
    done, new = make_config({"seed": 0}), make_config({"seed": 1})
    assert launch([done], progress=False) == Report([name(done)], [], {})
    files = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in runs.folder(done).iterdir()}
    report = launch([done, new], progress=False)
    assert report == Report([name(new)], [name(done)], {})
    assert {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in runs.folder(done).iterdir()} == files


def test_an_unfinished_run_is_trained_anew(make_config):
    config = make_config()
    launch([config], progress=False)
    whole = records(config)
    unfinished = manifest(config)
    del unfinished["outcome"]
    (runs.folder(config) / "manifest.json").write_text(json.dumps(unfinished))
    (runs.folder(config) / "records.jsonl").write_text('{"step": 0}\n{"st')
    assert launch([config], progress=False).trained == [name(config)]
    assert_close(records(config), whole, 0)


def test_a_run_asked_for_twice_is_trained_once(make_config):
    report = launch([make_config(), make_config({"sweep": "another"})], progress=False)
    assert report.trained == [name(make_config())]


def test_nothing_to_do_is_no_error(make_config):
    assert launch([], progress=False) == Report([], [], {})


@pytest.mark.parametrize("norm", NORMS)
def test_the_same_launch_twice_gives_the_same_bytes(norm, make_config, tmp_path):
    written = []
    for out in ("one", "two"):
        configs = [make_config({"norm.name": norm, "seed": s, "out": str(tmp_path / out)}) for s in (0, 1)]
        configs = [c.model_copy(update={"norm": {"name": norm}}) for c in configs]
        launch(configs, progress=False)
        written.append([(runs.folder(c) / "records.jsonl").read_bytes() for c in configs])
    assert written[0] == written[1]


@pytest.mark.parametrize("model", ["mlp", "convnet", "residual_mlp"])
def test_each_folder_is_what_the_run_alone_would_have_written(model, make_config, tmp_path):
    sweep = [{"seed": 0}, {"seed": 1, "optimizer.lr": 0.5}, {"init.sigma": 0.3, "lr_schedule.name": "cosine"}]
    shared = {"steps": 12, "measure.steps": [4]}
    if model != "mlp":
        size = {"depth": 2, "dropout": 0.5} if model == "convnet" else {"blocks": 2, "branch": "closed"}
        shared["model"] = {"name": model, "width": 4} | size
    together = [make_config(changes | shared) for changes in sweep]
    alone = [make_config(changes | shared | {"out": str(tmp_path / "alone")}) for changes in sweep]
    launch(together, progress=False)
    for config in alone:
        launch([config], progress=False)
    for ours, theirs in zip(together, alone, strict=True):
        assert_close(records(ours), records(theirs))
        assert name(ours) == name(theirs)
        assert [record["step"] for record in records(ours)] == [0, 4, 12]


def test_two_processes_give_what_one_gives(make_config, tmp_path):
    def four(processes: int) -> list:
        shared = {"hardware.workers": processes, "hardware.stack": 2, "out": str(tmp_path / f"{processes}")}
        return [make_config(shared | {"seed": seed, "steps": 10}) for seed in range(4)]

    for processes in (1, 2):
        report = launch(four(processes), progress=False)
        assert len(report.trained) == 4
    for one, two in zip(four(1), four(2), strict=True):
        assert_close(records(one), records(two))
        assert manifest(one)["engine"] == manifest(two)["engine"]


# ---- what goes wrong --------------------------------------------------------------------------------------


@pytest.mark.parametrize("error", [RuntimeError("no luck\nat all"), ValueError("no luck"), OSError(), RuntimeError()])
def test_a_failing_stack_is_named_and_takes_no_other_along(error, make_config, monkeypatch):
    bad = [make_config({"norm": {"name": "none"}, "seed": seed}) for seed in (0, 1)]
    good = make_config()
    train_stack = workers.train_stack

    def fails_without_norm(work, *others):
        if work.configs[0].norm["name"] == "none":
            raise error
        train_stack(work, *others)

    monkeypatch.setattr(workers, "train_stack", fails_without_norm)
    report = launch([*bad, good], progress=False)
    assert report.trained == [name(good)]
    assert set(report.failed) == {name(config) for config in bad}
    assert all(type(error).__name__ in reason and "\n" not in reason for reason in report.failed.values())
    assert runs.finished(good)
    assert not runs.finished(bad[0])
    monkeypatch.undo()
    assert set(launch([*bad, good], progress=False).trained) == {name(config) for config in bad}


def test_a_run_that_fails_half_way_is_not_finished(make_config, monkeypatch):
    def fails(network, probe, what):
        raise RuntimeError("cannot be measured")

    monkeypatch.setattr(one_stack, "take", fails)
    config = make_config()
    assert "cannot be measured" in launch([config], progress=False).failed[name(config)]
    assert not runs.finished(config)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"measure.what": ["accuracy", "vibes"]}, "measure.what=.*vibes.*choose.*accuracy"),
        ({"batch_size": 3601}, "batch_size=3601: .*3600"),
        ({"batch_size": 1}, "batch_size=1: .*two"),
        ({"measure.probe": 1001}, "measure.probe=1001: .*1000"),
        ({"optimizer.lr": -1}, "optimizer.lr=-1: "),
        ({"norm": {"name": "batch", "momentum": 2}}, "norm.momentum=2: "),
        ({"norm": {"name": "group", "groups": 3}}, "norm=group: .*width 20"),
        ({"norm": {"name": "bn"}}, "norm=bn: .*choose"),
        ({"init": {"name": "gaussian", "once": "center"}}, "init.once=center: .*norm=none"),
        ({"norm": {}}, "norm=.*choose"),
        ({"optimizer": {}}, "optimizer=.*choose"),
        ({"norm": {"name": ["batch"]}}, "norm=.*choose"),
        ({"data.validation": 4000}, "data.validation=4000: "),
        ({"data.validation": [1]}, "data.validation=.*1.*: "),
        ({"reuse": "resluts"}, "reuse=resluts: no such folder; .* reuse=results"),
        ({"hardware.device": "abacus"}, "hardware.device=abacus: "),
        ({"hardware.device": "meta"}, "hardware.device=meta: "),
        ({"model.depth": 10**6}, "model.depth=1000000: .*less than or equal to 1000"),
        ({"model.width": 10**6}, "model=.*1000000.*: 1 of these .* need .* GB .* lower model.width"),
        (
            {"model": {"name": "convnet", "width": 20_000, "depth": 1}, "batch_size": 3600},
            "model=.* batches of 3600,.* need",
        ),
        (
            {"model": {"name": "convnet", "width": 30_000, "depth": 1}, "measure.probe": 1000, "batch_size": 2},
            "model=.* a probe of 1000, need .* lower .*measure.probe",
        ),
        ({"model.frozen": 3}, "model=mlp: frozen=3: there are 2 hidden layers"),
        ({"model.turning": 0.1}, "model=mlp: turning=0.1: only layers that are frozen turn"),
        ({"model": {"name": "convnet", "depth": 11}}, "model=convnet: depth=11 halves images of 28×28 pixels"),
    ],
)
def test_what_cannot_be_run_is_refused_before_any_work(changes, says, make_config, tmp_path):
    with pytest.raises(ConfigError, match=rf"\A{says}.*\Z"):
        launch([make_config(), make_config(changes)], progress=False)
    assert not (tmp_path / "runs").exists()


def test_a_run_is_measured_with_its_own_rate_of_the_moment(make_config, digits):
    slow, fast = (
        make_config({"optimizer.lr": lr, "lr_schedule": schedule, "steps": 1, "measure.what": ["gradient_shift"]})
        for lr, schedule in ((0.05, {"name": "constant"}), (1, {"name": "constant", "warmup": 4}))
    )
    launch([slow, fast], progress=False)
    network, probe = one_stack.engine_run(fast, digits).network, one_stack.probe_of(fast, digits)
    for config, rate in ((slow, 0.05), (fast, 0.25)):
        expected = take(network, replace(probe, rate=rate), ["gradient_shift"])
        assert records(config)[0]["output/shift/l2"] == pytest.approx(expected["output/shift/l2"], rel=1e-4)


def test_a_start_is_set_once_on_the_first_training_examples(make_config, digits):
    config = make_config({"norm": {"name": "none"}, "init": {"name": "fan_in", "once": "normalise"}})
    network = one_stack.engine_run(config, digits).network
    x = network.hidden1.linear(digits.transform(digits.train_x[:1000]).flatten(1))
    assert x.mean(0).abs().max() < 1e-5
    assert x.std(0, correction=0)[x.std(0) > 0].sub(1).abs().max() < 1e-5


@pytest.mark.parametrize("changes", [{"norm": {"name": "layer"}}, {"model": {"name": "convnet"}}])
def test_a_batch_of_one_is_fine_where_a_unit_has_more_than_one_value(changes, make_config):
    check([make_config({"batch_size": 1} | changes)])


# ---- what is written --------------------------------------------------------------------------------------


def test_a_manifest_says_on_what_and_how_the_run_was_computed(make_config):
    configs = [make_config({"seed": seed}) for seed in (0, 1)]
    launch(configs, progress=False)
    key = runs.stack_of(configs[0])
    assert key
    for config in configs:
        held = manifest(config)
        how = {"kernel": "default", "device": "cpu", "threads": 1, "compiled": False}
        assert held["engine"] == how | {"stack": 2, "stack_key": key}
        assert held["data"]["name"] == "mnist_sample"
        assert held["data"]["sha256"]
        assert held["outcome"] in runs.FINISHED
        assert held["started"] <= held["ended"]
        assert held["went_on_from"] == []
        assert held["diverged_at"] is None


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("norm", ["none", "batch"])
def test_every_model_trains_and_is_measured(model, norm, make_config):
    settings = {"name": model, "width": 4} | ({"blocks": 2, "branch": "closed"} if model == "residual_mlp" else {})
    config = make_config({"model": settings, "norm.name": norm, "init": {"name": "fan_in"}})
    launch([config], progress=False)
    last = records(config)[-1]
    assert math.isfinite(last["test/loss"])
    assert {"hidden1.act/population/percentiles", "output/gradient_norm"} <= set(last)


def test_a_run_that_learns_is_trained(make_config):
    config = make_config({"steps": 100, "optimizer.lr": 0.5})
    launch([config], progress=False)
    assert manifest(config)["outcome"] == "trained"
    assert records(config)[-1]["test/accuracy"] > 0.5
    assert records(config)[-1]["train/batch_loss"] < records(config)[0]["train/loss"]


def test_a_run_at_chance_is_stuck(make_config):
    config = make_config({"init.sigma": 0.0, "optimizer.lr": 1e-12, "norm": {"name": "none"}})
    launch([config], progress=False)
    assert records(config)[-1]["test/accuracy"] == pytest.approx(0.1)
    assert manifest(config)["outcome"] == "stuck"


def test_a_run_whose_loss_is_not_finite_is_diverged_and_says_when(make_config):
    shared = {"norm": {"name": "none"}, "model.activation": "relu", "steps": 6, "measure.steps": list(range(6))}
    wild, sane = (make_config(shared | {"optimizer.lr": lr}) for lr in (1e30, 0.01))
    launch([wild, sane], progress=False)
    losses = [record["train/batch_loss"] for record in records(wild)]
    first = next(i for i, loss in enumerate(losses) if i and not math.isfinite(loss))
    assert (manifest(wild)["outcome"], manifest(wild)["diverged_at"]) == ("diverged", first)
    assert manifest(sane)["outcome"] != "diverged"
    assert all(math.isfinite(record["train/loss"]) for record in records(sane))
    assert runs.finished(wild)
    assert len(runs.load([runs.folder(wild)])) == 7


def test_compiling_is_decided_by_what_a_worker_trains_with_one_program(make_config):
    def compiled(stacks: int, steps: int, changes: dict | None = None, **hardware) -> set[bool]:
        settings = {f"hardware.{key}": value for key, value in hardware.items()} | (changes or {})
        configs = [make_config({"steps": steps, "seed": s, "hardware.stack": 1} | settings) for s in range(stacks)]
        return {work.compiled for work in plan(configs)}

    assert compiled(1, PAYS_BACK - 1, compile="auto", workers=1) == {False}
    assert compiled(1, PAYS_BACK - 1, compile=True, workers=1) == {True}
    assert compiled(1, PAYS_BACK, compile=False, workers=1) == {False}
    if not no_compiler("cpu"):
        assert compiled(1, PAYS_BACK, compile="auto", workers=1) == {True}
        assert compiled(4, PAYS_BACK // 4, compile="auto", workers=1) == {True}
        assert compiled(4, PAYS_BACK // 4, compile="auto", workers=2) == {False}
        conv_net = {"model": {"name": "convnet"}}
        assert compiled(1, PAYS_BACK_ALONE, conv_net, compile="auto", workers=1) == {True}
        assert compiled(1, PAYS_BACK_ALONE - 1, conv_net, compile="auto", workers=1) == {False}


@pytest.fixture
def make_worker(make_config):
    """`make_worker(stacks)`: a worker that shares so many stacks and has been told to stop."""
    machine = prepare(make_config().hardware, threads=1)
    board = lambda stacks: Board([Work([make_config()], compiled=False)] * stacks)  # noqa: E731
    return lambda stacks: Worker(machine, STAMP, board(stacks), SimpleNamespace(value=1), SimpleNamespace(value=0))


def test_a_stack_that_stops_as_another_worker_died_is_not_charged_with_it(make_worker, make_config):
    worker = make_worker(1)
    with pytest.raises(Stopped):
        worker.train(0, Work([make_config()], compiled=False))
    assert worker.board.progress == [WAITING]


def test_a_stack_whose_worker_cannot_stop_in_time_is_not_charged_with_it(make_worker, make_config, monkeypatch):
    ended: list[int] = []
    worker = make_worker(2)
    monkeypatch.setattr(workers, "train_stack", lambda *given: None)  # it compiles, say, and so hears nothing
    worker.train(1, Work([make_config()], compiled=False))
    worker.board.progress[:] = [5, 5]
    monkeypatch.setattr(workers, "GRACE", 0)
    monkeypatch.setattr(workers.os, "_exit", ended.append)
    worker.end_soon_after_stop()
    assert (worker.board.progress, ended) == ([5, WAITING], [1])


@pytest.mark.parametrize("processes", [1, 2])
def test_runs_are_stamped_by_who_gave_the_command(processes, make_config):
    """Not by a worker, which reads the code anew: it may have been edited since."""
    configs = [make_config({"seed": seed, "hardware.stack": 1, "hardware.workers": processes}) for seed in (0, 1)]
    assert train_all(plan(configs), processes, STAMP, progress=False) == {}
    for config in configs:
        assert {key: manifest(config)[key] for key in ("code", "commit", "dirty")} == asdict(STAMP)


@pytest.mark.parametrize("times", [1, 2])
def test_ctrl_c_while_workers_start_is_heard(times, make_config, monkeypatch):
    submit, left = ProcessPoolExecutor.submit, [signal.SIGINT] * times

    def interrupted(self, *given):
        if left:
            os.kill(os.getpid(), left.pop())
        return submit(self, *given)

    monkeypatch.setattr(ProcessPoolExecutor, "submit", interrupted)
    configs = [make_config({"norm.name": norm, "steps": 10**6, "hardware.workers": 2}) for norm in ("none", "batch")]
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # tests in the background ignore it
    try:
        with pytest.raises(KeyboardInterrupt):
            launch(configs, progress=False)
    finally:
        signal.signal(signal.SIGINT, before)
    assert not any(runs.finished(config) for config in configs)


@pytest.mark.parametrize(("has", "said"), [("fma3", True), ("avx512_bf16", False), ("amx_bf16", False)])
def test_bf16_on_a_cpu_without_it_is_said_to_be_slow(has, said, make_config, monkeypatch, capsys):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"architecture": "x86_64", has: True})
    for precision in ("fp32", "bf16"):
        plan([make_config({"precision": precision})])
        assert ("no bfloat16 arithmetic" in capsys.readouterr().err) == (said and precision == "bf16")


@pytest.mark.parametrize(("has", "product"), [("fma3", "float32"), ("avx512_bf16", "bfloat16")])
def test_how_rounded_numbers_were_multiplied_is_recorded(has, product, make_config, monkeypatch):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"architecture": "x86_64", has: True})
    config = make_config({"precision": "bf16", "steps": 1, "hardware.workers": 1})
    launch([config], progress=False)
    assert runs.load([runs.folder(config)])["kernel"].iloc[0].endswith(f", bfloat16 as torch.{product}")


@pytest.mark.parametrize("compiler", ["false", "no-such-compiler"])
def test_without_a_working_compiler_auto_does_not_compile(compiler, make_config, monkeypatch, capsys):
    monkeypatch.setenv("CXX", compiler)
    no_compiler.cache_clear()
    try:
        (work,) = plan([make_config({"steps": 10**6, "hardware.compile": "auto"})])
    finally:
        no_compiler.cache_clear()
    assert not work.compiled
    (said,) = capsys.readouterr().err.splitlines()
    assert f"does not work here: training goes on without, and is slower ({compiler}: " in said


@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler: no g++")
@pytest.mark.parametrize("ail", ["a folder with a space", "no room"])
def test_what_the_compiler_fails_at_is_trained_without(ail, make_config, monkeypatch, tmp_path, capfd):
    """From the same state: the bits are those of a run that was never to be compiled."""
    folder = tmp_path / ail
    folder.mkdir()
    if ail == "no room":
        folder.rmdir()
        folder.write_text("not a folder")
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(folder / "x" if ail == "no room" else folder))
    monkeypatch.setattr("bnlab.launcher.grouping.PAYS_BACK", 1)
    changes = {"steps": 3, "hardware.workers": 1, "model.width": 7}
    tried = make_config({**changes, "hardware.compile": "auto", "out": str(tmp_path / "tried")})
    plain = make_config({**changes, "hardware.compile": False, "out": str(tmp_path / "plain")})
    assert [launch([config], progress=False).failed for config in (tried, plain)] == [{}, {}]
    assert capfd.readouterr().err.count("does not work here: training goes on without") == 1
    assert not manifest(tried)["engine"]["compiled"]
    assert records(tried) == records(plain)
