"""Scores against scikit-learn's, imbalanced-learn's and computations of their own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from imblearn.metrics import geometric_mean_score
from sklearn import metrics

from l2m.config.run import METRICS
from l2m.data import Data, Split
from l2m.training import scores
from l2m.training.results import SampleResults, label_results, sample_results, value_results
from l2m.training.scores import LABELS, SCORES, VALUES, by_class, resample


def made_up(classes: int, size: int = 400) -> SampleResults:
    """Results in which the last class is rare, many probabilities are equal, and samples weigh 0 to 3."""
    rng = np.random.default_rng(classes)
    logits = (rng.normal(size=(size, classes)) * 2).round(1)
    logits[:, 0] = 0  # equal logits of two classes then give equal probabilities, to the last bit
    common = rng.integers(0, classes - 1, size)
    targets = np.where(rng.random(size) < 0.6, logits.argmax(1), common)
    prior = np.bincount(targets, minlength=classes) / size
    weights = rng.integers(0, 4, size).astype(float)
    return replace(label_results(logits, targets, rng.integers(0, 3, size), prior), weights=weights)


def bins(on: SampleResults) -> float:
    """Guo et al., equations 2 and 3, a bin at a time."""
    confidence, right, total = on.probabilities.max(1), on.is_right, 0.0
    for m in range(15):
        inside = (confidence > m / 15) & (confidence <= (m + 1) / 15)
        if (weights := on.weights * inside).any():
            gap = np.average(right, weights=weights) - np.average(confidence, weights=weights)
            total += weights.sum() / on.weights.sum() * abs(gap)
    return total


def probabilities_of(on: SampleResults) -> np.ndarray:
    """As scikit-learn takes them: of two classes those of the second."""
    return on.probabilities[:, 1] if on.probabilities.shape[1] == 2 else on.probabilities


def average_precision(on: SampleResults) -> float:
    classes = range(on.probabilities.shape[1]) if on.probabilities.shape[1] > 2 else [int(on.prior.argmin())]
    return np.mean(
        [
            metrics.average_precision_score(on.targets == c, on.probabilities[:, c], sample_weight=on.weights)
            for c in classes
        ]
    )


def of_labels(score: Callable[..., float], **options: object) -> Callable[[SampleResults], float]:
    return lambda on: score(on.targets, on.labels, sample_weight=on.weights, **options)


EXPECTED = {
    "balanced_accuracy": of_labels(metrics.balanced_accuracy_score),
    "accuracy": of_labels(metrics.accuracy_score),
    "macro_f1": of_labels(metrics.f1_score, average="macro"),
    "g_mean": of_labels(geometric_mean_score),
    "mcc": of_labels(metrics.matthews_corrcoef),
    "worst_group": lambda on: min(
        np.average(on.is_right[on.groups == g], weights=on.weights[on.groups == g]) for g in range(3)
    ),
    "roc_auc": lambda on: metrics.roc_auc_score(
        on.targets, probabilities_of(on), multi_class="ovr", sample_weight=on.weights
    ),
    "pr_auc": average_precision,
    "calibration_error": bins,
    "brier": lambda on: metrics.brier_score_loss(
        on.targets, probabilities_of(on), sample_weight=on.weights, **{"labels": range(on.probabilities.shape[1])}
    ),
    "log_loss": lambda on: metrics.log_loss(on.targets, on.probabilities, sample_weight=on.weights),
}


@pytest.mark.parametrize("classes", [2, 4])
@pytest.mark.parametrize("name", LABELS)
def test_scores_of_labels(name: str, classes: int) -> None:
    on = made_up(classes)
    assert LABELS[name].of(on) == pytest.approx(EXPECTED[name](on))


def test_a_moved_threshold_changes_the_scores_of_labels_alone() -> None:
    on = made_up(2)
    moved = replace(on, labels=(on.probabilities[:, 1] > 0.2).astype(int))
    for name, score in LABELS.items():
        assert (score.of(moved) != score.of(on)) is score.by_label, name


def test_recall_and_precision_by_class() -> None:
    on = made_up(4)
    expected = metrics.precision_recall_fscore_support(on.targets, on.labels, sample_weight=on.weights)
    precision, recall = expected[:2]
    assert np.allclose(by_class(on.confusion), [recall, precision])
    assert np.isnan(by_class(np.diag([3.0, 0.0]))).tolist() == [[False, True], [False, True]]


def test_a_class_that_is_predicted_but_not_there_is_no_class() -> None:
    on = made_up(4)
    few = replace(on, weights=on.weights * (on.targets != 3))
    assert (few.labels[few.weights > 0] == 3).any()
    options = {"labels": range(3), "average": "macro", "sample_weight": few.weights}
    assert LABELS["balanced_accuracy"].of(few) == pytest.approx(
        metrics.recall_score(few.targets, few.labels, **options)
    )
    assert LABELS["macro_f1"].of(few) == pytest.approx(metrics.f1_score(few.targets, few.labels, **options))
    alone = replace(on, weights=1.0 * (on.targets == 3))
    assert np.isnan([LABELS[name].of(alone) for name in ("roc_auc", "pr_auc")]).all(), "one class has no ranking"
    assert LABELS["mcc"].of(alone) == 0


@pytest.mark.parametrize("classes", [2, 4])
def test_bootstrap_draws_score_the_samples_that_they_picked(classes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    on, rng = replace(made_up(classes), weights=np.ones(400)), np.random.default_rng(0)
    expected = []
    for index in (rng.integers(400, size=400) for _ in range(3)):
        logits, targets, groups = np.log(on.probabilities)[index], on.targets[index], on.groups[index]
        picked = replace(label_results(logits, targets, groups, on.prior), labels=on.labels[index])
        expected.append([score.of(picked) for score in LABELS.values()])
    monkeypatch.setattr(scores, "AT_ONCE", 2 * 400)
    assert resample(LABELS.values(), on, 3) == pytest.approx(np.array(expected))


def test_draws_without_a_class_have_no_ranking_of_it() -> None:
    on = made_up(2)
    without = on.weights * (on.targets == 0)
    both = replace(on, weights=np.stack([on.weights, without]))
    for name, score in LABELS.items():
        expected = [score.of(on), score.of(replace(on, weights=without))]
        assert score.compute(both) == pytest.approx(expected, nan_ok=True), name


def test_bootstrap_draws_of_values_score_the_samples_that_they_picked() -> None:
    values, truth = np.random.default_rng(7).normal(size=(2, 50, 1))
    index, groups = np.random.default_rng(0).integers(50, size=50), np.arange(50) % 2
    picked = value_results(values[index], truth[index], groups[index])
    (drawn,) = resample(VALUES.values(), value_results(values, truth, groups), 1)
    assert drawn == pytest.approx([score.of(picked) for score in VALUES.values()])


def test_certain_and_right_is_calibrated_certain_and_wrong_is_not() -> None:
    targets = np.array([0, 1, 0, 1])
    sure, even = 1e4 * np.eye(2), np.ones(2) / 2
    assert LABELS["calibration_error"].of(label_results(sure[targets], targets, targets, even)) == 0
    assert LABELS["calibration_error"].of(label_results(sure[1 - targets], targets, targets, even)) == 1
    assert LABELS["log_loss"].of(label_results(sure[1 - targets], targets, targets, even)) == pytest.approx(1e4)


def test_scores_of_values() -> None:
    values, truth = np.random.default_rng(7).normal(size=(2, 50, 1))
    on = value_results(values, truth, np.arange(50) % 2)
    error = (values - truth)[:, 0]
    assert VALUES["mean_squared_error"].of(on) == pytest.approx((error**2).mean())
    assert VALUES["mean_absolute_error"].of(on) == pytest.approx(abs(error).mean())
    assert VALUES["worst_group"].of(on) == pytest.approx(max((error[::2] ** 2).mean(), (error[1::2] ** 2).mean()))


def test_reconstructed_images_are_scored_by_pixel() -> None:
    images = torch.randint(0, 256, (6, 1, 2, 2), dtype=torch.uint8)
    scale = torch.full((1, 1, 1), 1 / 255)
    split = Split(images, None, torch.arange(6) % 2, scale, torch.zeros(1, 1, 1))
    on = sample_results(torch.zeros(6, 4), Data(split, split, ("a", "b"), None, {}))
    expected = (images.double() / 255).square().mean().item()
    assert SCORES["reconstruction"]["mean_squared_error"].of(on) == pytest.approx(expected)


def test_every_score_can_be_named_in_a_configuration() -> None:
    assert {task: tuple(scores) for task, scores in SCORES.items()} == METRICS
