"""Scores of a trained model on a split, beyond the metric that records hold."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from l2m.training.results import Floats, PerDraw, SampleResults, diagonal, sum_cells

BINS = 15
"""Bins of confidence of equal width, as in the tables of Guo et al. (2017)."""

AT_ONCE = 2**16
"""Weights of bootstrap draws that are scored at once: more no longer fit a processor's caches."""


@dataclass(frozen=True)
class Score:
    """A score of a model on a split.

    Attributes:
        title: its name in tables.
        compute: one number for the weights of the results, or one a draw.
        percent: whether it is a share, shown in %.
        by_label: whether it depends on nothing but the predicted classes, so that a threshold changes it.
        exponent: of the power of ten by which it is divided where it is shown.
    """

    title: str
    compute: Callable[[SampleResults], PerDraw]
    higher_is_better: bool
    percent: bool
    by_label: bool = False
    exponent: int = 0

    def of(self, results: SampleResults) -> float:
        """The score of results whose weights are (N,)."""
        return float(self.compute(results))

    @property
    def scale(self) -> float:
        """By which it is multiplied where it is shown."""
        return 100 if self.percent else 10.0**-self.exponent

    def shown_for(self, values: Floats) -> "Score":
        """The score as it is shown where ``values`` occur: in a power of ten from 10⁵ on."""
        largest = np.abs(values).max(initial=0)
        if self.percent or not 1e5 <= largest < np.inf:
            return self
        exponent = 3 * int(np.log10(largest) // 3)
        power = f"10{''.join('⁰¹²³⁴⁵⁶⁷⁸⁹'[int(digit)] for digit in str(exponent))}"
        return replace(self, title=f"{self.title} / {power}", exponent=exponent)


def resample(scores: Iterable[Score], run: SampleResults, draws: int) -> Floats:
    """Scores on bootstrap draws of a run's samples, or their units, (draws, scores); they are the same for every run.

    scikit-learn's scores take 10 to 100 times as long as these, minutes a comparison; tests compare the two.
    """
    units = None if run.units is None else np.unique(run.units, return_inverse=True)[1]
    rng, size = np.random.default_rng(0), len(run.groups) if units is None else units.max() + 1
    scores, some = list(scores), max(1, AT_ONCE // len(run.groups))
    drawn = []
    for first in range(0, draws, some):
        weights = [
            np.bincount(rng.integers(size, size=size), minlength=size) for _ in range(first, min(first + some, draws))
        ]
        counts = np.array(weights, float)
        several = replace(run, weights=counts if units is None else counts[:, units])
        drawn.append(np.stack([score.compute(several) for score in scores], 1))
    return np.concatenate(drawn)


def balanced_accuracy(results: SampleResults) -> PerDraw:
    """The mean of the recalls of the classes that occur."""
    recalls, occurs = results.recalls
    return recalls.sum(-1) / occurs.sum(-1)


def g_mean(results: SampleResults) -> PerDraw:
    """The geometric mean of the recalls of the classes that occur."""
    recalls, occurs = results.recalls
    return recalls.prod(-1, where=occurs) ** (1 / occurs.sum(-1))


def macro_f1(results: SampleResults) -> PerDraw:
    """The mean of the F1 of the classes that occur; 0 for one that is never predicted."""
    samples, predictions = results.confusion.sum(-1), results.confusion.sum(-2)
    return (2 * diagonal(results.confusion) / (samples + predictions).clip(1e-300)).mean(-1, where=samples > 0)


def matthews(results: SampleResults) -> PerDraw:
    """Matthews' correlation coefficient of true and predicted classes in [−1, 1]; 0 if either is constant."""
    samples, predictions = results.confusion.sum(-1), results.confusion.sum(-2)
    all_, right = samples.sum(-1), diagonal(results.confusion).sum(-1)
    spread = (all_**2 - (samples**2).sum(-1)) * (all_**2 - (predictions**2).sum(-1))
    covariance = right * all_ - (samples * predictions).sum(-1)
    return np.where(spread > 0, covariance / np.sqrt(np.where(spread > 0, spread, 1)), 0)


def by_class(confusion: Floats) -> tuple[Floats, Floats]:
    """Recall and precision (k,) from a confusion matrix (k, k); NaN without samples, or without predictions."""
    with np.errstate(invalid="ignore"):
        return confusion.diagonal() / confusion.sum(1), confusion.diagonal() / confusion.sum(0)


def calibration_error(results: SampleResults) -> PerDraw:
    """The expected calibration error: Σ over bins of |accuracy − mean confidence|, weighted by their samples.

    Confidence is the largest probability, and accuracy that of its class. Guo et al., *On Calibration of Modern Neural
    Networks*, 2017, equation 3.
    """
    probabilities = np.asarray(results.probabilities)
    confidence, is_right = probabilities.max(1), probabilities.argmax(1) == results.targets
    bins = np.ceil(confidence * BINS).astype(int).clip(1, BINS) - 1  # (m / BINS, (m + 1) / BINS]
    gaps = sum_cells(results.weights * (is_right - confidence), bins, BINS)
    return np.abs(gaps).sum(-1) / results.weights.sum(-1)


def brier_score(results: SampleResults) -> PerDraw:
    """The mean squared error of the probabilities, summed over the classes; of two classes that of one of them."""
    probabilities = np.asarray(results.probabilities)
    true = np.take_along_axis(probabilities, np.asarray(results.targets)[:, None], 1)[:, 0]
    squared = (probabilities**2).sum(1) - 2 * true + 1
    return _average(results, squared) / (2 if probabilities.shape[1] == 2 else 1)


def _average(results: SampleResults, values: Floats) -> PerDraw:
    return results.weights @ values / results.weights.sum(-1)


def _mean(values: Callable[[SampleResults], Any]) -> Callable[[SampleResults], PerDraw]:
    return lambda results: _average(results, values(results))


def _worst(values: Callable[[SampleResults], Any], worst: Callable[..., PerDraw]) -> Callable[[SampleResults], PerDraw]:
    """The worst mean over the groups that occur."""

    def score(results: SampleResults) -> PerDraw:
        groups = int(results.groups.max()) + 1
        sizes = sum_cells(results.weights, results.groups, groups)
        sums = sum_cells(results.weights * values(results), results.groups, groups)
        with np.errstate(invalid="ignore"):  # NaN is the mean of a group that does not occur
            return worst(sums / sizes, axis=-1)

    return score


LABELS = {
    "balanced_accuracy": Score("balanced accuracy", balanced_accuracy, True, True, by_label=True),
    "accuracy": Score("accuracy", _mean(lambda on: on.is_right), True, True, by_label=True),
    "macro_f1": Score("macro F1", macro_f1, True, True, by_label=True),
    "g_mean": Score("G-mean", g_mean, True, True, by_label=True),
    "mcc": Score("MCC", matthews, True, True, by_label=True),
    "worst_group": Score("worst group", _worst(lambda on: on.is_right, np.nanmin), True, True, by_label=True),
    "roc_auc": Score("ROC AUC", lambda on: on.areas[0], True, True),
    "pr_auc": Score("PR AUC", lambda on: on.areas[1], True, True),
    "calibration_error": Score("calibration error", calibration_error, False, True),
    "brier": Score("Brier score", brier_score, False, True),
    "log_loss": Score("log loss", _mean(lambda results: -np.asarray(results.log_likelihood)), False, False),
}
VALUES = {
    "mean_squared_error": Score("mean squared error", _mean(lambda results: results.squared), False, False),
    "mean_absolute_error": Score("mean absolute error", _mean(lambda results: results.absolute), False, False),
    "worst_group": Score("worst group", _worst(lambda on: on.squared, np.nanmax), False, False),
}
SCORES = {"classification": LABELS, "regression": VALUES, "reconstruction": VALUES}
"""By task, the scores by name; the first is the default ``metric`` of a comparison."""
