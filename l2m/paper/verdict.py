"""Verdicts on the claim that learn2mix does better than another strategy: the level of each mean, and the effect.

``LEVEL_RULE`` and ``EFFECT_RULE`` say both in words. The paper's sd divides by n = 5, so that the standard error of its
mean is sd/√4; that of its Δ, √(sd₁²/4 + sd₂²/4), is an upper bound where its runs share initial parameters. Comparisons
that the paper does not make are not claims: learn2mix is *better*, *worse* or *undecided*.

These rules replaced the first one after most runs were in; :func:`first_verdict` is that one.
"""

from __future__ import annotations

import math
from typing import Literal, NamedTuple

import pandas as pd
from scipy import stats

from l2m.paper.published import RUNS, Printed
from l2m.paper.rows import CONTROLS
from l2m.paper.studies import Finding
from l2m.report.page_data import verdict_of
from l2m.report.statistics import MIN_SEEDS, Difference, interval, paired

Effect = Literal[
    "confirmed", "smaller", "larger", "same sign", "inconclusive", "opposite", "contradicted", "too few seeds",
    "not run",
]  # fmt: skip
"""Verdicts on a claim of the paper, in the order that they are counted in."""

Beside = Literal["better", "undecided", "worse", "too few seeds", "not run"]
"""Learn2mix beside a strategy that the paper does not compare it with."""

Verdict = Effect | Finding | Beside

SEEDS_TO_CONTRADICT = 5
"""Common seeds that an interval which holds 0 can contradict with."""

LEVEL_RULE = (
    "Level: within, if a mean is no further than 2·√(sd_paper²/4 + sd²/n) from the paper's, the number beside it; "
    "else outside. This tolerance grows with our own spread."
)

EFFECT_RULE = (
    "Effect, Δ = learn2mix − the other strategy: the paper's and ours agree if they differ by at most 2 standard "
    "errors of their difference. Our 95 % interval excludes 0 on the paper's side: confirmed if they agree, else "
    "smaller or larger. It holds 0: inconclusive if they agree, else contradicted, but never with fewer than five "
    "seeds. It lies on the other side of 0: contradicted if they disagree, else inconclusive, opposite. Too few "
    "seeds: fewer than three in common. Where the paper prints no sd, or no number: same sign, inconclusive or "
    "opposite. Unclear in the paper: its effect is below 2 of its own standard errors."
)

REPLACED = (
    "These rules replaced the first one after most runs were in. The first asked whether both means and the sign of "
    "the difference agree, and so it called MNIST at 0.25E reproduced, whose effect is half of the paper's, and "
    "CIFAR-10 direction only, whose effects at all three checkpoints are the paper's within a standard error. Its "
    "words stand in `results/tables/*.csv` as `first_rule`."
)

BESIDE_RULE = "Beside balanced and stratified, which the paper does not compare with: better, undecided or worse."


class PaperEffect(NamedTuple):
    """The paper's Δ = learn2mix − the other, and its standard error; None where it prints no sd."""

    mean: float
    error: float | None

    @property
    def is_unclear(self) -> bool:
        """Whether the paper's effect is below 2 of its own standard errors."""
        return self.error is not None and abs(self.mean) < 2 * self.error


class Judgement(NamedTuple):
    verdict: Verdict
    note: str = ""  # the grounds of the verdict, where its word does not say them
    difference: Difference = Difference(math.nan, math.nan, 0)  # ours − theirs on the seeds both have
    paper: PaperEffect | None = None  # the paper's difference; None where it has no numbers for these settings
    first: Finding = "not run"  # the verdict by the first rule


NOT_RUN = Judgement("not run")


class Level(NamedTuple):
    """How far our mean of n seeds is off the paper's, and the tolerance, both in the unit of the cell."""

    off: float
    tolerance: float
    chance: float  # probability that equal means differ by more than the tolerance (Welch's t-test)

    @property
    def is_within(self) -> bool:
        return abs(self.off) <= self.tolerance

    @property
    def word(self) -> str:
        return "within" if self.is_within else "outside"


