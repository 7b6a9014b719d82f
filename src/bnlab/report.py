"""The ledger: from committed tables to verdicts, figures, `README.md` and `index.html`. Trains nothing."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

from bnlab import chain, ledger, page, shelf, verdicts
from bnlab.claims import judging
from bnlab.claims.claim import Claim
from bnlab.config import ConfigError
from bnlab.plots import panels
from bnlab.plots.chain import chain as draw_chain
from bnlab.plots.picture import Asked, Picture
from bnlab.plots.style import save

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


def judge_and_draw(claim: Claim, results: Path, overrides: Sequence[str] = ()) -> dict[str, Any]:
    """Make `verdict.json` and the figures of `results/NAME/` anew from its table; the verdict."""
    place = results / claim.name
    if not (place / ledger.TABLE).is_file():
        raise ConfigError(f"{place / ledger.TABLE} is not there: `python scripts/judge.py {claim.name}` makes it")
    chosen = shelf.read_chosen(claim, place, overrides)
    table = ledger.read_table(place / ledger.TABLE)
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
        with ledger.of_ledger(path):
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
