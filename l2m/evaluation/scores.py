"""Scores of a trained model on a split, beside the metric that records hold."""

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
"""Of confidence, equally wide, as in the tables of Guo et al. (2017)."""


@dataclass(frozen=True)
class Predicted:
    """What the scores need of N samples, (N,) each; of a bootstrap draw they are picked, not computed anew.

    Attributes:
        targets, labels: the class, and that of the largest logit. None in a regression.
        confidence: the largest probability.
        log_likelihood: of the class.
        squared, absolute: errors of a value; an image's are a pixel's mean. None in a classification.
    """

    groups: Integers
    targets: Integers | None = None
    labels: Integers | None = None
    confidence: Floats | None = None
    log_likelihood: Floats | None = None
    squared: Floats | None = None
    absolute: Floats | None = None

    def at(self, index: Integers) -> Predicted:
        """The samples at ``index`` (M,), which may hold one several times."""
        return Predicted(**{name: values[index] for name, values in vars(self).items() if values is not None})

    @property
    def right(self) -> NDArray[np.bool_]:
        """Whether the label is the class."""
        return np.asarray(self.labels == self.targets)


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
    groups = split.groups.cpu().numpy()
    if targets.is_floating_point():
        return valued(outputs.double().numpy() * unit[1], targets.cpu().double().numpy() * unit[1], groups)
    return labelled(outputs.double().numpy(), targets.cpu().numpy(), groups)


def labelled(logits: Floats, targets: Integers, groups: Integers) -> Predicted:
    """Of logits (N, k) and classes (N,)."""
    logs = log_softmax(logits, axis=1)
    likelihood = logs[np.arange(len(logs)), targets]
    return Predicted(groups, targets, logits.argmax(1), np.exp(logs.max(1)), likelihood)


def valued(values: Floats, targets: Floats, groups: Integers) -> Predicted:
    """Of values (N, k) and what they should be, (N, k)."""
    error = values - targets
    return Predicted(groups, squared=(error**2).mean(1), absolute=np.abs(error).mean(1))


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
    targets, labels = np.asarray(on.targets), np.asarray(on.labels)
    k = 1 + int(max(targets.max(), labels.max()))
    hit, there, said = (np.bincount(each, minlength=k) for each in (targets[on.right], targets, labels))
    return hit[there > 0], there[there > 0], said[there > 0]


def calibration_error(on: Predicted) -> float:
    """The expected calibration error: Σ over bins of |accuracy − mean confidence|, weighted by their samples.

    Confidence is the largest probability. Guo et al., *On Calibration of Modern Neural Networks*, 2017, equation 3.
    """
    confidence = np.asarray(on.confidence)
    bins = np.ceil(confidence * BINS).astype(int).clip(1, BINS)  # ((m − 1) / BINS, m / BINS]
    return float(np.abs(np.bincount(bins, on.right - confidence)).sum() / len(bins))


def _mean(values: Callable[[Predicted], Any]) -> Callable[[Predicted], float]:
    return lambda on: float(np.mean(values(on)))


def _worst(values: Callable[[Predicted], Any], worst: Callable[[Floats], float]) -> Callable[[Predicted], float]:
    """The worst mean over the groups that there are."""

    def of(on: Predicted) -> float:
        sizes = np.bincount(on.groups)
        return float(worst((np.bincount(on.groups, values(on)) / sizes.clip(1))[sizes > 0]))

    return of


LABELS = {
    "balanced_accuracy": Score("balanced accuracy", balanced_accuracy, True, True),
    "accuracy": Score("accuracy", _mean(lambda on: on.right), True, True),
    "macro_f1": Score("macro F1", macro_f1, True, True),
    "worst_group": Score("worst group", _worst(lambda on: on.right, np.min), True, True),
    "calibration_error": Score("calibration error", calibration_error, False, True),
    "log_loss": Score("log loss", _mean(lambda on: -np.asarray(on.log_likelihood)), False, False),
}
VALUES = {
    "mean_squared_error": Score("mean squared error", _mean(lambda on: on.squared), False, False),
    "mean_absolute_error": Score("mean absolute error", _mean(lambda on: on.absolute), False, False),
    "worst_group": Score("worst group", _worst(lambda on: on.squared, np.max), False, False),
}
SCORES = {"classification": LABELS, "regression": VALUES, "reconstruction": VALUES}
"""By task, the scores by name; the first is what is chosen by if nothing else is said."""
