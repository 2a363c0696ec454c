"""Scores of a trained model on a split, beyond the metric that records hold."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_softmax
from torch import Tensor

from l2m.data import Data

Floats = NDArray[np.floating]
Integers = NDArray[np.integer]

LARGE = 1e5
"""From here on a score is shown in a power of ten."""

BINS = 15
"""Bins of confidence of equal width, as in the tables of Guo et al. (2017)."""


class Ranking(NamedTuple):
    """Samples by ascending probability of a class: ``order`` (N,), and where each distinct probability begins in it."""

    order: Integers
    starts: Integers


@dataclass(frozen=True)
class SampleResults:
    """Results of N samples, (N,) each, from which scores are computed. A bootstrap draw changes their weights.

    Attributes:
        weights: how often each sample counts.
        targets, labels: the true and the predicted class. None in a regression.
        probabilities: (N, k) of the classes, which a moved threshold leaves as they are.
        log_likelihood: of the true class.
        prior: (k,) shares of the classes in the training set.
        rankings: by class.
        squared, absolute: errors of a value, of an image the mean over its pixels. None in a classification.
    """

    groups: Integers
    weights: Floats
    targets: Integers | None = None
    labels: Integers | None = None
    probabilities: Floats | None = None
    log_likelihood: Floats | None = None
    prior: Floats | None = None
    rankings: tuple[Ranking, ...] = ()
    squared: Floats | None = None
    absolute: Floats | None = None

    @property
    def is_right(self) -> NDArray[np.bool_]:
        """Whether the predicted class is the true one."""
        return np.asarray(self.labels == self.targets)

    @cached_property
    def confusion(self) -> Floats:
        """(k, k) weights of samples, by true and by predicted class."""
        k = len(np.asarray(self.prior))
        cells = np.asarray(self.targets) * k + np.asarray(self.labels)
        return np.asarray(np.bincount(cells, self.weights, k * k).reshape(k, k), float)


@dataclass(frozen=True)
class Score:
    """A score of a model on a split.

    Attributes:
        title: its name in tables.
        of: computes it.
        percent: whether it is a share, shown in %.
        by_label: whether it depends on nothing but the predicted classes, so that a threshold changes it.
        exponent: of the power of ten by which it is divided where it is shown.
    """

    title: str
    of: Callable[[SampleResults], float]
    higher_is_better: bool
    percent: bool
    by_label: bool = False
    exponent: int = 0

    @property
    def scale(self) -> float:
        """By which it is multiplied where it is shown."""
        return 100 if self.percent else 10.0**-self.exponent

    def shown_for(self, values: Floats) -> "Score":
        """The score as it is shown where ``values`` occur: in a power of ten if they are large."""
        largest = np.abs(values).max(initial=0)
        if self.percent or not LARGE <= largest < np.inf:
            return self
        exponent = 3 * int(np.log10(largest) // 3)
        power = f"10{''.join('⁰¹²³⁴⁵⁶⁷⁸⁹'[int(digit)] for digit in str(exponent))}"
        return replace(self, title=f"{self.title} / {power}", exponent=exponent)


def sample_results(outputs: Tensor, data: Data) -> SampleResults:
    """Results from a model's ``outputs`` (N, k) for the test part; values of a regression in the target's own unit."""
    test, (_, sd) = data.test, data.target_unit
    targets = test.batch(slice(None)).targets.flatten(1) if test.targets is None else test.targets
    groups = test.groups.cpu().numpy()
    if targets.is_floating_point():
        return value_results(outputs.double().numpy() * sd, targets.cpu().double().numpy() * sd, groups)
    trained = np.asarray(data.train.targets)
    prior = np.bincount(trained, minlength=outputs.shape[1]) / len(trained)
    return label_results(outputs.double().numpy(), targets.cpu().numpy(), groups, prior)


def label_results(logits: Floats, targets: Integers, groups: Integers, prior: Floats) -> SampleResults:
    """Results from logits (N, k), classes (N,) and the classes' shares (k,) of the training set."""
    logs = log_softmax(logits, axis=1)
    probabilities = np.exp(logs)
    return SampleResults(
        groups,
        np.ones(len(targets)),
        targets=targets,
        labels=logits.argmax(1),
        probabilities=probabilities,
        log_likelihood=logs[np.arange(len(logs)), targets],
        prior=prior,
        rankings=tuple(map(_rank, probabilities.T)),
    )


