"""Comparison plots of any set of runs, and the scripts that draw and list."""

import re
import runpy
import shutil
import sys
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.collections import PathCollection
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from pandas.testing import assert_frame_equal
from PIL import Image

from bnlab import runs, sweeps
from bnlab.config import ConfigError
from bnlab.launcher import launch
from bnlab.plots import panels
from bnlab.plots.arms import arms_of, differing, in_arms
from bnlab.plots.film import film
from bnlab.plots.gather import gather, only
from bnlab.plots.picture import Picture, of_runs
from bnlab.plots.style import save

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
    assert not launch(sweeps.composed_runs([[*common, *job] for job in jobs]), progress=False).failed
    return out


def run_script(name: str, *arguments: object, monkeypatch, capsys) -> str:
    monkeypatch.setattr(sys, "argv", [name, *map(str, arguments)])
    runpy.run_path(str(SCRIPTS / name), run_name="__main__")
    return capsys.readouterr().out


@pytest.fixture
def sweep() -> pd.DataFrame:
    """A made table: two norms, three rates, two scales, three seeds; better at higher rates and with BN."""
    rows = []
    for norm, lr, sigma, seed in product(("none", "batch"), (0.01, 0.1, 1.0), (0.1, 0.3), range(3)):
        row = {
            "run": f"{norm}{lr}{sigma}{seed}",
            "data.name": "made",
            "model.name": "mlp",
            "model.activation": "sigmoid",
        }
        row |= {"init.sigma": sigma, "norm.name": norm, "optimizer.name": "sgd", "optimizer.lr": lr, "steps": 10}
        row |= {"seed": seed, "outcome": "trained", "diverged_at": float("nan")}
        for step in (0, 1, 10):
            accuracy = 0.1 if step == 0 else 0.6 + 0.1 * np.log10(lr) + 0.15 * (norm == "batch") + 0.001 * seed
            rows.append(row | {"step": step, "test/accuracy": accuracy, "test/loss": 1 - accuracy})
    return pd.DataFrame(rows)


def fail(table: pd.DataFrame, which: pd.Series, outcome: str, **ends: float) -> pd.DataFrame:
    """The table with `which` runs ended so, their last record changed."""
    table.loc[which, "outcome"] = outcome
    table.loc[which, "diverged_at"] = 1.0 if outcome == "diverged" else float("nan")
    for metric, value in ends.items():
        table.loc[which & (table["step"] == table["steps"]), f"test/{metric}"] = value
    return table


def legend(figure: Figure) -> list[str]:
    return [text.get_text().replace("\n", " ") for text in figure.axes[0].get_legend().get_texts()]


def curves(table: pd.DataFrame, metric: str = "test/accuracy", by: list[str] | None = None) -> Figure:
    return panels.draw([{"curves": {"of": metric, "log_steps": True, "bottom": None}}], of_runs(table, by, pool=True))


def response(table: pd.DataFrame, metric: str = "test/accuracy", knob: str = "optimizer.lr") -> Figure:
    terms = {"of": metric, "knob": knob, "bottom": None}
    return panels.draw([{"response": terms}], of_runs(table, without=[knob], pool=True))


def heat(table: pd.DataFrame, metric: str, knobs: list[str], by: list[str] | None = None) -> Figure:
    x, y = knobs
    return panels.draw([{"heat": {"x": x, "y": y, "of": metric, "low": None}}], of_runs(table, by, knobs))


def whole(name: str, table: pd.DataFrame, **terms: str) -> Figure:
    """A figure of its own, of two norms."""
    return panels.draw([{name: terms}], of_runs(table, ["norm.name"]))


def test_arms_are_told_apart_by_the_knobs_in_which_they_differ(trained):
    table = runs.load(runs.find([trained]))
    assert differing(table) == ["norm.name", "norm.eps", "optimizer.lr"]
    assert differing(table[table["norm.name"] == "none"]) == ["optimizer.lr"]
    assert differing(table[table["run"] == table["run"].iloc[0]]) == ["norm.name"]
    arms = ["without BN, lr 0.1", "without BN, lr 1", "with BN, eps 1e-05, lr 1", "with BN, eps 0.1, lr 1"]
    assert arms_of(in_arms(gather([trained]), ["norm.name", "norm.eps", "optimizer.lr"])) == arms


