"""Scores against computations of their own."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.metrics import balanced_accuracy_score, f1_score, recall_score

from l2m.data import Split
from l2m.evaluation.scores import LABELS, SCORES, VALUES, label_results, sample_results, value_results

RNG = np.random.default_rng(7)
LOGITS = RNG.normal(size=(400, 4)) * 2
TARGETS = np.where(RNG.random(400) < 0.6, LOGITS.argmax(1), RNG.integers(0, 3, 400))  # class 3 is rare
GROUPS = RNG.integers(0, 3, 400)
ON = label_results(LOGITS, TARGETS, GROUPS)
SAID = LOGITS.argmax(1)


def probabilities() -> np.ndarray:
    return torch.from_numpy(LOGITS).softmax(1).numpy()


def bins() -> float:
    """Guo et al., equations 2 and 3, a bin at a time."""
    confidence, total = probabilities().max(1), 0.0
    for m in range(15):
        inside = (confidence > m / 15) & (confidence <= (m + 1) / 15)
        if inside.any():
            accuracy = (SAID[inside] == TARGETS[inside]).mean()
            total += inside.sum() / 400 * abs(accuracy - confidence[inside].mean())
    return total


EXPECTED = {
    "accuracy": lambda: (SAID == TARGETS).mean(),
    "balanced_accuracy": lambda: balanced_accuracy_score(TARGETS, SAID),
    "macro_f1": lambda: f1_score(TARGETS, SAID, average="macro"),
    "worst_group": lambda: min((SAID == TARGETS)[g == GROUPS].mean() for g in range(3)),
    "calibration_error": bins,
    "log_loss": lambda: torch.nn.functional.cross_entropy(torch.from_numpy(LOGITS), torch.from_numpy(TARGETS)).item(),
}


@pytest.mark.parametrize("name", LABELS)
def test_scores_of_labels(name: str) -> None:
    assert LABELS[name].of(ON) == pytest.approx(EXPECTED[name]())


def test_a_class_that_is_predicted_but_not_there_is_no_class() -> None:
    few = ON.at(np.flatnonzero(TARGETS != 3))
    assert (few.labels == 3).any()
    recalls = recall_score(few.targets, few.labels, labels=range(3), average="macro")
    assert LABELS["balanced_accuracy"].of(few) == pytest.approx(recalls)
    assert LABELS["macro_f1"].of(few) == pytest.approx(
        f1_score(few.targets, few.labels, labels=range(3), average="macro")
    )


def test_certain_and_right_is_calibrated_certain_and_wrong_is_not() -> None:
    targets = np.array([0, 1, 0, 1])
    sure = 1e4 * np.eye(2)
    assert LABELS["calibration_error"].of(label_results(sure[targets], targets, targets)) == 0
    assert LABELS["calibration_error"].of(label_results(sure[1 - targets], targets, targets)) == 1
    assert LABELS["log_loss"].of(label_results(sure[1 - targets], targets, targets)) == pytest.approx(1e4)


def test_scores_of_values() -> None:
    values, truth = RNG.normal(size=(50, 1)), RNG.normal(size=(50, 1))
    on = value_results(values, truth, np.arange(50) % 2)
    error = (values - truth)[:, 0]
    assert VALUES["mean_squared_error"].of(on) == pytest.approx((error**2).mean())
    assert VALUES["mean_absolute_error"].of(on) == pytest.approx(abs(error).mean())
    assert VALUES["worst_group"].of(on) == pytest.approx(max((error[::2] ** 2).mean(), (error[1::2] ** 2).mean()))


def test_reconstructed_images_are_scored_by_pixel() -> None:
    images = torch.randint(0, 256, (6, 1, 2, 2), dtype=torch.uint8)
    scale = torch.full((1, 1, 1), 1 / 255)
    split = Split(images, None, torch.arange(6) % 2, scale, torch.zeros(1, 1, 1))
    on = sample_results(torch.zeros(6, 4), split)
    expected = (images.double() / 255).square().mean().item()
    assert SCORES["reconstruction"]["mean_squared_error"].of(on) == pytest.approx(expected)
