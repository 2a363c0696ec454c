"""Means, deviations and t-intervals over seeds."""

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


def paired(ours: pd.Series[float], theirs: pd.Series[float]) -> tuple[float, float, int]:
    """Mean of ours − theirs on the seeds both have, half of its 95 % t-interval, and their number."""
    difference = (ours - theirs).dropna()
    if not len(difference):
        return math.nan, math.nan, 0
    return float(difference.mean()), float(half_width(difference.to_frame().T).iloc[0]), len(difference)
