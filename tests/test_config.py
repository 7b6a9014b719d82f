"""The config: what is refused and how it is said, what names a run and what does not."""

import pytest

from bnlab import norms
from bnlab.config import GROUPS, Config, ConfigError, config_hash, construct, flat, identity, parse, path, resolved
from bnlab.models import MODELS
from bnlab.norms import NORMS
from bnlab.starts import INITS
from bnlab.training.optimizers import OPTIMIZERS
from bnlab.training.schedules import SCHEDULES

BAD = [
    ("steps", 0),
    ("steps", 1.5),
    ("steps", "many"),
    ("batch_size", -1),
    ("seed", -1),
    ("seed", 2**31),
    ("measure.probe", 1),
    ("measure.per_decade", -1),
    ("measure.percentile", [50]),
    ("hardware.workers", 0),
    ("hardware.stack", 0),
    ("hardware.matmul", "fast"),
    ("tracker", "tensorboard"),
    ("norm", "batch"),
    ("stesp", 3),
]


@pytest.mark.parametrize(("key", "value"), BAD)
def test_what_cannot_be_is_refused_in_one_line_naming_key_and_value(key, value, raw_config):
    with pytest.raises(ConfigError) as error:
        parse(raw_config({key: value}))
    assert "\n" not in str(error.value)
    assert str(error.value).startswith(f"{key}={value}: ")


@pytest.mark.parametrize("key", ["measure.percentiles", "measure.steps", "measure.units"])
def test_a_bad_item_of_a_list_is_named(key, raw_config):
    with pytest.raises(ConfigError, match=rf"\A{key}\.1=-101: .*\Z"):
        parse(raw_config({key: [5, -101]}))


def test_a_knob_of_several_types_is_named_once(raw_config):
    with pytest.raises(ConfigError, match=r"\Ahardware\.workers=0: .* or input should be 'auto'\Z"):
        parse(raw_config({"hardware.workers": 0}))


def test_percentiles_end_at_100(raw_config):
    with pytest.raises(ConfigError, match=r"\Ameasure\.percentiles\.0=101: .*100\Z"):
        parse(raw_config({"measure.percentiles": [101]}))


@pytest.mark.parametrize(
    ("key", "known"), [("stesp", "steps, batch_size"), ("measure.percentile", "units, percentiles")]
)
def test_an_unknown_knob_is_told_with_those_there_are(key, known, raw_config):
    with pytest.raises(ConfigError, match=rf"\A{key}=1: not known here; choose from .*{known}.*\Z"):
        parse(raw_config({key: 1}))


