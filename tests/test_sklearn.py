"""The estimators pass scikit-learn's own checks, learn real sets, and stand in its pipelines and searches."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from sklearn.compose import TransformedTargetRegressor
from sklearn.datasets import load_diabetes, load_digits
from sklearn.linear_model import LinearRegression
from sklearn.metrics import balanced_accuracy_score
from sklearn.model_selection import GridSearchCV, train_test_split
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from l2m import UserError
from l2m.sklearn import Learn2MixClassifier, Learn2MixRegressor

Table = NDArray[np.float64]

QUICK = {"epochs": 60, "learning_rate": 0.01}
"""As many steps as the checks' small tables take to be learnt; the defaults take five times as long."""


@parametrize_with_checks([Learn2MixClassifier(**QUICK), Learn2MixRegressor(**QUICK)])
def test_scikit_learns_own_checks(estimator: Any, check: Callable[[Any], None]) -> None:
    check(estimator)


@pytest.fixture(scope="module")
def digits() -> tuple[Table, Table, Table, Table]:
    """Training and test part of scikit-learn's digits; of digits 0 to 4 a twentieth of the training part."""
    images, labels = load_digits(return_X_y=True)
    train, test, labels, test_labels = train_test_split(images / 16, labels, random_state=0, stratify=labels)
    stay = (labels > 4) | (np.arange(len(labels)) % 20 == 0)
    return train[stay], test, labels[stay], test_labels


def test_it_learns_imbalanced_digits_as_scikit_learns_own_network_does(digits: Any) -> None:
    train, test, labels, test_labels = digits
    options = {"batch_size": 32, "random_state": 0}
    ours = Learn2MixClassifier(epochs=30, mixing_rate=0.1, **options).fit(train, labels)
    still = Learn2MixClassifier(epochs=30, mixing_rate=0, **options).fit(train, labels)
    theirs = MLPClassifier((64,), max_iter=30, **options)
    with pytest.warns(UserWarning, match="hasn't converged"):
        theirs.fit(train, labels)
    scores = [balanced_accuracy_score(test_labels, each.predict(test)) for each in (ours, still, theirs)]
    assert scores[0] > scores[1]
    assert abs(scores[1] - scores[2]) < 0.05
    assert ours.proportions_curve_.shape == (30, 10)
    assert ours.loss_curve_[-1] < ours.loss_curve_[0]
    assert ours.proportions_curve_[-1][:5].sum() > 2 * ours.proportions_curve_[0][:5].sum()
    assert (still.proportions_curve_ == still.proportions_curve_[0]).all()


def test_it_stands_in_a_pipeline_and_a_search(digits: Any) -> None:
    train, test, labels, test_labels = digits
    pipeline = make_pipeline(StandardScaler(), Learn2MixClassifier(epochs=5, random_state=0))
    grid = {"learn2mixclassifier__mixing_rate": [0.0, 0.5]}
    search = GridSearchCV(pipeline, grid, scoring="balanced_accuracy", cv=2)
    search.fit(train, labels, learn2mixclassifier__groups=labels % 2)
    assert search.best_estimator_[-1].groups_.tolist() == [0, 1]
    assert search.best_params_["learn2mixclassifier__mixing_rate"] in (0, 0.5)
    assert search.score(test, test_labels) > 0.4


def test_a_regressor_learns_a_real_set() -> None:
    inputs, targets = load_diabetes(return_X_y=True)
    train, test, values, test_values = train_test_split(inputs, targets, random_state=0)
    ours = make_pipeline(StandardScaler(), Learn2MixRegressor(hidden=16, epochs=100, random_state=0))
    fitted = TransformedTargetRegressor(ours, transformer=StandardScaler()).fit(train, values)
    straight = LinearRegression().fit(train, values).score(test, test_values)
    assert fitted.score(test, test_values) > straight - 0.1
    assert fitted.regressor_[-1].groups_.tolist() == [0, 1, 2, 3]
    assert fitted.regressor_[-1].proportions_curve_[0].tolist() == pytest.approx([0.25] * 4, abs=0.01)


@pytest.mark.parametrize(
    ("bins", "values", "groups"),
    [(1, [3, 1, 2], [0]), (2, [1, 2, 3, 4], [0, 1]), (4, [5, 5, 5, 5], [0]), (3, [0, 0, 0, 1, 2, 3], [0, 1, 2])],
)
def test_targets_make_bins(bins: int, values: list[int], groups: list[int]) -> None:
    inputs = np.arange(len(values))[:, None]
    assert Learn2MixRegressor(bins=bins, epochs=1).fit(inputs, values).groups_.tolist() == groups


def test_groups_may_be_other_than_labels_and_of_any_kind(digits: Any) -> None:
    train, _, labels, _ = digits
    groups = np.where(labels > 4, "many", "few")
    subject = Learn2MixClassifier(epochs=3, mixing_rate=1, random_state=0).fit(train, labels, groups)
    assert subject.groups_.tolist() == ["few", "many"]
    assert subject.proportions_curve_[0].tolist() == pytest.approx([(labels <= 4).mean(), (labels > 4).mean()])
    assert subject.proportions_curve_[1][0] > subject.proportions_curve_[0][0]
    assert subject.classes_.tolist() == list(range(10))


def test_a_random_state_is_all_that_a_fit_depends_on(digits: Any) -> None:
    train, test, labels, _ = digits
    before = torch.get_rng_state()
    first, second, other = (Learn2MixClassifier(epochs=2, random_state=s).fit(train, labels) for s in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), before)
    assert np.array_equal(first.predict_proba(test), second.predict_proba(test))
    assert not np.array_equal(first.predict_proba(test), other.predict_proba(test))
    assert np.array_equal(pickle.loads(pickle.dumps(first)).predict(test), first.predict(test))


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"hidden": 0}, "hidden=0 must be in "),
        ({"hidden": (64, 64)}, "whole number .a parameter of Learn2MixRegressor"),
        ({"epochs": 0}, "epochs=0 must be at least 1"),
        ({"batch_size": 1.5}, "batch_size=1.5 must be a whole number"),
        ({"learning_rate": 0}, "learning_rate=0 must be above 0"),
        ({"learning_rate": float("nan")}, "learning_rate=nan must be a finite number"),
        ({"mixing_rate": 2}, r"mixing_rate=2 must be in \[0, 1\]"),
        ({"bins": 0}, "bins=0 must be at least 1"),
    ],
)
def test_options_out_of_range_are_refused(options: dict[str, Any], named: str) -> None:
    with pytest.raises(UserError, match=named):
        Learn2MixRegressor(**options).fit([[0], [1]], [0, 1])


def test_a_loss_that_is_lost_is_told() -> None:
    with pytest.raises(UserError, match=r"in epoch \d+ with learning_rate=0.1: standardise X"):
        Learn2MixRegressor(learning_rate=0.1).fit([[1e200], [-1e200]], [1e200, 0])


def test_groups_of_other_length_are_refused() -> None:
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        Learn2MixClassifier().fit([[0], [1]], [0, 1], groups=[0, 1, 1])
