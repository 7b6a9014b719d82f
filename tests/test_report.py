"""The ledger: verdicts, figures and pages come from the committed tables, and from nothing else."""

import filecmp
import html
import json
import re
import shutil
from functools import lru_cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from conftest import README, RESULTS, verdict_of
from PIL import Image

from bnlab import ledger, report, shelf
from bnlab.claims import judging, planner
from bnlab.claims.claim import load, names
from bnlab.claims.planner import Job
from bnlab.config import ConfigError, config_hash

TABLES = [name for name in names() if (RESULTS / name / "runs.parquet").is_file()]
JUDGED = [name for name in TABLES if (RESULTS / name / "verdict.json").is_file()]  # of others the pilot alone is there
CHOSE = [name for name in TABLES if (RESULTS / name / "chosen.yaml").is_file()]
LEDGER = ["README.md", "index.html", "chain.md", "chain.png"]
PAGES = [README, RESULTS / "README.md", RESULTS / "chain.md", *sorted((README.parent / "docs").glob("*.md"))]


@lru_cache
def table_of(name: str) -> pd.DataFrame:
    return pd.read_parquet(RESULTS / name / "runs.parquet")


def seeds_of(name: str) -> int:
    """How many fresh seeds a claim's questions took, all together."""
    return max(question["seeds"] for question in verdict_of(name)["questions"])


@lru_cache
def asked(name: str) -> list[Job]:
    """The runs of a claim up to the look at which it was decided; of one without a verdict, its pilot's."""
    chosen = shelf.read_chosen(load(name), RESULTS / name)
    return planner.asked_for(load(name), chosen, seeds_of(name) if name in JUDGED else 0)


@pytest.mark.parametrize("name", TABLES)
def test_verdict_and_figures_come_back_identically(name, tmp_path):
    committed = {path.name for path in (RESULTS / name).iterdir()}
    (tmp_path / name).mkdir()
    for file in committed & {"runs.parquet", "chosen.yaml"}:
        shutil.copy(RESULTS / name / file, tmp_path / name)
    if name in JUDGED:
        report.judge_and_draw(load(name), tmp_path)
    assert committed == {path.name for path in (tmp_path / name).iterdir()}
    # Names alone: pytest takes minutes to tell how two drawings differ
    assert [file for file in committed if not same(tmp_path / name / file, RESULTS / name / file)] == []


def same(one: Path, other: Path) -> bool:
    """Whether two files hold the same bytes; or pictures that no eye tells apart.

    Without AVX-512 numpy's logarithms differ in their last bits, and so does the shade of a pixel or two.
    """
    if filecmp.cmp(one, other, shallow=False):
        return True
    if one.suffix != ".png":
        return False
    pixels = [np.asarray(Image.open(path)).astype(int) for path in (one, other)]
    if pixels[0].shape != pixels[1].shape:
        return False
    off = np.abs(pixels[0] - pixels[1])
    return bool(off.max() <= 1 and (off > 0).mean() < 1e-5)


def test_a_picture_with_another_point_is_another(tmp_path):
    whole = RESULTS / "fig1a_accuracy" / "figure.png"
    for name, change in {"shade": 1, "shades": 2}.items():
        pixels = np.asarray(Image.open(whole)).copy()
        pixels[100, 100, 0] ^= change
        Image.fromarray(pixels).save(tmp_path / f"{name}.png")
    assert same(tmp_path / "shade.png", whole)
    assert not same(tmp_path / "shades.png", whole)
    assert not same(RESULTS / "fig1a_best_rate" / "figure.png", whole)


def test_the_ledger_comes_back_identically(tmp_path):
    """From the committed verdicts and figures, which come back themselves."""
    again = shutil.copytree(RESULTS, tmp_path / "again", ignore=lambda at, _: LEDGER if at == str(RESULTS) else [])
    report.write_ledger(again)
    for file in LEDGER:
        assert same(again / file, RESULTS / file), file


@pytest.mark.parametrize("name", names())
def test_a_claims_table_keeps_what_a_net_without_batch_statistics_is_read_by(name):
    kept = set(shelf.columns(load(name)))
    assert {column.replace("/batch/", "/population/") for column in kept} <= kept


