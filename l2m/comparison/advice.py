"""Which candidate to use, by held-out scores: the test part has no say in it."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

SIMPLEST = tuple(
    f"{model}{variant}"
    for model in ("ridge", "logistic_regression", "classical", "boosted_trees")
    for variant in ("", "_balanced", "_by_prior", "_by_threshold")
)
"""The simplest first; all others are equally less simple."""

DRAWS = 10_000


@dataclass(frozen=True)
class Advice:
    """The advised candidate.

    Attributes:
        best: the one with the best held-out mean.
        group: those within ``margin`` of it, itself among them, the best mean first.
        margin: how far below the best mean the group reaches, in units of the score.
        probability: that one of the group is the best of all.
        expected_loss: how far it is expected to be behind the best of all, in units of the score.
    """

    name: str
    best: str
    group: tuple[str, ...]
    margin: float
    probability: float
    expected_loss: float


def advise(
    scores: pd.DataFrame, within: float = 1.0, overlap: float = 0.0, simplest: Sequence[str] = SIMPLEST
) -> Advice:
    """Choose among candidates that were scored on the same held-out parts.

    A score is taken as the sum of its candidate's mean, its part's effect, and noise of one standard deviation for all:
    the median of the candidates', as five parts say little of each. The group is all whose mean is at most ``within``
    standard errors of a difference below the best; the simplest of them is advised.

    Args:
        scores: (parts, candidates), higher is better; two of each at least.
        overlap: held-out samples by those trained on. As the parts' training sets overlap, the variance of a mean over
            n parts is that of a part times 1 / n + overlap (Nadeau and Bengio, 2003); 0: the parts are independent.
        simplest: names, the simplest first; those not in it come last, by their mean.
    """
    means, (n, k) = scores.mean().sort_values(ascending=False, kind="stable"), scores.shape
    residuals = (scores - scores.mean()).sub((scores - scores.mean()).mean(axis=1), axis=0)
    noise = residuals.std(ddof=1).median() * math.sqrt(k / (k - 1))
    error = noise * math.sqrt(1 / n + overlap)
    margin = within * math.sqrt(2) * error
    group = list(means.index[means >= means.iloc[0] - margin])
    rank = {name: place for place, name in enumerate(simplest)}
    chosen = min(group, key=lambda name: rank.get(name, len(rank)))
    drawn = means.to_numpy() + error * np.random.default_rng(0).standard_normal((DRAWS, k))
    best = drawn.max(1)
    loss = best - drawn[:, means.index.get_loc(chosen)]
    of_group = float((drawn[:, : len(group)].max(1) == best).mean())
    return Advice(chosen, group[0], tuple(group), margin, of_group, float(loss.mean()))
