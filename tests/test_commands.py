"""What a person types: scripts/train.py, its errors, and every option of every group in configs/."""

import inspect
import itertools
import json
import os
import runpy
import struct
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import hydra
import pytest
import torch
import wandb
import yaml
from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from wandb.proto import wandb_internal_pb2

from bnlab import data, provenance, runs, sweeps
from bnlab.config import CONFIGS, Config, parse
from bnlab.launcher import launch
from bnlab.launcher.grouping import Work
from bnlab.launcher.one_stack import Stopped, train_stack
from bnlab.models import MODELS
from bnlab.norms import NORMS
from bnlab.starts import INITS
from bnlab.training.machine import prepare
from bnlab.training.optimizers import OPTIMIZERS
from bnlab.training.schedules import SCHEDULES
from hydra_plugins.bnlab_stacked.sweeper import StackingSweeper

TRAIN = CONFIGS.parent / "scripts" / "train.py"
NO_NETWORK = dict.fromkeys(("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"), "http://127.0.0.1:9")
GROUPS = ("data", "model", "init", "norm", "optimizer", "lr_schedule", "hardware", "tracker")
OPTIONS = [(group, path.stem) for group in GROUPS for path in sorted((CONFIGS / group).glob("*.yaml"))]
TABLES = {
    "data": data.DATASETS,
    "model": MODELS,
    "init": INITS,
    "norm": NORMS,
    "optimizer": OPTIMIZERS,
    "lr_schedule": SCHEDULES,
}
GIVEN = {"inputs", "classes", "norm", "width", "dims", "steps", "self"}  # what the code itself hands in
SMALL = ["data=mnist_sample", "steps=2", "measure.per_decade=0", "measure.probe=50"]


@pytest.fixture
def command(tmp_path):
    """`command(*words)`: scripts/train.py in a folder of its own, without a network."""
    here, scratch = tmp_path / "here", tmp_path / "scratch"
    here.mkdir()
    scratch.mkdir()
    env = {key: value for key, value in os.environ.items() if key not in ("BNLAB_DATA", "no_proxy", "NO_PROXY")}
    env |= NO_NETWORK | {"TMPDIR": str(scratch), "OMP_NUM_THREADS": "1"}

    def run(*words: str) -> subprocess.CompletedProcess:
        line = [sys.executable, str(TRAIN), *words]
        return subprocess.run(line, cwd=here, env=env, capture_output=True, text=True, check=False)

    run.folder, run.scratch = here, scratch
    return run


@pytest.fixture
def command_here(tmp_path, monkeypatch, capfd):
    """`command_here(*words)`: the same in this process, which saves starting one."""
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    monkeypatch.delenv("BNLAB_DATA", raising=False)
    for name, value in (NO_NETWORK | {"HYDRA_FULL_ERROR": ""}).items():  # the last is set by the command
        monkeypatch.setenv(name, value)

    def run(*words: str) -> subprocess.CompletedProcess:
        monkeypatch.setattr(sys, "argv", [str(TRAIN), *words])
        code = 0
        try:
            runpy.run_path(str(TRAIN), run_name="__main__")
        except SystemExit as left:
            code = left.code
        GlobalHydra.instance().clear()
        told = code if isinstance(code, str) else ""  # what Python prints of it as it ends
        seen = capfd.readouterr()
        return subprocess.CompletedProcess(words, 1 if told else code, seen.out, seen.err + told)

    run.folder = here
    return run


def assert_refused(done: subprocess.CompletedProcess, folder: Path) -> None:
    assert done.returncode != 0
    assert len(done.stderr.splitlines()) == 1, done.stderr
    assert done.stderr.startswith("error: ")
    assert not list(folder.iterdir())


def test_one_run_from_the_command_line(command):
    done = command(*SMALL, "hardware=plain")
    assert done.returncode == 0, done.stderr
    (folder,) = (command.folder / "runs").glob("mnist*")
    assert done.stdout.splitlines()[-1] == f"runs/{folder.name}"
    assert done.stdout.startswith("1 trained, 0 already there, 0 failed")
    assert [path.name for path in command.folder.iterdir()] == ["runs"]
    assert [record["step"] for record in read(folder)] == [0, 2]


