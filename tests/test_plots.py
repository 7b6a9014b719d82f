"""Comparison plots of any set of runs, and the scripts that draw and list."""

import runpy
import sys
from pathlib import Path

import pytest
from hydra import initialize_config_dir

from bnlab import plots, runs, sweeps
from bnlab.config import CONFIGS, ConfigError
from bnlab.launcher import launch

SCRIPTS = Path(__file__).parents[1] / "scripts"


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Path:
    """Six runs: two norms at two rates, one of them with two seeds, and another optimizer."""
    out = tmp_path_factory.mktemp("runs")
    jobs = [
        *(["norm=none", f"optimizer.lr={lr}", f"seed={seed}"] for lr in (0.1, 1) for seed in (0, 1)),
        ["norm=batch", "optimizer.lr=1"],
        ["norm=batch", "norm.eps=0.1", "optimizer.lr=1"],
    ]
    common = ["data=mnist_sample", "hardware=plain", "steps=3", "model.width=8", f"out={out}"]
    with initialize_config_dir(str(CONFIGS), version_base="1.3"):
        assert not launch([sweeps.job(None, [*common, *job]) for job in jobs], progress=False).failed
    return out


def run_script(name: str, *arguments: object, monkeypatch, capsys) -> str:
    monkeypatch.setattr(sys, "argv", [name, *map(str, arguments)])
    runpy.run_path(str(SCRIPTS / name), run_name="__main__")
    return capsys.readouterr().out


def test_arms_are_told_apart_by_the_knobs_in_which_they_differ(trained):
    table = runs.load(runs.find([trained]))
    assert plots.differing(table) == ["norm.name", "norm.eps", "optimizer.lr"]
    assert plots.differing(table[table["norm.name"] == "none"]) == ["optimizer.lr"]
    assert plots.differing(table[table["run"] == table["run"].iloc[0]]) == ["norm.name"]
    assert plots.describe(["norm.name", "optimizer.lr"], ["batch", 0.5]) == "with BN, lr 0.5"
    assert plots.describe(["norm.name", "norm.eps"], ["none", float("nan")]) == "without BN"


def test_every_run_is_in_the_curves(trained):
    table = runs.load(runs.find([trained]))
    (ax,) = plots.curves_figure(table, "test/accuracy").axes
    thin = [line for line in ax.lines if line.get_linewidth() < 1]
    assert len(thin) == table["run"].nunique()


def test_the_response_shows_every_run_however_it_ended(trained):
    table = runs.load(runs.find([trained]))
    table.loc[table["run"] == table["run"].iloc[0], "outcome"] = "diverged"
    figure = plots.response_figure(table, "test/accuracy")
    (ax,) = figure.axes
    assert ax.get_xlabel() == "optimizer.lr"
    assert sum(len(points.get_offsets()) for points in ax.collections if points.get_paths()) >= table["run"].nunique()


def test_a_response_needs_a_sweep(trained):
    table = runs.load(runs.find([trained]))
    one = table[(table["norm.name"] == "none") & (table["optimizer.lr"] == 1)]
    with pytest.raises(ConfigError, match="sweep one"):
        plots.response_figure(one, "test/accuracy")


@pytest.mark.parametrize("what", ["curves", "response", "percentiles", "distributions"])
@pytest.mark.parametrize("ending", ["png", "svg", "pdf"])
def test_plot_draws(what, ending, trained, tmp_path, monkeypatch, capsys):
    out = tmp_path / f"figure.{ending}"
    printed = run_script("plot.py", what, trained, "--out", out, monkeypatch=monkeypatch, capsys=capsys)
    assert printed.strip() == str(out)
    assert out.stat().st_size > 5000


def test_plot_needs_no_flags(trained, tmp_path, monkeypatch, capsys):
    (tmp_path / "runs").symlink_to(trained)
    monkeypatch.chdir(tmp_path)
    run_script("plot.py", monkeypatch=monkeypatch, capsys=capsys)
    assert (tmp_path / "figures" / "curves.png").is_file()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["curves", "nowhere"], "no finished runs"),
        (["curves", "--metric", "nope"], "test/accuracy"),
        (["percentiles", "--site", "nope"], "hidden3.act"),
        (["curves", "--out", "figure.bmp"], ".png, .svg or .pdf"),
    ],
)
def test_what_cannot_be_drawn_is_told_in_one_line(arguments, said, trained, tmp_path, monkeypatch, capsys):
    (tmp_path / "runs").symlink_to(trained)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as stopped:
        run_script("plot.py", *arguments, monkeypatch=monkeypatch, capsys=capsys)
    message = str(stopped.value)
    assert message.startswith("error: ")
    assert said in message
    assert "\n" not in message


def test_the_same_figure_is_the_same_bytes(trained, tmp_path):
    table = runs.load(runs.find([trained]))
    for ending in ("png", "svg", "pdf"):
        files = [tmp_path / f"{i}.{ending}" for i in range(2)]
        for file in files:
            plots.save(plots.curves_figure(table, "test/loss"), file)
        assert files[0].read_bytes() == files[1].read_bytes()


def test_unknown_endings_are_refused(trained, tmp_path):
    with pytest.raises(ConfigError, match="bmp"):
        plots.save(plots.curves_figure(runs.load(runs.find([trained])), "test/loss"), tmp_path / "x.bmp")


def test_data_lists_every_data_set(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("BNLAB_DATA", str(tmp_path))
    printed = run_script("data.py", monkeypatch=monkeypatch, capsys=capsys)
    rows = {row.split()[0]: row for row in printed.splitlines()[2:] if row.strip()}
    assert "there" in rows["mnist_sample"]
    assert "missing" in rows["mnist"]
    assert "scripts/data.py mnist" in rows["mnist"]


def test_data_first_falls_back_aloud(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("BNLAB_DATA", str(tmp_path))
    monkeypatch.setattr("torchvision.datasets.MNIST.mirrors", ["http://127.0.0.1:9/"])
    monkeypatch.setattr(sys, "argv", ["data.py", "--first", "mnist", "mnist_sample"])
    runpy.run_path(str(SCRIPTS / "data.py"), run_name="__main__")
    printed = capsys.readouterr()
    assert printed.out.strip().splitlines()[-1] == "mnist_sample"
    assert "could not be downloaded" in printed.err
    assert "using mnist_sample" in printed.err


def test_report_makes_one_claim_again(tmp_path, monkeypatch, capsys):
    results = Path(__file__).parents[1] / "results"
    (tmp_path / "fig1a_accuracy").mkdir()
    table = (results / "fig1a_accuracy" / "runs.parquet").read_bytes()
    (tmp_path / "fig1a_accuracy" / "runs.parquet").write_bytes(table)
    printed = run_script("report.py", "--results", tmp_path, monkeypatch=monkeypatch, capsys=capsys)
    assert "fig1a_accuracy: REPRODUCED on mnist" in printed
    assert (tmp_path / "index.html").is_file()