def test_a_tilde_is_the_home_folder(raw_config, monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    config = parse(raw_config({"out": "~/runs", "reuse": "~"}))
    assert (config.out, config.reuse) == (f"{tmp_path}/runs", str(tmp_path))
    assert path("~/figures") == tmp_path / "figures"
    assert str(path("~nobody-of-this-name/x")) == "~nobody-of-this-name/x"


def test_two_mistakes_are_told_in_one_line(raw_config):
    with pytest.raises(ConfigError, match=r"\Asteps=0: .*; batch_size=0: .*\Z"):
        parse(raw_config({"steps": 0, "batch_size": 0}))


@pytest.mark.parametrize("group", ["data", "model", "init", "norm", "optimizer", "lr_schedule"])
def test_a_group_that_is_left_out_is_named(group, raw_config):
    raw = raw_config()
    del raw[group]
    with pytest.raises(ConfigError, match=rf"\A{group}: .*required\Z"):
        parse(raw)


def test_what_was_parsed_can_be_parsed_again(make_config):
    config = make_config()
    assert parse(config.model_dump()) == config


def test_the_rule_of_a_claim_is_no_part_of_a_run(raw_config):
    assert parse(raw_config() | {"claim": {"name": "x"}}) == parse(raw_config())


def test_a_config_cannot_be_changed(make_config):
    with pytest.raises(ValueError, match="frozen"):
        make_config().steps = 7


# ---- groups -----------------------------------------------------------------------------------------------

TABLES = {"init": INITS, "model": MODELS, "norm": NORMS, "optimizer": OPTIMIZERS, "lr_schedule": SCHEDULES}
GIVEN = {
    "init": {},
    "model": {"inputs": (1, 4, 4), "classes": 3, "norm": norms.build({"name": "none"})},
    "norm": {"width": 20, "dims": 1},
    "optimizer": {},
    "lr_schedule": {"steps": 10},
}


@pytest.mark.parametrize("group", TABLES)
def test_an_unknown_name_lists_the_choices(group):
    with pytest.raises(ConfigError) as error:
        construct(TABLES[group], group, {"name": "nosuch"}, **GIVEN[group])
    assert str(error.value).startswith(f"{group}=nosuch: ")
    assert all(name in str(error.value) for name in TABLES[group])


@pytest.mark.parametrize(("group", "name"), [(group, name) for group, table in TABLES.items() for name in table])
def test_every_entry_refuses_knobs_it_does_not_have(group, name):
    with pytest.raises(ConfigError, match=rf"\A{group}\.nosuch=1: .*\Z"):
        construct(TABLES[group], group, {"name": name, "nosuch": 1}, **GIVEN[group])


@pytest.mark.parametrize("group", TABLES)
@pytest.mark.parametrize("settings", [{}, {"name": None}, {"name": ["a"]}, {"name": {"a": 1}}])
def test_a_name_that_is_none_is_refused_like_any_other(group, settings):
    with pytest.raises(ConfigError, match=rf"\A{group}=.*choose.*\Z"):
        construct(TABLES[group], group, settings, **GIVEN[group])


@pytest.mark.parametrize(
    ("group", "name", "key", "value"),
    [
        ("norm", "batch", "momentum", 2),
        ("norm", "batch", "momentum", 0),
        ("norm", "batch", "eps", "abc"),
        ("norm", "batch", "eps", -1e-5),
        ("norm", "batch", "statistics", "running"),
        ("norm", "group", "groups", 0),
        ("optimizer", "sgd", "lr", -1),
        ("optimizer", "sgd", "lr", 0),
        ("optimizer", "sgd", "momentum", 1),
        ("optimizer", "adam", "beta2", 1.5),
        ("optimizer", "adagrad", "weight_decay", -0.1),
        ("optimizer", "nadam", "lr", float("nan")),
        ("init", "gaussian", "sigma", -1),
        ("init", "fan_in", "gain", float("inf")),
        ("model", "mlp", "width", 0),
        ("model", "mlp", "activation", "gelu"),
        ("lr_schedule", "step", "every", 0),
    ],
)
def test_a_knob_out_of_range_is_named_with_its_group(group, name, key, value):
    with pytest.raises(ConfigError) as error:
        construct(TABLES[group], group, {"name": name, key: value}, **GIVEN[group])
    assert "\n" not in str(error.value)
    assert str(error.value).startswith(f"{group}.{key}={value}: ")


# ---- identity ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "changes",
    [
        {"hardware.workers": 2},
        {"hardware.stack": 3},
        {"hardware.compile": True},
        {"hardware": {}},
        {"out": "elsewhere"},
        {"tracker": "wandb"},
        {"sweep": "another"},
        {"data.root": "/somewhere"},
    ],
)
def test_where_a_run_is_computed_kept_and_shown_does_not_name_it(changes, make_config):
    assert identity(make_config(changes)) == identity(make_config())
    assert config_hash(make_config(changes)) == config_hash(make_config())


@pytest.mark.parametrize(
    "changes",
    [
        {"seed": 1},
        {"optimizer.lr": 0.2},
        {"steps": 4},
        {"batch_size": 21},
        {"norm.name": "none"},
        {"model.width": 21},
        {"init.sigma": 0.2},
        {"lr_schedule.name": "cosine"},
        {"data.transform": "scale"},
        {"data.validation": 401},
        {"measure.probe": 51},
        {"measure.steps": [2]},
        {"precision": "bf16"},
        {"shuffle": "batches"},
    ],
)
def test_what_decides_the_records_names_the_run(changes, make_config):
    assert config_hash(make_config(changes)) != config_hash(make_config())


def test_a_run_is_what_differs_from_the_defaults(make_config):
    named = {group: {"name": resolved(make_config())[group]["name"]} for group in GROUPS}
    assert identity(make_config({"optimizer.momentum": 0.0, "norm.eps": 1e-5, "precision": "fp32"})) == {
        **named,
        "model": {"name": "mlp", "width": 20, "depth": 2},
        "steps": 3,
        "batch_size": 20,
        "measure": {"per_decade": 0, "probe": 50, "units": [0, 1], "percentiles": [15, 50, 85]},
    }


def test_the_order_of_keys_does_not_name_a_run(raw_config):
    raw = raw_config()
    raw["optimizer"] = dict(reversed(raw["optimizer"].items()))
    assert config_hash(parse(raw)) == config_hash(parse(raw_config()))


def test_one_and_one_point_zero_are_the_same_rate(make_config):
    assert config_hash(make_config({"optimizer.lr": 1})) == config_hash(make_config({"optimizer.lr": 1.0}))


def test_a_hash_is_12_hexadecimal_digits(make_config):
    digits = config_hash(make_config())
    assert len(digits) == 12
    assert int(digits, 16) >= 0


def test_asking_for_the_identity_changes_nothing(make_config):
    config = make_config({"data.root": "/somewhere"})
    identity(config)
    assert config.data["root"] == "/somewhere"


def test_flat_names_knobs_as_hydras_overrides_do():
    tree = {"optimizer": {"lr": 1, "deep": {"er": [1, 2]}}, "seed": 3}
    assert flat(tree) == {"optimizer.lr": 1, "optimizer.deep.er": [1, 2], "seed": 3}


def test_defaults_are_those_of_the_paper():
    fields = Config.model_fields
    assert (fields["steps"].default, fields["batch_size"].default) == (50_000, 60)
