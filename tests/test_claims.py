"""Claims: their YAML, what they have trained, what the pilot chooses, and what is made of the runs that answer."""

import copy
import math
import re
from functools import lru_cache
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml
from conftest import README, with_changes

from bnlab import config, runs, shelf, sweeps, verdicts
from bnlab.claims import judging, planner
from bnlab.claims.claim import Claim, Question, load, names, parse
from bnlab.claims.planner import Job
from bnlab.config import ConfigError, config_hash
from bnlab.launcher import launch, trial
from bnlab.verdicts import Answer

NAMES = names()


@lru_cache
def whole(name: str) -> tuple[Claim, list[Job]]:
    """A claim and its runs up to the first look, as if the first cell were the best everywhere."""
    claim = load(name)
    first = [{knob: values[0] for knob, values in claim.choose.over.items()}] if claim.choose else []
    chosen = {arm: first for arm in claim.arms if claim.choosing(arm)}
    return claim, planner.asked_for(claim, chosen, claim.looks[0])


@pytest.mark.parametrize("name", NAMES)
def test_a_claim_can_be_trained_paired_and_drawn(name):
    claim, jobs = whole(name)
    shelf.check(claim)
    runs = [(job.arm, config_hash(job.config)) for job in jobs]
    assert len(set(runs)) == len(runs)
    seeds = {arm: {job.config.seed for job in jobs if job.arm == arm} for arm in claim.arms}
    answering = set(range(claim.fresh, claim.fresh + claim.looks[0]))
    assert all(answering <= of_arm for of_arm in seeds.values())
    assert set().union(*seeds.values()) <= answering | set(claim.choose.seeds if claim.choose else [])
    looked_at = sum(job.config.seed in answering for job in jobs)
    most = len(jobs) - looked_at + looked_at // claim.looks[0] * claim.looks[-1]
    assert claim.most_runs is None or most <= claim.most_runs


@pytest.mark.parametrize("name", NAMES)
def test_a_claim_trains_in_small_and_records_what_it_reads(name, tmp_path):
    claim, jobs = whole(name)
    arms = list({job.arm: job.config for job in jobs}.values())
    if arms[0].study:  # test_studies.py runs each, and stores some
        shelf.check_columns(claim, trial.columns(arms[0]))
        return
    if arms[0].model["name"] != "mlp":  # convolutions take seconds an arm: the last one, which differs most
        arms = arms[-1:]
    small = [config.parse(with_changes(arm.model_dump(), in_small(arm, tmp_path))) for arm in arms]
    shelf.check_columns(claim, set().union(*map(trial.columns, small)))
    done = launch(small, progress=False)
    folders = {runs.folder(each) for each in small}
    assert done.failed == {}
    assert sorted(done.trained) == sorted(path.name for path in folders)
    shelf.check_columns(claim, set(runs.load(sorted(folders)).columns))


def in_small(arm: config.Config, out: Path) -> dict[str, Any]:
    data = {"name": "mnist_sample", "transform": arm.data["transform"], "validation": 400}
    small = {"steps": 2, "batch_size": 8, "measure.probe": 20, "model.width": 10}
    return small | {"data": data, "hardware": sweeps.group_settings("hardware", "plain"), "out": str(out)}


@pytest.mark.parametrize("name", NAMES)
def test_seeds_that_choose_do_not_answer_or_the_claim_says_that_it_is_small(name):
    claim = load(name)
    assert (claim.fresh >= 1000 and max(claim.choose.seeds if claim.choose else [0]) < 1000) or claim.small
    assert bool(claim.small) == (claim.chapter == "Conv nets, in small")


@pytest.mark.parametrize("name", NAMES)
def test_each_question_is_said_in_words(name):
    said = [question.said() for question in load(name).questions.values()]
    assert len(set(said)) == len(said)
    assert not any(re.search(r"[{}\[\]]|None", each) for each in said)


def test_both_claims_of_figure_1_share_their_runs():
    one, other = (
        {config_hash(job.config) for job in whole(name)[1]} for name in ("fig1a_accuracy", "fig1bc_sigmoid_inputs")
    )
    assert one == other


def test_an_unknown_claim_names_the_known_ones():
    with pytest.raises(ConfigError, match=r"claim nope: not known here; choose from .*fig1a_accuracy"):
        load("nope")


