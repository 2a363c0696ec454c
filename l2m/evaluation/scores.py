"""Scores of a trained model on a split, beyond the metric that records hold."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_softmax
from torch import Tensor

from l2m.data import Split

Floats = NDArray[np.floating]
Integers = NDArray[np.integer]

BINS = 15
"""Bins of confidence of equal width, as in the tables of Guo et al. (2017)."""


@dataclass(frozen=True)
class SampleResults:
    """Results of N samples, (N,) each, from which scores are computed; a bootstrap draw picks from them.

    Attributes:
        targets, labels: the true and the predicted class. None in a regression.
        confidence: the largest probability.
        log_likelihood: of the true class.
        squared, absolute: errors of a value, of an image the mean over its pixels. None in a classification.
    """

    groups: Integers
    targets: Integers | None = None
    labels: Integers | None = None
    confidence: Floats | None = None
    log_likelihood: Floats | None = None
    squared: Floats | None = None
    absolute: Floats | None = None

    def at(self, index: Integers) -> SampleResults:
        """The samples at ``index`` (M,), which may repeat."""
        return SampleResults(**{name: values[index] for name, values in vars(self).items() if values is not None})

    @property
    def is_right(self) -> NDArray[np.bool_]:
        """Whether the predicted class is the true one."""
        return np.asarray(self.labels == self.targets)


@dataclass(frozen=True)
class Score:
    """A score of a model on a split.

    Attributes:
        title: its name in tables.
        of: computes it.
        percent: whether it is a share in [0, 1], shown in %.
    """

    title: str
    of: Callable[[SampleResults], float]
    higher_is_better: bool
    percent: bool


def sample_results(outputs: Tensor, split: Split, unit: tuple[float, float] = (0.0, 1.0)) -> SampleResults:
    """Results from a model's ``outputs`` (N, k) for ``split``; values of a regression in ``unit`` (mean, sd)."""
    targets = split.batch(slice(None)).targets.flatten(1) if split.targets is None else split.targets
    groups = split.groups.cpu().numpy()
    if targets.is_floating_point():
        return value_results(outputs.double().numpy() * unit[1], targets.cpu().double().numpy() * unit[1], groups)
    return label_results(outputs.double().numpy(), targets.cpu().numpy(), groups)


def label_results(logits: Floats, targets: Integers, groups: Integers) -> SampleResults:
    """Results from logits (N, k) and classes (N,)."""
    logs = log_softmax(logits, axis=1)
    likelihood = logs[np.arange(len(logs)), targets]
    return SampleResults(groups, targets, logits.argmax(1), np.exp(logs.max(1)), likelihood)


def value_results(values: Floats, targets: Floats, groups: Integers) -> SampleResults:
    """Results from predicted values (N, k) and true ones (N, k)."""
    error = values - targets
    return SampleResults(groups, squared=(error**2).mean(1), absolute=np.abs(error).mean(1))


def balanced_accuracy(results: SampleResults) -> float:
    """The mean of the recalls of the classes that occur."""
    hits, samples, _ = _counts(results)
    return float((hits / samples).mean())


def macro_f1(results: SampleResults) -> float:
    """The mean of the F1 of the classes that occur; 0 for one that is never predicted."""
    hits, samples, predictions = _counts(results)
    return float((2 * hits / (samples + predictions)).mean())


def _counts(results: SampleResults) -> Integers:
    """Right predictions, samples and predictions of each class that occurs.

    scikit-learn's scores, from the same counts, take forty times as long, too long for a bootstrap.
    """
    targets, labels = np.asarray(results.targets), np.asarray(results.labels)
    k = 1 + int(max(targets.max(), labels.max()))
    counts = np.stack([np.bincount(each, minlength=k) for each in (targets[results.is_right], targets, labels)])
    return counts[:, counts[1] > 0]


def calibration_error(results: SampleResults) -> float:
    """The expected calibration error: Σ over bins of |accuracy − mean confidence|, weighted by their samples.

    Confidence is the largest probability. Guo et al., *On Calibration of Modern Neural Networks*, 2017, equation 3.
    """
    confidence = np.asarray(results.confidence)
    bins = np.ceil(confidence * BINS).astype(int).clip(1, BINS)  # ((m − 1) / BINS, m / BINS]
    return float(np.abs(np.bincount(bins, results.is_right - confidence)).sum() / len(bins))


def _mean(values: Callable[[SampleResults], Any]) -> Callable[[SampleResults], float]:
    return lambda results: float(np.mean(values(results)))


def _worst(
    values: Callable[[SampleResults], Any], worst: Callable[[Floats], float]
) -> Callable[[SampleResults], float]:
    """The worst mean over the groups that occur."""

    def score(results: SampleResults) -> float:
        sizes = np.bincount(results.groups)
        return float(worst((np.bincount(results.groups, values(results)) / sizes.clip(1))[sizes > 0]))

    return score


LABELS = {
    "balanced_accuracy": Score("balanced accuracy", balanced_accuracy, True, True),
    "accuracy": Score("accuracy", _mean(lambda results: results.is_right), True, True),
    "macro_f1": Score("macro F1", macro_f1, True, True),
    "worst_group": Score("worst group", _worst(lambda results: results.is_right, np.min), True, True),
    "calibration_error": Score("calibration error", calibration_error, False, True),
    "log_loss": Score("log loss", _mean(lambda results: -np.asarray(results.log_likelihood)), False, False),
}
VALUES = {
    "mean_squared_error": Score("mean squared error", _mean(lambda results: results.squared), False, False),
    "mean_absolute_error": Score("mean absolute error", _mean(lambda results: results.absolute), False, False),
    "worst_group": Score("worst group", _worst(lambda results: results.squared, np.max), False, False),
}
SCORES = {"classification": LABELS, "regression": VALUES, "reconstruction": VALUES}
"""By task, the scores by name; the first is the default ``metric`` of a comparison."""