def test_arms_whose_names_would_be_one_are_told_apart(sweep):
    table = sweep.assign(**{"optimizer.lr": sweep["seed"].map({0: 0.1, 1: 0.10000001, 2: 0.2})})
    assert arms_of(in_arms(table, ["optimizer.lr"])) == [f"optimizer.lr={lr}" for lr in (0.1, 0.10000001, 0.2)]


def test_knobs_that_come_with_a_kind_are_no_arms(sweep):
    one = sweep[(sweep["optimizer.lr"] == 0.1) & (sweep["init.sigma"] == 0.1)]
    adam = one["norm.name"] == "batch"
    table = one.assign(**{"optimizer.name": np.where(adam, "adam", "sgd"), "norm.name": "none"})
    table["optimizer.beta1"] = np.where(adam, 0.9, float("nan"))  # at the end, as of runs that come later
    assert differing(table) == ["optimizer.name"]
    table.loc[adam & (table["seed"] == 1), "optimizer.beta1"] = 0.5
    assert differing(table) == ["optimizer.name", "optimizer.beta1"]


def test_a_run_in_two_folders_counts_once(trained, tmp_path):
    shutil.copytree(trained, tmp_path / "copy")
    once = gather([trained])
    assert_frame_equal(gather([trained, tmp_path / "copy"]), once)
    assert len(once) == len(runs.load(runs.find([trained])))
    apart = gather([trained, tmp_path / "copy"], by_folder=True)
    assert apart.groupby("folder")["run"].nunique().to_dict() == {str(trained): 6, str(tmp_path / "copy"): 6}
    (ax,) = curves(apart, by=["folder"]).axes
    assert len(ax.get_legend_handles_labels()[0]) == 2
    assert gather([trained])["norm.name"].unique().tolist() == ["none", "batch"]


def test_a_knob_that_only_some_runs_name_tells_them_apart(tmp_path):
    jobs = [[f"precision={precision}", f"norm={norm}"] for precision in ("fp32", "bf16") for norm in ("none", "batch")]
    common = ["data=mnist_sample", "hardware=plain", "steps=1", "model.width=8", f"out={tmp_path}"]
    assert not launch(sweeps.composed_runs([[*common, *job] for job in jobs]), progress=False).failed
    table = gather([tmp_path])
    assert set(differing(table)) == {"norm.name", "precision"}
    assert only(table, {"precision": ["fp32"]})["run"].nunique() == 2


def test_runs_are_chosen_by_what_is_typed(sweep):
    kept = only(sweep, {"optimizer.lr": ["0.10", "1"], "norm.name": ["batch"]})
    assert kept.groupby(["norm.name", "optimizer.lr"]).ngroups == 2
    with pytest.raises(ConfigError, match=r"optimizer\.lr=7: no such run; there are 0\.01, 0\.1, 1\.0"):
        only(sweep, {"optimizer.lr": ["7"]})
    with pytest.raises(ConfigError, match=r"optimizer\.rate: no knob"):
        only(sweep, {"optimizer.rate": ["7"]})


def test_every_run_is_in_the_curves(trained):
    table = runs.load(runs.find([trained]))
    (ax,) = curves(table, "test/accuracy").axes
    thin = [line for line in ax.lines if line.get_linewidth() < 1]
    assert len(thin) == table["run"].nunique()


def test_curves_of_many_settings_are_coloured_by_the_norm(sweep):
    figure = curves(sweep, "test/accuracy")  # of 2 × 3 × 2 settings
    assert legend(figure) == ["without BN (18 runs)", "with BN (18 runs)"]
    said = figure.get_suptitle().replace("\n", " ")
    assert said == "mlp, sgd, 36 runs; 12 settings, told apart by norm.name; 10 steps, made"
    figure.draw_without_rendering()
    panel = figure.axes[0]
    assert panel.get_legend().get_window_extent().x0 > panel.get_window_extent().x1  # beside it
    few = curves(sweep[sweep["init.sigma"] == 0.1], "test/accuracy")
    assert "with BN, lr 0.1 (3 seeds)" in legend(few)
    assert "settings" not in few.get_suptitle()


def test_each_arm_has_its_colour_a_shade_of_its_norms(sweep):
    (ax,) = curves(sweep[sweep["init.sigma"] == 0.1], "test/accuracy").axes
    paints = [to_rgb(line.get_color()) for line in ax.get_legend_handles_labels()[0]]
    assert len(set(paints)) == 6
    assert all(red > blue for red, _, blue in paints[:3])  # without BN: orange
    assert all(blue > red for red, _, blue in paints[3:])
    assert sum(paints[0]) > sum(paints[1]) > sum(paints[2])
    (alone,) = curves(sweep, by=["norm.name"]).axes
    assert [line.get_color() for line in alone.get_legend_handles_labels()[0]] == ["#D55E00", "#0072B2"]


