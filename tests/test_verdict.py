"""The verdict rule, on made-up numbers."""

from __future__ import annotations

import math

import pandas as pd
import pytest

from l2m.report.published import Printed
from l2m.report.verdict import Judgement
from l2m.report.verdict import judge as judge_against

SPREAD = [-2.0, -1.0, 0.0, 1.0, 2.0]
"""Five seeds whose sd is √2.5 = 1.58."""


def judge(*pair: object, higher_is_better: bool) -> Judgement:
    return judge_against(*pair, higher_is_better=higher_is_better, other="classical")  # type: ignore[arg-type]


def around(mean: float, spread: list[float] = SPREAD) -> pd.Series:
    return pd.Series([mean + value for value in spread], dtype=float)


def printed(mean: float, sd: float | None = 1.0, below: bool = False) -> Printed:
    return Printed(f"{mean}", mean, sd, below)


PAPER = printed(90.0), printed(80.0)
NEAR = 2 * math.sqrt(1.0**2 / 5 + 2.5 / 5)  # 1.67
APART = [0.1, -0.1, 0.05, -0.05, 0.0]
"""What keeps paired differences from being all the same."""


def test_reproduced_needs_both_means_and_the_interval() -> None:
    ours, theirs = around(90.0), around(80.0) + pd.Series(APART)
    judged = judge(ours, theirs, PAPER, higher_is_better=True)
    assert (judged.verdict, judged.note, judged.n) == ("reproduced", "", 5)
    assert judged.difference == pytest.approx(10.0)
    assert 0 < judged.half < 0.2


@pytest.mark.parametrize(("shift", "verdict"), [(0.99, "reproduced"), (1.01, "direction only")])
@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("which", [0, 1])
def test_a_mean_that_is_off_leaves_the_direction(shift: float, verdict: str, sign: int, which: int) -> None:
    means = [90.0, 80.0]
    means[which] += sign * shift * NEAR
    judged = judge(around(means[0]), around(means[1]), PAPER, higher_is_better=True)
    assert judged.verdict == verdict
    if verdict == "direction only":
        name, side = ("learn2mix", "classical")[which], "higher" if sign > 0 else "lower"
        assert judged.note == f"{name} lies 1.7 {side} than the paper's"


def test_an_interval_that_holds_0_is_not_reproduced_however_near_the_means() -> None:
    close = printed(80.5), printed(80.0)
    judged = judge(around(80.5), around(80.0, SPREAD[::-1]), close, higher_is_better=True)
    assert (judged.verdict, judged.note) == ("not reproduced", "the interval holds 0")


def test_the_papers_side_of_errors_is_below_0() -> None:
    paper = printed(1.0), printed(2.0)
    small = [value / 10 for value in SPREAD]
    better, worse = around(1.0, small), around(2.0, small)
    assert judge(better, worse, paper, higher_is_better=False).verdict == "reproduced"
    judged = judge(worse, better, paper[::-1], higher_is_better=False)
    assert (judged.verdict, judged.note) == ("not reproduced", "the interval lies on the other side of 0")


def test_an_interval_that_touches_0_is_not_on_a_side() -> None:
    same = around(1.0)
    judged = judge(same, same, (printed(1.0), printed(1.0)), higher_is_better=True)
    assert (judged.difference, judged.half) == (0.0, 0.0)
    assert judged.verdict == "not reproduced"


def test_one_seed_has_no_interval_so_nothing_is_shown() -> None:
    judged = judge(pd.Series([90.0]), pd.Series([80.0]), PAPER, higher_is_better=True)
    assert (judged.verdict, judged.note, judged.n) == ("too few seeds", "one seed has no interval", 1)
    assert math.isnan(judged.half)


def test_seeds_that_are_not_shared_show_nothing() -> None:
    ours, theirs = pd.Series({0: 90.0, 1: 91.0}), pd.Series({2: 80.0, 3: 81.0})
    judged = judge(ours, theirs, PAPER, higher_is_better=True)
    assert (judged.verdict, judged.note, judged.n) == ("too few seeds", "no seed in common", 0)


def test_without_one_of_the_two_it_is_not_run() -> None:
    for pair in ((None, around(80.0)), (around(90.0), None), (None, None)):
        assert judge(*pair, PAPER, higher_is_better=True).verdict == "not run"


def test_without_a_number_of_the_papers_direction_is_the_most() -> None:
    for pair in ((None, None), (None, PAPER[1]), (PAPER[0], None)):
        judged = judge(around(90.0), around(80.0), pair, higher_is_better=True)
        assert (judged.verdict, judged.note) == ("direction only", "the paper has no number for these settings")


def test_where_the_paper_prints_no_sd_ours_stands_in() -> None:
    near = 2 * math.sqrt(2.5 / 5 + 2.5 / 5)
    for shift, verdict in ((0.99, "reproduced"), (1.01, "direction only")):
        pair = printed(90.0 + shift * near, None), printed(80.0, None)
        assert judge(around(90.0), around(80.0), pair, higher_is_better=True).verdict == verdict


def test_a_note_has_the_digits_of_its_table() -> None:
    """Errors below 10 have two, and lower ones are not called better or worse."""
    small = [value / 10 for value in SPREAD]
    judged = judge(
        around(1.5, small), around(3.0, small[::-1]), (printed(2.0, 0.1), printed(2.5, 0.1)), higher_is_better=False
    )
    assert judged.note == "learn2mix lies 0.50 lower than the paper's; classical lies 0.50 higher than the paper's"


def test_below_a_bound_is_near_it_however_far() -> None:
    for mean, verdict in ((1.0, "reproduced"), (15.0, "direction only")):
        pair = printed(10.0, None, below=True), printed(30.0, None)
        assert judge(around(mean), around(30.0), pair, higher_is_better=False).verdict == verdict
