"""The resolved config of a run: every knob on one line, with its unit or reason.

Hydra composes the YAML files of `configs/`; what it composes is checked here once, before any work. The groups
`data`, `model`, `init`, `norm`, `optimizer` and `lr_schedule` are a name and keyword arguments: the definition that
the name stands for (a class or a function) declares types and ranges in its signature; `construct` checks them.
"""

import hashlib
import inspect
import json
import os
import re
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, get_args

import yaml
from omegaconf import OmegaConf
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, create_model

# Those of this checkout, or another folder of the same groups: one's own claims need not lie in the checkout
CONFIGS = Path(os.environ.get("BNLAB_CONFIGS") or Path(__file__).parents[2] / "configs").absolute()
T = TypeVar("T")
M = TypeVar("M", bound=BaseModel)
Precision = Literal["fp32", "bf16"]
Folder = Annotated[str, Field(min_length=1), AfterValidator(os.path.expanduser)]
Shuffle = Literal["examples", "batches"]
# What pydantic calls the members of a union
UNION = re.compile(r"constrained-|literal\[|(list|dict)\[|(bool|int|float|str)$")
DEVICE = r"^(auto|cpu|(cuda|mps|xpu)(:\d+)?)$"
NO_IDENTITY = {"hardware", "tracker", "out", "reuse", "sweep", "arm"}  # what decides no record
GROUPS = ("data", "model", "init", "norm", "optimizer", "lr_schedule")


class ConfigError(ValueError):
    """What was asked for cannot be done; the message is one line that says what to change."""


class Knobs(BaseModel):
    """A frozen set of knobs; unknown names are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Measure(Knobs):
    """What is measured, when, and on what."""

    what: list[str] = ["accuracy", "activations", "gradients"]  # names of bnlab.measure.MEASUREMENTS
    per_decade: int = Field(3, ge=0)  # log-spaced moments per factor of ten in steps; 0: only `steps` and the end
    steps: list[Annotated[int, Field(ge=0)]] = []  # further moments, as numbers of updates made
    probe: int = Field(500, ge=2)  # examples whose activations and gradients are looked at
    units: list[Annotated[int, Field(ge=0)]] = [0, 1, 2, 3, 4]  # units followed one by one in each layer
    percentiles: list[Annotated[float, Field(ge=0, le=100)]] = [1, 5, 15, 25, 50, 75, 85, 95, 99]


class Hardware(Knobs):
    """Where a run is computed. None of this is part of a run's identity."""

    device: str = Field("auto", pattern=DEVICE)  # auto: cuda where there is one, else cpu
    workers: Annotated[int, Field(ge=1, le=1024)] | Literal["auto"] = (
        "auto"  # processes, of a lone run or stack threads; auto: one a core on cpu, one on cuda
    )
    stack: Annotated[int, Field(ge=1)] | Literal["auto"] = "auto"  # most runs trained as one program; auto: see models
    compile: bool | Literal["auto"] = "auto"  # auto: where it pays back and there is a C++ compiler
    matmul: Literal["auto", "default"] = "auto"  # auto: oneDNN's kernels with AVX-512 and if exact
    checkpoint: float = Field(30.0, ge=0)  # seconds between two checkpoints of a stack, from which a killed one goes on


class Config(Knobs):
    """One run, completely.

    Of a study nothing counts but its own knobs, in `study`, and the seed: the other groups say "none".
    """

    study: dict[str, Any] | None = None
    data: dict[str, Any]
    model: dict[str, Any]
    init: dict[str, Any]
    norm: dict[str, Any]
    optimizer: dict[str, Any]
    lr_schedule: dict[str, Any]
    steps: int = Field(50_000, ge=1, le=10**9)  # updates (IS15 §4.1: 50,000)
    batch_size: int = Field(60, ge=1)  # examples an update (IS15 §4.1: 60)
    shuffle: Shuffle = "examples"  # each epoch anew: the order of examples, or of batches that are formed once
    precision: Precision = "fp32"  # of what linear layers and convolutions take, in training
    seed: int = Field(0, ge=0, lt=2**31)  # of the initial weights, the order of the data, and what is drawn in training
    measure: Measure = Measure()
    hardware: Hardware = Hardware()
    tracker: Literal["none", "wandb"] = "none"
    out: Folder = "runs"  # folder that holds one folder a run
    reuse: Folder | None = None  # folder of a ledger, say results: runs that lie in its tables are not trained again
    sweep: str = "adhoc"  # name under which runs are grouped by a tracker; an experiment sets its own
    arm: str = ""  # what a run is in its sweep, to be shown; else the knobs in which the sweep's runs differ


def from_yaml(text: str | bytes) -> Any:
    """What YAML's text says, by its parser in C where there is one, ten times as fast. Raises `yaml.YAMLError`."""
    return yaml.load(text, getattr(yaml, "CSafeLoader", yaml.SafeLoader))


def path(text: str) -> Path:
    """A path as a person types it: ~ is the home folder."""
    return Path(os.path.expanduser(text))


def parse(raw: Mapping[str, Any]) -> Config:
    """The checked config. Raises `ConfigError` with one line that names key, value, and what is allowed."""
    raw = {key: value for key, value in raw.items() if key != "claim"}  # a claim judges runs, it is no part of one
    if raw.get("study"):
        raw |= {group: {"name": "none"} for group in GROUPS} | {"steps": 1}
    return validated(Config, raw)


