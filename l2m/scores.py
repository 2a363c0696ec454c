"""Scores of a trained model on a split, beside the metric that records hold."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_softmax
from torch import Tensor

from l2m.data import Split

Floats = NDArray[np.floating]
Integers = NDArray[np.integer]

BINS = 15
"""Of confidence, equally wide, as in the tables of Guo et al. (2017)."""


@dataclass(frozen=True)
class Predicted:
    """What a model makes of N samples, and what they are.

    Attributes:
        outputs: (N, k) logits, or values.
        targets: (N,) labels, or values (N, k).
        groups: (N,).
    """

    outputs: Floats
    targets: NDArray[np.generic]
    groups: Integers

    def at(self, index: Integers) -> Predicted:
        """The samples at ``index`` (M,), which may hold one several times."""
        return Predicted(self.outputs[index], self.targets[index], self.groups[index])

    @property
    def labels(self) -> Integers:
        """(N,) the class of the largest logit."""
        return np.asarray(self.outputs.argmax(1))


@dataclass(frozen=True)
class Score:
    """A number that a model gets for a split.

    Attributes:
        title: as a table calls it.
        of: what it is.
        percent: whether it is a share in [0, 1], told in %.
    """

    title: str
    of: Callable[[Predicted], float]
    higher_is_better: bool
    percent: bool


def predicted(outputs: Tensor, split: Split, unit: tuple[float, float] = (0.0, 1.0)) -> Predicted:
    """The model's ``outputs`` (N, k) for the samples of ``split``, both with ``unit``'s mean + sd·t in a regression."""
    targets = split.batch(slice(None)).targets.flatten(1) if split.targets is None else split.targets
    if targets.is_floating_point():
        mean, sd = unit
        outputs, targets = mean + sd * outputs.double(), mean + sd * targets.double()
    return Predicted(outputs.double().numpy(), targets.cpu().numpy(), split.groups.cpu().numpy())


def accuracy(on: Predicted) -> float:
    """The share of samples whose class is the largest logit's."""
    return float((on.labels == on.targets).mean())


def balanced_accuracy(on: Predicted) -> float:
    """The mean of the classes' recalls, over the classes that there are."""
    hit, there, _ = _counts(on)
    return float((hit / there).mean())


def macro_f1(on: Predicted) -> float:
    """The mean of the classes' F1, over the classes that there are; 0 for one that is never predicted."""
    hit, there, said = _counts(on)
    return float((2 * hit / (there + said)).mean())


def _counts(on: Predicted) -> tuple[Integers, Integers, Integers]:
    """Of each class that there is, samples that are right, samples, and predictions.

    scikit-learn's scores, made of the same counts, take forty times as long, which a bootstrap waits for.
    """
    said, targets = on.labels, on.targets.astype(int)
    hit, there, predicted = (
        np.bincount(labels, minlength=on.outputs.shape[1]) for labels in (targets[said == targets], targets, said)
    )
    return hit[there > 0], there[there > 0], predicted[there > 0]


def calibration_error(on: Predicted) -> float:
    """The expected calibration error: Σ over bins of |accuracy − mean confidence|, weighted by their samples.

    Confidence is the largest probability. Guo et al., *On Calibration of Modern Neural Networks*, 2017, equation 3.
    """
    confidence = np.exp(log_softmax(on.outputs, axis=1).max(1))
    bins = np.ceil(confidence * BINS).astype(int).clip(1, BINS)  # ((m − 1) / BINS, m / BINS]
    apart = np.bincount(bins, (on.labels == on.targets) - confidence)
    return float(np.abs(apart).sum() / len(bins))


def log_loss(on: Predicted) -> float:
    """The mean negative log-likelihood of the labels, in nats."""
    logs = log_softmax(on.outputs, axis=1)
    return float(-logs[np.arange(len(logs)), on.targets.astype(int)].mean())


def mean_squared_error(on: Predicted) -> float:
    """In the target's unit squared; of images, a pixel's mean."""
    from sklearn.metrics import mean_squared_error

    return float(mean_squared_error(on.targets, on.outputs))


def mean_absolute_error(on: Predicted) -> float:
    """In the target's unit; of images, a pixel's mean."""
    from sklearn.metrics import mean_absolute_error

    return float(mean_absolute_error(on.targets, on.outputs))


def _worst(score: Callable[[Predicted], float], worst: Callable[[list[float]], float]) -> Callable[[Predicted], float]:
    """The worst of a score over the groups that there are."""

    def of(on: Predicted) -> float:
        return worst([score(on.at(np.flatnonzero(on.groups == group))) for group in np.unique(on.groups)])

    return of


LABELS = {
    "balanced_accuracy": Score("balanced accuracy", balanced_accuracy, True, True),
    "accuracy": Score("accuracy", accuracy, True, True),
    "macro_f1": Score("macro F1", macro_f1, True, True),
    "worst_group": Score("worst group", _worst(accuracy, min), True, True),
    "calibration_error": Score("calibration error", calibration_error, False, True),
    "log_loss": Score("log loss", log_loss, False, False),
}
VALUES = {
    "mean_squared_error": Score("mean squared error", mean_squared_error, False, False),
    "mean_absolute_error": Score("mean absolute error", mean_absolute_error, False, False),
    "worst_group": Score("worst group", _worst(mean_squared_error, max), False, False),
}
SCORES = {"classification": LABELS, "regression": VALUES, "reconstruction": VALUES}
"""By task, the scores by name; the first is what is chosen by if nothing else is said."""
