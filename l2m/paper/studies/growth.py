"""Laws of growth, fitted to the best number of steps T by budget N."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

LAWS: dict[str, Callable[[Any], Any]] = {
    "log N": np.log,
    "√(N log N)": lambda budget: np.sqrt(budget * np.log(budget)),
}
"""g(N) by its name."""


def geometric_mean(steps: pd.DataFrame) -> pd.Series[float]:
    """Of each row."""
    return pd.Series(np.exp(logarithms(steps).mean(axis=1)), steps.index)


def logarithms(steps: pd.DataFrame) -> pd.DataFrame:
    """Natural ones."""
    return pd.DataFrame(np.log(steps.to_numpy()), steps.index, steps.columns)


def fit(law: str, steps: pd.Series[float]) -> tuple[float, float, float]:
    """a and b of T = a + b·g(N) with the least squared relative error, and the root of its mean."""
    g = LAWS[law](steps.index.to_numpy(float))
    b, a = np.polyfit(g, steps, 1, w=1 / steps)
    return float(a), float(b), float(np.sqrt(np.mean(((a + b * g) / steps - 1) ** 2)))
