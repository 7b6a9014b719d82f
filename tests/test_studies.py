"""Studies: every one of the table runs, is a function of its seed, and goes through the store like any run."""

import importlib
import itertools
import json
import math

import pandas as pd
import pytest
import torch
from torch import nn

from bnlab import data, norms, readings, runs, studies
from bnlab.config import CONFIGS, ConfigError
from bnlab.launcher import launch
from bnlab.models import MLP
from bnlab.studies.deep import square
from bnlab.studies.isometry import gap
from bnlab.studies.jacobian_spectrum import jacobian
from bnlab.studies.learning import lost, net, norm_of
from bnlab.studies.rank_collapse import effective_rank
from bnlab.sweeps import composed_runs, group_settings
from bnlab.training.order import batches

NAMES = sorted(studies.STUDIES)
FEW = 2  # records, enough to know the columns


def first_records(name, seed=0, count=FEW):
    settings = group_settings("study", name)
    short = {"steps": 20} if "steps" in settings else {}  # of those that know their best rate at the end
    _, records = studies.begin({**settings, **short}, seed)
    return list(itertools.islice(records, count))


def test_every_study_has_its_settings_and_no_settings_lack_a_study():
    assert sorted(path.stem for path in (CONFIGS / "study").glob("*.yaml")) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_a_study_gives_flat_records_of_the_same_columns_and_leaves_torch_as_it_was(name):
    before, kind = torch.random.get_rng_state(), torch.get_default_dtype()
    records = first_records(name)
    assert torch.equal(before, torch.random.get_rng_state())
    assert torch.get_default_dtype() == kind
    assert all(record.keys() == records[0].keys() for record in records)
    assert all("/" in key for key in records[0] if key != "step")
    assert all(isinstance(value, int | float) and not math.isnan(value) for r in records for value in r.values())


@pytest.mark.parametrize("name", NAMES)
def test_a_study_is_a_function_of_its_seed(name):
    assert first_records(name) == first_records(name)


def test_a_study_is_stored_once_and_found_again(tmp_path):
    configs = composed_runs([["study=bias_explosion", "study.steps=20", f"out={tmp_path}"]])
    assert len(launch(configs, progress=False).trained) == 1
    assert len(launch(configs, progress=False).skipped) == 1
    table = runs.load(runs.find([tmp_path]))
    assert table["study.name"].unique() == ["bias_explosion"]
    assert table["steps"].unique() == [20]
    manifest = json.loads((runs.folder(configs[0]) / "manifest.json").read_text())
    assert manifest["outcome"] == "trained"
    assert manifest["data"]["source"] == "no data"


def test_a_studys_identity_is_its_knobs_and_its_seed():
    same, other, seed = composed_runs(
        [["study=bias_explosion", *words] for words in (["study.lr=0.1"], ["study.lr=0.2"], ["seed=1"])]
    )
    names = [runs.folder(config).name for config in (same, other, seed)]
    assert len(set(names)) == 3
    assert runs.folder(composed_runs([["study=bias_explosion"]])[0]).name == names[0]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["norm=layer"], "norm: no knob of a study"),
        (["steps=3"], "steps: no knob of a study"),
        (["study.units=0"], "study.units=0"),
        (["+study.unit=3"], "study.unit=3: not known here; choose from units"),
        (["+study.data=mnist_sample"], "takes no data set"),
    ],
)
def test_what_a_study_has_no_use_for_is_refused_in_one_line(tmp_path, words, said):
    with pytest.raises(ConfigError) as error:
        launch(composed_runs([["study=bias_explosion", f"out={tmp_path}", *words]]), progress=False)
    assert said in str(error.value)
    assert "\n" not in str(error.value)
    assert not list(tmp_path.iterdir())


# The physics suite: what is exact, of this package's own BN, gradients and steps. A wrong one would not pass.
ROUNDING = 1e-10


def last_record(name, **knobs):
    _, records = studies.begin({**group_settings("study", name), **knobs}, 0)
    return list(records)[-1]


@pytest.mark.parametrize("a", [1e-3, 1e3])
def test_bn_does_not_see_the_scale_of_the_weights_before_it(a):
    found = last_record("scale_invariance", a=a, eps=0.0)
    assert max(found[f"{what}/error"] for what in ("output", "input_gradient", "weight_gradient")) < ROUNDING
    assert abs(last_record("scale_invariance", a=a, eps=1e-12)["output/over_theory"]) < 1e-3


@pytest.mark.parametrize("task", ["noise", "teacher"])
def test_a_step_stands_at_right_angles_to_weights_before_bn(task):
    found = last_record("weight_growth", task=task, lr=0.5, steps=20)
    assert found["weights/cosine"] < ROUNDING
    assert abs(found["weights/off_growth"]) < ROUNDING
    assert last_record("weight_growth", norm="none", steps=20)["weights/cosine"] > 1e-3  # or it says nothing


