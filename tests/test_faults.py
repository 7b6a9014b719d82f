"""What goes wrong in a long sweep, done for real: whatever it is, the same command ends with the same bytes.

KILLS=50 in the environment kills so often instead of once.
"""

import fcntl
import json
import multiprocessing
import os
import random
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest
import torch

from bnlab import ledger, provenance, report, runs, sweeps
from bnlab.claims.claim import load
from bnlab.config import CONFIGS, Config, ConfigError
from bnlab.launcher import Terminated, launch
from bnlab.launcher.grouping import Work
from bnlab.launcher.half_done import FOLDER, NO_LOCKS, Checkpoints, locked
from bnlab.launcher.half_done import half_done as begun
from bnlab.launcher.one_stack import Stopped, train_stack
from bnlab.shelf import Shelf, with_table
from bnlab.training.machine import prepare

KILLS = int(os.environ.get("KILLS", "1"))
CLEAN = multiprocessing.get_context("forkserver")  # whose processes have imported torch, which takes seconds
CLEAN.set_forkserver_preload(["bnlab.launcher"])  # as the launcher does
TRAINING = {"steps": 150, "measure.per_decade": 3, "measure.what": ["accuracy"], "hardware.checkpoint": 0.05}


@pytest.fixture
def sweep(make_config, tmp_path):
    """`sweep(out, **changes)`: four runs in two stacks, below tmp_path/out."""

    def make(out: str, **changes) -> list[Config]:
        shared = TRAINING | {"out": str(tmp_path / out)} | {key.replace("__", "."): v for key, v in changes.items()}
        return [make_config(shared | {"norm.name": norm, "seed": s}) for norm in ("none", "batch") for s in (0, 1)]

    return make


class Launching:
    """A process, in a session of its own, that launches `configs` and can write no file past `limit` bytes."""

    def __init__(self, configs: list[Config], limit: int = resource.RLIM_INFINITY):
        self.folder = tempfile.TemporaryDirectory()
        self.told = Path(self.folder.name)
        self.process = CLEAN.Process(target=_launch, args=(configs, limit, self.told))
        self.process.start()
        self.pid = self.process.pid

    def ended(self) -> bool:
        return self.process.exitcode is not None

    def end(self, timeout: float = 300) -> tuple[int, dict[str, str] | None, str]:
        """Its exit code, why which run failed (None where it did not get so far), and what it printed."""
        self.process.join(timeout)
        assert self.ended(), "waited too long"
        report = self.told / "failed"
        failed = json.loads(report.read_text()) if report.exists() else None
        return self.process.exitcode, failed, (self.told / "printed").read_text()


def _launch(configs: list[Config], limit: int, told: Path) -> None:
    os.setsid()
    with (told / "printed").open("w") as printed:
        os.dup2(printed.fileno(), 1)
        os.dup2(printed.fileno(), 2)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))  # a write past it raises OSError, as on a full disk
    try:
        report = launch(configs, progress=False)
    except Terminated:
        sys.exit(143)
    (told / "failed").write_text(json.dumps(report.failed))


def bytes_of(configs: list[Config]) -> list[bytes]:
    assert all(runs.finished(config) for config in configs)
    return [(runs.folder(config) / "records.jsonl").read_bytes() for config in configs]


def table_of(configs: list[Config]):
    return runs.load([runs.folder(config) for config in configs])


def children(pid: int, command: str = "") -> list[int]:
    """The processes that `pid` started, with `command` in their command line."""
    found = subprocess.run(["pgrep", "-P", str(pid), "-f", command], capture_output=True, text=True, check=True)
    return [int(word) for word in found.stdout.split()]


def last_write(configs: list[Config]) -> int:
    """When a record was written last, in nanoseconds; 0 for never."""
    files = [runs.folder(config) / "records.jsonl" for config in configs]
    return max((file.stat().st_mtime_ns for file in files if file.exists()), default=0)


def wait_for(condition, seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.01)


def checkpoints(configs: list[Config]) -> list[Path]:
    return sorted((Path(configs[0].out) / FOLDER / "stacks").glob("*/*.checkpoint"))


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """`undisturbed(configs)`: the records of the same runs, trained in one go elsewhere."""
    found: dict[str, list[bytes]] = {}

    def records(configs: list[Config]) -> list[bytes]:
        key = str([runs.folder(config).name for config in configs]) + str(configs[0].hardware.workers)
        if key not in found:
            out = str(tmp_path_factory.mktemp("undisturbed"))
            elsewhere = [config.model_copy(update={"out": out}) for config in configs]
            assert launch(elsewhere, progress=False).failed == {}
            found[key] = bytes_of(elsewhere)
        return found[key]

    return records


