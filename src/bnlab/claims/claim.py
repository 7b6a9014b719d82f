"""A claim as its YAML has it, typed and checked: a sentence, arms, what is chosen and how, and its questions."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import Field, model_validator

from bnlab import readings
from bnlab.config import CONFIGS, ConfigError, Knobs, from_yaml, validated

Arm = str
Values = Annotated[list[Any], Field(min_length=1)]
CONTRASTS = ("alone", "difference", "ratio", "differences")
SAID = {  # what a reading is, from its terms
    "value": "{of}{minus} {at}{start}",
    "steps_to": "steps until {of} passes {target:g}",
    "slope": "slope of {of} over {along}{span}",
    "share": "share of seeds with {of} above {above:g} {at}",
    "shortfall": "how far {of} ends below the seed's best, mean over {knob}{span}",
    "range_within": "decades of {knob} around the seed's best that end within {within:g} of it ({of})",
    "largest": "log10 of the largest {knob} that ends with {of} above {above:g}",
    "path": "way of the {pick} percentiles of {of} from step {start_step} on, {scale}",
    "moves": "log{log} of how far the {pick} percentiles of {of} move between moments, as a mean over them, {scale}",
}


class Question(Knobs):
    """One thing that a claim asks: a reading of each arm, a contrast between arms, the smallest effect that matters."""

    read: str  # of bnlab.readings.READINGS
    terms: dict[str, Any]  # of the reading; in the YAML they stand beside it
    alone: Arm | None = None  # one arm, against the constant `over` or `under`
    difference: tuple[Arm, Arm] | None = None  # the first minus the second
    ratio: tuple[Arm, Arm] | None = None  # log of the first over the second
    differences: tuple[tuple[Arm, Arm], tuple[Arm, Arm]] | None = None  # the first difference minus the second
    base: Literal[2, 10] = 2  # of the logarithm of a ratio
    over: float = 0  # what `alone` is claimed to lie above
    under: float | None = None  # what it is claimed to lie below
    equals: float | None = None  # what it is claimed to be, to within delta: theory's value
    paired_by: list[str] = []  # knobs of the grid: runs alike in them count where each arm's trained
    unit: Literal["points", "%"] | None = Field(None, alias="in")  # of a share: 0.01 is 1 point, or 1 %
    delta: Annotated[float, Field(gt=0)]  # the smallest effect that matters

    @model_validator(mode="before")
    @classmethod
    def _terms_apart(cls, raw: Any) -> Any:
        if not isinstance(raw, Mapping):
            return raw
        own = {field.alias or name for name, field in cls.model_fields.items() if name != "terms"}
        terms = {key: value for key, value in raw.items() if key not in own}
        return {key: value for key, value in raw.items() if key in own} | {"terms": terms}

    def arms(self) -> list[Arm]:
        """Those it asks about."""
        pairs = self.differences or [pair for pair in (self.difference, self.ratio) if pair]
        return [arm for pair in pairs for arm in pair] or [str(self.alone)]

    def scale(self) -> int:
        """By what a reading is multiplied to be in the question's unit, in which δ is."""
        return 100 if self.unit else 1

    def factor(self) -> int | None:
        """The base of the logarithm where the effect is the logarithm of a factor."""
        between = self.difference or "minus" in self.terms or self.terms.get("against_start")
        between = between or (self.read == "slope" and not self.terms.get("log_along"))  # a factor for each step
        return self.base if self.ratio else self.terms.get("log") if between else None

    def theory(self) -> float | None:
        """What it is claimed to be, in the question's unit; None where it asks for a difference."""
        return None if self.equals is None else self.scale() * self.equals

    def said(self) -> str:
        """What is computed, in words."""
        reading = said(self.read, self.terms)
        unit = {"points": ", points", "%": ", per cent"}.get(self.unit or "", "")
        where = ", where each arm trains" if self.paired_by else ""
        return f"{self._contrast()}: {reading}{unit}{where}"

    def _contrast(self) -> str:
        if self.ratio:
            return f"log{self.base} of {self.ratio[0]} over {self.ratio[1]}"
        if self.difference:
            return f"{self.difference[0]} minus {self.difference[1]}"
        if self.differences:
            (a, b), (c, d) = self.differences
            return f"({a} minus {b}) minus ({c} minus {d})"
        if self.under is not None:
            return f"{self.under:g} minus {self.alone}"
        if self.equals is not None:
            return f"{self.alone}, which is claimed to be {self.equals:g}"
        return f"{self.alone} minus {self.over:g}" if self.over else str(self.alone)