def test_weight_decay_before_bn_is_a_growing_rate():
    found = last_record("weight_decay_is_rate", steps=50)
    assert max(found["function/difference"], found["weights/off_scale"]) < ROUNDING
    assert last_record("weight_decay_is_rate", norm="none", steps=50)["function/difference"] > 1e-3


def test_inference_statistics_have_no_bias_and_nothing_but_chance():
    found = last_record("inference_statistics", doublings=8)
    assert abs(found["variance/bias"]) < 0.02
    assert abs(found["variance/bias_uncorrected"] + 1 / 4) < 0.02
    assert found["mean/error"] == pytest.approx((4 * 2**8) ** -0.5, rel=0.1)


def read_off(name, seed=0, **knobs):
    """The records of a study as a table, for readings."""
    _, records = studies.begin({**group_settings("study", name), **knobs}, seed)
    return pd.DataFrame(records).assign(run="one", seed=seed, outcome="trained")


@pytest.mark.parametrize(("batch", "of"), [(8, "gradient/weights"), (8, "gradient/inputs"), (16, "gradient/weights")])
def test_bn_multiplies_the_gradient_of_a_linear_net_by_what_the_batch_alone_decides(batch, of):
    records = read_off("gradient_explosion", activation="identity", width=128, batch=batch, depth=60)
    found = readings.slope(records, of, log=10, low=5, high=50)["lo"].iloc[0]
    assert found == pytest.approx(math.log10((batch - 2) / (batch - 3)) / 2, abs=0.01)  # of squares: (B − 2)/(B − 3)


def test_a_step_before_is_one_of_sgd_on_another_batch():
    draw = torch.Generator().manual_seed(4)
    net = nn.Sequential()
    u = torch.randn(32, 16, generator=draw)
    for _ in range(3):
        net += nn.Sequential(nn.Linear(16, 16, bias=False), nn.BatchNorm1d(16, 1e-30, affine=False), nn.Tanh())
        net[-3].weight.data = square(16, draw).float()

    def backward(u: torch.Tensor) -> None:
        net.zero_grad()
        (net(u) * torch.randn(32, 16, generator=draw)).sum().backward()

    backward(u)
    top = net[-3].weight
    torch.optim.SGD(net.parameters(), lr=float(0.3 * top.detach().norm() / top.grad.norm())).step()
    backward(torch.randn(32, 16, generator=draw))
    found = read_off("gradient_explosion", 4, activation="tanh", width=16, depth=3, batch=32, stepped=0.3)
    expected = [float(weight.grad.norm()) for weight in reversed(list(net.parameters()))]
    assert found["gradient/weights"].tolist() == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize(("batch", "kept"), [(32, True), (8, False)])
def test_bn_with_rotations_for_weights_keeps_a_linear_nets_gradient_where_examples_are_no_fewer_than_units(batch, kept):
    records = read_off(
        "gradient_explosion", activation="identity", width=32, batch=batch, depth=100, weights="orthogonal"
    )
    assert (abs(readings.slope(records, "gradient/weights", log=10, high=80)["lo"].iloc[0]) < 0.003) == kept


def test_of_orthogonal_units_r_counts_all_and_of_equal_ones_one():
    assert effective_rank(torch.eye(7, 5, dtype=torch.float64)) == pytest.approx(5)
    assert effective_rank(torch.ones(7, 5, dtype=torch.float64)) == pytest.approx(1)
    assert effective_rank(torch.zeros(7, 5)) == 0


def test_without_bn_a_batch_ends_on_a_line_and_with_it_it_does_not():
    ends = [
        read_off("rank_collapse", norm=norm, width=8, batch=32, depth=200)["rank/r"].iloc[-1]
        for norm in ("none", "batch")
    ]
    assert ends[0] == pytest.approx(1, abs=1e-3)
    assert ends[1] > 1.5


@pytest.mark.parametrize(("norm", "squares"), [("batch", 30), ("none", 2**29)])
def test_blocks_add_one_to_the_variance_with_bn_and_double_it_without(norm, squares):
    records = read_off("residual_identity", norm=norm, width=512, batch=64, blocks=30)
    assert records["skip/square"].iloc[-1] == pytest.approx(squares, rel=0.5)
    assert records["branch/over_skip"].iloc[-1] == pytest.approx(1 / 30 if norm == "batch" else 1, rel=0.3)


def test_the_channels_of_a_residual_net_grow_without_bn_alone():
    grown = {
        norm: read_off("activation_growth", norm=norm, blocks=4, batch=4)["channel/mean"].iloc[-1]
        for norm in ("none", "batch")
    }
    assert grown["none"] > 20
    assert grown["batch"] < 5


