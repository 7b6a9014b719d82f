"""From a claim and the records of its runs to its answers, and to what a reader is shown beside them."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from bnlab import ledger, readings, verdicts
from bnlab.claims.claim import Arm, Claim, Question
from bnlab.claims.planner import Chosen, in_arms, jobs, look_words, pilot_words, told
from bnlab.config import ConfigError
from bnlab.verdicts import Answer


def effect(question: Question, table: pd.DataFrame) -> pd.DataFrame:
    """The effect of each seed that every arm asked about has: columns lo and hi, in the question's unit."""
    scale = question.scale()
    if question.paired_by:
        table = readings.where_all_trained(table[table["arm"].isin(question.arms())], question.paired_by)
    by_arm = {arm: scale * readings.read(question.read, question.terms, of_arm(table, arm)) for arm in question.arms()}
    with np.errstate(divide="ignore", invalid="ignore"):
        found = _contrast(question, by_arm, scale)
    bounded = found.assign(lo=found["lo"].fillna(-math.inf), hi=found["hi"].fillna(math.inf)).sort_index()
    if question.read == "share" and question.alone:  # judged as a proportion, by what it lies above
        bounded.attrs["share"] = (question.over if question.under is None else 1 - question.under, scale)
    return bounded


def _contrast(question: Question, by_arm: Mapping[Arm, pd.DataFrame], scale: float) -> pd.DataFrame:
    if question.ratio:
        one, other = (by_arm[arm].apply(np.log2) / math.log2(question.base) for arm in question.ratio)
        return _minus(one, other)
    if question.difference:
        one, other = (by_arm[arm] for arm in question.difference)
        return _minus(one, other)
    if question.differences:
        one, other = (_minus(by_arm[a], by_arm[b]) for a, b in question.differences)
        return _minus(one, other)
    alone = by_arm[str(question.alone)]
    if question.under is not None:
        limit = pd.DataFrame(scale * question.under, alone.index, alone.columns)
        return _minus(limit, alone)
    return alone - (scale * question.over if question.equals is None else question.theory())


def _minus(one: pd.DataFrame, other: pd.DataFrame) -> pd.DataFrame:
    """Of intervals, by seed; where both are without bound, so is what is between them."""
    both = one.index.intersection(other.index)
    one, other = one.loc[both], other.loc[both]
    return pd.DataFrame({"lo": one["lo"] - other["hi"], "hi": one["hi"] - other["lo"]})


def of_arm(table: pd.DataFrame, arm: Arm) -> pd.DataFrame:
    """The records of an arm. Raises `ConfigError` where there is none."""
    at = np.flatnonzero((table["arm"] == arm).to_numpy())
    if not len(at):
        raise ConfigError(f"arm {arm}: none of its runs is there")
    together = at[-1] - at[0] + 1 == len(at)  # as `in_arms` has them: cut out, they need not be copied
    return table.iloc[at[0] : at[-1] + 1] if together else table.iloc[at]


