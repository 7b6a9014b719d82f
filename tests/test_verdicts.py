"""The verdict rule: by hand, and on made seeds of which the truth is known."""

import math
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from bnlab import verdicts
from bnlab.plots.style import save
from bnlab.verdicts import Answer, answer, decide

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "scripts"))

import simulate  # noqa: E402

INF = math.inf


def effect(*numbers: float | tuple[float, float]) -> pd.DataFrame:
    """The effect of each seed, a number or an interval."""
    return pd.DataFrame([n if isinstance(n, tuple) else (n, n) for n in numbers], columns=["lo", "hi"], dtype=float)


def shares(trained: int, of: int, than: float = 0.5, unit: float = 1) -> pd.DataFrame:
    found = effect(*[unit * (reached - than) for reached in [1] * trained + [0] * (of - trained)])
    found.attrs["share"] = (than, unit)
    return found


# ---- one interval -----------------------------------------------------------------------------------------


def test_looks_spend_more_and_more_and_five_per_cent_in_all():
    assert verdicts.spending(4) == pytest.approx([0.005, 0.010, 0.015, 0.020])
    assert verdicts.spending(1) == [0.05]
    assert verdicts.spending(3, questions=5) == pytest.approx([0.05 * k / 6 / 5 for k in (1, 2, 3)])


@pytest.mark.parametrize(("look", "n", "quantile"), [(0, 6, 4.77), (1, 12, 3.11), (2, 24, 2.63), (3, 48, 2.41)])
def test_each_look_is_students_interval_at_its_level(look, n, quantile):
    seeds = np.tile([1.0, 2.0], n // 2)  # mean 1.5
    half_width = quantile * 0.5 * math.sqrt(n / (n - 1)) / math.sqrt(n)
    found = verdicts.interval(effect(*seeds), verdicts.spending(4)[look])
    assert found == pytest.approx((1.5 - half_width, 1.5 + half_width), abs=0.002)


def test_of_intervals_the_lower_ends_give_the_lower_end_and_the_upper_the_upper():
    lo, hi = [0.0, 1.0, 2.0], [5.0, 5.0, 8.0]
    found = verdicts.interval(effect(*zip(lo, hi, strict=True)), 0.05)
    low, high = (stats.ttest_1samp(ends, 0).confidence_interval(0.95) for ends in (lo, hi))
    assert found == pytest.approx((low.low, high.high))


@pytest.mark.parametrize(
    ("seeds", "infinite"),
    [([(1, INF), (1, 2), (1, 3)], (False, True)), ([(-INF, 1), 2, 3], (True, False)), ([(-INF, INF), 1], (True, True))],
)
def test_a_seed_without_bound_leaves_the_mean_without_bound_on_that_side(seeds, infinite):
    assert tuple(math.isinf(end) for end in verdicts.interval(effect(*seeds), 0.05)) == infinite


def test_equal_seeds_have_an_interval_of_no_width():
    assert verdicts.interval(effect(0.5, 0.5, 0.5), 0.05) == (0.5, 0.5)


@pytest.mark.parametrize("unit", [1, 100])
@pytest.mark.parametrize(("trained", "of"), [(0, 6), (3, 12), (12, 12), (20, 24)])
def test_shares_have_clopper_and_pearsons_interval(trained, of, unit):
    low = stats.beta.ppf(0.025, trained, of - trained + 1) if trained else 0
    high = stats.beta.ppf(0.975, trained + 1, of - trained) if trained < of else 1
    found = verdicts.interval(shares(trained, of, 0.25, unit), 0.05)
    assert found == pytest.approx((unit * (low - 0.25), unit * (high - 0.25)))


# ---- the verdict ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("lo", "hi", "now", "at_last"),
    [
        (0.51, 0.9, "REPRODUCED", "REPRODUCED"),
        (0.51, INF, "REPRODUCED", "REPRODUCED"),
        (0.5, 0.9, "", "DIRECTION"),  # not beyond δ
        (-0.9, -0.51, "CONTRADICTED", "CONTRADICTED"),
        (-0.9, -0.5, "", "DIRECTION"),
        (-0.49, 0.49, "NULL", "NULL"),
        (0.1, 0.49, "NULL", "NULL"),  # there is an effect, too small to matter
        (-0.5, 0.4, "", "OPEN"),
        (-0.4, 0.5, "", "OPEN"),
        (0.0, 0.9, "", "OPEN"),
        (0.01, 0.9, "", "DIRECTION"),
        (-INF, INF, "", "OPEN"),
        (0.9, 0.8, "OPEN", "OPEN"),  # looks that contradict each other
    ],
)
def test_the_rule(lo, hi, now, at_last):
    assert decide(lo, hi, 0.5, last=False) == now
    assert decide(lo, hi, 0.5, last=True) == at_last


