"""An experiment's jobs, as Hydra would compose them, without running them."""

import copy
import json
import re
import shlex
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

from hydra import compose, initialize_config_dir
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, OverrideType, Quote, QuotedString
from hydra.errors import HydraException, OverrideParseException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from bnlab.config import CONFIGS, NO_IDENTITY, Config, ConfigError, parse

# Settings by the words that Hydra composed them of; None where a value refers to another
Kinds = dict[tuple[str, ...], dict[str, Any] | None]
_TRAINED: Kinds = {}  # of `train.yaml`, in this process: a claim's runs are asked for more than once


def composed_runs(jobs: Sequence[Sequence[str]]) -> list[Config]:
    """The run of each job, a list of overrides, as Hydra composes it.

    Raises `ConfigError` for an override that cannot be read, or of what is not there.
    """
    with _errors_in_one_line(), initialize_config_dir(str(CONFIGS), version_base="1.3"):
        return [
            config for job in composed(lambda words: compose("train", words), jobs, _TRAINED) for config in runs_of(job)
        ]


def composed(
    compose_one: Callable[[list[str]], DictConfig], jobs: Iterable[Iterable[str]], known: Kinds | None = None
) -> Iterator[dict[str, Any]]:
    """The settings of each job, a list of overrides, as `compose_one` gives them.

    It takes a tenth of a second, so it is asked once for all jobs that differ in plain keys alone, unless a value of
    the config refers to another; not at all for those that are `known`, where what is new is kept.
    """
    known = {} if known is None else known
    for job in jobs:
        words = list(job)
        plain = dict(filter(None, map(_plain_change, words)))
        others = [word for word in words if not (_plain_change(word) or _chooses(word))]
        taken = tuple(f"{key_of(word)}." for word in others)  # Hydra takes them in turn with what is plain
        plain = {key: value for key, value in plain.items() if not f"{key}.".startswith(taken)}
        kind = tuple(word for word in words if key_of(word) not in plain)
        if kind not in known:
            whole = compose_one(list(kind))
            known[kind] = None if _refers(whole) else settings_of(whole)
        settings = _with(known[kind], plain)
        if settings is None:
            settings = settings_of(compose_one(words))
        refuse_of_study(settings, words)
        yield settings


def _refers(job: DictConfig) -> bool:
    """Whether a value refers to another, and not to the environment alone."""
    held: Any = OmegaConf.to_container(job, resolve=False)
    text = json.dumps({key: value for key, value in held.items() if key != "hydra"}, default=str)
    return "${" in re.sub(r"\$\{oc\.env:[^{}]*\}", "", text)


def _with(known: Mapping[str, Any] | None, plain: Mapping[str, Any]) -> dict[str, Any] | None:
    """A copy with other values of keys that are there; None where one is not, or nothing is `known`."""
    settings = copy.deepcopy(known)
    for key, value in plain.items():
        *groups, leaf = key.split(".")
        at: Any = settings
        for group in groups:
            at = at.get(group) if isinstance(at, dict) else None
        if not isinstance(at, dict) or leaf not in at:
            return None
        at[leaf] = copy.deepcopy(value)
    return settings  # type: ignore[return-value]


def refuse_of_study(settings: Mapping[str, Any], words: Iterable[str]) -> None:
    """Raise `ConfigError` for an override, say norm=layer, that a study has no use for."""
    for key in map(key_of, words) if settings.get("study") else ():
        if key.partition(".")[0].partition("/")[0] not in (
            "study",
            "experiment",
            "hydra",
            "jobs",
            "seed",
            *NO_IDENTITY,
        ):
            raise ConfigError(
                f"{key}: no knob of a study, which are seed and study.{', study.'.join(settings['study'])}"
            )


def key_of(override: str) -> str:
    """The key that an override is for, whether it changes, adds or deletes it."""
    return override.split("=", 1)[0].lstrip("+~")


def setting(word: str) -> tuple[str, Any]:
    """The key and the value of KEY=VALUE, as an override has them. Raises `ConfigError` for what cannot be read so."""
    with _errors_in_one_line():
        override = _read(word)
        return override.key_or_group, override.value()


@lru_cache(maxsize=10_000)
def _plain_change(word: str) -> tuple[str, Any] | None:
    """Key and value of an override that gives a value to a key of the config, and no more; None for any other."""
    override = _read(word)
    changes = override.type is OverrideType.CHANGE and override.package is None
    key, value = override.key_or_group, override.value()
    whole = isinstance(value, dict)  # which Hydra merges into the config's own
    refers = "${" in word  # to what only Hydra knows
    plain = changes and not whole and not refers and not key.startswith("hydra.") and not _chooses(word)
    return (key, value) if plain else None


def _chooses(word: str) -> bool:
    """Whether an override chooses of a group, which Hydra does before it gives keys their values."""
    override = _read(word)
    return (CONFIGS / override.key_or_group).is_dir() and not isinstance(override.value(), dict)


@lru_cache(maxsize=10_000)  # to read one takes milliseconds, and the jobs of a sweep share most of theirs
def _read(word: str) -> Override:
    (override,) = OverridesParser.create().parse_overrides([word])  # whose errors, other than of one, name the word
    return override


def written(value: Any) -> str:
    """A value of YAML's kinds in the grammar of Hydra's overrides; words as they are, if they need no quotes."""
    if isinstance(value, str):
        word = re.fullmatch(r"(?!(?i:true|false|null|inf|nan)$)[A-Za-z_][\w./-]*", value, re.ASCII)
        return value if word else QuotedString(value, Quote.double).with_quotes()
    if isinstance(value, dict):
        return "{" + ",".join(f"{key}:{written(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",".join(written(item) for item in value) + "]"
    return json.dumps(value)


def group_settings(group: str, option: str) -> dict[str, Any]:
    """One option of a config group, as its YAML has it, with what it takes from the environment."""
    return _plain(OmegaConf.load(CONFIGS / group / f"{option}.yaml"))  # type: ignore[no-any-return]


@contextmanager
def _errors_in_one_line() -> Iterator[None]:
    try:
        yield
    except (HydraException, OmegaConfBaseException) as error:
        raise ConfigError(one_line(error)) from None


def one_line(error: Exception) -> str:
    """What is wrong, from Hydra's several lines."""
    if isinstance(error, OverrideParseException):
        key, equals, value = str(error.override).partition("=")
        quoted = shlex.quote(f"{key}={QuotedString(value, Quote.double).with_quotes()}")
        hint = f"; a value with such signs is quoted twice: {quoted}" if equals else ""
        return f"{error.override!r} cannot be read as KEY=VALUE{hint}"
    text = " ".join(str(error).split())
    unknown = re.match(r"Could not override '(?P<key>[^']*)'", text)
    if unknown:
        return f"{unknown['key']}: there is no such knob with these groups; --help lists them"
    return text.split(" Config search path")[0].split(" See https://")[0]


def settings_of(job: DictConfig) -> dict[str, Any]:
    """A composed job as plain values, without what is Hydra's."""
    return {str(key): _plain(job[key]) for key in job if key != "hydra"}


def runs_of(job: Mapping[str, Any]) -> list[Config]:
    """The runs of a job: one, or a stack's `members`, each with its own seed, optimizer, start and schedule.

    Raises `ConfigError` for one that cannot be.
    """
    shared = {key: value for key, value in job.items() if key != "members"}
    return [parse(shared | member) for member in job.get("members", [{}])]


def _plain(value: Any) -> Any:
    return OmegaConf.to_container(value, resolve=True) if OmegaConf.is_config(value) else value
