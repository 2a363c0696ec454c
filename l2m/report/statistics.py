"""Means, deviations and t-intervals over seeds, and how they are told."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping
from typing import TypeVar

import pandas as pd
from scipy import stats

K = TypeVar("K", bound=Hashable)

LEVEL = 0.95


def half_width(values: pd.DataFrame, comparisons: int = 1) -> pd.Series[float]:
    """Half of the 95 % t-interval of each row's mean over its n columns; NaN for n = 1.

    Of so many ``comparisons``, by Bonferroni, all intervals hold at once with 95 %.
    """
    n = values.shape[1]
    quantile = float(stats.t.ppf(1 - (1 - LEVEL) / (2 * comparisons), n - 1)) if n > 1 else math.nan
    return values.std(axis=1, ddof=1) * quantile / math.sqrt(n)


def half(values: pd.Series[float], comparisons: int = 1) -> float:
    """Half of the 95 % t-interval of the mean; NaN for one value."""
    return float(half_width(values.to_frame().T, comparisons).iloc[0])


def paired(ours: pd.Series[float], theirs: pd.Series[float], comparisons: int = 1) -> tuple[float, float, int]:
    """Mean of ours − theirs on the seeds both have, half of its 95 % t-interval, and their number."""
    difference = (ours - theirs).dropna()
    if not len(difference):
        return math.nan, math.nan, 0
    return float(difference.mean()), half(difference, comparisons), len(difference)


def paired_p(ours: pd.Series[float], theirs: pd.Series[float]) -> float:
    """The two-sided p value of the paired t-test; 1 where nothing differs, or fewer than two seeds are common."""
    difference = (ours - theirs).dropna()
    n = len(difference)
    if n < 2 or not difference.any():
        return 1.0
    error = float(difference.std(ddof=1)) / math.sqrt(n)
    return 2 * float(stats.t.sf(abs(float(difference.mean())) / error, n - 1)) if error else 0.0


def holm(p: Mapping[K, float]) -> dict[K, float]:
    """Holm's adjusted p values (1979): calling those below α differences errs on any with probability α at most."""
    adjusted, least = {}, 0.0
    for rank, key in enumerate(sorted(p, key=p.__getitem__)):
        least = max(least, min(1.0, (len(p) - rank) * p[key]))
        adjusted[key] = least
    return {key: adjusted[key] for key in p}


def decimals(value: float, percent: bool) -> int:
    """Digits after the point: one, and two for errors below 10."""
    return 2 if value < 10 and not percent else 1


def spread(values: pd.Series[float], digits: int) -> str:
    """``74.2 ± 2.8``: mean and sd, ddof 1; one seed has no sd, and none is ``not run``."""
    if not len(values):
        return "not run"
    mean = f"{values.mean():.{digits}f}"
    return mean if len(values) == 1 else f"{mean} ± {values.std(ddof=1):.{digits}f}"


def significant(values: pd.Series[float], percent: bool) -> int:
    """Digits after the point for a mean and its sd: one for accuracies in %, three digits in all for errors."""
    mean = abs(float(values.mean())) if len(values) else 1.0
    return 3 - math.floor(math.log10(mean)) - 1 if 0 < mean < 0.1 else decimals(mean, percent)


def bold_apart(text: str, mean: float, half: float) -> str:
    """``text`` in Markdown's bold if the interval ``mean`` ± ``half`` leaves 0 out."""
    return f"**{text}**" if abs(mean) > half else text


def interval(mean: float, half: float, n: int, digits: int) -> str:
    """``+6.2 ± 3.1``: a difference and half of its interval; one seed has no interval, none no difference.

    There are more ``digits`` where both would be told as 0.
    """
    if 0 < (larger := max(abs(mean), half)) < 0.5 * 10**-digits:
        digits = -math.floor(math.log10(larger))
    return "" if n == 0 else f"{mean:+.{digits}f}" if n == 1 else f"{mean:+.{digits}f} ± {half:.{digits}f}"
