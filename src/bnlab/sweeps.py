"""An experiment's jobs, as Hydra would compose them, without running them."""

from functools import lru_cache
from itertools import product
from typing import Any

import yaml
from hydra import compose, initialize_config_dir
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from omegaconf import DictConfig, OmegaConf

from bnlab.config import CONFIGS, Config, parse


def sweep(experiment: str, overrides: list[str]) -> list[Config]:
    """Every job of `experiment=NAME` with further `overrides`, each one value or a sweep, as on the command line."""
    return list(_sweep(experiment, tuple(overrides)))


@lru_cache
def _sweep(experiment: str, overrides: tuple[str, ...]) -> list[Config]:
    with initialize_config_dir(str(CONFIGS), version_base="1.3"):
        whole = compose("train", [f"experiment={experiment}"], return_hydra_config=True)
        params = OmegaConf.to_container(whole.hydra.sweeper.params) or {}
        assert isinstance(params, dict)
        swept = [f"{key!s}={value!s}" for key, value in params.items()]
        given = {item.split("=", 1)[0].lstrip("+~"): item for item in [*swept, *overrides]}
        parser = OverridesParser.create()
        parsed = [parser.parse_override(item) for item in given.values()]
        values = [p for p in parsed if p.is_sweep_override() and not p.is_add() and not _is_group(p)]
        jobs = []
        for chosen in product(*(_choices(p) for p in parsed if p not in values)):
            # composing takes Hydra a tenth of a second, so once for all values of plain keys, which are set thereafter
            config = compose("train", [f"experiment={experiment}", *chosen, *(_choices(p)[0] for p in values)])
            for several in product(*map(_choices, values)):
                for choice in several:
                    override = parser.parse_override(choice)
                    OmegaConf.update(config, override.key_or_group, override.value())
                jobs.append(_parsed(config))
        return jobs


def _is_group(override: Override) -> bool:
    return (CONFIGS / override.key_or_group).is_dir()


def _choices(override: Override) -> list[str]:
    if not override.is_sweep_override():
        return [str(override.input_line)]
    return [f"{override.get_key_element()}={value}" for value in override.sweep_string_iterator()]


def group_settings(group: str, option: str) -> dict[str, Any]:
    """One option of a config group, as its YAML has it."""
    return yaml.safe_load((CONFIGS / group / f"{option}.yaml").read_text())  # type: ignore[no-any-return]


def job(experiment: str | None, overrides: list[str]) -> Config:
    """One job, inside an initialised Hydra."""
    first = [f"experiment={experiment}"] if experiment else []
    return _parsed(compose("train", [*first, *overrides]))


def _parsed(composed: DictConfig) -> Config:
    plain: Any = OmegaConf.to_container(composed, resolve=True)
    return parse(plain)