# ---- killed -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("workers", [1, 2])
def test_killed_at_any_moment_it_goes_on_to_the_same_bytes(workers, sweep, undisturbed):
    moments = random.Random(workers)
    configs = sweep("runs", hardware__workers=workers)
    went_on = 0
    for kill in range(KILLS):
        before = last_write(configs)
        process = Launching(configs)
        if kill == 0:  # one kill, at least, in the middle
            wait_for(lambda c=configs: checkpoints(c))
        else:
            wait_for(lambda p=process, c=configs, b=before: last_write(c) != b or p.ended())
            time.sleep(moments.uniform(0, 1))  # about as long as it trains
        os.killpg(process.pid, signal.SIGKILL)
        process.end()
        if all(runs.finished(config) for config in configs):  # once more, from the start
            assert bytes_of(configs) == undisturbed(configs)
            configs = sweep(f"again{kill}", hardware__workers=workers)
        went_on += bool(checkpoints(configs))
    assert went_on
    assert launch(configs, progress=False).failed == {}
    assert bytes_of(configs) == undisturbed(configs)
    assert not checkpoints(configs)


def test_a_killed_worker_is_replaced(sweep, undisturbed):
    configs = sweep("runs", hardware__workers=2)
    process = Launching(configs)
    wait_for(lambda: checkpoints(configs))
    (server,) = children(process.pid, "forkserver")
    os.kill(children(server)[0], signal.SIGKILL)
    assert process.end()[:2] == (0, {})
    assert bytes_of(configs) == undisturbed(configs)


@pytest.mark.parametrize(("workers", "to_all"), [(1, False), (2, False), (2, True)])
def test_sigterm_leaves_a_checkpoint_and_143(workers, to_all, sweep, undisturbed):
    configs = sweep("runs", hardware__workers=workers, hardware__checkpoint=1e9)
    process = Launching(configs)
    wait_for(lambda: any(runs.records(runs.folder(config))[3:] for config in configs))
    (os.killpg if to_all else os.kill)(process.pid, signal.SIGTERM)
    assert process.end(60)[0] == 143
    assert checkpoints(configs)
    assert launch(configs, progress=False).failed == {}
    assert bytes_of(configs) == undisturbed(configs)


@pytest.mark.parametrize("workers", [1, 2])
def test_ctrl_c_exits_with_130_and_goes_on(workers, tmp_path):
    train = str(Path(__file__).parents[1] / "scripts" / "train.py")
    small = ["data=mnist_sample", "model.width=20", "steps=1000", "measure.what=[accuracy]", "hardware=plain"]
    settings = [*small, f"hardware.workers={workers}", "hardware.checkpoint=1e9", f"out={tmp_path}/runs"]
    command = [sys.executable, train, "-m", "norm=none,batch", *settings]

    def hear() -> None:  # what a shell starts in the background ignores Ctrl-C, and so would all that it starts
        signal.signal(signal.SIGINT, signal.SIG_DFL)

    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True, preexec_fn=hear)
    wait_for(lambda: any(runs.records(path)[3:] for path in tmp_path.glob("runs/mnist*")))
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert err.splitlines()[-1] == "interrupted: the same command goes on from here"
    assert list(tmp_path.glob(f"runs/{FOLDER}/stacks/*/*.checkpoint"))
    configs = sweeps.composed_runs([[f"norm={norm}", *settings] for norm in ("none", "batch")])
    assert launch(configs, progress=False).failed == {}
    went_on = [json.loads(path.read_text())["went_on_from"] for path in tmp_path.glob("runs/*/manifest.json")]
    assert any(went_on)


# ---- damaged ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def stopped(tmp_path_factory) -> Path:
    """A folder of runs that SIGTERM stopped in the middle, with two checkpoints."""
    return tmp_path_factory.mktemp("stopped") / "runs"


@pytest.fixture
def half_done(sweep, stopped):
    """Runs that SIGTERM stopped in the middle, with two checkpoints on disk."""
    if not stopped.exists():
        first = [config.model_copy(update={"out": str(stopped)}) for config in sweep("")]
        process = Launching(first)
        wait_for(lambda: len(checkpoints(first)) == 2)
        os.kill(process.pid, signal.SIGTERM)
        assert process.end(60)[0] == 143
    configs = sweep("runs")
    shutil.copytree(stopped, configs[0].out)
    return configs


