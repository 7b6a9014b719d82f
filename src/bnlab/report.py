"""The ledger: from committed tables to verdicts, figures, `README.md` and `index.html`. Trains nothing."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from io import BytesIO
from pathlib import Path
from typing import Any

import pandas as pd
import yaml
from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

from bnlab import atomic, chain, page, provenance, runs, verdicts
from bnlab.claims import judging, planner
from bnlab.claims.claim import Claim, load, names
from bnlab.claims.planner import Chosen, Job
from bnlab.config import ConfigError, config_hash, from_yaml
from bnlab.plots import panels
from bnlab.plots.chain import chain as draw_chain
from bnlab.plots.picture import Asked, Picture
from bnlab.plots.style import save
from bnlab.readings import as_tested

ALWAYS = ["test/accuracy", "validation/accuracy", "train/accuracy", "train/batch_loss"]  # kept in every table
CHAPTERS = [
    "The paper's experiment",
    "The argument, link by link",
    "Rates, starts and optimizers",
    "The physics",
    "Conv nets, in small",
]  # others follow
SHOWN = ["claim", "chapter", "sentence", "answer", "verdict", "p", "questions", "table"]  # of a verdict, in the ledger
IN_TURN = [
    *("fig1a_accuracy", "fig1a_fastest_rate", "fig1a_best_rate"),
    *("shift_of_distributions", "shift_of_gradients", "shift_map"),  # is there less drift with BN?
    *("drift_is_not_the_cause", "fixed_inputs", "noisy_batchnorm"),  # does drift slow a net down?
    *("saturation_above_the_limit", "saturation_at_equal_fit", "saturation_is_the_cause"),  # does saturation?
    *("relu_or_sigmoid", "depth_sensitivity"),  # do gradients vanish, and is depth worse?
    *("plateau_is_collapse", "center_or_scale", "lp_normalisers"),  # what does?
]

FIRST = [  # of the README, ten at most: the paper's claims, and its argument
    *("fig1a_accuracy", "fig1a_fastest_rate", "fig1a_best_rate"),
    *("shift_of_distributions", "drift_is_not_the_cause", "shift_without_learning"),
    *("saturation_at_equal_fit", "saturation_is_the_cause", "center_or_scale", "rate_tolerance"),
]
BEGIN, END = "<!-- answers -->", "<!-- end of answers -->"


class Shelf:
    """What there is of one claim: its place in the ledger, the folder of its runs, and a ledger that may have some."""

    def __init__(
        self, claim: Claim, results: Path, folder: Path, reuse: Path | None = None, overrides: Sequence[str] = ()
    ):
        self.claim, self.place = claim, results / claim.name
        self.ledgers = list(dict.fromkeys([results, *([reuse] if reuse else [])]))
        self.columns = [*ALWAYS, *columns(claim)]
        self.overrides, self.folder = list(overrides), str(folder)
        self.chosen = read_chosen(claim, self.place, overrides)

    def asked(self, seeds: int) -> list[Job]:
        """All runs up to a look after so many fresh seeds, and the pilot's."""
        return self._here(planner.asked_for(self.claim, self.chosen, seeds, self.overrides))

    def missing(self, seeds: int) -> list[Job]:
        """What is to be trained up to a look after so many fresh seeds; the pilot, while it has yet to choose."""
        following = planner.next_runs(self.claim, self.chosen, seeds, self.overrides)
        asked = {config_hash(job.config): job for job in self._here(following)}
        left = {run for run, job in asked.items() if not runs.finished(job.config)}
        for ledger in self.ledgers:
            left -= set(runs.published(ledger, left, self.columns)["run"])
        return [job for run, job in asked.items() if run in left]

    def _here(self, jobs: Sequence[Job]) -> list[Job]:
        return [replace(job, config=job.config.model_copy(update={"out": self.folder})) for job in jobs]

    def table(self, asked: Sequence[Job]) -> pd.DataFrame:
        """The records of those of the jobs that are there, in folders of runs or in tables of a ledger, each once."""
        configs = {config_hash(job.config): job.config for job in asked}
        here = {run: runs.folder(config) for run, config in configs.items() if runs.finished(config)}
        parts = [_only(runs.load(list(here.values())), self.columns)] if here else []
        left = set(configs) - set(here)
        for ledger in self.ledgers:
            found = runs.published(ledger, left, self.columns)
            left -= set(found["run"])
            parts += [found] if len(found) else []
        return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame({"run": []})

    def choose(self) -> None:
        """Have the pilot choose, and write what it chose, and the pilot's runs, where they are found again."""
        table = self.table(self.asked(0))
        self.chosen = planner.choose(self.claim, table, self.overrides)
        assert self.claim.choose
        about = {
            "by": self.claim.choose.by,
            "seeds": self.claim.choose.seeds,
            "runs": runs.hash_of_runs(table["run"]),
            "commit": provenance.commit()["commit"],
            "when": datetime.now(UTC).isoformat(timespec="minutes"),
            "cells": self.chosen,
        }
        self.place.mkdir(parents=True, exist_ok=True)
        _write_table(self.place, table)
        text = yaml.safe_dump(json.loads(json.dumps(about)), sort_keys=False, allow_unicode=True)  # no aliases
        atomic.write(self.place / "chosen.yaml", text.encode())

    def keep(self, seeds: int) -> None:
        """Write the table of the claim's runs up to a look after so many fresh seeds."""
        self.place.mkdir(parents=True, exist_ok=True)
        _write_table(self.place, self.table(self.asked(seeds)))

    def answering(self) -> pd.DataFrame | None:
        """The records that answer, in their arms, from the ledger's table; None where there are none."""
        file = self.place / runs.TABLE
        if not file.is_file():
            return None
        found = judging.fresh(self.claim, runs.read_table(file), self.chosen, self.overrides)
        return None if found.empty else found