def effects(claim: Claim, answering: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """The effect of each question, by its name, from the records that answer."""
    return {name: effect(question, answering) for name, question in claim.questions.items()}


def answers(claim: Claim, found: Mapping[str, pd.DataFrame]) -> dict[str, Answer]:
    """What the rule says of each question from the `effects`: at the looks of the first, or until it is decided."""
    first, *others = claim.questions
    said = {first: _answer(claim.questions[first], found[first], claim.looks)}
    until = said[first].looks if said[first].verdict and claim.until == "first" else None
    for name in others:
        said[name] = _answer(claim.questions[name], found[name], claim.looks, len(others), until)
    return said


def _answer(
    question: Question, found: pd.DataFrame, looks: Sequence[int], questions: int = 1, until: int | None = None
) -> Answer:
    said = verdicts.answer(found, question.delta, looks, questions, until)
    return said if question.equals is None else verdicts.agreement(said)


def seeds_wanted(claim: Claim, answering: pd.DataFrame | None) -> int:
    """How many fresh seeds the next look needs, 0 where the claim is decided; `answering`: what `fresh` gives."""
    if answering is None:
        return claim.looks[0]
    if all(found.verdict for found in answers(claim, effects(claim, answering)).values()):
        return 0
    return next((look for look in claim.looks if look > answering["seed"].nunique()), 0)


def fresh(claim: Claim, table: pd.DataFrame, chosen: Chosen | None, overrides: Sequence[str] = ()) -> pd.DataFrame:
    """The records that answer, with a column `arm`: of fresh seeds, in the cells that were chosen."""
    seeds = claim.answering(table["seed"].unique())
    words = look_words(claim, chosen, max(seeds) + 1 - claim.fresh) if seeds else []
    return in_arms(claim, table, jobs(claim, words, overrides))


def pilot(claim: Claim, table: pd.DataFrame, overrides: Sequence[str] = ()) -> pd.DataFrame:
    """The records of the pilot, with a column `arm`."""
    return in_arms(claim, table, jobs(claim, pilot_words(claim), overrides))


def verdict(
    claim: Claim,
    table: pd.DataFrame,
    answering: pd.DataFrame,
    found: Mapping[str, Answer],
    chosen: Chosen | None,
    overrides: Sequence[str] = (),
) -> dict[str, Any]:
    """The claim's verdict and all that it rests on, as `verdict.json` holds it.

    Its `table`, what `fresh` gives of it, and what `answers` found in that.
    """
    judged = {name: _to_json(claim.questions[name], each) for name, each in found.items()}
    first = next(iter(judged.values()))
    per_run = table.drop_duplicates("run")
    setting = f"{claim.setting}, with {' '.join(overrides)}" if overrides else claim.setting
    return {
        "claim": claim.name,
        "asked_of": claim.asked_of,
        "sentence": claim.sentence,
        "source": claim.source,
        "chapter": claim.chapter,
        "setting": setting,
        "small": claim.small,
        "caveat": claim.caveat,
        "answer": first["answer"],
        "verdict": first["verdict"],
        "seeds": first["seeds"],
        "p": first["p"],
        "questions": [{"question": name, **each} for name, each in judged.items()],
        "chosen": {arm: [told(cell) for cell in cells] for arm, cells in (chosen or {}).items()},
        "table": rows(claim, answering),
        "runs": len(per_run),
        "outcomes": {str(k): int(v) for k, v in per_run["outcome"].value_counts().sort_index().items()},
        "steps": sorted(int(count) for count in per_run["steps"].unique()),
        "data": {key: per_run[f"data.{key}"].iloc[0] for key in ("name", "source", "sha256")},
        "config_hash": ledger.hash_of_runs(per_run["run"]),
        **{key: _all(per_run[key]) for key in ("commit", "dirty", "torch", "kernel", "hardware")},
    }


def _to_json(question: Question, found: Answer) -> dict[str, Any]:
    return {
        "reading": question.said(),
        "answer": verdicts.in_words(found) if found.verdict else f"open so far: look {found.looks} of it",
        "verdict": found.verdict or "UNDECIDED",
        "delta": question.delta,
        "estimate": _finite(found.estimate),
        "interval": [_finite(found.lo), _finite(found.hi)],
        "shown": shown(question, found),
        "seeds": found.seeds,
        "looks": found.looks,
        "p": _finite(found.p),
    }


def shown(question: Question, found: Answer) -> str:
    """The number as one says it: "5.3 times [4.9, 5.8]; 1.5 would matter", "1.2 [1.1, 1.3]; theory: 1.2, 0.1 off …"."""
    theory, of = question.theory(), unit(question)
    digits = 3 if theory is None else 4
    low, middle, high = (_said((theory or 0) + x, question, digits) for x in (found.lo, found.estimate, found.hi))
    if not math.isfinite(found.estimate):  # some seeds are without bound
        bounds = [f"at least {low}"] * math.isfinite(found.lo) + [f"at most {high}"] * math.isfinite(found.hi)
        middle = " and ".join(bounds) or ("any number of" if of else "any number")
    told, delta = f"{middle} {of}".strip() + f" [{low}, {high}]", _said(question.delta, question, digits)
    if math.isfinite(found.estimate) and not found.lo <= found.estimate <= found.hi:
        told += ", narrowed by an earlier look"
    if theory is None:
        return f"{told}; {delta} would matter"
    off = f"a factor of {delta}" if question.factor() else f"{delta} {of}".strip()
    return f"{told}; theory: {_said(theory, question, digits)}, {off} off would matter"


def unit(question: Question) -> str:
    """The unit of its effect, as one says it."""
    if question.factor():
        return "times"
    power = question.read == "slope"  # of a law: a bare number
    decades = question.read in ("range_within", "largest") or (question.terms.get("log") == 10 and not power)
    return question.unit or ("decades" if decades else "")


def _said(x: float, question: Question, digits: int = 3) -> str:
    base = question.factor()
    if math.isinf(x):
        return "∞" if x > 0 else "0" if base else "−∞"
    return f"{base**x if base else x:.{digits}g}".replace("-", "−")


def rows(claim: Claim, answering: pd.DataFrame) -> list[dict[str, Any]]:
    """A row for each arm: what the claim's table reads of it, median and range over fresh seeds, and how runs ended."""
    found = []
    for arm in [arm for arm in claim.arms if (answering["arm"] == arm).any()]:
        own = of_arm(answering, arm)
        read = {
            f"{title}{f', {unit}' if (unit := terms.get('in')) else ''}": _row(own, terms)
            for title, terms in claim.table.items()
        }
        endings = own.drop_duplicates("run")["outcome"].value_counts()
        ended = ", ".join(f"{endings[key]} {key}" for key in sorted(endings.index))
        found.append({"arm": arm, **read, "seeds": str(own["seed"].nunique()), "runs": ended})
    return found


def _row(own: pd.DataFrame, terms: Mapping[str, Any]) -> str:
    read = readings.in_unit(terms, own)
    middle = ((read["lo"] + read["hi"]) / 2).fillna(math.inf)
    there = middle[np.isfinite(middle)]
    never = len(middle) - len(there)
    spread = f" ({_brief(there.min())} to {_brief(there.max())})" if len(there) else ""
    return f"{_brief(middle.median())}{spread}{f'; {never} of {len(middle)} never' if never else ''}"


def _brief(x: float) -> str:
    if not math.isfinite(x):
        return "never"
    return (f"{x:,.0f}" if abs(x) >= 1000 else f"{x:.3g}" if abs(x) < 10 else f"{x:.1f}").replace("-", "−")


def _all(column: "pd.Series[Any]") -> Any:
    """The one value of a column, or all of them where runs differ."""
    values = [value.item() if hasattr(value, "item") else value for value in column.unique()]
    return values[0] if len(values) == 1 else sorted(values, key=str)


def _finite(x: float) -> float | None:
    """For JSON, which has no infinity."""
    return round(float(x), 6) + 0.0 if math.isfinite(x) else None  # + 0: no −0