def value_results(values: Floats, targets: Floats, groups: Integers) -> SampleResults:
    """Results from predicted values (N, k) and true ones (N, k)."""
    error = values - targets
    return SampleResults(groups, np.ones(len(error)), squared=(error**2).mean(1), absolute=np.abs(error).mean(1))


def _rank(probabilities: Floats) -> Ranking:
    order = probabilities.argsort().astype(np.int32)
    ascending = probabilities[order]
    return Ranking(order, np.flatnonzero(np.r_[True, ascending[1:] > ascending[:-1]]))


def resample(scores: Iterable[Score], run: SampleResults, draws: int) -> Floats:
    """Scores on bootstrap draws of a run's samples (draws, scores); the draws are the same for every run.

    scikit-learn's scores take 10 to 100 times as long as these, minutes a comparison; tests compare the two.
    """
    rng, size = np.random.default_rng(0), len(run.groups)
    counts = (np.bincount(rng.integers(size, size=size), minlength=size).astype(float) for _ in range(draws))
    return np.array([[score.of(drawn) for score in scores] for drawn in (replace(run, weights=n) for n in counts)])


def accuracy(results: SampleResults) -> float:
    """The share of right predictions."""
    return float(results.confusion.trace() / results.confusion.sum())


def balanced_accuracy(results: SampleResults) -> float:
    """The mean of the recalls of the classes that occur."""
    return float(_recalls(results).mean())


def g_mean(results: SampleResults) -> float:
    """The geometric mean of the recalls of the classes that occur."""
    recalls = _recalls(results)
    return float(recalls.prod() ** (1 / len(recalls)))


def macro_f1(results: SampleResults) -> float:
    """The mean of the F1 of the classes that occur; 0 for one that is never predicted."""
    samples, predictions = results.confusion.sum(1), results.confusion.sum(0)
    occurs = samples > 0
    return float((2 * results.confusion.diagonal() / (samples + predictions).clip(1e-300))[occurs].mean())


def matthews(results: SampleResults) -> float:
    """Matthews' correlation coefficient of true and predicted classes in [−1, 1]; 0 if either is constant."""
    samples, predictions, all_ = results.confusion.sum(1), results.confusion.sum(0), results.confusion.sum()
    spread = (all_**2 - samples @ samples) * (all_**2 - predictions @ predictions)
    return float((results.confusion.trace() * all_ - samples @ predictions) / np.sqrt(spread)) if spread > 0 else 0.0


def _recalls(results: SampleResults) -> Floats:
    samples = results.confusion.sum(1)
    return np.asarray(results.confusion.diagonal()[samples > 0] / samples[samples > 0])


def by_class(confusion: Floats) -> tuple[Floats, Floats]:
    """Recall and precision (k,) from a confusion matrix (k, k); NaN without samples, or without predictions."""
    with np.errstate(invalid="ignore"):
        return confusion.diagonal() / confusion.sum(1), confusion.diagonal() / confusion.sum(0)


def roc_auc(results: SampleResults) -> float:
    """The area under the ROC curve; of more than two classes the mean of each against all others."""
    areas = []
    for own, others in _by_probability(results, range(len(results.rankings))):
        below = others.cumsum() - others / 2
        areas.append(own @ below / (own.sum() * others.sum()))
    return float(np.mean(areas)) if areas else np.nan


def average_precision(results: SampleResults) -> float:
    """The area under the steps of the precision-recall curve, of several classes the mean, of two the rarer one's.

    The rarer class is that of the training set; of equals the second.
    """
    first, *others = np.asarray(results.prior)
    classes = range(len(results.rankings)) if others[1:] else [int(others[0] <= first)]
    areas = []
    for own, rest in _by_probability(results, classes):
        hits, samples = own[::-1].cumsum(), (own + rest)[::-1].cumsum()
        areas.append(own[::-1] @ (hits / samples.clip(1e-300)) / hits[-1])
    return float(np.mean(areas)) if areas else np.nan