@pytest.mark.parametrize("damaged", [1, 2])
@pytest.mark.parametrize("how", ["cut", "flipped", "emptied"])
def test_a_damaged_checkpoint_is_not_believed(damaged, how, half_done, undisturbed):
    for path in checkpoints(half_done)[-damaged:]:
        raw = path.read_bytes()
        flipped = raw[:100] + bytes([raw[100] ^ 1]) + raw[101:]
        path.write_bytes({"cut": raw[:-1], "flipped": flipped, "emptied": b""}[how])
    assert launch(half_done, progress=False).failed == {}
    assert bytes_of(half_done) == undisturbed(half_done)
    went_on = json.loads((runs.folder(half_done[0]) / "manifest.json").read_text())["went_on_from"]
    assert len(went_on) == 2 - damaged  # from the checkpoint before it, or from the start


@pytest.mark.parametrize("how", ["cut", "missing", "not a record"])
def test_a_damaged_record_is_trained_again(how, half_done, undisturbed):
    path = runs.folder(half_done[0]) / "records.jsonl"
    lines = path.read_text().splitlines(keepends=True)
    changed = {"cut": [*lines[:-1], lines[-1][:20]], "missing": lines[:1], "not a record": ["[1]\n", *lines]}[how]
    path.write_text("".join(changed))
    assert launch(half_done, progress=False).failed == {}
    assert bytes_of(half_done) == undisturbed(half_done)


def test_a_broken_manifest_is_no_result(half_done, undisturbed):
    (runs.folder(half_done[0]) / "manifest.json").write_text('{"outcome": "trai')
    assert launch(half_done, progress=False).failed == {}
    assert bytes_of(half_done) == undisturbed(half_done)