def read_chosen(claim: Claim, place: Path, overrides: Sequence[str] = ()) -> Chosen | None:
    """The cells that a claim's pilot chose, from its place in the ledger.

    Raises `ConfigError` where it was not this pilot that chose them, but one of other settings.
    """
    file = place / "chosen.yaml"
    if not file.is_file():
        return None
    pilot = planner.jobs(claim, planner.pilot_words(claim), overrides)
    with runs.of_ledger(file):
        held = from_yaml(file.read_text(encoding="utf-8"))
        if held["runs"] != runs.hash_of_runs(config_hash(job.config) for job in pilot):
            told = "chosen by a pilot of other settings; remove it, or say another --results FOLDER"
            raise ConfigError(f"{file}: {told}")
        chosen: Chosen = held["cells"]
        planner.check_cells(claim, chosen)
    return chosen


def _only(table: pd.DataFrame, wanted: Sequence[str]) -> pd.DataFrame:
    """Without the measured columns that are none of those wanted (* stands for any layer)."""
    kept = [c for c in table.columns if "/" not in c or any(fnmatchcase(c, each) for each in wanted)]
    return table[kept]


def _write_table(place: Path, table: pd.DataFrame) -> None:
    buffer = BytesIO()
    for knob in runs.knobs(table):  # numbers and words, as of norm.p=1,max: a column of a file has one type
        if {str} < set(table[knob].dropna().map(type)):
            table = table.assign(**{knob: table[knob].map(str, na_action="ignore")})
    table.sort_values(["run", "step"], kind="stable").to_parquet(buffer, compression="zstd", index=False)
    atomic.write(place / runs.TABLE, buffer.getvalue())


def columns(claim: Claim) -> list[str]:
    """The measured columns that a claim's questions and pictures need."""
    wanted = claim.columns() | {name for row in claim.figure.values() for name in panels.columns(row)}
    return sorted(wanted | {as_tested(name) for name in wanted})  # all that a net without batch statistics has


def check(claim: Claim) -> None:
    """Raise `ConfigError` for a picture that cannot be drawn, before anything is trained for it."""
    for row in claim.figure.values():
        panels.check(row, claim.arms)


def check_columns(claim: Claim, recorded: set[str]) -> None:
    """Raise `ConfigError`, one line, for a column that a claim reads or draws and its runs do not record."""
    for pattern in not_recorded(claim, recorded):
        brief = ", ".join(sorted(name for name in recorded if name.count("/") == 1))
        raise ConfigError(f"{claim.name}: {pattern} is not measured; with this measure.what there are {brief}")


def not_recorded(claim: Claim, recorded: set[str]) -> list[str]:
    """The columns, or patterns of them, that a claim reads or draws and its runs do not record."""
    there = {name.replace("/population/", "/batch/") for name in recorded} | recorded
    return [pattern for pattern in columns(claim) if not any(fnmatchcase(name, pattern) for name in there)]


def with_table(results: Path) -> list[str]:
    """The claims whose runs are in the ledger, and not their pilot alone."""
    there = [name for name in names() if (results / name / runs.TABLE).is_file()]
    seeds = {name: runs.read_table(results / name / runs.TABLE, ["seed"])["seed"] for name in there}
    return [name for name in there if load(name).answering(seeds[name])]


