"""Means, deviations and t-intervals over seeds, and how they are told."""

from __future__ import annotations

import math

import pandas as pd
from scipy import stats

LEVEL = 0.95


def half_width(values: pd.DataFrame) -> pd.Series[float]:
    """Half of the 95 % t-interval of each row's mean over its n columns; NaN for n = 1."""
    n = values.shape[1]
    quantile = float(stats.t.ppf((1 + LEVEL) / 2, n - 1)) if n > 1 else math.nan
    return values.std(axis=1, ddof=1) * quantile / math.sqrt(n)


def half(values: pd.Series[float]) -> float:
    """Half of the 95 % t-interval of the mean; NaN for one value."""
    return float(half_width(values.to_frame().T).iloc[0])


def paired(ours: pd.Series[float], theirs: pd.Series[float]) -> tuple[float, float, int]:
    """Mean of ours − theirs on the seeds both have, half of its 95 % t-interval, and their number."""
    difference = (ours - theirs).dropna()
    if not len(difference):
        return math.nan, math.nan, 0
    return float(difference.mean()), half(difference), len(difference)


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


def interval(mean: float, half: float, n: int, digits: int) -> str:
    """``+6.2 ± 3.1``: a difference and half of its interval; one seed has no interval, none no difference."""
    return "" if n == 0 else f"{mean:+.{digits}f}" if n == 1 else f"{mean:+.{digits}f} ± {half:.{digits}f}"