def said(read: str, terms: Mapping[str, Any]) -> str:
    """A reading in words."""
    of = terms.get("of", "")
    names = of if isinstance(of, str) else ", ".join(of)
    pooled = f"{terms.get('pool', 'mean')} of {names}" if not isinstance(of, str) or "*" in of else names
    if (log := terms.get("log")) and read != "moves":
        pooled = f"log{log} of {pooled}"
    at = terms.get("at", "end")
    if isinstance(at, dict):
        moment = "when " + " and ".join(f"{name} first passes {target:g}" for name, target in at.items())
    else:
        best = f"where {terms['best_by']} is best" if "best_by" in terms else "at its best"
        said_so = {"end": "at the end", "start": "at the start", "best": best, "mean": "as a mean over moments"}
        moment = said_so.get(at, f"at step {at}")
    words = {
        "of": pooled,
        "minus": f" minus {terms['minus']}" if "minus" in terms else "",
        "at": moment,
        "start": ", against the start" if terms.get("against_start") else "",
        "span": f" from {terms['low']:g} to {terms['high']:g}" if {"low", "high"} <= set(terms) else "",
        "pick": "measured"
        if terms.get("pick") == "all"
        else ", ".join(f"{p:g}" for p in terms.get("pick", [15, 50, 85])),
        "along": f"log{log or 10} of {terms.get('along', 'step')}"
        if terms.get("log_along")
        else terms.get("along", "step"),
        "start_step": terms.get("start", 0),
        "scale": {"spread": "in its own spread"}.get(terms.get("scale", ""), "in absolute units"),
    }
    return SAID[read].format(**{**terms, **words}) if read in SAID else read


class Choose(Knobs):
    """What is chosen for each arm on pilot seeds: of all combinations of values those that are best."""

    over: Annotated[dict[str, Values], Field(min_length=1)]  # knobs and their values
    by: str | dict[str, Any]  # a column at the end, or a reading; mean over pilot seeds (and the grid)
    least: bool = False  # the lowest is best, as of steps
    seeds: Annotated[list[int], Field(min_length=1)] = [0, 1, 2, 3, 4, 5]  # the pilot's
    arms: list[Arm] | None = None  # the arms that choose (default: all)


class Claim(Knobs):
    """A sentence of a paper, the sweep that tests it, its questions, and the picture."""

    name: str
    sentence: str
    source: str
    chapter: str
    setting: str
    small: str | None = None  # why it says little, where it does
    caveat: str | None = None  # what its answer does not say
    arms: Annotated[dict[Arm, dict[str, Any]], Field(min_length=1)]  # Hydra overrides by name
    grid: dict[str, Values] = {}  # knobs that every seed runs over
    choose: Choose | None = None
    fresh: Annotated[int, Field(ge=0)] = 1000  # the first of the seeds that answer
    looks: Annotated[list[Annotated[int, Field(ge=2)]], Field(min_length=1)] = [6, 12, 24, 48]
    until: Literal["first", "all"] = "first"  # seeds stop when the first question is decided, or when all are
    most_runs: Annotated[int, Field(ge=1)] | None = None  # what it may cost
    questions: Annotated[dict[str, Question], Field(min_length=1)]  # the first is the primary one
    table: dict[str, dict[str, Any]] = {}  # readings shown for each arm, beside the questions
    figure: dict[str, Values] = {}  # by file name a row of panels
    asked_of: str = ""  # another norm in the place of the claim's

    @model_validator(mode="before")
    @classmethod
    def _one_figure(cls, raw: Any) -> Any:
        if isinstance(raw, Mapping) and isinstance(raw.get("figure"), list):
            return {**raw, "figure": {"figure": raw["figure"]}}
        return raw

    def primary(self) -> Question:
        """The question whose verdict is the claim's."""
        return next(iter(self.questions.values()))

    def choosing(self, arm: Arm) -> bool:
        """Whether the pilot chooses for this arm."""
        return self.choose is not None and (self.choose.arms is None or arm in self.choose.arms)

    def answering(self, seeds: Iterable[int]) -> list[int]:
        """Those of the seeds that answer."""
        return [seed for seed in seeds if self.fresh <= seed < self.fresh + self.looks[-1]]

    def columns(self) -> set[str]:
        """The measured columns, or patterns of such, that questions, choice and table read."""
        asked = [question.terms for question in self.questions.values()]
        asked += list(self.table.values())
        if self.choose:
            asked.append(self.choose.by if isinstance(self.choose.by, dict) else {"of": self.choose.by})
        return {name for terms in asked for name in readings.columns(terms)}


def names() -> list[str]:
    """All claims, sorted."""
    return sorted(path.stem for path in (CONFIGS / "experiment").glob("*.yaml") if "claim" in _read(path))