@pytest.mark.parametrize("name", TABLES)
def test_a_table_holds_the_runs_that_the_claim_asked_for_whole(name):
    table, jobs = table_of(name), {config_hash(job.config): job.config for job in asked(name)}
    assert set(table["run"]) == set(jobs)
    last = table.groupby("run")["step"].max()
    trained = {run: config.steps for run, config in jobs.items() if not config.study}  # a study ends where it ends
    assert {run: step for run, step in last.items() if run in trained} == trained
    seeds = table.groupby("run")["seed"].first()
    assert seeds.to_dict() == {run: config.seed for run, config in jobs.items()}


@pytest.mark.parametrize("name", TABLES)
def test_committed_runs_are_stamped_and_name_no_place_of_a_machine(name):
    table = table_of(name)
    assert not table["dirty"].any()
    assert table["commit"].str.fullmatch("[0-9a-f]{40}").all()
    assert set(table["data.name"]) <= ({"none", "mnist_sample"} if "study.name" in table else {"mnist", "cifar10"})
    words = [column for column in table if table[column].map(lambda value: isinstance(value, str)).any()]
    assert {"commit", "hardware", "data.source"} <= set(words)
    of_a_machine = table[words].astype(str).apply(lambda column: column.str.contains(r"(?:^|\s)/\w+/"))
    assert not of_a_machine.any().any()


@pytest.mark.parametrize("name", JUDGED)
def test_only_fresh_seeds_answer_and_as_many_as_the_rule_wanted(name):
    claim, chosen = load(name), shelf.read_chosen(load(name), RESULTS / name)
    answering = judging.fresh(claim, table_of(name), chosen)
    assert sorted(answering["seed"].unique()) == list(range(claim.fresh, claim.fresh + seeds_of(name)))
    assert judging.seeds_wanted(claim, answering) == 0 or verdict_of(name)["verdict"] == "UNDECIDED"
    assert verdict_of(name)["seeds"] == verdict_of(name)["questions"][0]["seeds"]
    assert claim.until == "all" or seeds_of(name) == verdict_of(name)["seeds"]


@pytest.mark.parametrize("name", CHOSE)
def test_what_the_pilot_chose_is_what_its_runs_say(name):
    claim, chosen = load(name), shelf.read_chosen(load(name), RESULTS / name)
    assert planner.choose(claim, table_of(name)) == chosen
    held = yaml.safe_load((RESULTS / name / "chosen.yaml").read_text(encoding="utf-8"))
    assert (held["by"], held["seeds"]) == (claim.choose.by, claim.choose.seeds)
    assert re.fullmatch("[0-9a-f]{40}", held["commit"])


def test_a_claim_that_chooses_answers_only_in_what_was_chosen_before():
    assert {name for name in JUDGED if load(name).choose} <= set(CHOSE)


# ---- pages ------------------------------------------------------------------------------------------------


def test_the_readme_has_ten_answers_at_most_as_the_ledger_has_them():
    readme = README.read_text(encoding="utf-8")
    assert report.with_answers(readme, report.standing(RESULTS)) == readme
    rows = [row for row in readme.splitlines() if row.startswith("| [") and "](results/README.md#" in row]
    ledger = (RESULTS / "README.md").read_text(encoding="utf-8").splitlines()
    assert {row.replace("](results/README.md#", "](#") for row in rows} <= set(ledger)
    assert len(rows) == len(set(report.FIRST) & set(JUDGED)) <= 10
    assert set(report.FIRST) <= set(names())


def slug(heading: str) -> str:
    return re.sub(r"[^\w -]", "", heading.strip("# `").lower()).replace(" ", "-")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
        path, _, anchor = link.partition("#")
        target = (page.parent / path) if path else page
        if ":" not in path:
            assert target.exists(), link
        if anchor and target.suffix == ".md":
            lines = target.read_text(encoding="utf-8").splitlines()
            assert anchor in {slug(line) for line in lines if line.startswith("#")}, link


@lru_cache
def page_of_the_ledger() -> str:
    return (RESULTS / "index.html").read_text(encoding="utf-8")


def test_the_page_of_the_ledger_shows_every_figure():
    shown = re.findall(r'data-figure="([^"]+)"', page_of_the_ledger())
    assert sorted(shown) == sorted(
        str(path.relative_to(RESULTS)) for name in JUDGED for path in (RESULTS / name).glob("*.png")
    )


