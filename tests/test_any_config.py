"""Whatever config one composes: it runs two steps, or is refused in one line that says which knob, before any work.

EXAMPLES=500 in the environment tries so many, drawn anew.
"""

import os
import tempfile
from pathlib import Path

from conftest import SMALL, with_changes
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from bnlab import runs
from bnlab.config import ConfigError, parse
from bnlab.launcher import launch
from bnlab.layers import ACTIVATIONS
from bnlab.measure import MEASUREMENTS

EXAMPLES = os.environ.get("EXAMPLES")

NONSENSE = st.sampled_from([None, "", "many", -1, 2.5, True, [], [3], {}, {"a": 1}, float("nan"), float("inf"), -1e300])
COUNT = st.integers(0, 40) | st.sampled_from([10**3, 10**7, 2**31, 10**30]) | NONSENSE
NUMBER = st.floats(0, 2) | st.sampled_from([1e-300, 1e-8, 30, 1e30]) | NONSENSE
SHARE = st.floats(0, 1) | NONSENSE


def named(table: dict[str, dict[str, st.SearchStrategy]]) -> st.SearchStrategy:
    """A group of the config: one of the names, or none that is known, with any of its knobs, or one that is not its."""
    options = [
        st.fixed_dictionaries({"name": st.just(name)}, optional={**knobs, "colour": NONSENSE} if name == "?" else knobs)
        for name, knobs in {**table, "?": {}}.items()
    ]
    return st.one_of(options) | NONSENSE


SGD = {"lr": NUMBER, "momentum": SHARE, "nesterov": st.booleans() | NONSENSE, "weight_decay": NUMBER}
ADAM = {"lr": NUMBER, "beta1": SHARE, "beta2": SHARE, "eps": NUMBER, "weight_decay": NUMBER}
WARMUP = {"warmup": COUNT}
FEW = st.integers(1, 5) | st.sampled_from([13, 10**7, 10**30]) | NONSENSE  # or two steps take minutes
LAYER = {"activation": st.sampled_from(sorted(ACTIVATIONS)) | NONSENSE}
POSITION = st.sampled_from(["before", "after"]) | NONSENSE
PER = st.sampled_from(["unit", "layer"]) | NONSENSE
ONCE = st.sampled_from(["none", "center", "normalise"]) | NONSENSE
KNOBS = {
    "data.transform": st.sampled_from(["binarise", "standardise", "scale"]) | NONSENSE,
    "data.validation": st.integers(1, 4500) | COUNT,
    "model": named(
        {
            "mlp": {
                "width": COUNT,
                "depth": COUNT,
                **LAYER,
                "norm_position": POSITION,
                "frozen": FEW,
                "turning": NUMBER,
            },
            "convnet": {"width": FEW, "depth": FEW, **LAYER, "norm_position": POSITION, "dropout": SHARE},
            "resnet": {"width": FEW, "blocks": FEW, **LAYER},
            "residual_mlp": {
                "width": COUNT,
                "blocks": FEW,
                **LAYER,
                "branch": st.sampled_from(["open", "closed"]) | NONSENSE,
            },
        }
    ),
    "norm": named(
        {
            "none": {},
            "batch": {
                "eps": NUMBER,
                "momentum": SHARE,
                "statistics": st.sampled_from(["moving", "precise"]) | NONSENSE,
                "gamma": NUMBER,
            },
            "center": {"momentum": SHARE},
            "scale": {"eps": NUMBER},
            "lp": {"p": st.sampled_from([1, 2, "max"]) | NONSENSE, "centred": st.booleans() | NONSENSE, "eps": NUMBER},
            "noise": {"per": PER},
            "noisy_batch": {"per": PER, "momentum": SHARE},
            "layer": {"eps": NUMBER},
            "group": {"groups": COUNT, "eps": NUMBER},
        }
    ),
    "init": named({"gaussian": {"sigma": NUMBER, "once": ONCE}, "fan_in": {"gain": NUMBER, "once": ONCE}}),
    "optimizer": named(
        {
            "sgd": SGD,
            "adam": ADAM,
            "adagrad": {"lr": NUMBER, "lr_decay": NUMBER, "eps": NUMBER, "weight_decay": NUMBER},
            "nadam": ADAM | {"momentum_decay": NUMBER},
        }
    ),
    "lr_schedule": named(
        {
            "constant": WARMUP,
            "step": WARMUP | {"every": COUNT, "gamma": SHARE},
            "exponential": WARMUP | {"gamma": SHARE},
            "cosine": WARMUP | {"final": SHARE},
        }
    ),
    "steps": st.integers(1, 3) | NONSENSE | st.just(0),
    "batch_size": st.integers(1, 4000) | COUNT,
    "precision": st.sampled_from(["fp32", "bf16"]) | NONSENSE,
    "shuffle": st.sampled_from(["examples", "batches"]) | NONSENSE,
    "seed": COUNT,
    "measure.what": st.lists(st.sampled_from([*sorted(MEASUREMENTS), "vibes"])) | NONSENSE,
    "measure.per_decade": st.integers(0, 5) | NONSENSE,
    "measure.steps": st.lists(COUNT) | NONSENSE,
    "measure.probe": COUNT,
    "measure.units": st.lists(COUNT) | NONSENSE,
    "measure.percentiles": st.lists(st.floats(-1, 101)) | NONSENSE,
    "hardware.stack": COUNT,
    "hardware.workers": st.sampled_from([1, 2, 2**31]) | NONSENSE,
    "hardware.matmul": st.sampled_from(["auto", "default"]) | NONSENSE,
    "hardware.device": st.sampled_from(["auto", "cpu", "meta", "abacus"]) | NONSENSE,
    "hardware.checkpoint": NUMBER,
    "tracker": st.just("none") | NONSENSE,
    "stesp": NONSENSE,
}


@st.composite
def some_knobs(draw: st.DrawFn) -> dict:
    chosen = draw(st.lists(st.sampled_from(sorted(KNOBS)), min_size=1, max_size=5, unique=True))
    return {key: draw(KNOBS[key], label=key) for key in chosen}


@settings(
    max_examples=int(EXAMPLES or 60),
    derandomize=EXAMPLES is None,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
@given(changes=some_knobs())
def test_any_config_runs_or_is_refused_in_one_line(changes):
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "runs"
        refused = ""
        try:
            config = parse(with_changes(SMALL | {"steps": 2, "out": str(out)}, changes))
            report = launch([config], progress=False)
        except ConfigError as error:
            refused = str(error)
        event("refused" if refused else "runs")
        if refused:
            assert len(refused.splitlines()) == 1
            assert any(part in refused for key in changes for part in key.split(".")), refused
            assert not out.exists()
        else:
            assert report.failed == {}
            assert runs.records(runs.folder(config))[-1]["step"] == config.steps