def test_runs_recorded_at_other_steps_are_joined(sweep):
    table = sweep[~((sweep["seed"] == 0) & (sweep["step"] == 1))]
    (ax,) = curves(table, by=["norm.name"]).axes
    assert all(np.isfinite(line.get_ydata()).all() for line in ax.lines)


def test_a_cross_ends_the_curve_of_a_run_that_diverged(sweep):
    table = fail(sweep, sweep["run"] == "none1.00.10", "diverged", loss=np.inf)
    figure = curves(table, "test/loss")
    (cross,) = (line for line in figure.axes[0].lines if line.get_marker() == "X")
    assert cross.get_xdata().tolist() == [0]  # the look at 1 comes after the update at which it diverged
    assert legend(figure)[-1] == "diverged"


def test_the_response_shows_every_run_however_it_ended(trained):
    table = runs.load(runs.find([trained]))
    table.loc[table["run"] == table["run"].iloc[0], "outcome"] = "diverged"
    figure = response(table, "test/accuracy")
    (ax,) = figure.axes
    assert ax.get_xlabel() == "learning rate"
    points = [drawn for drawn in ax.collections if isinstance(drawn, PathCollection)]
    assert sum(np.ma.count(each.get_offsets()) // 2 for each in points) == table["run"].nunique()


@pytest.mark.parametrize(("metric", "edge"), [("accuracy", 0.0), ("loss", 1.0)])
def test_a_run_without_a_number_lies_on_the_bad_edge_of_the_response(metric, edge, sweep):
    table = fail(sweep, sweep["run"] == "none1.00.10", "diverged", **{metric: float("nan")})
    table = fail(table, table["run"] == "none1.00.11", "stuck")
    figure = response(table, f"test/{metric}")
    (ax,) = figure.axes
    across = ax.get_xaxis_transform()
    lost = [points for points in ax.collections if points.get_offset_transform() == across]
    assert [points.get_offsets().tolist() for points in lost] == [[[1.0, edge]]]
    assert legend(figure)[-2:] == ["stuck at chance", "diverged"]


def test_the_response_explains_no_marks_that_are_not_there(sweep):
    figure = response(sweep, "test/accuracy")
    assert legend(figure) == [f"{norm}, sigma {sigma}" for norm in ("without BN", "with BN") for sigma in (0.1, 0.3)]
    assert figure.axes[0].get_xscale() == "log"
    assert [tick.get_text() for tick in figure.axes[0].get_xticklabels()] == ["0.01", "0.1", "1"]


def test_a_loss_that_spans_decades_has_a_logarithmic_axis(sweep):
    assert curves(sweep, "test/loss").axes[0].get_yscale() == "linear"
    wide = fail(sweep, sweep["run"] == "none1.00.10", "stuck", loss=100.0)
    assert curves(wide, "test/loss").axes[0].get_yscale() == response(wide, "test/loss").axes[0].get_yscale() == "log"


def test_the_heat_map_outlines_what_is_near_the_best(sweep):
    better = sweep["optimizer.lr"].eq(1) & sweep["init.sigma"].eq(0.3)
    sweep["test/accuracy"] += np.where(better, 0.005, 0)
    figure = heat(sweep, "test/accuracy", ["optimizer.lr", "init.sigma"])
    none, batch, bar = figure.axes
    assert [none.get_title(), batch.get_title()] == ["without BN", "with BN"]
    assert (none.get_xlabel(), none.get_ylabel()) == (
        "learning rate",
        "σ of the initial weights",
    )
    assert bar.get_ylabel() == "test accuracy, mean"
    meshes = [panel.collections[0] for panel in (none, batch)]
    assert meshes[0].get_clim() == meshes[1].get_clim() == pytest.approx((0.401, 0.756))
    (star,) = (line for line in none.lines if line.get_marker() == "*")
    assert (star.get_xdata()[0], star.get_ydata()[0]) == (2.5, 1.5)
    outline = {tuple(map(tuple, edge)) for edge in none.collections[1].get_segments()}
    assert outline == {
        ((2, 0), (3, 0)),
        ((2, 2), (3, 2)),
        ((2, 0), (2, 1)),
        ((2, 1), (2, 2)),
        ((3, 0), (3, 1)),
        ((3, 1), (3, 2)),
    }
    assert legend(figure) == ["within 1 point of the best", "best"]


def test_the_heat_map_marks_runs_that_failed(sweep):
    table = fail(sweep, sweep["run"] == "none1.00.10", "diverged", loss=float("nan"))
    table = fail(table, table["run"] == "none0.010.32", "stuck")
    figure = heat(table, "test/loss", ["init.sigma", "optimizer.lr"])
    panel = figure.axes[0]
    marks = {line.get_marker(): line.get_xydata().astype(int).tolist() for line in panel.lines}
    assert marks["X"] == [[0, 2]]
    assert marks["o"] == [[1, 0]]
    assert marks["*"] == [[1, 2]]  # the lowest loss among cells that have one
    assert panel.collections[0].get_array().mask.sum() == 1
    assert legend(figure)[2:] == ["a run stuck at chance", "a run diverged"]


def test_the_map_of_shift_shows_ratios_where_both_nets_train(sweep):
    table = fail(sweep, (sweep["run"] == "none1.00.10") | (sweep["optimizer.lr"] == 0.01), "stuck")
    bn = table["norm.name"] == "batch"  # a fourth of the way, of half the spread; its gradient changes more at first
    table["x"] = [[[w * step, w * step + s]] for w, s, step in zip(4.0 - 3 * bn, 2.0 - bn, table["step"], strict=True)]
    table["s/relative"] = np.where(bn & (table["step"] < 10), 0.8, 0.1)
    table["s/cosine"] = np.cos(table["s/relative"])
    table = table.assign(arm=np.where(bn, "BN", "plain"), **{"measure.percentiles": "[15, 85]"})
    terms = {"arms": ["BN", "plain"], "across": ["init.sigma"], "y": "optimizer.lr"}
    picture = Picture(table.assign(arm=table["arm"].astype("category")), table, "made")
    *maps, bar = panels.draw([{"shift_map": {**terms, "distributions": "x", "gradients": "s"}}], picture).axes
    assert [ax.get_title() for ax in maps[:2]] == ["sigma 0.1", "sigma 0.3"]
    rows = [ax.collections[0].get_array() for ax in maps]
    assert all(cells.mask.tolist() == [[True] * cells.shape[1]] + [[False] * cells.shape[1]] * 2 for cells in rows)
    for cells, ratios in zip(rows[::2], ([-1, -1], [-2, -2], [3, 3, 0], [3, 3, 0]), strict=True):
        assert cells[1:].compressed().tolist() == pytest.approx(ratios * 2)
    assert [len(ax.patches) for ax in maps] == [1] * 8  # the lowest rate is hatched
    assert [[text.get_text() for text in ax.texts] for ax in maps[:2]] == [["2"], []]
    edges = {tuple(map(tuple, edge)) for edge in maps[4].collections[1].get_segments()}
    assert {((1.5, 1), (1.5, 2)), ((1.5, 2), (1.5, 3))} <= edges  # where the sign turns
    assert bar.get_xlabel().startswith("←  plain shifts more")


def test_a_heat_map_may_be_over_words(sweep):
    one = heat(sweep[sweep["init.sigma"] == 0.1], "test/accuracy", ["optimizer.lr", "norm.name"])
    assert [tick.get_text() for tick in one.axes[0].get_yticklabels()] == ["without BN", "with BN"]


def test_what_fits_no_page_says_how_to_choose(sweep):
    many = pd.concat([sweep.assign(**{"batch_size": size}) for size in range(6)], ignore_index=True)
    many.insert(1, "batch_size", many.pop("batch_size"))
    with pytest.raises(ConfigError, match=r"12 arms, by norm\.name, batch_size, are too many.*--only.*--by"):
        heat(many, "test/accuracy", ["optimizer.lr", "init.sigma"])
    assert len(heat(many, "test/accuracy", ["optimizer.lr", "init.sigma"], ["norm.name"]).axes) == 3


def frame(table: pd.DataFrame, step: int, site: str | None = None) -> Figure:
    """The film of two norms, stopped at a step."""
    moving = film(of_runs(table, ["norm.name"]), site)
    moving._func(step)
    moving._draw_was_started = True  # else it warns that nobody saw it
    return moving._fig


def test_the_film_has_a_panel_for_each_arm_and_a_ridge_for_each_layer(trained):
    table = gather([trained])
    figure = frame(table, 0)
    assert len(figure.axes) == 2
    assert figure.get_suptitle() == "step 0"
    first = figure.axes[0]
    assert [tick.get_text() for tick in first.get_yticklabels()] == ["hidden1", "hidden2", "hidden3"]
    assert len(first.patches) == 2 * 3  # each layer's whole distribution, and what of it is saturated
    assert [line.get_xdata()[0] for line in first.lines] == pytest.approx([-np.log(19), np.log(19)])
    accuracy = table[(table["step"] == 0) & (table["norm.name"] == "none")]["test/accuracy"].median()
    assert first.get_title() == f"without BN\n{100 * accuracy:.1f} %"
    assert len(frame(table, 0, "hidden2.act").axes[0].patches) == 2


def test_layers_within_a_block_are_told_apart(trained):
    within = {"hidden2.act": "stage1block1.hidden1.act", "hidden3.act": "stage1block1.act"}
    table = gather([trained])
    for old, new in within.items():
        table = table.rename(columns=lambda column, old=old, new=new: column.replace(f"{old}/", f"{new}/"))
    named = ["hidden1", "stage1block1.hidden1", "stage1block1"]
    assert [tick.get_text() for tick in frame(table, 0).axes[0].get_yticklabels()] == named
    drawn = whole("distributions", table).axes
    assert [ax.get_title().replace("\n", " ").removeprefix("without BN: ") for ax in drawn[:3]] == named


def test_the_animation_shows_each_step_and_stays_at_the_end(trained, tmp_path):
    table = gather([trained])
    files = [tmp_path / f"{i}.gif" for i in range(2)]
    for file in files:
        save(film(of_runs(table, ["norm.name"]), "hidden1.act"), file)
    assert files[0].read_bytes() == files[1].read_bytes()
    with Image.open(files[0]) as moving:
        durations = [moving.seek(i) or moving.info["duration"] for i in range(moving.n_frames)]
    assert len(durations) == table["step"].nunique()  # equal frames at the end are one long one
    assert durations[-1] > 2000


def test_a_net_that_blew_up_leaves_its_panels_empty(trained):
    table = gather([trained])
    late = (table["norm.name"] == "none") & (table["step"] > 0)
    for column in (c for c in table if c.endswith("/population/histogram")):
        table.loc[late, column] = table.loc[late, column].map(lambda counts: [0] * len(counts))
    panels_at = [[len(ax.patches) for ax in frame(table, step).axes] for step in (0, 3)]
    assert panels_at == [[6, 6], [0, 6]]
    mesh = whole("distributions", table).axes[0].collections[0]
    assert np.ma.getmaskarray(mesh.get_array()).any(axis=0).tolist() == [False, True, True, True]


def test_without_bn_batch_statistics_are_those_of_the_population(trained):
    table = gather([trained])
    plain = table[table["norm.name"] == "none"]
    lines = [
        whole("percentiles", table, site="hidden2.act", statistics=statistics).axes[0].lines[1].get_ydata()
        for statistics in ("population", "batch")
    ]
    assert lines[0].tolist() == lines[1].tolist()
    assert len(lines[0]) == plain["step"].nunique()
    drawn = whole("distributions", table, site="hidden2.act", statistics="batch").axes
    assert [ax.get_title() for ax in drawn[:2]] == ["without BN: hidden2", "with BN: hidden2"]


def test_nets_of_different_depth_share_a_figure(trained):
    table = gather([trained])
    table.loc[table["norm.name"] == "none", [c for c in table if c.startswith("hidden3.act/")]] = None
    assert len(frame(table, 0).axes[0].patches) == 2 * 2
    assert not whole("distributions", table).axes[2].axison
    assert len(whole("percentiles", table, site="hidden3.act").axes) == 1 + 5


@pytest.mark.parametrize("what", ["curves", "response", "percentiles", "distributions"])
def test_plot_draws(what, trained, tmp_path, monkeypatch, capsys):
    out = tmp_path / "figure.png"
    printed = run_script("plot.py", what, trained, "--out", out, monkeypatch=monkeypatch, capsys=capsys)
    assert printed.strip() == str(out)
    assert out.stat().st_size > 5000


def test_plot_draws_heat_maps_and_moving_films(trained, tmp_path, monkeypatch, capsys):
    chosen = ["--only", "norm.name=none", "--out", tmp_path / "map.svg", "--knobs", "optimizer.lr", "seed"]
    run_script("plot.py", "heatmap", trained, *chosen, monkeypatch=monkeypatch, capsys=capsys)
    assert (tmp_path / "map.svg").read_text().count("<svg") == 1
    arguments = ["--out", tmp_path / "film.gif", "film", trained, "--site", "hidden3.act"]
    run_script("plot.py", *arguments, monkeypatch=monkeypatch, capsys=capsys)
    assert (tmp_path / "film.gif").read_bytes().startswith(b"GIF89a")


def test_plot_needs_no_flags(trained, tmp_path, monkeypatch, capsys):
    (tmp_path / "runs").symlink_to(trained)
    monkeypatch.chdir(tmp_path)
    printed = run_script("plot.py", monkeypatch=monkeypatch, capsys=capsys)
    assert printed.split() == [
        f"figures/{name}" for name in ("curves.png", "response.png", "distributions.png", "film.gif")
    ]
    assert all(Path(path).is_file() for path in printed.split())
    elsewhere = run_script("plot.py", trained, "--out", "there", monkeypatch=monkeypatch, capsys=capsys)
    assert [Path(path).name for path in elsewhere.split()] == [Path(path).name for path in printed.split()]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["curve"], "curve: neither a figure (curves, response, heatmap, "),
        (["curves", "runs", "nowhere"], "nowhere: no finished runs there"),
        (["curves", "--metric", "nope"], "test/accuracy"),
        (["curves", "--by", "nope"], "norm.name"),
        (["percentiles", "--site", "nope"], "hidden3.act"),
        (["film", "--site", "nope"], "hidden3.act"),
        (["heatmap"], "over 2 swept numbers, and these runs differ in optimizer.lr beside the seed: sweep more"),
        (["heatmap", "--knobs", "nope", "seed"], "optimizer.lr"),
        (["curves", "--out", "figure.bmp"], "a figure is .png, .svg or .pdf"),
        (["heatmap", "--out", "figure.gif"], "a figure is .png, .svg or .pdf"),
        (["film", "--out", "figure.png"], "a film is .gif"),
        (["response", "--knob", "norm.name"], "norm.name: not a number; swept here: optimizer.lr"),
        (["response", "--only", "norm.eps=0.1"], "over 1 swept number, and these runs differ in none beside the seed"),
        (["--out", "figure.png"], "say which figure"),
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
            save(curves(table, "test/loss"), file)
        assert files[0].read_bytes() == files[1].read_bytes()