@pytest.mark.parametrize("name", JUDGED)
def test_the_page_of_the_ledger_says_every_answer_and_number(name):
    article = re.search(rf'<article [^>]*id="{name}".*?</article>', page_of_the_ledger(), re.DOTALL)[0]
    said = html.unescape(re.sub(r"\s+", " ", re.sub("<[^>]+>", " ", article))).lower()
    verdict = verdict_of(name)
    for words in (
        verdict["sentence"],
        verdict["source"],
        verdict["answer"],
        verdict["setting"],
        verdict["config_hash"],
    ):
        assert words.lower() in said
    for question in verdict["questions"]:
        assert f"{question['question']} {question['reading']}. {question['shown']}.".lower() in said
        assert question["answer"].lower() in said


def test_the_page_of_the_ledger_is_one_file_that_loads_nothing():
    text = page_of_the_ledger()
    assert len(text.encode()) <= 5_000_000
    loaded = re.findall(r'\bsrc(?:set)?="([^"]*)"|<(?:link|use|image|object)[^>]*href="([^"]*)"|url\(([^)]*)\)', text)
    assert all("".join(each).startswith("data:") for each in loaded)
    assert "@import" not in text


def ledger_of(folder: Path, **verdicts: dict) -> str:
    """The ledger of claims that are that of `fig1a_accuracy` but for these."""
    for name, changes in verdicts.items():
        (folder / name).mkdir()
        text = json.dumps({**verdict_of("fig1a_accuracy"), "claim": name, **changes})
        (folder / name / "verdict.json").write_text(text, encoding="utf-8")
    report.write_ledger(folder)
    return (folder / "README.md").read_text(encoding="utf-8")


def test_q_values_are_those_of_the_whole_ledger_and_change_no_answer(tmp_path):
    text = ledger_of(tmp_path, a={"p": 0.01}, b={"p": 0.04}, c={"p": 0.03})
    assert re.findall(r"q ([^·]+?) ·", text) == ["0.03", "0.04", "0.04"]
    assert text.count("**yes**") == 3


def test_chapters_of_the_ledger_come_first_and_others_follow(tmp_path):
    text = ledger_of(tmp_path, a={"chapter": "Mine"}, b={"chapter": report.CHAPTERS[1]}, fig1a_accuracy={})
    assert re.findall(r"^## (.*)$", text, re.MULTILINE) == [*report.CHAPTERS[:2], "Mine"]


def test_a_ledger_with_claims_of_the_chain_has_its_page_and_others_have_none(tmp_path):
    of_chain = {"chapter": report.CHAPTERS[1], "questions": verdict_of("plateau_is_collapse")["questions"]}
    of_chain["questions"][0]["shown"] = "98.7 times [65.4, 321]; 1.5 would matter"
    assert "chain" not in ledger_of(tmp_path, fig1a_accuracy={})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["README.md", "fig1a_accuracy", "index.html"]
    assert "](chain.md)" in ledger_of(tmp_path, plateau_is_collapse=of_chain)
    page = (tmp_path / "chain.md").read_text(encoding="utf-8")
    assert "98.7 times [65.4, 321], 6 seeds ([plateau_is_collapse](README.md#plateau_is_collapse))" in page
    assert set(re.findall(r"README\.md#(\w+)", page)) == {"plateau_is_collapse"}
    assert (tmp_path / "chain.png").is_file()


def test_what_a_claim_says_is_no_markup(tmp_path):
    ledger_of(tmp_path, a={"sentence": "<script>alert(1)</script>"})
    assert "<script>alert(1)" not in (tmp_path / "index.html").read_text(encoding="utf-8")


def test_without_runs_that_answer_there_is_no_verdict(tmp_path):
    claim = load("optimizers")
    with pytest.raises(
        ConfigError, match=r"runs\.parquet is not there: `python scripts/judge\.py optimizers` makes it"
    ):
        report.judge_and_draw(claim, tmp_path)
    (tmp_path / "optimizers").mkdir()
    shutil.copy(RESULTS / "optimizers" / "chosen.yaml", tmp_path / "optimizers")
    table = table_of("optimizers")
    table[table["seed"] < 1000].to_parquet(tmp_path / "optimizers" / "runs.parquet")
    assert shelf.with_table(tmp_path) == []
    with pytest.raises(ConfigError, match="optimizers: only its pilot is there"):
        report.judge_and_draw(claim, tmp_path)


def test_a_knob_that_is_a_number_here_and_a_word_there_is_stored(tmp_path):
    table = pd.DataFrame({"run": ["a", "b", "c"], "step": 0, "norm.p": [1, "max", None], "seed": [0, 1, 2]})
    ledger.write_table(tmp_path, table)
    assert pd.read_parquet(tmp_path / ledger.TABLE)["norm.p"].dropna().tolist() == ["1", "max"]
