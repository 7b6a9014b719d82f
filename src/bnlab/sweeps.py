"""An experiment's jobs, as Hydra would compose them, without running them."""

import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

import yaml
from hydra import compose, initialize_config_dir
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, OverrideType
from hydra.errors import HydraException, OverrideParseException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from bnlab.config import CONFIGS, Config, ConfigError, parse


def composed_runs(jobs: Sequence[Sequence[str]]) -> list[Config]:
    """The run of each job, a list of overrides, as Hydra composes it.

    Raises `ConfigError` for an override that cannot be read, or of what is not there.
    """
    with _errors_in_one_line(), initialize_config_dir(str(CONFIGS), version_base="1.3"):
        return [config for job in composed(lambda words: compose("train", words), jobs) for config in runs_of(job)]


def composed(compose_one: Callable[[list[str]], DictConfig], jobs: Iterable[Iterable[str]]) -> Iterator[DictConfig]:
    """The config of each job, a list of overrides, as `compose_one` gives it.

    It takes a tenth of a second, so it is asked once for all jobs that differ in the values of plain keys alone; these
    are set thereafter, in the same config: each is good until the next is asked for.
    """
    known: dict[tuple[str, ...], DictConfig] = {}
    for job in jobs:
        parsed = [_override(word) for word in job]
        kind = tuple(override.key_or_group if _is_plain(override) else str(override.input_line) for override in parsed)
        if kind not in known:
            known[kind] = compose_one([str(override.input_line) for override in parsed])
        config = known[kind]
        for override in filter(_is_plain, parsed):
            OmegaConf.update(config, override.key_or_group, override.value())
        yield config


@lru_cache(maxsize=10_000)
def _override(word: str) -> Override:
    """One override, read; it takes milliseconds, and the jobs of a sweep share most of theirs."""
    return OverridesParser.create().parse_override(word)


def key_of(override: str) -> str:
    """The key that an override is for, whether it changes, adds or deletes it."""
    return override.split("=", 1)[0].lstrip("+~")


def setting(word: str) -> tuple[str, Any]:
    """The key and the value of KEY=VALUE, as an override has them. Raises `ConfigError` for what cannot be read so."""
    with _errors_in_one_line():
        override = _override(word)
        return override.key_or_group, override.value()


def _is_plain(override: Override) -> bool:
    """Whether it gives a value to a key of the config, and no more."""
    changes = override.type is OverrideType.CHANGE and override.package is None
    key, whole = override.key_or_group, isinstance(override.value(), dict)  # which Hydra merges into the config's own
    return changes and not whole and not key.startswith("hydra.") and not (CONFIGS / key).is_dir()


def written(value: Any) -> str:
    """A value of YAML's kinds in the grammar of Hydra's overrides; words as they are, if they need no quotes."""
    if isinstance(value, dict):
        return "{" + ",".join(f"{key}:{written(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",".join(written(item) for item in value) + "]"
    return value if isinstance(value, str) and re.fullmatch(r"[A-Za-z_][\w./-]*", value) else json.dumps(value)


def group_settings(group: str, option: str) -> dict[str, Any]:
    """One option of a config group, as its YAML has it."""
    return yaml.safe_load((CONFIGS / group / f"{option}.yaml").read_text())  # type: ignore[no-any-return]


def job(experiment: str | None, overrides: list[str]) -> Config:
    """One job, inside an initialised Hydra. Raises `ConfigError` as `sweep` does."""
    first = [f"experiment={experiment}"] if experiment else []
    with _errors_in_one_line():
        return runs_of(compose("train", [*first, *overrides]))[0]


@contextmanager
def _errors_in_one_line() -> Iterator[None]:
    try:
        yield
    except (HydraException, OmegaConfBaseException) as error:
        raise ConfigError(one_line(error)) from None


def one_line(error: Exception) -> str:
    """What is wrong, from Hydra's several lines."""
    if isinstance(error, OverrideParseException):
        return f"{error.override!r} cannot be read as KEY=VALUE"
    text = " ".join(str(error).split())
    unknown = re.match(r"Could not override '(?P<key>[^']*)'", text)
    if unknown:
        return f"{unknown['key']}: there is no such knob with these groups; --help lists them"
    return text.split(" Config search path")[0].split(" See https://")[0]


def runs_of(job: DictConfig) -> list[Config]:
    """The runs of a composed job: one, or a stack's `members`, each with its own seed, optimizer, start and schedule.

    Raises `ConfigError` for one that cannot be.
    """
    whole = {str(key): _plain(job[key]) for key in job if key != "hydra"}
    members = whole.pop("members", [{}])
    return [parse(whole | member) for member in members]


def _plain(value: Any) -> Any:
    return OmegaConf.to_container(value, resolve=True) if OmegaConf.is_config(value) else value
