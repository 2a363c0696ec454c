"""The verdict on a claim that learn2mix does better than another strategy: a rule fixed before the runs.

*Reproduced*: our mean is within 2·√(sd_paper²/5 + sd²/n) of the paper's, for both strategies, and the 95 % t-interval
of the paired difference lies on the paper's side of 0, which it does not touch. *Direction only*: the interval alone
does. *Not reproduced*: it does not. *Too few seeds*: both have runs, but fewer than two seeds in common, which have no
interval: nothing is shown on either side of 0. *Not run*: one of the two has no runs.

Where the paper prints no sd, ours stands in for it; where it has no number for these settings, direction only is
the most there can be.
"""

from __future__ import annotations

import math
from typing import Literal, NamedTuple

import pandas as pd

from l2m.report.published import RUNS, Printed
from l2m.report.statistics import paired, significant

Verdict = Literal[
    "reproduced", "direction only", "not reproduced", "contradicted", "inconclusive", "too few seeds", "not run"
]

RULE = (
    "Verdict, by a rule fixed before the runs. Reproduced: for learn2mix and classical our mean is within "
    "2·√(sd_paper²/5 + sd²/n) of the paper's, and the interval of their paired difference lies on the paper's side "
    "of 0. Direction only: the interval alone does. Not reproduced: it does not. Too few seeds: fewer than two in "
    "common, which have no interval."
)


class Judgement(NamedTuple):
    """A verdict with what it rests on.

    Attributes:
        note: why it is no better; empty for reproduced.
        difference: mean of ours − theirs on the seeds both have, NaN without any.
        half: half of its 95 % t-interval, NaN for n < 2.
        n: seeds that both have.
    """

    verdict: Verdict
    note: str
    difference: float
    half: float
    n: int


class Line(NamedTuple):
    """A claim and what became of it; ``key`` finds its note in the ledger."""

    key: str
    claim: str
    paper: str
    ours: str
    judged: Judgement


def judge(
    ours: pd.Series[float] | None,
    theirs: pd.Series[float] | None,
    printed: tuple[Printed | None, Printed | None],
    higher_is_better: bool,
    other: str,
) -> Judgement:
    """The verdict on ``ours`` (learn2mix) being better than ``theirs``, both by seed, in the unit of ``printed``.

    ``other`` is what the note calls the strategy of ``theirs``. The paper's side of 0 is above it for accuracies and
    below it for errors and epochs.
    """
    if ours is None or theirs is None:
        return Judgement("not run", "", math.nan, math.nan, 0)
    difference, half, n = paired(ours, theirs)
    if n < 2:
        note = "one seed has no interval" if n else "no seed in common"
        return Judgement("too few seeds", note, difference, half, n)
    gain = difference if higher_is_better else -difference
    if not gain - half > 0:
        worse = gain + half < 0
        note = "the interval lies on the other side of 0" if worse else "the interval holds 0"
        return Judgement("not reproduced", note, difference, half, n)
    if None in printed:
        return Judgement("direction only", "the paper has no number for these settings", difference, half, n)
    sides = (("learn2mix", ours, printed[0]), (other, theirs, printed[1]))
    off = [
        f"{name} lies {told} than the paper's"
        for name, values, number in sides
        if number and (told := _off(values, number, percent=higher_is_better))
    ]
    return Judgement("direction only" if off else "reproduced", "; ".join(off), difference, half, n)


def _off(values: pd.Series[float], printed: Printed, percent: bool) -> str:
    """How far our mean lies off the paper's, ``2.3 higher``; empty if it is near enough."""
    mean, sd = float(values.mean()), float(values.std(ddof=1))
    near = 2 * math.sqrt((sd if printed.sd is None else printed.sd) ** 2 / RUNS + sd**2 / len(values))
    apart = mean - printed.mean
    if abs(apart) <= near or (apart < 0 and printed.below):
        return ""
    return f"{abs(apart):.{significant(values, percent)}f} {'higher' if apart > 0 else 'lower'}"