def test_help_shows_groups_and_knobs(command):
    done = command("--help")
    assert done.returncode == 0
    for group in (*GROUPS, "experiment"):
        options = ", ".join(sorted(path.stem for path in (CONFIGS / group).glob("*.yaml")))
        assert f"{group}: {options}" in done.stdout
    assert all(f"{knob}:" in done.stdout for knob in ("steps", "batch_size", "seed", "lr", "sigma", "momentum"))
    assert not list(command.folder.iterdir())


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["stesp=3"], "stesp"),
        (["norm.momentun=0.2"], "momentun"),
        (["norm=bn"], "batch"),
        (["experiment=fig9"], "fig1a_accuracy"),
        (["experiment=fig1a_accuracy,optimizers"], "one sweep at a time"),
        (["steps=0"], "steps=0"),
        (["measure.percentiles=[101]"], "101"),
        (["steps=[1"], "[1"),
        (["-m", "hydra/launcher=basic", "norm=none,batch", "steps=0"], "steps=0"),
        (["-m", "norm=none,batch", "seed=range(0)"], "no job"),
        (["-m", "norm=none,batch", "seed=interval(0,2)"], "INTERVAL"),
        (["out="], "out="),
        (["out=runs/lr=0.1"], """KEY=VALUE; a value with such signs is quoted twice: 'out="runs/lr=0.1"'"""),
        (["out=/tmp/新加卷"], """: 'out="/tmp/新加卷"'"""),
        (["-m", "norm=none,batch", "seed=0,a"], "seed=a"),
        (["data=mnist_sample", "norm.momentum=2"], "norm.momentum=2"),
        (["data=mnist", "data.root=empty"], "BNLAB_DATA"),
    ],
    ids=lambda x: " ".join(x) if isinstance(x, list) else "",
)
def test_a_mistake_is_told_in_one_line_before_any_work(words, says, command_here):
    done = command_here(*words)
    assert_refused(done, command_here.folder)
    assert says in done.stderr


# ---- launchers --------------------------------------------------------------------------------------------

PLUGINS = {"joblib": "hydra_joblib_launcher", "submitit_local": "hydra_submitit_launcher", "ray": "hydra_ray_launcher"}
HERE = ["stacked", "basic", *(name for name in PLUGINS if find_spec(f"hydra_plugins.{PLUGINS[name]}"))]
one_machine = pytest.mark.parametrize("launcher", [name for name in HERE if name in ("stacked", "basic", "joblib")])


def test_a_sweep_writes_the_same_folders_with_any_launcher(command):
    written = {}
    for launcher in HERE:
        sweep = ["-m", *SMALL, "hardware=plain", "norm=none,batch,none", "seed=0,1"]  # none twice is no more than once
        done = command(*sweep, f"out={launcher}", f"hydra/launcher={launcher}")
        assert done.returncode == 0, done.stderr
        written[launcher] = {path.name: read(path) for path in (command.folder / launcher).glob("mnist*")}
        manifests = [json.loads(path.read_text()) for path in (command.folder / launcher).glob("*/manifest.json")]
        assert {m["engine"]["stack"] for m in manifests} == ({1} if launcher == "basic" else {2})
    assert len(written["basic"]) == 4
    assert sorted(path.name for path in command.folder.iterdir()) == sorted(HERE)
    assert not list(command.scratch.glob("bnlab*"))  # a folder of one name would be in the way of another user
    for launcher in HERE:
        assert_same_records(written[launcher], written["basic"])


def assert_same_records(ours: dict[str, list[dict]], theirs: dict[str, list[dict]]) -> None:
    assert sorted(ours) == sorted(theirs)
    for name, records in ours.items():
        for mine, other in zip(records, theirs[name], strict=True):
            numbers = [key for key, value in mine.items() if not isinstance(value, list)]
            assert [mine[key] for key in numbers] == pytest.approx(
                [other[key] for key in numbers], rel=1e-4, abs=1e-5, nan_ok=True
            )