def test_unknown_endings_are_refused(trained, tmp_path):
    with pytest.raises(ConfigError, match="bmp"):
        save(curves(runs.load(runs.find([trained])), "test/loss"), tmp_path / "x.bmp")


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


def test_report_makes_one_claim_again_and_lists_it(tmp_path, monkeypatch, capsys):
    (tmp_path / "fig1a_accuracy").mkdir()
    shutil.copy(SCRIPTS.parent / "results" / "fig1a_accuracy" / "runs.parquet", tmp_path / "fig1a_accuracy")
    printed = run_script("report.py", "--results", tmp_path, monkeypatch=monkeypatch, capsys=capsys)
    assert "fig1a_accuracy: yes (REPRODUCED, 12 seeds)" in printed
    assert (tmp_path / "index.html").is_file()
    (line,) = run_script(
        "report.py", "--list", "--results", tmp_path, monkeypatch=monkeypatch, capsys=capsys
    ).splitlines()
    assert re.fullmatch(r"fig1a_accuracy +yes +\S+ times \[\S+, \S+\]; 1\.5 would matter", line)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["report.py", "rate_tolerance"], "results/rate_tolerance/runs.parquet is not there"),
        (["report.py"], "holds no table of a claim's runs"),
        (["report.py", "nope"], "claim nope: not known here"),
        (["data.py", "--first"], "no NAME given"),
        (["data.py", "nope"], "nope: not known here"),
    ],
)
def test_mistakes_of_other_scripts_are_told_in_one_line(words, said, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as stopped:
        run_script(*words, monkeypatch=monkeypatch, capsys=capsys)
    message = str(stopped.value)
    assert message.startswith("error: ")
    assert "\n" not in message
    assert said in message
    assert not list(tmp_path.iterdir())