DAMAGED = {
    "emptied": lambda raw: b"",
    "cut short": lambda raw: raw[: len(raw) // 2],
    "binary": lambda raw: b"\xff\xfe\x80" + raw,
    "a list": lambda raw: b"[1]\n",
    "without keys": lambda raw: b'{"outcome": "trained"}\n',
}


@pytest.mark.parametrize("how", DAMAGED)
def test_a_damaged_file_of_a_ledger_is_named_and_nothing_touched(how, tmp_path):
    claim = load("residual_training")
    place = tmp_path / claim.name
    shutil.copytree(CONFIGS.parent / "results" / claim.name, place)
    known = ledger.published_hashes(tmp_path)
    assert with_table(tmp_path) == [claim.name]

    def shelf() -> Shelf:
        return Shelf(claim, tmp_path, tmp_path / "runs")

    uses = {
        ledger.TABLE: [
            lambda: with_table(tmp_path),
            lambda: ledger.published_hashes(tmp_path),
            lambda: ledger.published([tmp_path], known, []),
            lambda: report.judge_and_draw(claim, tmp_path),
            lambda: shelf().answering(),
        ],
        "chosen.yaml": [lambda: report.judge_and_draw(claim, tmp_path), shelf],
        "verdict.json": [lambda: report.standing(tmp_path), lambda: report.write_ledger(tmp_path)],
    }
    for file, of_file in uses.items():
        whole = (place / file).read_bytes()
        (place / file).write_bytes(DAMAGED[how](whole))
        before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
        for use in of_file:
            with pytest.raises(ConfigError, match=rf"\A{re.escape(str(place / file))} is damaged: `git checkout .*\Z"):
                use()
        assert before == {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
        (place / file).write_bytes(whole)


@pytest.mark.parametrize("how", DAMAGED)
def test_no_file_of_ours_is_believed_once_damaged(how, make_config, tmp_path, monkeypatch):
    def configs(out: str, **changes: float) -> list[Config]:
        short = {"steps": 8, "measure.what": ["accuracy"], "measure.steps": [2, 4, 6], "out": str(tmp_path / out)}
        changes = {key.replace("__", "."): value for key, value in changes.items()}
        return [make_config(short | changes | {"norm.name": norm}) for norm in ("none", "batch")]

    def stop(step: int) -> None:
        if step == 5:
            raise Stopped

    monkeypatch.setattr(os, "fsync", lambda file: None)  # which takes longer than all else
    whole, first = configs("whole"), configs("first", hardware__checkpoint=0)
    launch([*whole, first[0]], progress=False)
    with pytest.raises(Stopped):
        train_stack(Work(first[1:], compiled=False), prepare(first[1].hardware, 1), provenance.stamp(), stop)
    files = [path.relative_to(tmp_path / "first") for path in (tmp_path / "first").rglob("*") if path.is_file()]
    assert len(files) == 2 * 3 + 2 + 3  # of the runs, their locks, and of the stack
    for k, file in enumerate(files):
        again = configs(str(k))
        shutil.copytree(tmp_path / "first", again[0].out)
        path = Path(again[0].out) / file
        path.write_bytes(DAMAGED[how](path.read_bytes()))
        assert runs.find([Path(again[0].out)]) == [runs.folder(again[0])] * (path.parent != runs.folder(again[0]))
        assert launch(again, progress=False).failed == {}, file
        assert bytes_of(again) == bytes_of(whole), file
        assert table_of(again).equals(table_of(whole)), file


def test_a_full_disk_fails_in_one_line_and_goes_on_later(sweep, undisturbed):
    configs = sweep("runs")
    _, failed, printed = Launching(configs, limit=8192).end()
    assert failed.keys() == {runs.folder(config).name for config in configs}
    assert all("OSError" in reason and "\n" not in reason for reason in failed.values())
    assert "Traceback" not in printed
    assert not any(path.suffix == ".part" for path in Path(configs[0].out).rglob("*"))
    assert launch(configs, progress=False).failed == {}
    assert bytes_of(configs) == undisturbed(configs)


def test_a_folder_that_vanishes_fails_in_one_line(sweep, undisturbed):
    configs = sweep("runs")
    process = Launching(configs)
    wait_for(lambda: checkpoints(configs))
    subprocess.run(["rm", "-rf", configs[0].out], check=True)
    _, failed, printed = process.end()
    assert failed
    assert "Traceback" not in printed
    assert launch(configs, progress=False).failed == {}
    assert bytes_of(configs) == undisturbed(configs)


# ---- in the way -------------------------------------------------------------------------------------------


def test_an_output_folder_that_cannot_be_written_is_refused(make_config, tmp_path):
    (tmp_path / "file").write_text("")
    config = make_config({"out": str(tmp_path / "file" / "runs")})
    with pytest.raises(ConfigError, match=r"\Aout=.*file/runs: .*file is no folder that can be written to\Z"):
        launch([config], progress=False)


def test_two_commands_do_not_train_the_same_run(sweep, undisturbed):
    configs = sweep("runs")
    with locked(configs[:1]):
        _, failed, _ = Launching(configs).end()
    assert failed == {runs.folder(c).name: "another command is training it right now" for c in configs[:2]}
    assert launch(configs, progress=False).failed == {}
    assert bytes_of(configs)[2:] == undisturbed(configs)[2:]


@pytest.mark.parametrize("number", NO_LOCKS)
def test_a_file_system_without_locks_is_told_once_and_trained_on(number, make_config, monkeypatch, capsys):
    def flock(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", flock)
    configs = [make_config({"norm.name": norm}) for norm in ("none", "batch")]
    assert len(launch(configs, progress=False).trained) == 2
    told = f"out={configs[0].out}: this file system has no locks: start no second command there meanwhile\n"
    assert capsys.readouterr().err == told


def test_finished_runs_of_other_code_are_taken_as_they_are_which_is_said(make_config, monkeypatch, capsys):
    configs = [make_config({"seed": seed}) for seed in range(3)]
    launch(configs[:2], progress=False)
    assert capsys.readouterr().err == ""
    before = bytes_of(configs[:2])
    ours = provenance.code()
    monkeypatch.setattr(provenance, "code", lambda: "othercode000")
    for left in (configs[2:], []):
        assert launch(configs, progress=False).trained == [runs.folder(config).name for config in left]
        assert capsys.readouterr().err == (
            f"2 finished runs were made by other code ({runs.folder(configs[0]).name} by {ours}, here othercode000): "
            "taken as they are; another out= trains them anew\n"
        )
    assert bytes_of(configs[:2]) == before
    assert [runs.code_of(config) for config in configs] == [ours, ours, "othercode000"]


def test_a_folder_that_holds_another_run_is_refused_with_the_difference(make_config):
    config, other = make_config(), make_config({"steps": 4})
    launch([other], progress=False)
    runs.folder(other).rename(runs.folder(config))
    with pytest.raises(
        ConfigError, match=r"holds another run \(steps=4 there, 3 here\): another out= starts over beside it\Z"
    ):
        launch([config], progress=False)


def test_a_stack_that_other_code_began_is_refused(half_done, monkeypatch):
    (about,) = (Path(half_done[0].out) / FOLDER / "stacks").glob("*/stack.json")
    about.write_text(about.read_text().replace(provenance.code(), "othercode000"))
    with pytest.raises(
        ConfigError, match=r"\A.* was begun by other code \(othercode000; here .*\): another out= starts over .*\Z"
    ):
        launch(half_done, progress=False)


def test_a_run_goes_on_with_as_many_threads_as_it_began_with(make_config, tmp_path, request):
    request.addfinalizer(lambda: torch.set_num_threads(1))
    net = {"model": {"name": "convnet", "width": 16, "depth": 2}, "steps": 8, "measure.what": ["accuracy"]}

    def run(out: str, workers: int) -> Config:
        return make_config(net | {"out": str(tmp_path / out), "hardware.workers": workers})

    def stop(step: int) -> None:
        if step == 4:
            raise Stopped

    whole, begins, ends = run("whole", 2), run("runs", 2), run("runs", 1)
    launch([whole], progress=False)
    with pytest.raises(Stopped):
        train_stack(Work([begins], compiled=False), prepare(begins.hardware, 2), provenance.stamp(), stop)
    assert launch([ends], progress=False).failed == {}
    assert bytes_of([ends]) == bytes_of([whole])
    manifest = json.loads((runs.folder(ends) / "manifest.json").read_text())
    assert (manifest["engine"]["threads"], manifest["went_on_from"]) == (2, [4])
    assert torch.get_num_threads() == 1


def test_a_run_goes_on_only_with_the_kernel_it_began_with(make_config, request):
    kernel = torch.backends.mkldnn.matmul.fp32_precision
    request.addfinalizer(lambda: setattr(torch.backends.mkldnn.matmul, "fp32_precision", kernel))

    def run(matmul: str) -> Config:
        return make_config({"steps": 4, "hardware.workers": 1, "hardware.matmul": matmul})

    def stop(step: int) -> None:
        if step == 2:
            raise Stopped

    with pytest.raises(Stopped):
        train_stack(
            Work([run("default")], compiled=False), prepare(run("default").hardware, 1), provenance.stamp(), stop
        )
    with pytest.raises(ConfigError, match=r"hardware\.matmul=default: say so"):
        launch([run("auto")], progress=False)
    assert launch([run("default")], progress=False).failed == {}


def test_a_clock_that_jumps_changes_nothing(sweep, undisturbed, monkeypatch):
    configs = sweep("runs")
    jumping = iter(range(10**9, 0, -3600))
    monkeypatch.setattr(time, "time", lambda: float(next(jumping)))
    save, saved = Checkpoints.save, []
    monkeypatch.setattr(Checkpoints, "save", lambda self, *given: saved.append(save(self, *given)))
    assert launch(configs, progress=False).failed == {}
    assert bytes_of(configs) == undisturbed(configs)
    assert saved


def test_tables_of_resumed_runs_are_those_of_undisturbed_ones(half_done, sweep):
    elsewhere = sweep("elsewhere")
    for configs in (half_done, elsewhere):
        launch(configs, progress=False)
    ours, theirs = (table_of(configs) for configs in (half_done, elsewhere))
    assert ours.equals(theirs)


def test_of_two_half_done_stacks_that_share_a_run_one_goes_on(half_done, undisturbed):
    (about,) = (Path(half_done[0].out) / FOLDER / "stacks").glob("*/stack.json")
    shared = json.loads(about.read_text()) | {"runs": [runs.folder(half_done[0]).name]}
    other = about.parent.with_name("ffffffffffff")
    other.mkdir()
    (other / "stack.json").write_text(json.dumps(shared))
    assert launch(half_done, progress=False).failed == {}
    assert bytes_of(half_done) == undisturbed(half_done)
    assert not other.exists()


def test_records_of_one_run_are_all_of_one_stack(half_done, undisturbed):
    alone = half_done[0]

    def stop(step: int) -> None:
        if step == 140:
            raise Stopped

    with pytest.raises(Stopped):
        train_stack(Work([alone], compiled=False), prepare(alone.hardware, threads=1), provenance.stamp(), stop)
    goes_on = begun(half_done, provenance.code())
    assert [work.configs for work in goes_on] == [[alone]]  # and not the stack that it was in before
    assert launch(half_done, progress=False).failed == {}
    assert bytes_of([alone]) == undisturbed([alone])
    assert bytes_of(half_done[2:]) == undisturbed(half_done)[2:]
    assert not checkpoints(half_done)
