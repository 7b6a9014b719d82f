"""The page of the ledger: its geometry, what the explorer is given, and how it behaves in a browser."""

import json
import math
import re
import shutil
from base64 import b64decode

import numpy as np
import pandas as pd
import pytest
from conftest import README

from bnlab import explorer, page

RESULTS = README.parent / "results"
PAGE = RESULTS / "index.html"
TIMES = {"shown": "4 times [2, 8]; 1.5 would matter", "delta": math.log2(1.5), "estimate": 2.0, "interval": [1.0, 3.0]}
POINTS = {"shown": "0.1 points [−0.4, ∞]; 1 would matter", "delta": 1.0, "estimate": None, "interval": [-0.4, None]}


# ---- geometry ---------------------------------------------------------------------------------------------


def test_places_of_a_strip_are_in_order_and_on_the_axis():
    drawn = page.strip(TIMES, page.own_axis(TIMES))
    band_ends = sum(drawn.band)
    assert 0 < drawn.band[0] < drawn.zero < band_ends < drawn.low < drawn.estimate < drawn.high < 100
    assert drawn.zero == pytest.approx((drawn.band[0] + band_ends) / 2, abs=0.02)
    assert drawn.unbounded == (False, False)


def test_an_axis_of_factors_names_factors_where_they_are():
    axis = page.own_axis(TIMES)
    places = {said: axis.at(x) for x, said in axis.ticks}
    assert places["×2"] == pytest.approx(page.strip(TIMES, axis).low, abs=0.1)
    assert places["×1"] == axis.at(0)


def test_an_end_that_nothing_bounds_goes_to_the_edge_and_has_no_estimate():
    drawn = page.strip(POINTS, page.own_axis(POINTS))
    assert (drawn.high, drawn.estimate, drawn.unbounded) == (100.0, None, (False, True))


def test_all_strips_of_a_shared_axis_have_the_same_band():
    axis = page.shared_axis([TIMES, POINTS])
    one, other = (page.strip(question, axis, question["delta"]) for question in (TIMES, POINTS))
    assert (one.band, one.zero) == (other.band, other.zero)
    assert one.ticks[0][0] >= 0
    assert one.ticks[-1][0] <= 100


@pytest.mark.parametrize(("low", "high"), [(-0.3, 0.4), (0, 45), (-20, 3), (-1e-4, 1e-3)])
def test_ticks_are_few_and_within(low, high):
    axis = page.own_axis({**POINTS, "delta": max(-low, high) / 10, "interval": [low, high]})
    assert 3 <= len(axis.ticks) <= 9
    assert all(0 <= axis.at(x) <= 100 for x, _ in axis.ticks)


def test_what_would_not_matter_has_no_strip():
    assert page.strip({**POINTS, "delta": 0}, page.shared_axis([TIMES])) is None


def test_an_effect_that_is_off_a_theory_is_drawn_from_it():
    said = {**TIMES, "shown": "6 times [3, 12]; theory: 1.5, a factor of 1.5 off would matter"}
    assert page.factor(said) == pytest.approx(2)
    assert [at for at, word in page.strip(said, page.own_axis(said)).ticks if word == "theory"] == [
        page.own_axis(said).at(0)
    ]


@pytest.mark.parametrize(
    ("source", "named"),
    [
        ("the question that Ioffe & Szegedy 2015, §1, leaves open", "Ioffe & Szegedy 2015"),
        ("Santurkar et al. 2018, §3.1 and Fig. 4, of VGG on CIFAR-10", "Santurkar et al. 2018"),
        ("derived from the runs of fig1a_accuracy", page.OWN),
    ],
)
def test_a_source_is_filed_under_its_paper(source, named):
    assert page.paper(source) == named


def test_figures_are_small_and_the_same_bytes_again():
    largest = max(RESULTS.glob("*/*.png"), key=lambda path: path.stat().st_size)
    figure = page.figure(largest)
    assert len(b64decode(figure.uri.partition(",")[2])) <= page.LARGEST
    assert figure == page.figure(largest)


# ---- the explorer's data ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def packed():
    return explorer.packed(RESULTS)


def test_the_explorers_data_are_few_bytes(packed):
    assert len(json.dumps(packed)) <= 600_000


def test_the_explorers_data_are_those_of_the_table(packed):
    table = pd.read_parquet(RESULTS / explorer.TABLE)
    rates, starts = packed["rates"], packed["starts"]
    assert len(packed["cells"]) == 2 * len(rates) * len(starts) == table["run"].nunique()
    runs = table[(table["optimizer.lr"] == rates[0]) & (table["init.sigma"] == starts[-1])].sort_values("step")
    for arm, kind in (("none", "population"), ("batch", "batch")):
        run, cell = runs[runs["norm.name"] == arm], packed["cells"][f"{arm}|{rates[0]:g}|{starts[-1]:g}"]
        assert list(run["step"]) == packed["steps"]
        assert np.allclose(np.array(cell["correct"]) / 1000, run["test/accuracy"], atol=0.001)
        assert np.allclose(np.array(cell["saturated"][1]) / 1000, run[f"hidden2.act/{kind}/saturated"], atol=0.001)
        medians = np.stack(run[f"hidden3.act/{kind}/percentiles"].to_numpy())[:, 4]
        assert np.allclose(np.array(cell["percentiles"][2][1]) / 20, medians, atol=0.026)
        density = np.frombuffer(b64decode(cell["density"]), np.uint8).reshape(len(run), 3, packed["bins"])
        assert np.allclose(((density / 255) ** 2).sum(-1), 1, atol=0.1)