def _by_probability(results: SampleResults, classes: Iterable[int]) -> Iterable[tuple[Floats, Floats]]:
    """Of each class that some samples have and others lack: their weights at each distinct probability, ascending."""
    for number in classes:
        order, starts = results.rankings[number]
        weights = results.weights[order]
        own = np.add.reduceat(np.where(np.asarray(results.targets)[order] == number, weights, 0.0), starts)
        others = np.add.reduceat(weights, starts) - own
        if own.any() and others.any():
            yield own, others


def calibration_error(results: SampleResults) -> float:
    """The expected calibration error: Σ over bins of |accuracy − mean confidence|, weighted by their samples.

    Confidence is the largest probability, and accuracy that of its class. Guo et al., *On Calibration of Modern Neural
    Networks*, 2017, equation 3.
    """
    probabilities = np.asarray(results.probabilities)
    confidence, is_right = probabilities.max(1), probabilities.argmax(1) == results.targets
    bins = np.ceil(confidence * BINS).astype(int).clip(1, BINS)  # ((m − 1) / BINS, m / BINS]
    weighted = results.weights * (is_right - confidence)
    return float(np.abs(np.bincount(bins, weighted)).sum() / results.weights.sum())


def brier_score(results: SampleResults) -> float:
    """The mean squared error of the probabilities, summed over the classes; of two classes that of one of them."""
    probabilities = np.asarray(results.probabilities)
    true = np.take_along_axis(probabilities, np.asarray(results.targets)[:, None], 1)[:, 0]
    squared = (probabilities**2).sum(1) - 2 * true + 1
    return float(np.average(squared, weights=results.weights) / (2 if probabilities.shape[1] == 2 else 1))


def _mean(values: Callable[[SampleResults], Any]) -> Callable[[SampleResults], float]:
    return lambda results: float(np.average(values(results), weights=results.weights))


def _worst(
    values: Callable[[SampleResults], Any], worst: Callable[[Floats], float]
) -> Callable[[SampleResults], float]:
    """The worst mean over the groups that occur."""

    def score(results: SampleResults) -> float:
        sizes = np.bincount(results.groups, results.weights)
        sums = np.bincount(results.groups, results.weights * values(results))
        return float(worst(sums[sizes > 0] / sizes[sizes > 0]))

    return score


LABELS = {
    "balanced_accuracy": Score("balanced accuracy", balanced_accuracy, True, True, by_label=True),
    "accuracy": Score("accuracy", accuracy, True, True, by_label=True),
    "macro_f1": Score("macro F1", macro_f1, True, True, by_label=True),
    "g_mean": Score("G-mean", g_mean, True, True, by_label=True),
    "mcc": Score("MCC", matthews, True, True, by_label=True),
    "worst_group": Score("worst group", _worst(lambda results: results.is_right, np.min), True, True, by_label=True),
    "roc_auc": Score("ROC AUC", roc_auc, True, True),
    "pr_auc": Score("PR AUC", average_precision, True, True),
    "calibration_error": Score("calibration error", calibration_error, False, True),
    "brier": Score("Brier score", brier_score, False, True),
    "log_loss": Score("log loss", _mean(lambda results: -np.asarray(results.log_likelihood)), False, False),
}
VALUES = {
    "mean_squared_error": Score("mean squared error", _mean(lambda results: results.squared), False, False),
    "mean_absolute_error": Score("mean absolute error", _mean(lambda results: results.absolute), False, False),
    "worst_group": Score("worst group", _worst(lambda results: results.squared, np.max), False, False),
}
SCORES = {"classification": LABELS, "regression": VALUES, "reconstruction": VALUES}
"""By task, the scores by name; the first is the default ``metric`` of a comparison."""
