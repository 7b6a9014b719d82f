"""Studies: runs with a loop of their own. An identity, a network at its start, a toy problem, curvature, a small net.

A study is a generator `(seed, …knobs) -> Iterator[record]`. A record is a dict with `step` (an update, or a layer's
number, or whatever the study goes along) and columns with a slash in their names, the same in every record. It draws
from generators of its own, seeded by `seed`, and leaves torch's global state as it was. One that has an argument
`dataset` is given the data set that its knob `data` names. A new study is a file here, a line in `STUDIES`, and
`configs/study/NAME.yaml` with its knobs.
"""

import inspect
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from bnlab import data
from bnlab.config import ConfigError, checked, construct
from bnlab.studies.activation_growth import activation_growth
from bnlab.studies.auto_rate import auto_rate
from bnlab.studies.bias_explosion import bias_explosion
from bnlab.studies.deep_linear_net import deep_linear_net
from bnlab.studies.edge_of_stability import edge_of_stability
from bnlab.studies.effective_rates import effective_rates
from bnlab.studies.gradient_explosion import gradient_explosion
from bnlab.studies.inference_in_training import inference_in_training
from bnlab.studies.inference_statistics import inference_statistics
from bnlab.studies.isometry import isometry
from bnlab.studies.jacobian_spectrum import jacobian_spectrum
from bnlab.studies.linear_convergence import linear_convergence
from bnlab.studies.minibatch_gradient import minibatch_gradient
from bnlab.studies.no_better_start import no_better_start
from bnlab.studies.rank_collapse import rank_collapse
from bnlab.studies.residual_identity import residual_identity
from bnlab.studies.scale_invariance import scale_invariance
from bnlab.studies.weight_decay_is_rate import weight_decay_is_rate
from bnlab.studies.weight_growth import weight_growth
from bnlab.sweeps import group_settings

Record = dict[str, Any]
NO_DATA = {"name": "none", "source": "no data", "sha256": "", "examples": {"train": 0}}

STUDIES: dict[str, Callable[..., Iterator[Record]]] = {
    "activation_growth": activation_growth,
    "auto_rate": auto_rate,
    "bias_explosion": bias_explosion,
    "deep_linear_net": deep_linear_net,
    "edge_of_stability": edge_of_stability,
    "effective_rates": effective_rates,
    "gradient_explosion": gradient_explosion,
    "inference_in_training": inference_in_training,
    "inference_statistics": inference_statistics,
    "isometry": isometry,
    "jacobian_spectrum": jacobian_spectrum,
    "linear_convergence": linear_convergence,
    "minibatch_gradient": minibatch_gradient,
    "no_better_start": no_better_start,
    "rank_collapse": rank_collapse,
    "residual_identity": residual_identity,
    "scale_invariance": scale_invariance,
    "weight_decay_is_rate": weight_decay_is_rate,
    "weight_growth": weight_growth,
}


def check(settings: Mapping[str, Any]) -> None:
    """Raise `ConfigError`, one line, for a study that is not known or has a wrong knob; computes nothing."""
    checked(STUDIES, "study", _own(settings), {"seed", "dataset"})
    takes = _takes_data(settings)
    if ("data" in settings) != takes:
        raise ConfigError(
            f"study.data={settings.get('data')}: {settings['name']} takes {'a' if takes else 'no'} data set"
        )


def begin(settings: Mapping[str, Any], seed: int) -> tuple[dict[str, Any], Iterator[Record]]:
    """What data a study takes (for its manifest), and its records, which are computed as one asks for them."""
    given: dict[str, Any] = {"seed": seed}
    if _takes_data(settings):
        given["dataset"] = data.load(group_settings("data", str(settings.get("data"))))
    about = given["dataset"].provenance if "dataset" in given else NO_DATA
    return about, construct(STUDIES, "study", _own(settings), **given)


def _own(settings: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in settings.items() if key != "data"}


def _takes_data(settings: Mapping[str, Any]) -> bool:
    return "dataset" in inspect.signature(STUDIES[settings["name"]]).parameters