LOOKS = [4, 8, 16]
CLEAR, SMALL = [9.9, 10.1] * 8, [0.4, 0.6] * 8


def answered(seeds: list, n: int, **terms: object) -> Answer:
    return answer(effect(*seeds[:n]), 1.0, LOOKS, **terms)


def test_seeds_stop_as_soon_as_it_is_decided():
    assert (answered(CLEAR, 3).verdict, answered(CLEAR, 3).looks) == ("", 0)
    for n in (4, 8, 16):  # what comes after the look that decided changes nothing
        assert answered(CLEAR, n) == answered(CLEAR, 4)
    found = answered(CLEAR, 4)
    assert (found.verdict, found.seeds, found.looks, found.estimate) == ("REPRODUCED", 4, 1, pytest.approx(10))
    assert answered([-x for x in CLEAR], 16).verdict == "CONTRADICTED"
    assert answered(SMALL, 16).verdict == "NULL"


def test_an_undecided_look_asks_for_the_next_and_the_last_says_what_it_can():
    noisy = [-3.0, 5.0] * 8
    assert [answered(noisy, n).verdict for n in (4, 8, 15, 16)] == ["", "", "", "OPEN"]
    assert [answered(noisy, n).looks for n in (4, 8, 15, 16)] == [1, 2, 2, 3]
    steady = [0.5, 1.9] * 8
    assert answered(steady, 16).verdict == "DIRECTION"
    assert verdicts.in_words(answered(steady, 16)) == "yes, but it may be too small to matter"
    assert verdicts.in_words(answered([-x for x in steady], 16)).startswith("the opposite, but it may be too small")


def test_what_an_earlier_look_excluded_stays_excluded():
    seeds = [2.0, 2.1, 1.9, 2.0, -9.0, 9.0, -9.0, 9.0]  # the first four say 2
    first, second = (verdicts.interval(effect(*seeds[:n]), a) for n, a in ((4, 0.05 / 6), (8, 0.1 / 6)))
    found = answer(effect(*seeds), 1.99, LOOKS)
    assert second[0] < first[0] < first[1] < second[1]
    assert (found.lo, found.hi, found.looks) == (*first, 2)


def test_looks_that_contradict_each_other_are_open_and_end_it():
    seeds = [0.0, 0.001, 0.0, 0.001] + [20.0] * 12
    found = answer(effect(*seeds), 1e-4, LOOKS)
    assert (found.verdict, found.looks) == ("OPEN", 3)
    assert found.lo > found.hi


def test_a_question_beside_the_first_is_judged_at_the_looks_there_are():
    assert answered(CLEAR, 16, until=2).seeds == 8  # not decided at its first, though it could be
    noisy = answered([-3.0, 5.0] * 8, 16, until=2)
    assert (noisy.verdict, noisy.seeds, noisy.looks) == ("OPEN", 8, 2)
    alone, beside = answered([0.5, 1.9] * 8, 16, until=3), answered([0.5, 1.9] * 8, 16, until=3, questions=4)
    assert beside.lo < alone.lo < alone.hi < beside.hi  # each of four has a fourth of the error


def test_without_a_number_there_is_a_bound():
    found = answered([(3.0, INF)] + [(3.0, 3.1)] * 3, 4)
    assert (found.verdict, found.lo, found.hi, found.estimate) == ("REPRODUCED", 3.0, INF, INF)
    assert math.isnan(answered([(-INF, INF)] * 4, 4).estimate)


def test_what_share_trains_is_decided_by_how_many_do():
    assert answer(shares(12, 12), 0.1, [12]).verdict == "REPRODUCED"
    assert answer(shares(0, 12), 0.1, [12]).verdict == "CONTRADICTED"
    assert answer(shares(7, 12), 0.1, [12]).verdict == "OPEN"