def test_a_mistake_ends_the_command(command):
    assert_refused(command(*SMALL, "steps=0"), command.folder)


@one_machine
def test_what_fails_is_named_and_takes_no_other_along(launcher, command_here):
    config = composed(*SMALL, "norm=none", "seed=1")
    (command_here.folder / "runs").mkdir()
    in_the_way = command_here.folder / "runs" / runs.folder(config).name
    in_the_way.write_text("a file where the run's folder would be")
    done = command_here("-m", *SMALL, "hardware=plain", "norm=none,batch", "seed=0,1", f"hydra/launcher={launcher}")
    assert done.returncode == 1
    failures = [line for line in done.stderr.splitlines() if line.startswith("failed: ")]
    assert any(line.startswith(f"failed: {in_the_way.name}: FileExistsError") for line in failures)
    assert "Traceback" not in done.stderr
    finished = {path.name.split("-")[2] for path in runs.find([command_here.folder / "runs"])}
    assert finished == ({"batch", "none"} if launcher == "basic" else {"batch"})


def test_jobs_composed_together_are_those_that_hydra_composes_one_by_one():
    axes = [
        ["norm=none", "norm=batch"],
        ["optimizer.lr=1e-3", "optimizer.lr=1"],
        [
            "measure.steps=[1,2]",
            "measure.steps=[]",
            "measure={probe:10}",
            "measure={units:[1]}",
            "++init={name:gaussian,sigma:0.5}",
            "init=fan_in",
        ],
        ["reuse='a folder'", "out=elsewhere"],
        ["sweep='${seed}'", "sweep=on"],
    ]
    jobs = [list(job) for job in itertools.product(*axes)][::5]  # in which each two values meet
    later = ["++seed=5", "~seed", "init={sigma:2}", "++init.sigma=3"]  # takes what stands before it, and only that
    jobs += [["seed=3", f"init.sigma={sigma}", word, "sweep='1'"] for word in later for sigma in (0.1, 0.2)]
    jobs += [["norm=batch", f"seed={seed}", "batch_size='${seed}'"] for seed in (3, 4)]  # which refers to what differs
    jobs += [["norm=none", f"measure.percentiles.0={percentile}"] for percentile in (4, 5)]
    with initialize_config_dir(str(CONFIGS), version_base="1.3"):
        one_by_one = [sweeps.settings_of(hydra.compose("train", job)) for job in jobs]
        together = list(sweeps.composed(lambda job: hydra.compose("train", job), jobs))
    assert together == one_by_one


@pytest.mark.parametrize(
    ("words", "values"),
    [
        ("range(0.1,0.4,0.1)", [0.1, 0.2, 0.3]),
        ("range(1,2.5,0.5)", [1, 1.5, 2]),
        ("shuffle(range(0,0.3,0.1))", [0, 0.1, 0.2]),
        ("sort(range(1,4),reverse=true)", [3, 2, 1]),
        ("range(3)", [0, 1, 2]),
    ],
)
def test_a_range_holds_what_is_typed_and_not_its_end(words, values):
    override = OverridesParser.create().parse_override(f"optimizer.lr={words}")
    ((*jobs,),) = StackingSweeper.split_arguments([override], None)
    found = [float(word.removeprefix("optimizer.lr=")) for (word,) in jobs]
    assert (sorted(found) if "shuffle" in words else found) == values


def test_jobs_that_differ_in_plain_values_are_composed_once():
    jobs = [["norm=none", f"optimizer.lr={rate}", f"seed={seed}"] for rate in (0.1, 1) for seed in (0, 1)]
    asked = []
    with initialize_config_dir(str(CONFIGS), version_base="1.3"):
        settings = list(sweeps.composed(lambda job: asked.append(job) or hydra.compose("train", job), jobs))
    assert asked == [["norm=none"]]
    assert [(each["optimizer"]["lr"], each["seed"]) for each in settings] == [(0.1, 0), (0.1, 1), (1, 0), (1, 1)]


def test_what_an_experiment_takes_from_another_key_follows_it(own_claim):
    own_claim("# @package _global_\nbatch_size: ${model.width}\n")
    configs = sweeps.composed_runs([["experiment=mine", f"model.width={width}"] for width in (10, 20)])
    assert [config.batch_size for config in configs] == [10, 20]


