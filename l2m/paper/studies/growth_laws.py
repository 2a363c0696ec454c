"""Laws by which the best number of inner steps may grow with the budget, and their fit."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

LAWS: dict[str, Callable[[Any], Any]] = {
    "log N": np.log,
    "√(N log N)": lambda budget: np.sqrt(budget * np.log(budget)),
}
"""Laws of growth g(N) by name."""
CLAIMED = {"full": "log N", "stochastic": "√(N log N)"}
"""The claimed law of the best T, by the kind of gradients."""
CRITERIA = {"weights": "of the weights", "parameters": "of the parameters"}


def fit(law: str, steps: pd.Series[float]) -> tuple[float, float, float]:
    """a and b of T = a + b·g(N) with the least squared relative error, and the root of its mean."""
    g = LAWS[law](steps.index.to_numpy(float))
    b, a = np.polyfit(g, steps, 1, w=1 / steps)
    return float(a), float(b), float(np.sqrt(np.mean(((a + b * g) / steps - 1) ** 2)))


def best_steps(best: pd.DataFrame, gradients: str, criterion: str) -> pd.DataFrame:
    """The best T, budgets by seeds."""
    rows = best[(best["gradients"] == gradients) & (best["criterion"] == criterion)]
    return rows.pivot(index="budget", columns="seed", values="inner_steps")
