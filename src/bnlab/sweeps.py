"""An experiment's jobs, as Hydra would compose them, without running them."""

from functools import lru_cache
from itertools import product
from typing import Any

import yaml
from hydra import compose, initialize_config_dir
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf

from bnlab.config import CONFIGS, Config, parse


def sweep(experiment: str, overrides: list[str]) -> list[Config]:
    """Every job of `experiment=NAME` with further `overrides`, each one value or a sweep, as on the command line."""
    return list(_sweep(experiment, tuple(overrides)))


@lru_cache  # a job takes Hydra a tenth of a second
def _sweep(experiment: str, overrides: tuple[str, ...]) -> list[Config]:
    with initialize_config_dir(str(CONFIGS), version_base="1.3"):
        whole = compose("train", [f"experiment={experiment}"], return_hydra_config=True)
        params = OmegaConf.to_container(whole.hydra.sweeper.params) or {}
        assert isinstance(params, dict)
        swept = [f"{key!s}={value!s}" for key, value in params.items()]
        given = {item.split("=", 1)[0].lstrip("+~"): item for item in [*swept, *overrides]}
        parser = OverridesParser.create()
        choices = [_choices(parser, item) for item in given.values()]
        return [job(experiment, list(chosen)) for chosen in product(*choices)]


def group_settings(group: str, option: str) -> dict[str, Any]:
    """One option of a config group, as its YAML has it."""
    return yaml.safe_load((CONFIGS / group / f"{option}.yaml").read_text())  # type: ignore[no-any-return]


def job(experiment: str | None, overrides: list[str]) -> Config:
    """One job, inside an initialised Hydra."""
    first = [f"experiment={experiment}"] if experiment else []
    composed: Any = OmegaConf.to_container(compose("train", [*first, *overrides]), resolve=True)
    return parse(composed)


def _choices(parser: OverridesParser, override: str) -> list[str]:
    parsed = parser.parse_override(override)
    if not parsed.is_sweep_override():
        return [override]
    return [f"{parsed.get_key_element()}={value}" for value in parsed.sweep_string_iterator()]