def test_the_command_line_takes_the_place_of_an_experiments_own_axes(command_here):
    axes = ["seed=7", "norm=none,batch", "optimizer.lr=0.5", "init=gaussian"]  # the pilot has 6, 2, 10 and 5 of them
    done = command_here("experiment=fig1a_best_rate", *SMALL, "hardware=plain", "model.width=4", *axes)
    assert done.returncode == 0, done.stderr
    table = runs.load(runs.find([command_here.folder / "runs"]))
    found = table[["norm.name", "seed", "optimizer.lr"]].drop_duplicates()
    assert sorted(found.itertuples(index=False, name=None)) == [(norm, 7, 0.5) for norm in ("batch", "none")]


@pytest.mark.parametrize(
    "value",
    [
        [{"seed": 0, "optimizer": {"name": "sgd", "lr": 1e-05, "nesterov": False}}, {"seed": 1}],
        {"lr": 1e30, "momentum": 0.0, "steps": None, "words": 'a "b" c, {d}: [e]', "empty": {}, "none": []},
        ["runs/lr=0.1", "~/x", "新", 'a"b', "a\\b", "end\\", "it's", "a,b", "true", "null", "inf", "1", "Ω"],
    ],
)
def test_members_of_a_stack_survive_the_grammar_of_overrides(value):
    override = OverridesParser.create().parse_override(f"+members={sweeps.written(value)}")
    assert plain(override.value()) == value


def plain(value):
    """A parsed value without Hydra's own kind of strings."""
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [plain(item) for item in value]
    return getattr(value, "text", value)


def read(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / "records.jsonl").read_text().splitlines()]


# ---- every option -----------------------------------------------------------------------------------------


def composed(*overrides: str) -> Config:
    (config,) = sweeps.composed_runs([overrides])
    return config


@pytest.fixture
def same_kernels_after():
    """hardware=auto chooses matrix kernels and threads for the whole process."""
    kernels, threads = torch.backends.mkldnn.matmul.fp32_precision, torch.get_num_threads()
    yield
    torch.backends.mkldnn.matmul.fp32_precision = kernels
    torch.set_num_threads(threads)


@pytest.mark.parametrize(("group", "option"), [o for o in OPTIONS if o != ("tracker", "wandb")])
@pytest.mark.usefixtures("same_kernels_after")
def test_every_option_composes_and_trains(group, option, tmp_path):
    chosen = [f"{group}={option}", f"out={tmp_path}"]
    if group == "data" and option != "mnist_sample":
        assert composed(*chosen).data["name"] == option.removesuffix("_10k")
        return
    small = [word for word in ("hardware=plain", "model.width=10", *SMALL) if not word.startswith(f"{group}=")]
    config = composed(*chosen, *small)
    assert launch([config], progress=False).failed == {}
    assert [record["step"] for record in read(runs.folder(config))] == [0, 2]


