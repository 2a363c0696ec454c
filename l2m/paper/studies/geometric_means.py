"""Geometric means over seeds, with their 95 % t-intervals."""

from __future__ import annotations

import numpy as np
import pandas as pd

from l2m.report.statistics import half_width


def geometric_interval(values: pd.DataFrame) -> tuple[pd.Series[float], ...]:
    """The geometric mean of each row, and both ends of its 95 % t-interval; these are NaN for one column."""
    logarithms = values.apply(np.log)
    mean, half = logarithms.mean(axis=1), half_width(logarithms)
    return np.exp(mean), np.exp(mean - half), np.exp(mean + half)