class Line(NamedTuple):
    """A claim and its verdict; ``key`` finds its note in the ledger."""

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
) -> Judgement:
    """The verdict on ``ours`` (learn2mix) being better than ``theirs``, both by seed, in the unit of ``printed``.

    The claimed side is the paper's where it prints both numbers; else above 0 for accuracies and below it for errors
    and epochs.
    """
    paper = _paper_effect(printed)
    if ours is None or theirs is None:
        return NOT_RUN._replace(paper=paper)
    mean, half_width, n = difference = paired(ours, theirs)
    verdict: Verdict
    notes = []
    side = math.copysign(1, paper.mean) if paper and paper.mean else (1 if higher_is_better else -1)
    excludes, opposite = side * mean - half_width > 0, side * mean + half_width < 0
    if n < MIN_SEEDS:
        verdict = "too few seeds"
        notes = [f"{n} in common" if n else "no seed in common"]
    elif paper is None or paper.error is None:
        verdict = "same sign" if excludes else "opposite" if opposite else "inconclusive"
    else:
        z = abs(mean - paper.mean) / math.hypot(paper.error, float((ours - theirs).std(ddof=1)) / math.sqrt(n))
        agree = z <= 2
        if excludes:
            verdict = "confirmed" if agree else "smaller" if abs(mean) < abs(paper.mean) else "larger"
        elif opposite:
            verdict = "inconclusive" if agree else "contradicted"
            notes.append("the interval lies on the other side of 0")
        else:
            verdict = "inconclusive" if agree or n < SEEDS_TO_CONTRADICT else "contradicted"
        if not agree:
            notes.append(f"{z:.1f} standard errors from the paper's Δ")
        if paper.is_unclear:
            notes.append("unclear in the paper")
    return Judgement(
        verdict, "; ".join(notes), difference, paper, first_verdict(ours, theirs, printed, higher_is_better)
    )


def judge_against(
    other: str,
    ours: pd.Series[float] | None,
    theirs: pd.Series[float] | None,
    printed: tuple[Printed | None, Printed | None],
    higher_is_better: bool,
) -> Judgement:
    """:func:`judge`, or no claim where the other is one of ``CONTROLS``: better, worse or undecided."""
    if other not in CONTROLS:
        return judge(ours, theirs, printed, higher_is_better)
    judged = judge(ours, theirs, (None, None), higher_is_better)
    if judged.verdict == "not run":
        return judged
    return judged._replace(verdict=verdict_of(judged.difference, higher_is_better))


def level(values: pd.Series[float], printed: Printed | None) -> Level | None:
    """How near ``values``, by seed and in the unit of ``printed``, are to it; None without an sd of either."""
    n = len(values)
    if printed is None or printed.sd is None or n < 2:
        return None
    theirs, ours = printed.sd**2 / (RUNS - 1), float(values.var(ddof=1)) / n
    freedom = (theirs + ours) ** 2 / (theirs**2 / (RUNS - 1) + ours**2 / (n - 1))
    return Level(float(values.mean()) - printed.mean, 2 * math.sqrt(theirs + ours), 2 * float(stats.t.sf(2, freedom)))


def paper_effect(paper: PaperEffect | None, digits: int) -> str:
    """The paper's Δ ± 2 standard errors, ``+1.9 ± 1.5``; without an sd its difference alone, without numbers empty."""
    if paper is None:
        return ""
    return interval(paper.mean, 2 * (paper.error or 0.0), 1 if paper.error is None else RUNS, digits)


def first_verdict(
    ours: pd.Series[float],
    theirs: pd.Series[float],
    printed: tuple[Printed | None, Printed | None],
    higher_is_better: bool,
) -> Finding:
    """The verdict by the rule that was in force before most runs, kept in the tables' CSV.

    Reproduced: for both strategies our mean is within 2·√(sd_paper²/5 + sd²/n) of the paper's, and the interval of the
    paired difference lies on the claimed side of 0. Direction only: the interval does, a mean is not within. Not
    reproduced: the interval does not. Where the paper prints no sd, ours stands in for it.
    """
    mean, half_width, n = paired(ours, theirs)
    if n < 2:
        return "too few seeds"
    if not (mean if higher_is_better else -mean) - half_width > 0:
        return "not reproduced"
    for values, number in zip((ours, theirs), printed, strict=True):
        if number is None:
            return "direction only"
        sd, off = float(values.std(ddof=1)), float(values.mean()) - number.mean
        near = 2 * math.sqrt((sd if number.sd is None else number.sd) ** 2 / RUNS + sd**2 / len(values))
        if abs(off) > near and not (off < 0 and number.below):
            return "direction only"
    return "reproduced"


def _paper_effect(printed: tuple[Printed | None, Printed | None]) -> PaperEffect | None:
    ours, theirs = printed
    if ours is None or theirs is None:
        return None
    error = None
    if ours.sd is not None and theirs.sd is not None:
        error = math.hypot(ours.sd, theirs.sd) / math.sqrt(RUNS - 1)
    return PaperEffect(ours.mean - theirs.mean, error)