def construct(table: Mapping[str, Callable[..., T]], group: str, settings: Mapping[str, Any], **given: Any) -> T:
    """`table[settings["name"]](**given, **the other settings)`, types and ranges checked by its signature.

    Raises `ConfigError` with one line that names `group`, the key, the value, and what is allowed.
    """
    name, knobs = checked(table, group, settings, set(given))
    try:
        return table[name](**given, **knobs)
    except ConfigError:
        raise
    except ValueError as error:
        raise ConfigError(f"{group}={name}: {error}") from None


def checked(
    table: Mapping[str, Callable[..., T]], group: str, settings: Mapping[str, Any], given: set[str]
) -> tuple[str, dict[str, Any]]:
    """The name and the checked knobs of what `construct` would make, nothing made; `given` are not among them."""
    settings = dict(settings)
    name = settings.pop("name", None)
    if not isinstance(name, str) or name not in table:
        raise ConfigError(f"{group}={name}: not known here; choose one of {', '.join(sorted(table))}")
    knobs = validated(_signature_model(table[name], skip=given), settings, f"{group}.")
    return name, {key: getattr(knobs, key) for key in type(knobs).model_fields}


def validated(model: type[M], raw: Any, prefix: str = "") -> M:
    """`raw` as a `model`; raises `ConfigError`, one line, with keys that begin with `prefix`."""
    try:
        return model.model_validate(raw)
    except ValidationError as error:
        raise ConfigError(_one_line(error, model, prefix)) from None


def resolved(config: Config) -> dict[str, Any]:
    """All that decides a run's records: not where it runs, is stored, or is shown."""
    if config.study:
        return {"study": dict(config.study), "seed": config.seed}
    dump = config.model_dump(mode="json", exclude={*NO_IDENTITY, "study"})
    dump["data"].pop("root", None)
    return dump


def identity(config: Config) -> dict[str, Any]:
    """What `resolved` has and its defaults have not, so that a new knob leaves old runs their hash.

    The rule that makes this safe: a default never changes.
    """
    return _beyond(resolved(config), defaults(resolved(config)))


def defaults(run: Mapping[str, Any]) -> dict[str, Any]:
    """The defaults of a resolved run: of its groups those in `configs/GROUP/NAME.yaml`, of the rest `Config`'s."""
    if "study" in run:
        return {"seed": 0, "study": _option("study", str(run["study"].get("name")))}
    plain = {
        key: field.default for key, field in Config.model_fields.items() if key not in {*GROUPS, *NO_IDENTITY, "study"}
    }
    groups = {group: _option(group, str(run[group].get("name"))) for group in GROUPS if group in run}
    return plain | {"measure": Measure().model_dump(mode="json")} | groups


@lru_cache
def _option(group: str, name: str) -> dict[str, Any]:
    file = CONFIGS / group / f"{name}.yaml"
    settings: Any = OmegaConf.to_container(OmegaConf.load(file)) if file.is_file() else {}
    return {key: value for key, value in settings.items() if key not in ("name", "root")}


def _beyond(tree: Mapping[str, Any], known: Mapping[str, Any]) -> dict[str, Any]:
    """The leaves of `tree` that are not the same in `known`."""
    nested = {key: _beyond(value, known.get(key, {})) for key, value in tree.items() if isinstance(value, Mapping)}
    leaves = {
        key: value for key, value in tree.items() if key not in nested and (key not in known or known[key] != value)
    }
    return {key: value for key, value in (nested | leaves).items() if value != {}}


def config_hash(config: Config) -> str:
    """12 hexadecimal digits that name a run."""
    canonical = json.dumps(_canonical(identity(config)), sort_keys=True)
    return hashlib.sha256(canonical.encode()).hexdigest()[:12]


def _canonical(value: Any) -> Any:
    """1.0 as 1: a knob typed with or without the point is the same knob."""
    if isinstance(value, dict):
        return {key: _canonical(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_canonical(item) for item in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def flat(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """{"optimizer": {"lr": 1}} → {"optimizer.lr": 1}, the way Hydra's overrides name knobs."""
    leaves: dict[str, Any] = {}
    for key, value in tree.items():
        if isinstance(value, Mapping):
            leaves |= flat(value, f"{prefix}{key}.")
        else:
            leaves[f"{prefix}{key}"] = value
    return leaves


def _signature_model(definition: Callable[..., Any], skip: set[str]) -> type[Knobs]:
    fields: dict[str, Any] = {}
    for name, parameter in inspect.signature(definition, eval_str=True).parameters.items():
        if name not in skip:
            default = ... if parameter.default is parameter.empty else parameter.default
            fields[name] = (parameter.annotation, default)
    return create_model(getattr(definition, "__name__", "Settings"), __base__=Knobs, **fields)


def _one_line(error: ValidationError, model: Any, prefix: str) -> str:
    messages: dict[str, list[str]] = {}  # several of one key, where it may be of several types
    for item in error.errors():
        key = (prefix + ".".join(str(part) for part in item["loc"] if not UNION.match(str(part)))).rstrip(".")
        wrong = "" if item["type"] == "missing" else f"={item['input']}"
        message = f"{item['msg'][0].lower()}{item['msg'][1:]}"
        if item["type"] == "extra_forbidden":
            message = f"not known here; choose from {', '.join(_knobs_of(model, item['loc'][:-1]))}"
        messages.setdefault(f"{key}{wrong}", []).append(message)
    return "; ".join(f"{key}: {' or '.join(dict.fromkeys(each))}" for key, each in messages.items())


def _knobs_of(model: Any, within: Sequence[str | int]) -> list[str]:
    """The knobs of a model, or of the one that stands in it there."""
    for part in within:
        kind = model.model_fields[part].annotation
        model = next(each for each in (kind, *get_args(kind)) if hasattr(each, "model_fields"))
    return [field.alias or name for name, field in model.model_fields.items()]
