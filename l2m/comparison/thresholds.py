"""Predicted classes of a trained model by another rule than the largest probability."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from l2m.training.results import Integers, SampleResults
from l2m.training.scores import Score

MOVED = ("classical", "logistic_regression", "boosted_trees")
"""Models whose threshold is moved: they are trained without regard to imbalance."""

MOST = 200
"""Quantiles that are tried at most."""


def moved_rows(name: str, requested: Sequence[str] | None = None) -> list[str]:
    """Names of a model's candidates with another rule, those among the requested ones; None: all."""
    rows = [f"{name}_by_{rule}" for rule in ("prior", "threshold") if name in MOVED]
    return [row for row in rows if requested is None or row in requested]


def by_prior(results: SampleResults) -> SampleResults:
    """The class with the largest probability after division by its share of the training set."""
    probabilities, prior = np.asarray(results.probabilities), np.asarray(results.prior)
    return replace(results, labels=(probabilities / prior.clip(1e-300)).argmax(1))


def by_threshold(results: SampleResults, threshold: float) -> SampleResults:
    """Of two classes the second, where its probability is at least ``threshold``."""
    return replace(results, labels=(np.asarray(results.probabilities)[:, 1] >= threshold).astype(np.int64))


def choose_threshold(score: Score, parts: Sequence[SampleResults], excluded: Integers | None = None) -> float:
    """The threshold in (0, 1) with the best score on held-out parts taken together; of equal ones the middle one.

    Tried are the quantiles of the probabilities of the second class; for a class with less than a fiftieth of the
    samples, which are too coarse for it, those of its own samples too, and 0.5. Samples with ``excluded`` numbers are
    left out; it is 0.5 if the others are not of two classes.
    """
    kept = [slice(None) if excluded is None else ~np.isin(np.asarray(part.numbers), excluded) for part in parts]
    joined: dict[str, Any] = {
        name: np.concatenate([getattr(part, name)[own] for part, own in zip(parts, kept, strict=True)])
        for name in ("groups", "weights", "targets", "probabilities")
    }
    together = replace(parts[0], **joined)
    second, targets = np.asarray(together.probabilities)[:, 1], np.asarray(together.targets)
    if excluded is not None and len(np.unique(targets)) < 2:
        return 0.5
    rare = [second[targets == label] for label in np.unique(targets) if (targets == label).mean() < 1 / 50]
    quantiles = [np.quantile(each, np.linspace(0, 1, MOST)) for each in (second, *rare)]
    tried = np.unique(np.concatenate([*quantiles, [0.5] * len(rare)]).clip(np.finfo(float).tiny, np.nextafter(1, 0)))
    scores = np.array([score.of(by_threshold(together, threshold)) for threshold in tried])
    best = np.flatnonzero(scores == (scores.max() if score.higher_is_better else scores.min()))
    return float(tried[best[len(best) // 2]])