# ---- p and q ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "seeds",
    [
        effect(0.2, 0.9, 1.1, 0.4),
        effect(-0.2, -0.9, -1.1, 0.4),
        effect((0.5, 0.9), (0.3, 2), (0.7, 0.8)),
        shares(9, 10),
    ],
)
def test_p_is_the_level_at_which_the_interval_ends_at_zero(seeds):
    p = verdicts.p_value(seeds)
    assert 0 < p < 1
    nearest = [min(verdicts.interval(seeds, level), key=abs) for level in (0.99 * p, p, 1.01 * p)]
    assert nearest[1] == pytest.approx(0, abs=1e-9)
    assert nearest[0] * nearest[2] < 0  # it holds 0 below, and not above


def test_p_is_that_of_the_t_test_and_of_the_exact_one():
    numbers = [0.2, 0.9, 1.1, 0.4, -0.3]
    assert verdicts.p_value(effect(*numbers)) == pytest.approx(stats.ttest_1samp(numbers, 0).pvalue)
    assert verdicts.p_value(shares(9, 10)) == pytest.approx(2 * 11 / 2**10)  # 9 or 10 of ten, or 1 or 0
    assert verdicts.p_value(effect((-INF, INF), 1.0)) == 1


def test_q_values_are_scipys():
    p = np.random.default_rng(0).uniform(size=50) ** 3
    assert verdicts.q_values([*p, 1.0, 1.0]) == pytest.approx(stats.false_discovery_control([*p, 1.0, 1.0]))


def test_q_values_by_hand():
    assert verdicts.q_values([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.04, 0.04])
    assert verdicts.q_values([]) == []


# ---- does it keep its promise? ----------------------------------------------------------------------------

MANY = 4000  # repetitions, from a fixed seed


def worst_coverage() -> float:
    """Where the effect is δ itself: there one stops last."""
    return simulate.coverage("normal", 1.0, simulate.LOOKS, MANY)


def test_the_interval_holds_the_truth_as_often_as_it_says():
    assert all(simulate.coverage("normal", truth, simulate.LOOKS, MANY) >= 0.95 for truth in (0.0, 0.5, 1.0, 2.0))


def five_per_cent_each(monkeypatch):
    monkeypatch.setattr(verdicts, "spending", lambda looks: [0.05] * looks)


def the_last_look_alone(monkeypatch):
    five_per_cent_each(monkeypatch)
    monkeypatch.setattr(verdicts, "intersection", lambda before, now: now)


def normal_quantiles(monkeypatch):
    others = SimpleNamespace(stdtrit=lambda freedom, q: stats.norm.ppf(q))
    monkeypatch.setattr(verdicts, "special", others)


@pytest.mark.parametrize("mistake", [five_per_cent_each, the_last_look_alone, normal_quantiles])
def test_a_rule_that_is_wrong_does_not(mistake, monkeypatch):
    mistake(monkeypatch)
    assert worst_coverage() < 0.94


def test_the_simulation_judges_as_the_rule_does():
    effects = simulate.made("skewed (log-normal)", 0.9, 1.0, (60, 48))
    together = simulate.judged(effects, 1.0, simulate.LOOKS)
    alone = [answer(effect(*seeds), 1.0, simulate.LOOKS) for seeds in effects]
    assert len(set(together["verdict"])) > 1
    for key in ("verdict", "seeds", "lo", "hi"):
        assert together[key].tolist() == pytest.approx([getattr(found, key) for found in alone], nan_ok=True)


def test_made_seeds_scatter_as_they_are_said_to():
    for shape in simulate.SHAPES:
        made = simulate.made(shape, 3.0, 0.5, (2000, 500))
        assert made.mean() == pytest.approx(3, abs=0.01)
        assert made.std() == pytest.approx(0.5, rel=0.05)


def test_the_page_shows_what_the_simulation_gives(tmp_path, monkeypatch, capsys):
    page, again = ROOT / "docs" / "rule.md", tmp_path / "rule.md"
    text = page.read_text(encoding="utf-8")
    again.write_text(simulate.replaced(text, "nothing"), encoding="utf-8")
    monkeypatch.setattr(sys, "argv", ["simulate.py", "--out", str(again)])
    simulate.main()
    assert "REPRODUCED" in capsys.readouterr().out
    assert again.read_text(encoding="utf-8") == text


def test_the_picture_of_the_rule_is_drawn_from_committed_numbers(tmp_path):
    save(simulate.picture(ROOT / "results", simulate.SHOWN), tmp_path / "rule.png")
    assert (tmp_path / "rule.png").read_bytes() == (ROOT / "results" / "rule.png").read_bytes()
