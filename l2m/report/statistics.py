"""Means, standard deviations, t-intervals and paired differences over seeds, and their text."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping
from typing import NamedTuple, TypeVar, overload

import numpy as np
import pandas as pd
from scipy import stats

K = TypeVar("K", bound=Hashable)

LEVEL = 0.95

MIN_SEEDS = 3
"""Common seeds that a difference needs for a verdict."""


class Difference(NamedTuple):
    """A mean paired difference over n seeds, and half of its 95 % t-interval, which is NaN for n < 2."""

    mean: float
    half_width: float
    n: int

    @property
    def excludes_zero(self) -> bool:
        return abs(self.mean) > self.half_width

    def text(self, digits: int, bold: bool = False) -> str:
        """``+6.2 ± 3.1``, see :func:`interval`; in Markdown's ``bold`` where the interval excludes 0."""
        text = interval(*self, digits)
        return f"**{text}**" if bold and self.excludes_zero else text


@overload
def half_width(values: pd.DataFrame, comparisons: int = 1, overlap: float = 0.0) -> pd.Series[float]: ...
@overload
def half_width(values: pd.Series[float], comparisons: int = 1, overlap: float = 0.0) -> float: ...
def half_width(
    values: pd.DataFrame | pd.Series[float], comparisons: int = 1, overlap: float = 0.0
) -> pd.Series[float] | float:
    """Half of the 95 % t-interval of the mean of a series, or of each row of a table; NaN for a single value.

    Missing values are left out. All of ``comparisons`` intervals hold at once with 95 % (Bonferroni). ``overlap`` is
    for values of repeated splits, whose training parts overlap: test samples by training samples (Nadeau and Bengio,
    2003).
    """
    n = values.T.count()
    t = stats.t.ppf(1 - (1 - LEVEL) / (2 * comparisons), n - 1)  # NaN without a degree of freedom
    half: pd.Series[float] | float = values.T.std(ddof=1) * t * np.sqrt(1 / np.maximum(n, 1) + overlap)
    return half


def geometric_interval(values: pd.DataFrame) -> tuple[pd.Series[float], ...]:
    """The geometric mean of each row, and both ends of its 95 % t-interval; these are NaN for one column."""
    logarithms = values.apply(np.log)
    mean, half = logarithms.mean(axis=1), half_width(logarithms)
    return np.exp(mean), np.exp(mean - half), np.exp(mean + half)


def standard_error(values: pd.Series[float], overlap: float = 0.0) -> float:
    """Of the mean of values; ``overlap`` is that of :func:`half_width`."""
    return float(values.std(ddof=1)) * math.sqrt(1 / len(values) + overlap)


def mean_in_pairs(theirs: pd.Series[float], ours: pd.Series[float]) -> float:
    """The mean of ``theirs`` over the seeds that ``ours`` has too: what a gain in % is a share of."""
    return float(theirs[theirs.index.intersection(ours.index)].mean())


def paired(ours: pd.Series[float], theirs: pd.Series[float], comparisons: int = 1, overlap: float = 0.0) -> Difference:
    """Ours − theirs on the seeds that both have; the mean is NaN where they have none in common."""
    difference = (ours - theirs).dropna()
    return Difference(float(difference.mean()), float(half_width(difference, comparisons, overlap)), len(difference))


def paired_p(ours: pd.Series[float], theirs: pd.Series[float], overlap: float = 0.0) -> float:
    """The two-sided p value of the paired t-test, 1 without a difference; ``overlap`` is that of :func:`half_width`."""
    difference = (ours - theirs).dropna()
    n = len(difference)
    if n < 2 or not difference.any():
        return 1.0
    error = standard_error(difference, overlap)
    return 2 * float(stats.t.sf(abs(float(difference.mean())) / error, n - 1)) if error else 0.0


def holm(p: Mapping[K, float]) -> dict[K, float]:
    """Holm's adjusted p values (1979): calling those below α differences errs on any with probability α at most."""
    adjusted, least = {}, 0.0
    for rank, key in enumerate(sorted(p, key=p.__getitem__)):
        least = max(least, min(1.0, (len(p) - rank) * p[key]))
        adjusted[key] = least
    return {key: adjusted[key] for key in p}


def spread(values: pd.Series[float], digits: int) -> str:
    """``74.2 ± 2.8``: mean and sd, ddof 1; one seed has no sd, and none is ``not run``."""
    mean, n = values.mean(), len(values)
    return "not run" if n == 0 else f"{mean:.{digits}f}" if n == 1 else f"{mean:.{digits}f} ± {values.std():.{digits}f}"


def significant(values: pd.Series[float], percent: bool) -> int:
    """:func:`digits_of` the values' mean."""
    return digits_of(float(values.mean()), percent)


def digits_of(mean: float, percent: bool) -> int:
    """Digits after the point for a mean and its sd: one, two for errors below 10, three that count below 0.1."""
    mean = abs(mean)
    return 2 - math.floor(math.log10(mean)) if 0 < mean < 0.1 else 2 if mean < 10 and not percent else 1


def signed(difference: float, digits: int) -> str:
    """``+3.2``, and ``0.0`` without a sign."""
    return f"{rounded:+.{digits}f}" if (rounded := round(difference, digits)) else f"{0:.{digits}f}"


def interval(mean: float, half_width: float, n: int, digits: int) -> str:
    """``+6.2 ± 3.1``: a difference and half of its interval; one seed has no interval, none no difference.

    More ``digits`` are printed where both would round to 0.
    """
    if 0 < (larger := max(abs(mean), half_width)) < 0.5 * 10**-digits:
        digits = -math.floor(math.log10(larger))
    return "" if n == 0 else signed(mean, digits) + (f" ± {half_width:.{digits}f}" if n > 1 else "")