# ---- mistakes ---------------------------------------------------------------------------------------------

MINE = yaml.safe_load(re.search(r"```yaml\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)[1])
RAW = MINE["claim"] | {"name": "mine"}
HIGHER, SOONER = ("questions", "ends higher"), ("questions", "sooner at 95 %")
READINGS = "value, steps_to, share, shortfall, range_within, largest, path, slope, moves"
TERMS = "of, pool, minus, log, at, best_by, against_start"


def changed(path: tuple[str, ...], value: Any) -> dict[str, Any]:
    """The claim with this value there."""
    raw = copy.deepcopy(RAW)
    at = raw
    for key in path[:-1]:
        at = at[key]
    at[path[-1]] = value
    return raw


def panel(terms: Any, name: str = "curves") -> Any:
    return ("figure",), [{name: terms}]


@pytest.mark.parametrize(
    ("where", "said"),
    [
        ((("sentense",), "x"), "claim.sentense=x: not known here; choose from name, sentence, source"),
        ((("arms",), {}), "claim.arms={}: dictionary should have at least 1 item"),
        ((("arms", "BN"), "batch"), "claim.arms.BN=batch: input should be a valid dictionary"),
        ((("arms", "BN", "seed"), 3), "claim: seeds are no setting of an arm or a sweep; say choose.seeds, fresh and"),
        ((("looks",), [12, 6]), "claim.looks=[12, 6]: numbers of seeds, ascending"),
        ((("looks",), [1]), "claim.looks.0=1: input should be greater than or equal to 2"),
        ((("fresh",), -1), "claim.fresh=-1: input should be greater than or equal to 0"),
        ((("grid",), {"init.sigma": 1}), "claim.grid.init.sigma=1: input should be a valid list"),
        (((*HIGHER, "read"), "valeu"), f"questions.ends higher.read=valeu: not known here; choose one of {READINGS}"),
        (((*HIGHER, "off"), "x"), f"claim.questions.ends higher.off=x: not known here; choose from {TERMS}"),
        (((*HIGHER, "at"), "middle"), "ends higher.at=middle: input should be 'end', 'start', 'best' or 'mean'"),
        (((*HIGHER, "paired_by"), ["init.sigma"]), "questions.ends higher.paired_by: init.sigma is not in the grid"),
        (((*SOONER, "target"), "most"), "claim.questions.sooner at 95 %.target=most: input should be a valid number"),
        (((*HIGHER, "delta"), 0), "claim.questions.ends higher.delta=0: input should be greater than 0"),
        (((*HIGHER, "in"), "per cent"), "claim.questions.ends higher.in=per cent: input should be 'points' or '%'"),
        (((*HIGHER, "difference"), ["BN", "plane"]), "ends higher: there is no arm plane; the arms are plain, BN"),
        (((*HIGHER, "ratio"), ["BN", "plain"]), "alone, difference, ratio, differences; here are difference, ratio"),
        (((*HIGHER, "difference"), None), "give one of alone, difference, ratio, differences; here are read, of"),
        (((*HIGHER, "over"), 0.5), "claim.questions.ends higher: one of over, under, equals, for one arm, alone"),
        ((("choose", "overr"), 1), "claim.choose.overr=1: not known here; choose from over, by, least, seeds, arms"),
        ((("choose", "over"), {"optimizer.lr": []}), "claim.choose.over.optimizer.lr=[]: list should have at least"),
        ((("choose", "arms"), ["batch"]), "claim.choose.arms: there is no arm batch; the arms are plain, BN"),
        ((("choose", "by"), {"read": "best"}), f"claim.choose.by.read=best: not known here; choose one of {READINGS}"),
        ((("choose", "by"), {"read": "value", "off": "x"}), f"choose.by.off=x: not known here; choose from {TERMS}"),
        ((("table",), {"end": {"of": "x"}}), f"claim.table.end.read=None: not known here; choose one of {READINGS}"),
        ((("table",), {"end": {"read": "value", "of": "x", "in": "m"}}), "table.end.in=m: choose one of points, %"),
        ((("figure",), ["curvs"]), "claim.figure=curvs: not known here; choose one of answers, by_layer, curves, "),
        ((("figure",), []), "claim.figure.figure=[]: list should have at least 1 item"),
        ((("figure",), ["percentiles", "answers"]), "claim.figure.percentiles: a figure of its own; name no panel"),
        (panel({"off": "x"}), "claim.figure.curves.off=x: not known here; choose from of, log_steps, bottom"),
        (panel("test/loss"), "claim.figure.curves=test/loss: give its terms as KEY: VALUE"),
        (panel({"name": "x"}), "claim.figure.curves.name: not a term of a panel"),
        (panel({"bottom": "low"}), "claim.figure.curves.bottom=low: input should be a valid number"),
        (panel({"arms": ["batch"]}), "claim.figure.curves: there is no arm batch; the arms are plain, BN"),
        (panel({"arm": "batch", "of": {}}, "lines"), "figure.lines: there is no arm batch; the arms are plain, BN"),
        (panel({"reading": {"read": "best"}}, "seeds"), "figure.seeds.reading.read=best: not known here; choose one"),
    ],
    ids=lambda x: str(x) if isinstance(x, str) else ".".join(x[0]),
)  # fmt: skip
def test_a_mistake_is_one_line_that_names_it_and_what_is_allowed(where, said):
    with pytest.raises(ConfigError) as error:
        shelf.check(parse(changed(*where)))
    assert said in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("key", ["sentence", "source", "chapter", "setting", "arms", "questions"])
def test_what_a_claim_cannot_do_without_is_named(key):
    with pytest.raises(ConfigError, match=rf"\Aclaim\.{key}: field required\Z"):
        parse({k: v for k, v in RAW.items() if k != key})


def test_a_file_that_is_no_yaml_is_named_with_the_line(own_claim):
    own_claim("claim: {sentence: [BN helps}")
    with pytest.raises(ConfigError, match=r"\A\S+mine\.yaml: no YAML; .*line 1.*\Z"):
        load("mine")


# ---- another norm in the place of the claim's --------------------------------------------------------------


def test_another_norm_takes_the_place_and_the_name_of_batch_normalization():
    plain, other = load("fig1a_accuracy"), load("fig1a_accuracy", ("BN", {"norm": "layer"}))
    assert other.arms == {"plain": plain.arms["plain"], "layer": {"norm": "layer"}}
    assert other.primary().ratio == ("plain", "layer")
    assert other.questions["ends higher"].difference == ("layer", "plain")
    assert other.asked_of == "layer in the place of BN"
    shelf.check(other)
    jobs = planner.next_runs(other, None, 1, ["data=mnist_sample"])
    assert {(job.arm, job.config.norm["name"]) for job in jobs} == {("plain", "none"), ("layer", "layer")}


@pytest.mark.parametrize("arm", ["BN", "BN, 6 layers"])
def test_every_arm_that_is_changed_is_renamed(arm):
    other = load("sigmoid_cnn", (arm, {"norm": "group"}))
    assert {name: arm["norm"] for name, arm in other.arms.items()} == {
        "plain, 6 layers": "none",
        "group, 6 layers": "group",
        "plain, 2 layers": "none",
        "group, 2 layers": "group",
    }
    shelf.check(other)  # the figure names an arm too


@pytest.mark.parametrize(
    ("place", "said"),
    [
        (("bn", {"norm": "layer"}), r"--in-place-of bn: there is no such arm; the arms are plain, BN"),
        (("BN", {"optimizer": "adam"}), r"--in-place-of BN: it sets norm, and not optimizer"),
    ],
)
def test_what_cannot_be_replaced_is_one_line(place, said):
    with pytest.raises(ConfigError, match=said):
        load("fig1a_accuracy", place)


# ---- what is trained --------------------------------------------------------------------------------------

SMALL = """
# @package _global_
data: {transform: binarise}
steps: 10
claim:
  sentence: s
  source: s
  chapter: c
  setting: s
  arms:
    plain: {norm: none}
    BN: {norm: batch}
    fixed: {norm: batch, optimizer.lr: 1}
  choose:
    over: {optimizer.lr: [0.1, 1, 10]}
    by: validation/accuracy
    seeds: [0, 1, 2]
    arms: [plain, BN]
  looks: [2, 4, 8]
  questions:
    higher: {read: value, of: test/accuracy, in: points, difference: [BN, plain], delta: 1}
    sooner: {read: steps_to, of: test/accuracy, target: 0.9, ratio: [plain, BN], delta: 0.585}
    fixed trains: {read: share, of: test/accuracy, above: 0.5, alone: fixed, over: 0.5, delta: 0.25}
"""
CHOSEN = {"plain": [{"optimizer.lr": 0.1}], "BN": [{"optimizer.lr": 0.1}, {"optimizer.lr": 1}]}


@pytest.fixture
def small(own_claim) -> Claim:
    own_claim(SMALL)
    return load("mine")


def told(jobs: list[Job]) -> list[tuple[str, float, int]]:
    return [(job.arm, job.config.optimizer["lr"], job.config.seed) for job in jobs]


def test_first_the_pilot_is_trained_of_the_arms_that_choose(small):
    pilot = planner.next_runs(small, None, 2, ["batch_size=30"])
    assert sorted(told(pilot)) == [
        (arm, lr, seed) for arm in ("BN", "plain") for lr in (0.1, 1, 10) for seed in range(3)
    ]
    assert {(job.config.batch_size, job.config.steps, job.config.sweep) for job in pilot} == {(30, 10, "mine")}


def test_then_fresh_seeds_in_the_cells_that_were_chosen(small):
    look = planner.next_runs(small, CHOSEN, 2)
    cells = [("none", 0.1), ("batch", 0.1), ("batch", 1)]  # what `fixed` sets itself is a run of BN's
    runs = [(job.config.norm["name"], job.config.optimizer["lr"], job.config.seed) for job in look]
    assert runs == [(norm, lr, seed) for norm, lr in cells for seed in (1000, 1001)]
    asked = planner.asked_for(small, CHOSEN, 2)
    assert [each for each in told(asked) if each[0] == "fixed"] == [("fixed", 1, 1000), ("fixed", 1, 1001)]
    assert len(asked) == 18 + len(look) + 2  # with the pilot
    assert len(planner.next_runs(small, CHOSEN, 4)) == 2 * len(look)


def test_every_seed_runs_over_the_grid_except_for_what_an_arm_sets(own_claim):
    raw = yaml.safe_load(SMALL)
    raw["claim"] |= {"choose": None, "grid": {"optimizer.lr": [0.1, 1], "init.sigma": [0.01]}}
    own_claim("# @package _global_\n" + yaml.safe_dump(raw, sort_keys=False))
    assert planner.pilot_words(load("mine")) == []  # nothing is chosen
    look = planner.look_words(load("mine"), None, 2)
    assert [words[:-1] for arm, words in look if arm == "fixed"] == [
        ("optimizer.lr=1", "init.sigma=0.01", "norm=batch")
    ] * 2
    assert len(look) == 2 * (2 + 2 + 1)


def test_groups_are_chosen_whole():
    claim = load("fig1a_best_rate")
    inits = {str(job.config.init) for job in planner.next_runs(claim, None, 0)}
    assert inits == {str(init) for init in claim.choose.over["init"]}


def test_overrides_that_cannot_be_are_one_line(small):
    with pytest.raises(ConfigError, match=r"\Aoptimiser\.lr: there is no such knob"):
        planner.next_runs(small, None, 0, ["optimiser.lr=1"])


# ---- what is chosen ---------------------------------------------------------------------------------------


def recorded(jobs: list[Job], ends: Any, of: str = "validation/accuracy", outcome: str = "trained") -> pd.DataFrame:
    """Records at steps 0, 5 and 10 of these runs; `ends(job)`: the column's last number, or all three."""
    parts = []
    for job in jobs:
        numbers = ends(job) if isinstance(ends(job), list) else [0.1, 0.1, ends(job)]
        knobs = {"run": config_hash(job.config), "seed": job.config.seed, "steps": 10, "outcome": outcome}
        parts.append(pd.DataFrame({**knobs, "step": [0, 5, 10], of: numbers}))
    return pd.concat(parts, ignore_index=True).drop_duplicates(["run", "step"])


ENDS = {("plain", 0.1): (0.5, 0.5, 0.9), ("plain", 1): (0.8, 0.8, 0.8), ("plain", 10): (math.nan, 0.99, 0.99)}
ENDS |= {
    ("BN", 0.1): (0.1, 0.2, 0.3),
    ("BN", 1): (0.3, 0.2, 0.1),
    ("BN", 10): (0.1, 0.1, 0.1),
}  # two tie, to the last bit not


def of_cell(job: Job) -> float:
    return ENDS[job.arm, job.config.optimizer["lr"]][job.config.seed]


def test_the_best_by_the_mean_over_pilot_seeds_is_chosen_and_all_that_tie(small):
    pilot = planner.next_runs(small, None, 0)
    assert planner.choose(small, recorded(pilot, of_cell)) == {"plain": [{"optimizer.lr": 1}], "BN": CHOSEN["BN"]}


def test_the_least_is_chosen_where_less_is_better_and_never_is_most(own_claim):
    raw = yaml.safe_load(SMALL)
    raw["claim"]["choose"] |= {"by": {"read": "steps_to", "of": "validation/accuracy", "target": 0.6}, "least": True}
    own_claim("# @package _global_\n" + yaml.safe_dump(raw, sort_keys=False))
    claim = load("mine")
    pilot = planner.next_runs(claim, None, 0)
    curves = {0.1: [0.1, 0.7, 0.7], 1: [0.1, 0.1, 0.7], 10: [0.1, 0.1, 0.1]}
    once = recorded(pilot, lambda job: curves[job.config.optimizer["lr"] if job.arm == "BN" else 10])
    assert planner.choose(claim, once)["BN"] == [{"optimizer.lr": 0.1}]
    assert len(planner.choose(claim, once)["plain"]) == 3  # none gets there: all are as bad
    losses = {0.1: 0.7, 1: 0.6, 10: math.nan}
    claim = claim.model_copy(update={"choose": claim.choose.model_copy(update={"by": "validation/loss"})})
    lost = recorded(pilot, lambda job: losses[job.config.optimizer["lr"]], "validation/loss")
    assert planner.choose(claim, lost)["BN"] == [{"optimizer.lr": 1}]


def test_a_pilot_with_runs_missing_chooses_nothing(small):
    pilot = planner.next_runs(small, None, 0)
    with pytest.raises(ConfigError, match=r"\Amine: 2 of 18 runs of the pilot are missing\Z"):
        planner.choose(small, recorded(pilot[2:], of_cell))


# ---- from runs to answers ---------------------------------------------------------------------------------


def answering(claim: Claim, seeds: int, ends: dict[str, Any]) -> pd.DataFrame:
    """What `fresh` gives of a table of the pilot and of so many fresh seeds; by arm where a seed ends, or all looks."""
    jobs = planner.asked_for(claim, CHOSEN, seeds)
    last = recorded(jobs, lambda job: ends.get(job.arm, ends["BN"]), "test/accuracy")
    return judging.fresh(claim, last, CHOSEN)


def test_fresh_seeds_in_chosen_cells_answer_and_no_others(small):
    found = answering(small, 4, {"plain": 0.5, "BN": 0.6})
    assert sorted(found["seed"].unique()) == [1000, 1001, 1002, 1003]
    assert list(found["arm"].cat.categories) == ["plain", "BN", "fixed"]
    runs = found.drop_duplicates(["arm", "run"]).groupby("arm", observed=True).size().to_dict()
    assert runs == {"plain": 4, "BN": 8, "fixed": 4}  # a run of two arms stands there twice
    pilot = recorded(planner.next_runs(small, None, 0), of_cell)
    assert judging.fresh(small, pilot, CHOSEN).empty
    assert judging.fresh(small, pilot, None).empty
    assert sorted(judging.pilot(small, pilot)["seed"].unique()) == [0, 1, 2]


def test_seeds_are_wanted_until_it_is_decided(small):
    assert judging.seeds_wanted(small, None) == 2
    assert judging.seeds_wanted(small, answering(small, 2, {"plain": 0.5, "BN": 0.6})) == 0  # all seeds agree
    noisy = answering(small, 4, {"plain": 0.5, "BN": 0.6})
    noisy["test/accuracy"] += 0.2 * (noisy["seed"] % 2) * (noisy["arm"] == "plain")
    assert judging.seeds_wanted(small, noisy[noisy["seed"] < 1002]) == 4
    assert judging.seeds_wanted(small, noisy) == 8
    last = answering(small, 8, {"plain": 0.5, "BN": 0.6})
    last["test/accuracy"] += 0.2 * (last["seed"] % 2) * (last["arm"] == "plain")
    assert judging.seeds_wanted(small, last) == 0  # open, and there are no more looks


def test_the_first_question_decides_how_many_seeds_the_others_have(small):
    table = answering(small, 4, {"plain": [0.1, 0.1, 0.5], "BN": [0.1, 0.9, 0.9]})
    found = judging.answers(small, judging.effects(small, table))
    assert [(each.verdict, each.seeds) for each in found.values()] == [("REPRODUCED", 2)] * 2 + [("OPEN", 2)]
    interval = verdicts.interval(judging.effect(small.questions["fixed trains"], table).iloc[:2], 0.05 / 6 / 2)
    assert (found["fixed trains"].lo, found["fixed trains"].hi) == pytest.approx(interval)


def test_seeds_go_on_until_all_questions_are_decided_where_a_claim_says_so(small):
    thorough = small.model_copy(update={"until": "all"})
    ends = {"plain": [0.1, 0.1, 0.5], "BN": [0.1, 0.9, 0.9]}
    two, four, eight = (answering(small, seeds, ends) for seeds in (2, 4, 8))
    assert [judging.seeds_wanted(small, table) for table in (two, four, eight)] == [0, 0, 0]
    assert [judging.seeds_wanted(thorough, table) for table in (two, four, eight)] == [4, 8, 0]
    found = judging.answers(thorough, judging.effects(thorough, eight))
    assert [(each.verdict, each.seeds) for each in found.values()] == [("REPRODUCED", 2)] * 2 + [("DIRECTION", 8)]


CURVES = {"a": [0.1, 0.5, 0.95], "b": [0.1, 0.9, 0.9], "c": [0.1, 0.1, 0.2], "d": [0.1, 0.3, math.nan]}
VALUE, STEPS = {"read": "value", "of": "test/accuracy"}, {"read": "steps_to", "of": "test/accuracy", "target": 0.9}


def question(**terms: Any) -> Question:
    return Question.model_validate({"delta": 0.5, **terms})


def table_of(seeds: dict[str, int]) -> pd.DataFrame:
    """Records of arms a, b, … with so many seeds each, all alike."""
    parts = [
        pd.DataFrame(
            {
                "arm": arm,
                "run": f"{arm}{seed}",
                "seed": seed,
                "step": [0, 100, 1000],
                "steps": 1000,
                "outcome": "trained",
            }
            | {"test/accuracy": CURVES[arm]}
        )
        for arm, count in seeds.items()
        for seed in range(count)
    ]
    return pd.concat(parts, ignore_index=True)


@pytest.mark.parametrize(
    ("terms", "effect"),
    [
        (VALUE | {"in": "points", "difference": ["a", "b"]}, (5, 5)),
        (VALUE | {"difference": ["a", "b"]}, (0.05, 0.05)),
        (VALUE | {"ratio": ["b", "c"]}, (math.log2(4.5),) * 2),
        (VALUE | {"ratio": ["b", "c"], "base": 10}, (math.log10(4.5),) * 2),
        (VALUE | {"differences": [["a", "b"], ["c", "b"]]}, (0.75, 0.75)),
        (VALUE | {"alone": "a"}, (0.95, 0.95)),
        (VALUE | {"alone": "a", "over": 0.9, "in": "%"}, (5, 5)),
        (VALUE | {"alone": "a", "under": 0.9, "in": "%"}, (-5, -5)),
        (STEPS | {"ratio": ["a", "b"]}, (0, math.log2(1000))),  # (100, 1000] over (1, 100]
        (STEPS | {"ratio": ["c", "a"]}, (0, math.inf)),  # [1000, ∞) over (100, 1000]
        (STEPS | {"ratio": ["a", "c"]}, (-math.inf, 0)),
        (STEPS | {"ratio": ["c", "d"]}, (-math.inf, math.inf)),  # neither gets there
        (VALUE | {"difference": ["a", "d"]}, (-math.inf, math.inf)),  # no number
    ],
)
def test_the_effect_of_a_seed(terms, effect):
    found = judging.effect(question(**terms), table_of({"a": 2, "b": 3, "c": 2, "d": 2}))
    assert found.index.tolist() == [0, 1]  # the seeds that each arm has
    assert tuple(found.iloc[0]) == pytest.approx(effect)


def test_of_runs_that_are_paired_those_count_whose_partners_trained():
    low, high = (table_of(dict.fromkeys("abc", 2)).assign(**{"optimizer.lr": lr}) for lr in (0.1, 1.0))
    high["run"] += "high"
    high.loc[high["arm"] == "a", "test/accuracy"] = 0.1
    high.loc[(high["run"] == "b1high") | (high["arm"] == "c"), "outcome"] = "stuck"  # c is not asked about
    asked = VALUE | {"difference": ["a", "b"]}
    table = pd.concat([low, high], ignore_index=True)
    assert judging.effect(question(**asked), table)["lo"].tolist() == pytest.approx([-0.375, -0.375])
    paired = judging.effect(question(**asked, paired_by=["optimizer.lr"]), table)
    assert paired["lo"].tolist() == pytest.approx([-0.375, 0.05])


@pytest.mark.parametrize("unit", [{}, {"in": "%"}])
def test_a_share_is_a_proportion_and_a_difference_of_shares_is_not(unit):
    share = {"read": "share", "of": "test/accuracy", "above": 0.5} | unit
    table, scale = table_of({"a": 6, "c": 6}), 100 if unit else 1
    half = 0.05 / 2
    for terms, ends in (
        ({"alone": "a", "over": 0.5}, (half ** (1 / 6) - 0.5, 0.5)),
        ({"alone": "c", "under": 0.5}, (half ** (1 / 6) - 0.5, 0.5)),
        ({"alone": "a", "under": 0.5}, (-0.5, 0.5 - half ** (1 / 6))),
        ({"difference": ["a", "c"]}, (1, 1)),
    ):
        found = verdicts.interval(judging.effect(question(**share, **terms), table), 0.05)
        assert found == pytest.approx(tuple(scale * end for end in ends))


def test_an_arm_without_runs_is_one_line():
    with pytest.raises(ConfigError, match="arm b: none of its runs is there"):
        judging.effect(question(**VALUE, difference=["a", "b"]), table_of({"a": 2}))


@pytest.mark.parametrize(
    ("terms", "found", "shown"),
    [
        (STEPS | {"ratio": ["a", "b"]}, (1, 2, 1.5), "2.83 times [2, 4]; 1.41 would matter"),
        (STEPS | {"ratio": ["a", "b"]}, (1, math.inf, math.inf), "at least 2 times [2, ∞]; 1.41 would matter"),
        (STEPS | {"ratio": ["a", "b"]}, (-math.inf, 1, -math.inf), "at most 2 times [0, 2]; 1.41 would matter"),
        (STEPS | {"ratio": ["a", "b"], "base": 10}, (-1, 1, 0), "1 times [0.1, 10]; 3.16 would matter"),
        (VALUE | {"difference": ["a", "b"], "in": "points"}, (-1, 2, 0.5), "0.5 points [−1, 2]; 0.5 would matter"),
        (VALUE | {"difference": ["a", "b"]}, (-1, 2, 0.5), "0.5 [−1, 2]; 0.5 would matter"),
        (VALUE | {"difference": ["a", "b"]}, (1, 2, 0.5), "0.5 [1, 2], narrowed by an earlier look; 0.5 would matter"),
        (
            {"read": "largest", "knob": "k", "of": "x", "above": 0.5, "difference": ["a", "b"]},
            (-math.inf, math.inf, math.nan),
            "any number of decades [−∞, ∞]; 0.5 would matter",
        ),
        (
            VALUE | {"alone": "a", "equals": 0.0},
            (-math.inf, math.inf, math.nan),
            "any number [−∞, ∞]; theory: 0, 0.5 off would matter",
        ),
        (
            {"read": "slope", "of": "x", "log": 10, "low": 1, "high": 9, "alone": "a", "equals": math.log10(2)},
            (0, 0.1, 0.05),
            "2.244 times [2, 2.518]; theory: 2, a factor of 3.162 off would matter",
        ),
    ],
)
def test_the_number_as_one_says_it(terms, found, shown):
    lo, hi, estimate = found
    assert judging.shown(question(**terms), Answer("OPEN", lo, hi, estimate, 6, 1, 1.0)) == shown
