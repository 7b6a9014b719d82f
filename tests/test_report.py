"""Verdicts, figures and ledger come from the committed tables and from nothing else."""

import filecmp
import json
import re
import shutil
from pathlib import Path

import pandas as pd
import pytest
from conftest import jobs_of

from bnlab import report, stats
from bnlab.config import ConfigError

RESULTS = Path(__file__).parents[1] / "results"
MADE = (".json", ".png", ".svg")
JUDGED = report.with_table(RESULTS)


@pytest.fixture(scope="module")
def again(tmp_path_factory) -> Path:
    """`results/` with nothing but its tables, and the report run on it."""
    copy = tmp_path_factory.mktemp("again") / "results"
    for name in JUDGED:
        (copy / name).mkdir(parents=True)
        shutil.copy(RESULTS / name / "runs.parquet", copy / name)
        report.judge_and_draw(name, copy)
    report.write_ledger(copy)
    return copy


@pytest.mark.parametrize("name", JUDGED)
def test_verdict_and_figures_come_back_identically(name, again):
    committed = {path.name for path in (RESULTS / name).iterdir() if path.suffix in MADE}
    assert committed == {path.name for path in (again / name).iterdir() if path.suffix in MADE}
    # Names alone: pytest takes minutes to tell how two drawings differ
    assert filecmp.cmpfiles(again / name, RESULTS / name, committed, shallow=False)[1:] == ([], [])


@pytest.mark.parametrize("file", ["README.md", "index.html"])
def test_the_ledger_comes_back_identically(file, again):
    assert (again / file).read_text() == (RESULTS / file).read_text()


@pytest.mark.parametrize("name", JUDGED)
def test_committed_runs_are_stamped_and_full(name):
    table = pd.read_parquet(RESULTS / name / "runs.parquet")
    assert not table["dirty"].any()
    assert table["commit"].str.fullmatch("[0-9a-f]{40}").all()
    first = jobs_of(name)[0]
    assert set(table["data.name"]) == {first.data["name"]}
    ten = name in ("fig1a_accuracy", "fig1bc_sigmoid_inputs")
    assert table["seed"].nunique() >= (10 if ten else stats.FEWEST_SEEDS)
    assert table["step"].max() == first.steps
    words = [column for column in table if table[column].map(lambda value: isinstance(value, str)).any()]
    assert {"commit", "hardware", "data.source"} <= set(words)
    of_a_machine = table[words].astype(str).apply(lambda column: column.str.contains(r"(?:^|\s)/\w+/"))
    assert not of_a_machine.any().any()


@pytest.mark.parametrize("name", JUDGED)
def test_committed_tables_hold_exactly_the_runs_of_the_yaml(name):
    from bnlab.config import config_hash

    table = pd.read_parquet(RESULTS / name / "runs.parquet", columns=["run"])
    assert set(table["run"]) == {config_hash(job) for job in jobs_of(name)}


@pytest.mark.parametrize("name", sorted(path.parent.name for path in RESULTS.glob("*/unfinished.parquet")))
def test_a_claim_that_misses_runs_is_not_judged(name):
    from bnlab.config import config_hash

    table = pd.read_parquet(RESULTS / name / "unfinished.parquet")
    assert set(table["run"]) < {config_hash(job) for job in jobs_of(name)}
    assert not table["dirty"].any()
    assert [path.name for path in (RESULTS / name).iterdir()] == ["unfinished.parquet"]


def test_the_readme_says_what_the_ledger_says():
    root = RESULTS.parent
    rows = [row for row in (RESULTS / "README.md").read_text().splitlines() if row.startswith("| [`")]
    assert rows
    for row in rows:
        assert row.replace("](#", "](results/README.md#") in (root / "README.md").read_text()


@pytest.mark.parametrize("page", ["README.md", "docs/findings.md", "results/README.md"])
def test_links_lead_somewhere(page):
    file = RESULTS.parent / page
    links = {link.partition("#")[0] for link in re.findall(r"\]\(([^)\s]+)\)", file.read_text())}
    assert len(links) > 10
    assert [link for link in links if link and ":" not in link and not (file.parent / link).exists()] == []


def test_a_weak_verdict_does_not_survive_many_claims(tmp_path):
    strong = json.loads((RESULTS / "fig1a_accuracy" / "verdict.json").read_text())
    for i in range(10):
        verdict = {**strong, "claim": f"claim{i}", "verdict": "REPRODUCED", "p": 0.03}
        (tmp_path / f"claim{i}").mkdir()
        (tmp_path / f"claim{i}" / "verdict.json").write_text(json.dumps(verdict))
    assert not any(verdict["kept"] for verdict in report.write_ledger(tmp_path))
    for file in ("README.md", "index.html"):
        text = (tmp_path / file).read_text()
        assert "**REPRODUCED**" not in text
        assert 'class="verdict REPRODUCED">REPRODUCED<' not in text.split("<h2")[0]
        assert text.count("alone: REPRODUCED") >= 10


@pytest.mark.parametrize(
    ("regimes", "verdict", "told"),
    [
        (["REPRODUCED", "CONTRADICTED", "NULL"], "PARTIAL", "PARTIAL (1 of 3, 1 CONTRADICTED)"),
        (["REPRODUCED", "NULL"], "PARTIAL", "PARTIAL (1 of 2)"),
        (["CONTRADICTED", "NULL", "CONTRADICTED"], "INCONCLUSIVE", "INCONCLUSIVE (2 of 3 CONTRADICTED)"),
        (["NULL", "INCONCLUSIVE"], "INCONCLUSIVE", "INCONCLUSIVE"),
        (["CONTRADICTED", "CONTRADICTED"], "CONTRADICTED", "CONTRADICTED"),
    ],
)
def test_what_some_regimes_say_is_told(regimes, verdict, told):
    assert stats.combine(regimes) == verdict
    assert report._alone({"verdict": verdict, "regimes": [{"verdict": each} for each in regimes]}) == told


def test_without_a_table_there_is_no_verdict(tmp_path):
    with pytest.raises(ConfigError, match="train the claim"):
        report.judge_and_draw("fig1a_accuracy", tmp_path)


@pytest.mark.parametrize(
    ("estimate", "interval", "told"),
    [(0.5, [0.1, 0.9], "0.5"), (None, [1.2, None], "∞"), (None, [None, -1.2], "−∞"), (None, [None, None], "none")],
)
def test_an_estimate_without_a_number_says_on_which_side_it_lies(estimate, interval, told):
    assert report._estimate({"estimate": estimate, "interval": interval}) == told