@pytest.mark.parametrize("norm", ["none", "batch"])
def test_a_layers_jacobian_is_that_of_autograd(norm):
    layer = MLP((6,), 3, norms.build({"name": norm}), width=5, depth=2, activation="sigmoid").hidden2
    a, others = torch.randn(5), torch.randn(7, 5)
    h = layer.linear(torch.sigmoid(torch.cat([a[None], others])))

    def entering(a):
        x = layer.linear(torch.sigmoid(a))
        if norm == "none":
            return x
        return layer.norm.gamma * (x - h.mean(0).detach()) / (h.var(0, correction=0).detach() + 1e-5).sqrt()

    slope = (torch.sigmoid(a) * (1 - torch.sigmoid(a)))[None]
    assert torch.allclose(jacobian(layer, h, slope)[0], torch.func.jacrev(entering)(a), atol=1e-6)


def test_a_layers_own_relative_step_is_that_of_autograd():
    settings = {**group_settings("study", "effective_rates"), "depth": 4, "steps": 3}
    about, records = studies.begin(settings, 1)
    first = next(records)
    data_set = data.load(group_settings("data", "mnist_sample"))
    network = net(1, data_set.inputs, 10, norm_of("batch"), width=100, depth=4, activation="relu")
    rows = batches(1, len(data_set.train_y), 60, 0, 1)[0]
    loss = torch.nn.functional.cross_entropy(
        network(data_set.transform(data_set.train_x[rows])), data_set.train_y[rows]
    )
    loss.backward()
    layers = [getattr(network, f"hidden{k}").linear.weight for k in (2, 3, 4)]
    r = torch.stack([0.1 * w.grad.norm() / w.detach().norm() for w in layers]).double()
    assert first["rate/spread"] == pytest.approx(float(r.log10().std(correction=0)), rel=1e-4)
    assert first["rate/over_law"] == pytest.approx(float(r.mean()) * 2**0.5, rel=1e-4)
    assert about["name"] == "mnist_sample"


def test_weights_before_a_norm_have_a_rate_of_their_own():
    still, moved = (last_record("auto_rate", steps=30, lr_weights=lr) for lr in (1e-9, 100.0))
    start = net(0, (1, 28, 28), 10, norm_of("batch"), width=100, depth=3, activation="relu")
    norm = sum(float(w.detach().double().square().sum()) for k, w in start.named_parameters() if "linear" in k) ** 0.5
    assert still["weights/norm"] == pytest.approx(norm, rel=1e-6)
    assert moved["weights/norm"] > 2 * norm
    assert still["train/loss"] < 2  # all else learns


def test_a_net_that_is_lost_is_trained_no_further_and_its_records_are_the_same(monkeypatch):
    knobs = {"lr": 10.0, "activation": "relu", "steps": 40, "every": 20}
    asked, module = [], importlib.import_module("bnlab.studies.edge_of_stability")
    monkeypatch.setattr(module, "lost", lambda weights: asked.append(lost(weights)) or asked[-1])
    records = read_off("edge_of_stability", **knobs)
    assert asked[-1]
    monkeypatch.setattr(module, "lost", lambda weights: False)
    pd.testing.assert_frame_equal(read_off("edge_of_stability", **knobs), records)


def test_training_begins_where_it_begins_and_the_angle_is_no_longer_than_the_way():
    records = {norm: read_off("no_better_start", norm=norm, steps=20) for norm in ("none", "batch")}
    for own in records.values():
        assert own["step"].iloc[0] == 0
        assert own["distance/moved"].iloc[0] == 0
        assert (own["distance/turned"].iloc[1:] > 0).all()
        assert (own["distance/turned"] <= own["distance/moved"] * (1 + 1e-9)).all()
    assert records["none"]["train/loss"].iloc[0] != records["batch"]["train/loss"].iloc[0]


def test_the_gap_from_isometry_is_that_of_the_eigenvalues():
    assert gap(3 * torch.eye(4, 9, dtype=torch.float64)) == pytest.approx(0, abs=1e-12)
    pair = torch.tensor([[1.0, 0.0], [0.6, 0.8]], dtype=torch.float64)  # cosine 0.6: eigenvalues 1.6 and 0.4
    assert gap(pair) == pytest.approx(-math.log(1.6 * 0.4) / 2)
    centred = torch.eye(4, dtype=torch.float64) - 0.25
    assert gap(centred, centred=True) == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize(("activation", "factor"), [("tanh", 0.9305), ("relu", 0.7335 + 0.1 / (4 * math.pi * 0.3408))])
def test_layer_norm_after_a_nonlinearity_shrinks_cosines_as_its_hermite_coefficients_say(activation, factor):
    knobs = {"activation": activation, "width": 2048, "batch": 64, "depth": 2, "cosine": 0.1}
    seen = [read_off("isometry", seed, **knobs)["gram/cosine"] for seed in range(4)]
    found = sum(float(own[1] / own[0]) for own in seen) / 4  # chance leaves 0.02 of it
    assert found == pytest.approx(factor, rel=0.05)  # ReLU's second coefficient: c₂² = 1/(4π)


def test_a_net_whose_outputs_are_no_more_finite_has_the_accuracy_of_chance():
    assert last_record("auto_rate", norm="none", steps=4, lr_weights=1e30)["test/accuracy"] == 0.1