def judge_and_draw(claim: Claim, results: Path, overrides: Sequence[str] = ()) -> dict[str, Any]:
    """Make `verdict.json` and the figures of `results/NAME/` anew from its table; the verdict."""
    place = results / claim.name
    if not (place / runs.TABLE).is_file():
        raise ConfigError(f"{place / runs.TABLE} is not there: `python scripts/judge.py {claim.name}` makes it")
    chosen = read_chosen(claim, place, overrides)
    table = runs.read_table(place / runs.TABLE)
    fresh = judging.fresh(claim, table, chosen, overrides)
    if fresh.empty:
        raise ConfigError(f"{claim.name}: only its pilot is there; `python scripts/judge.py {claim.name}` asks it")
    effects = judging.effects(claim, fresh)
    found = judging.answers(claim, effects)
    verdict = judging.verdict(claim, table, fresh, found, chosen, overrides)
    text = json.dumps(verdict, indent=2, ensure_ascii=False) + "\n"
    (place / "verdict.json").write_text(text, encoding="utf-8")
    pilot = judging.pilot(claim, table, overrides) if claim.choose else fresh
    asked = {
        name: Asked(
            answer=found[name],
            effect=effects[name].iloc[: found[name].seeds],
            delta=question.delta,
            base=question.factor(),
            unit=judging.unit(question),
        )
        for name, question in claim.questions.items()
    }
    drawn = Picture(fresh, pilot, verdict["setting"], asked)
    for title, row in claim.figure.items():
        save(panels.draw(row, drawn), place / f"{title}.png")
    return verdict


def standing(results: Path) -> list[dict[str, Any]]:
    """The verdicts that lie in a ledger, chapter by chapter. Raises `ConfigError` where one cannot be read."""
    found: list[dict[str, Any]] = []
    for path in results.glob("*/verdict.json"):
        with runs.of_ledger(path):
            held = json.loads(path.read_text(encoding="utf-8"))
            found.append({"caveat": None} | held | {key: held[key] for key in SHOWN})  # of before there were caveats
    found.sort(key=lambda verdict: (*_place(verdict["chapter"]), _order(verdict["claim"])))
    return found


def write_ledger(results: Path) -> list[dict[str, Any]]:
    """`README.md` and `index.html` of `results` from the verdicts that lie there, and its chain; the verdicts."""
    results.mkdir(parents=True, exist_ok=True)
    found = standing(results)
    for verdict, q in zip(found, verdicts.q_values([verdict["p"] for verdict in found]), strict=True):
        verdict["q"] = q
        names = (path.name for path in (results / verdict["claim"]).glob("*.png"))
        verdict["figures"] = sorted(names, key=lambda name: (name != "figure.png", name))
    stages = chain.stages(found)
    if stages:
        save(draw_chain(stages), results / "chain.png")
    words = {"chapters": _chapters(found), "stages": stages}
    _fill(results, "README.md", words)
    _fill(results, "index.html", words | page.contents(results, found))
    if stages:
        _fill(results, "chain.md", words)
    return found


def _fill(results: Path, name: str, words: Mapping[str, Any]) -> None:
    (results / name).write_text(_templates().get_template(f"{name}.j2").render(words), encoding="utf-8")


def with_answers(readme: str, found: Sequence[dict[str, Any]]) -> str:
    """The README with the answers that come first, a row each, between its marks; the rest is in the ledger."""
    of_claims = {verdict["claim"]: verdict for verdict in found}
    rows = ["| the sentence | answer | effect [interval] | seeds |", "|---|---|---|---|"]
    for verdict in [of_claims[name] for name in FIRST if name in of_claims]:
        link = f"[{verdict['sentence']}](results/README.md#{verdict['claim']})"
        rows.append(f"| {link} | **{verdict['answer']}** | {_effect(verdict)} | {verdict['seeds']} |")
    before, _, rest = readme.partition(BEGIN)
    return "\n".join([f"{before}{BEGIN}", *rows, f"{END}{rest.partition(END)[2]}"])


def _place(chapter: str) -> tuple[int, str]:
    return (CHAPTERS.index(chapter), "") if chapter in CHAPTERS else (len(CHAPTERS), chapter)


def _order(claim: str) -> tuple[int, str]:
    """As the paper and its argument go; others after them."""
    return (IN_TURN.index(claim), "") if claim in IN_TURN else (len(IN_TURN), claim)


def _chapters(found: Sequence[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    return {
        chapter: [v for v in found if v["chapter"] == chapter] for chapter in dict.fromkeys(v["chapter"] for v in found)
    }


def _templates() -> Environment:
    environment = Environment(
        loader=PackageLoader("bnlab"),
        undefined=StrictUndefined,
        autoescape=select_autoescape(["html.j2"]),
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {"each": _each, "p": _p, "effect": _effect, "number": _number, **page.FILTERS}
    return environment


def _each(value: Any) -> str:
    """A stamp, of which `verdict.json` has a list where runs differ in it."""
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _effect(verdict: Mapping[str, Any]) -> str:
    """What its first question asks, and the number."""
    first = verdict["questions"][0]
    return f"{first['question']}: {_number(first['shown'])}"


def _number(shown: str) -> str:
    """The number and its interval, without what would matter."""
    return shown.partition(";")[0]


def _p(x: float) -> str:
    return "< 0.0001" if x < 1e-4 else f"{x:.2g}"