@pytest.fixture
def no_network(monkeypatch, tmp_path):
    for name, value in NO_NETWORK.items():
        monkeypatch.setenv(name, value)
    for name in ("WANDB_MODE", "WANDB_API_KEY", "WANDB_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)


@pytest.mark.usefixtures("no_network")
def test_wandb_writes_an_offline_run_without_a_network(tmp_path):
    out = tmp_path / "out"
    words = ["tracker=wandb", f"out={out}", "hardware=plain", "sweep=mine", *SMALL]
    configs = [composed(*words, f"norm={norm}", "seed=3") for norm in ("none", "batch")]
    assert launch(configs, progress=False).failed == {}
    wandb.teardown()  # its own process writes what it still has in hand
    assert runs.find([out]) == sorted(map(runs.folder, configs))
    told = [read_back(folder) for folder in out.glob("wandb/offline-run-*")]
    assert sorted(each["name"] for each in told) == ["batch seed=3", "none seed=3"]
    for each, config in zip(sorted(told, key=lambda each: each["arm"]), configs[::-1], strict=True):
        assert (each["group"], each["arm"]) == ("mine", config.norm["name"])
        assert each["config"]["optimizer"] == config.optimizer
        assert [row["step"] for row in each["history"]] == [0, 2]
        assert each["history"][1]["hidden1.act/population/histogram._type"] == "histogram"
        accuracies = [row["test/accuracy"] for row in each["history"]]
        assert accuracies == [record["test/accuracy"] for record in read(runs.folder(config))]
        assert each["summary"]["accuracy/final"] == accuracies[-1]
        assert each["summary"]["accuracy/best"] == max(accuracies)
        assert each["summary"]["outcome"] == runs.ending(config)["outcome"]
        assert each["summary"]["figures/distributions._type"] == "image-file"


def messages(held: bytes) -> Iterator[bytes]:
    """Those of a log as LevelDB's: blocks of 32 kB of parts, each after a checksum, its length, and the part."""
    at, message = 7, b""  # after the file's own mark
    while at + 7 <= len(held):
        length, part = struct.unpack_from("<HB", held, at + 4)
        message += held[at + 7 : at + 7 + length]
        if part in (1, 4):  # whole, or the last part
            yield message
            message = b""
        at += 7 + length
        at += -at % 32768 if -at % 32768 < 7 else 0  # no part begins where its head has no room


def read_back(offline: Path) -> dict:
    """What an offline run of wandb's holds."""
    (written,) = offline.glob("*.wandb")
    told = {"history": [], "summary": {}}
    for message in messages(written.read_bytes()):
        record = wandb_internal_pb2.Record.FromString(message)
        if (run := record.run).run_id:
            told |= {"name": run.display_name, "group": run.run_group, "arm": run.job_type}
            told["config"] = {item.key: json.loads(item.value_json) for item in run.config.update}
        row = {item.key or ".".join(item.nested_key): json.loads(item.value_json) for item in record.history.item}
        if "step" in row:
            told["history"].append(row)
        told["summary"] |= {
            item.key or ".".join(item.nested_key): json.loads(item.value_json) for item in record.summary.update
        }
    return told


@pytest.mark.usefixtures("no_network")
def test_wandb_has_one_run_of_a_run_that_was_stopped_and_went_on(tmp_path):
    out = tmp_path / "out"
    config = composed("tracker=wandb", f"out={out}", "hardware=plain", *SMALL, "steps=3", "measure.steps=[1,2]")
    machine, attempts = prepare(config.hardware, threads=1), []

    def stop(step: int) -> None:
        if step == len(attempts) + 1:
            raise Stopped

    for _ in range(2):
        with pytest.raises(Stopped):
            train_stack(Work([config], compiled=False), machine, provenance.stamp(), stop)
        attempts += set(out.glob("wandb/offline-run-*")) - set(attempts)
    synced, replaced = attempts
    (sent,) = synced.glob("*.wandb")
    sent.with_name(f"{sent.name}.synced").touch()  # as `wandb sync` does
    assert launch([config], progress=False).failed == {}
    wandb.teardown()
    assert synced.exists()
    assert not replaced.exists()
    (last,) = set(out.glob("wandb/offline-run-*")) - {synced}
    written = (last / sent.name).read_bytes()  # the name has wandb's id
    assert written.count(b"validation/loss") == 2 * 4  # steps 0 to 3, each in the history and in a summary


# ---- YAML and code ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("group", "name"), [(group, name) for group, table in TABLES.items() for name in table])
def test_every_entry_of_a_table_has_a_yaml_with_all_its_knobs(group, name):
    held = yaml.safe_load((CONFIGS / group / f"{name}.yaml").read_text())
    knobs = set(inspect.signature(TABLES[group][name]).parameters) - (GIVEN - {"width"} if group == "model" else GIVEN)
    assert held.pop("name") == name
    assert set(held) == knobs


def test_the_default_is_the_papers_net():
    config = composed()
    assert (config.steps, config.batch_size, config.data["name"]) == (50_000, 60, "mnist")
    assert (config.model["width"], config.model["depth"], config.model["activation"]) == (100, 3, "sigmoid")
    assert parse(config.model_dump()) == config