def load(name: str, in_place_of: tuple[Arm, Mapping[str, Any]] | None = None) -> Claim:
    """The claim that `configs/experiment/NAME.yaml` holds, checked; in the place of an arm another, as Hydra overrides.

    Raises `ConfigError`, one line, for a claim that is not there or that has a mistake.
    """
    path = CONFIGS / "experiment" / f"{name}.yaml"
    found = _read(path).get("claim") if path.is_file() else None
    if found is None:
        raise ConfigError(f"claim {name}: not known here; choose from {', '.join(names())}")
    raw = {**found, "name": name} if isinstance(found, Mapping) else found
    return parse(_replaced(raw, *in_place_of) if in_place_of else raw)


def parse(raw: Any) -> Claim:
    """A checked claim. Raises `ConfigError` with one line that names the key, the value and what is allowed."""
    claim = validated(Claim, raw, "claim.")
    for key, question in claim.questions.items():
        _check_question(f"claim.questions.{key}", question, claim)
    for title, terms in claim.table.items():
        readings.check(f"claim.table.{title}", terms)
    if claim.choose:
        _check_arms("claim.choose.arms", claim.choose.arms or [], claim)
        if isinstance(claim.choose.by, dict):
            readings.check("claim.choose.by", claim.choose.by)
    if sorted(set(claim.looks)) != claim.looks:
        raise ConfigError(f"claim.looks={claim.looks}: numbers of seeds, ascending")
    swept = [claim.grid, claim.choose.over if claim.choose else {}, *claim.arms.values()]
    if any("seed" in settings for settings in swept):
        raise ConfigError("claim: seeds are no setting of an arm or a sweep; say choose.seeds, fresh and looks")
    return claim


def _check_question(where: str, question: Question, claim: Claim) -> None:
    given = [contrast for contrast in CONTRASTS if getattr(question, contrast)]
    if len(given) != 1:
        here = ", ".join(given or ["read", *question.terms])
        raise ConfigError(f"{where}: give one of {', '.join(CONTRASTS)}; here are {here}")
    readings.check(where, {"read": question.read, **question.terms})
    limits = [name for name in ("over", "under", "equals") if getattr(question, name) not in (None, 0.0)]
    if len(limits) > 1 or ((limits or question.equals is not None) and not question.alone):
        raise ConfigError(f"{where}: one of over, under, equals, for one arm, alone")
    _check_arms(where, question.arms(), claim)
    if unknown := set(question.paired_by) - set(claim.grid):
        raise ConfigError(f"{where}.paired_by: {', '.join(sorted(unknown))} is not in the grid")


def _check_arms(where: str, asked: list[Arm], claim: Claim) -> None:
    for arm in asked:
        if arm not in claim.arms:
            raise ConfigError(f"{where}: there is no arm {arm}; the arms are {', '.join(claim.arms)}")


def _replaced(raw: dict[str, Any], arm: Arm, by: Mapping[str, Any]) -> dict[str, Any]:
    """The claim with other settings in every arm that has those of `arm`, whose name changes too.

    Of the arms "BN, 4 layers" and "BN, 6 layers" `arm` may be what comes before the comma.
    """
    arms = raw.get("arms", {})
    called = [name for name in arms if name == arm or name.startswith(f"{arm},")]
    if not called:
        raise ConfigError(f"--in-place-of {arm}: there is no such arm; the arms are {', '.join(arms)}")
    own = {key: arms[called[0]].get(key) for key in by}
    if None in own.values():
        raise ConfigError(f"--in-place-of {arm}: it sets {', '.join(arms[called[0]])}, and not {', '.join(by)}")
    old, word = arm.partition(",")[0], "-".join(str(value) for value in by.values())
    changed = {name for name, settings in arms.items() if all(settings.get(key) == own[key] for key in by)}
    renamed = {name: name.replace(old, word) for name in changed}
    new_arms = {
        renamed.get(name, name): {**settings, **by} if name in changed else settings for name, settings in arms.items()
    }
    rest = _renamed({key: value for key, value in raw.items() if key != "arms"}, renamed)
    return {**rest, "arms": new_arms, "asked_of": f"{word} in the place of {old}"}


def _renamed(tree: Any, names: Mapping[str, str]) -> Any:
    if isinstance(tree, dict):
        return {key: _renamed(value, names) for key, value in tree.items()}
    if isinstance(tree, list):
        return [_renamed(item, names) for item in tree]
    return names.get(tree, tree) if isinstance(tree, str) else tree


def _read(path: Path) -> dict[str, Any]:
    try:
        return from_yaml(path.read_text(encoding="utf-8")) or {}
    except yaml.YAMLError as error:
        raise ConfigError(f"{path}: no YAML; {' '.join(str(error).split())}") from None