def test_without_its_table_there_is_no_explorer(tmp_path):
    assert explorer.packed(tmp_path) is None


# ---- in a browser -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def chromium():
    playwright = pytest.importorskip("playwright.sync_api", reason="pip install 'bnlab[browser]' brings playwright")
    found = shutil.which("chromium") or shutil.which("google-chrome")
    if not found:
        pytest.skip("no chromium on the path")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=found, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def ledger(chromium):
    """`ledger(hash, width)`: the committed page, opened; the test fails for whatever it complains of."""
    complaints: list[str] = []
    contexts = []

    def open_it(address: str = "", width: int = 1280):
        contexts.append(chromium.new_context(viewport={"width": width, "height": 800}, reduced_motion="reduce"))
        contexts[-1].set_default_timeout(180_000)  # ms: a busy machine is no fault of the page
        opened = contexts[-1].new_page()
        opened.on("console", lambda said: complaints.append(said.text) if said.type in ("error", "warning") else None)
        opened.on("pageerror", lambda error: complaints.append(str(error)))
        opened.on("request", lambda asked: complaints.append(asked.url) if asked.url.startswith("http") else None)
        opened.goto(f"{PAGE.as_uri()}{address}", wait_until="domcontentloaded")
        return opened

    yield open_it
    for context in contexts:
        context.close()
    assert complaints == []


def shown(opened) -> list[str]:
    return opened.eval_on_selector_all("article.claim", "all => all.filter(each => !each.hidden).map(each => each.id)")


@pytest.mark.parametrize("width", [320, 390, 1280])
def test_nothing_is_wider_than_the_screen(ledger, width):
    opened = ledger(width=width)
    opened.evaluate("document.querySelectorAll('details').forEach(each => each.open = true)")
    assert opened.evaluate("document.documentElement.scrollWidth") <= width


def test_the_slider_moves_the_picture_and_the_words(ledger):
    opened = ledger()
    before = opened.inner_html("#hills"), opened.inner_html("#curves"), opened.inner_text("#explorer-says")
    opened.focus("#moment")
    opened.keyboard.press("End")
    after = opened.inner_html("#hills"), opened.inner_html("#curves"), opened.inner_text("#explorer-says")
    assert all(old != new for old, new in zip(before, after, strict=True))
    assert f"step {explorer.packed(RESULTS)['steps'][-1]:,}" in after[2]


def test_the_explorer_shows_what_is_asked_for(ledger):
    opened = ledger()
    for action in ("rate", "start"):
        before = opened.inner_html("#hills")
        opened.select_option(
            f"#{action}", index=opened.eval_on_selector(f"#{action}", "each => each.selectedIndex ? 0 : 1")
        )
        assert opened.inner_html("#hills") != before
    before = opened.inner_html("#curves")
    opened.check("[name=layer][value='3']")
    assert opened.inner_html("#curves") != before
    opened.uncheck("[name=arm][value=none]")
    assert opened.locator("#hills .plain").count() == 0
    assert opened.locator("#hills .bn").count() > 0


def test_stories_set_the_explorer_to_what_there_is(ledger, packed):
    opened = ledger()
    for button in opened.locator(".stories button").all():
        button.click()
        assert button.get_attribute("aria-pressed") == "true"
        assert opened.inner_text("#story") == button.get_attribute("data-says")
        assert opened.input_value("#rate") == button.get_attribute("data-rate")
        assert opened.input_value("#start") == button.get_attribute("data-start")
        step = packed["steps"][int(opened.input_value("#moment"))]
        assert step == int(button.get_attribute("data-step"))


def test_filters_filter_stand_in_the_address_and_are_read_from_it(ledger):
    opened = ledger()
    everything = shown(opened)
    opened.focus("button[value=NULL]")
    opened.keyboard.press("Enter")
    left = shown(opened)
    answers = {path.parent.name: json.loads(path.read_text())["verdict"] for path in RESULTS.glob("*/verdict.json")}
    assert left == [name for name in everything if answers[name] == "NULL"]
    rows = opened.eval_on_selector_all("#overview li", "all => all.filter(each => !each.hidden).length")
    assert rows == len(left)
    again = ledger(re.search("#.*", opened.url)[0])
    assert shown(again) == left
    opened.click("#show-all")
    assert shown(opened) == everything


def test_a_chapter_and_a_source_are_filters_too(ledger):
    opened = ledger()
    opened.select_option("select[data-by=chapter]", index=1)
    chapter = opened.input_value("select[data-by=chapter]")
    assert {json.loads((RESULTS / name / "verdict.json").read_text())["chapter"] for name in shown(opened)} == {chapter}
    opened.select_option("select[data-by=source]", index=1)
    source = opened.input_value("select[data-by=source]")
    named = [json.loads((RESULTS / name / "verdict.json").read_text())["source"] for name in shown(opened)]
    assert all(page.paper(each) == source for each in named)


def test_without_scripts_every_claim_is_shown(chromium):
    context = chromium.new_context(java_script_enabled=False)
    opened = context.new_page()
    opened.goto(PAGE.as_uri())
    claims = len(list(RESULTS.glob("*/verdict.json")))
    assert opened.locator("article.claim >> visible=true").count() == claims
    assert not opened.is_visible("#filters")
    context.close()
