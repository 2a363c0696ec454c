"""The rules of the verdicts, on made-up numbers and on the numbers that led to them."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from l2m.paper import verdict as verdicts
from l2m.paper.published import Printed
from l2m.paper.verdict import Judgement, first_verdict, judge_against, level, paper_effect

SPREAD = [-2.0, -1.0, 0.0, 1.0, 2.0]
"""Five seeds whose sd is √2.5 = 1.58."""

APART = pd.Series([0.1, -0.1, 0.05, -0.05, 0.0])
"""What keeps paired differences from being all the same: sd 0.079."""


def judge(*pair: object, higher_is_better: bool = True) -> Judgement:
    return verdicts.judge(*pair, higher_is_better=higher_is_better)  # type: ignore[arg-type]


def around(mean: float, spread: list[float] | None = None) -> pd.Series:
    return pd.Series([mean + value for value in spread or SPREAD], dtype=float)


def printed(mean: float, sd: float | None = 1.0, below: bool = False) -> Printed:
    return Printed(f"{mean}", mean, sd, below)


PAPER = printed(90.0), printed(80.0)  # Δ 10, with a standard error of √(1/4 + 1/4) = 0.707
ERROR = math.sqrt(0.5)


@pytest.mark.parametrize(
    ("difference", "verdict"),
    [(10.0, "confirmed"), (11.4, "confirmed"), (11.5, "larger"), (8.6, "confirmed"), (8.5, "smaller")],
)
def test_an_effect_is_judged_by_its_difference_to_the_papers(difference: float, verdict: str) -> None:
    """Two standard errors are 2·√(0.5 + 0.079²/5) = 1.416; where the means lie does not matter."""
    for base in (80.0, 20.0):
        judged = judge(around(base + difference) + APART, around(base), PAPER)
        assert judged.verdict == verdict
        assert judged.difference.mean == pytest.approx(difference)
        assert judged.difference.n == 5
        assert judged.paper == pytest.approx((10.0, ERROR))
        assert ("standard errors from the paper's" in judged.note) == (verdict != "confirmed")


def test_the_error_of_the_paper_is_that_of_means_of_five_runs() -> None:
    """Its sd divides by n: sd² · 5/4 / 5 = sd²/4."""
    draws = np.random.default_rng(0).normal(size=(100_000, 5))
    estimated = (draws.std(axis=1, ddof=0) ** 2 / 4).mean()
    assert estimated == pytest.approx(draws.mean(axis=1).var(), rel=0.02)
    assert judge(around(90.0), around(80.0), (printed(90.0, 3.0), printed(80.0, 4.0))).paper == (10.0, 2.5)


@pytest.mark.parametrize(
    ("paper", "shift", "seeds", "verdict", "note"),
    [
        (1.0, 0.5, 5, "inconclusive", "unclear in the paper"),  # holds 0, within reach of the paper's
        (10.0, 0.5, 5, "contradicted", "standard errors from the paper's"),
        (10.0, 0.5, 4, "inconclusive", "standard errors from the paper's"),  # too few to contradict
        (1.0, -3.0, 5, "contradicted", "the interval lies on the other side of 0"),
        (0.5, -0.5, 5, "inconclusive", "the interval lies on the other side of 0"),
        (10.0, 0.5, 2, "too few seeds", "2 in common"),
    ],
)
def test_an_interval_that_holds_0_or_lies_on_the_other_side(
    paper: float, shift: float, seeds: int, verdict: str, note: str
) -> None:
    noise = APART * (1 if shift < 0 else 20)
    ours, theirs = (around(80.0 + shift) + noise)[:seeds], around(80.0)[:seeds]
    judged = judge(ours, theirs, (printed(80.0 + paper), printed(80.0)))
    assert judged.verdict == verdict
    assert note in judged.note


def test_the_interval_is_scipys() -> None:
    ours, theirs = around(83.0) + 20 * APART, around(80.0)
    interval = stats.ttest_rel(ours, theirs).confidence_interval(0.95)
    judged = judge(ours, theirs, PAPER)
    mean, half_width, _ = judged.difference
    assert (mean - half_width, mean + half_width) == pytest.approx(interval)


@pytest.mark.parametrize(("first", "second"), [(0, 1), (1, 0)])
def test_the_side_is_the_papers_for_accuracies_and_errors(first: int, second: int) -> None:
    values, paper = (around(90.0) + APART, around(80.0)), PAPER
    pair, numbers = (values[first], values[second]), (paper[first], paper[second])
    assert judge(*pair, numbers, higher_is_better=first == 0).verdict == "confirmed"
    assert judge(*reversed(pair), numbers, higher_is_better=first == 0).verdict == "contradicted"


@pytest.mark.parametrize("pair", [(None, None), (None, printed(80.0)), (printed(90.0, None), printed(80.0, None))])
def test_without_an_sd_only_the_side_is_judged(pair: tuple[Printed | None, Printed | None]) -> None:
    better, worse = around(81.0) + APART, around(80.0)
    assert judge(better, worse, pair).verdict == "same sign"
    assert judge(worse, better, pair).verdict == "opposite"
    assert judge(worse + 20 * APART, worse, pair).verdict == "inconclusive"
    assert judge(worse, better, pair if pair[0] is None else pair[::-1], higher_is_better=False).verdict == "same sign"


def test_without_runs_there_is_no_verdict() -> None:
    for pair in ((None, around(1.0)), (around(1.0), None), (None, None)):
        judged = judge(*pair, PAPER)
        assert (judged.verdict, judged.difference.n, judged.paper) == ("not run", 0, pytest.approx((10.0, ERROR)))
    assert judge(pd.Series({0: 1.0}), pd.Series({1: 1.0}), PAPER).note == "no seed in common"


def test_equal_runs_hold_0() -> None:
    judged = judge(around(80.0), around(80.0), (None, None))
    assert (judged.verdict, judged.difference.mean, judged.difference.half_width) == ("inconclusive", 0.0, 0.0)


def test_what_the_paper_does_not_compare_with_is_no_claim() -> None:
    better, worse = around(81.0) + APART, around(80.0)
    assert judge_against("balanced", better, worse, PAPER, True).verdict == "better"
    assert judge_against("balanced", better, worse, PAPER, False).verdict == "worse"
    assert judge_against("balanced", worse + 20 * APART, worse, PAPER, True).verdict == "undecided"
    assert judge_against("balanced", better, None, PAPER, True).verdict == "not run"


def test_the_two_cases_that_replaced_the_first_rule() -> None:
    """MNIST at 0.25E: an effect of 6.2 ± 0.3 against 12.35; CIFAR-10 at E: 0.7 against 0.74, 7 points above."""
    mnist = printed(74.16, 2.79), printed(61.81, 4.80)
    ours = around(69.9, [5.5 * value / 1.58 for value in SPREAD])
    judged = judge(ours, ours - 6.2 - 6 * APART, mnist)
    assert (judged.first, judged.verdict) == ("reproduced", "smaller")
    cifar10 = printed(62.01, 0.59), printed(61.27, 0.77)
    judged = judge(around(69.1) + APART, around(68.4), cifar10)
    assert (judged.first, judged.verdict) == ("direction only", "confirmed")
    assert judged.paper is not None
    assert judged.paper.is_unclear


def test_a_level_has_a_tolerance() -> None:
    near = 2 * math.sqrt(1.0 / 4 + 2.5 / 5)
    for shift, within in ((0.99, True), (1.01, False), (-1.01, False)):
        found = level(around(90.0 + shift * near), PAPER[0])
        assert found is not None
        assert (found.tolerance, found.off) == pytest.approx((near, shift * near))
        assert found.is_within == within
    assert level(around(90.0), printed(90.0, None)) is None
    assert level(around(90.0)[:1], PAPER[0]) is None
    assert level(around(90.0), None) is None


def test_chance_is_that_of_equal_means() -> None:
    """Means of five runs of one and the same distribution lie outside nearly as often as ``chance`` says."""
    draws = np.random.default_rng(1).normal(size=(2000, 2, 5))
    outside, chance = 0, 0.0
    for theirs, ours in draws:
        found = level(pd.Series(ours), printed(theirs.mean(), theirs.std(ddof=0)))
        assert found is not None
        outside += not found.is_within
        chance += found.chance
    assert outside == pytest.approx(chance, rel=0.25)


def test_the_papers_effect_in_words() -> None:
    judged = judge(around(90.0), around(80.0), PAPER)
    assert paper_effect(judged.paper, 1) == "+10.0 ± 1.4"
    assert (
        paper_effect(judge(around(90.0), around(80.0), (printed(90.0, None), printed(80.0, None))).paper, 1) == "+10.0"
    )
    assert paper_effect(None, 1) == ""


# The first rule, whose words stay in the tables' CSV


@pytest.mark.parametrize(("shift", "verdict"), [(0.99, "reproduced"), (1.01, "direction only")])
@pytest.mark.parametrize("which", [0, 1])
def test_the_first_rule_asked_for_both_means_and_the_sign(shift: float, verdict: str, which: int) -> None:
    means = [90.0, 80.0]
    means[which] += shift * 2 * math.sqrt(1.0 / 5 + 2.5 / 5)
    ours, theirs = around(means[0]) + APART, around(means[1])
    assert first_verdict(ours, theirs, PAPER, True) == verdict
    assert first_verdict(theirs, ours, PAPER[::-1], False) == verdict
    assert first_verdict(theirs, ours, PAPER, True) == "not reproduced"
    assert first_verdict(ours, theirs, (None, None), True) == "direction only"
    assert first_verdict(ours[:1], theirs[:1], PAPER, True) == "too few seeds"


def test_the_first_rule_took_a_bound_as_met_from_below() -> None:
    for mean, verdict in ((1.0, "reproduced"), (15.0, "direction only")):
        ours, theirs = around(mean) + APART, around(30.0)
        pair = printed(2.0, None, below=True), printed(30.0, None)
        assert first_verdict(ours, theirs, pair, False) == verdict
