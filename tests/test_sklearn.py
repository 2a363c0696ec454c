"""The estimators pass scikit-learn's own checks, learn real sets, and stand in its pipelines and searches."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from numpy.typing import NDArray
from scipy.sparse import csr_array
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import TransformedTargetRegressor
from sklearn.datasets import load_diabetes, load_digits
from sklearn.ensemble import AdaBoostClassifier
from sklearn.linear_model import LinearRegression
from sklearn.metrics import balanced_accuracy_score, roc_auc_score
from sklearn.model_selection import GridSearchCV, TunedThresholdClassifierCV, train_test_split
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.utils.class_weight import compute_sample_weight
from sklearn.utils.estimator_checks import parametrize_with_checks

from l2m import UserError
from l2m.sklearn import Learn2MixClassifier, Learn2MixRegressor
from l2m.strategies import STRATEGIES

Table = NDArray[np.float64]

QUICK = {"epochs": 60, "learning_rate": 0.01}
"""As many steps as the checks' small tables take to be learnt; the defaults take five times as long."""


WEIGHTS = {
    f"check_sample_weight_equivalence_on_{kind}_data": "batches are drawn at random, as in MLPClassifier with adam"
    for kind in ("dense", "sparse")
}
"""A sample of weight 2 is not two samples, which would make other batches."""


@parametrize_with_checks(
    [Learn2MixClassifier(**QUICK), Learn2MixRegressor(**QUICK), Learn2MixClassifier(**QUICK, early_stopping=True)],
    expected_failed_checks=lambda estimator: WEIGHTS,
)
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
    ours = make_pipeline(StandardScaler(), Learn2MixRegressor(hidden_layer_sizes=16, epochs=100, random_state=0))
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
    subject = Learn2MixClassifier(epochs=3, mixing_rate=1, random_state=0).fit(train, labels, groups=groups)
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
        ({"hidden_layer_sizes": 0}, r"hidden_layer_sizes=\(0,\) must be in "),
        ({"hidden_layer_sizes": (64, 1.5)}, "whole number .a parameter of Learn2MixRegressor"),
        ({"weight_decay": -1}, "weight_decay=-1 must be at least 0"),
        ({"validation_fraction": 1}, "validation_fraction=1 must be in"),
        ({"strategy": "learn2mx"}, "did you mean learn2mix?"),
        ({"strategy": "focal"}, "strategy=focal is not defined for regression"),
        (
            {"strategy": "bilevel"},
            "strategy=bilevel needs more than the batches of one training: use python",
        ),
        ({"strategy_options": {"gamma": 1}}, "strategy_options: gamma is not an option of strategy=learn2mix"),
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


def test_a_loss_that_is_not_finite_is_reported() -> None:
    with pytest.raises(UserError, match=r"in epoch \d+ with learning_rate=0.1: standardise X"):
        Learn2MixRegressor(learning_rate=0.1).fit([[1e200], [-1e200]], [1e200, 0])


def test_groups_of_other_length_are_refused() -> None:
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        Learn2MixClassifier().fit([[0], [1]], [0, 1], groups=[0, 1, 1])


def test_groups_that_are_no_labels_are_refused() -> None:
    with pytest.raises(UserError, match="one label a sample, not continuous"):
        Learn2MixClassifier().fit([[0], [1], [2]], [0, 1, 1], groups=[0.1, 0.2, 0.3])


@pytest.mark.parametrize("groups", [["a", None, "b"], [None, None, "a"], [0.0, float("nan"), 1.0]])
def test_a_sample_without_a_group_is_refused(groups: list[Any]) -> None:
    with pytest.raises(UserError, match="a sample has no group: give those that have none a group of their own"):
        Learn2MixClassifier().fit([[0], [1], [2]], [0, 1, 1], groups=groups)


def test_groups_and_weights_are_given_by_name() -> None:
    """As a third argument, weights would be taken for groups."""
    for estimator in (Learn2MixClassifier(), Learn2MixRegressor()):
        with pytest.raises(TypeError, match="positional arguments"):
            estimator.fit([[0], [1], [2]], [0, 1, 1], [1, 2, 2])


# Weights, sparse tables, early stopping, strategies


def test_samples_of_weight_0_are_left_out_and_equal_weights_do_nothing(digits: Any) -> None:
    train, test, labels, _ = digits
    subject = Learn2MixClassifier(epochs=3, random_state=0)
    plain = subject.fit(train, labels).predict_proba(test)
    assert np.array_equal(subject.fit(train, labels, sample_weight=np.full(len(labels), 3)).predict_proba(test), plain)
    kept = labels % 2 == 0
    assert subject.fit(train, labels, sample_weight=kept).groups_.tolist() == [0, 2, 4, 6, 8]
    without = subject.predict_proba(test)
    other = np.where(kept[:, None], train, 1.0)
    assert np.array_equal(subject.fit(other, labels, sample_weight=kept * 7).predict_proba(test), without)
    rare = np.where(kept, labels % 4 == 0, labels == 1)
    some = kept | (labels == 1)
    balanced = Learn2MixClassifier(epochs=3, random_state=0, class_weight="balanced")
    without = balanced.fit(train[some], rare[some]).predict_proba(test)
    assert np.array_equal(balanced.fit(train, rare, sample_weight=some).predict_proba(test), without), "of what is left"
    with pytest.raises(ValueError, match="at least one non-zero"):
        subject.fit(train, labels, sample_weight=np.zeros(len(labels)))


def test_values_of_weight_0_do_not_move_the_bins_of_a_regression() -> None:
    rng = np.random.default_rng(0)
    table, kept = rng.normal(size=(80, 3)), np.arange(80) % 3 > 0
    values = np.where(kept, table[:, 0], 9.0)
    subject = Learn2MixRegressor(epochs=2, random_state=0)
    without = subject.fit(table[kept], values[kept]).predict(table)
    assert np.array_equal(subject.fit(table, values, sample_weight=kept).predict(table), without)


def test_class_weights_move_the_recall_of_a_class(digits: Any) -> None:
    train, test, labels, test_labels = digits
    rare, truth = (labels < 5).astype(int), (test_labels < 5).astype(int)
    options = {"epochs": 10, "mixing_rate": 0, "random_state": 0}

    def recall(**more: Any) -> float:
        subject = Learn2MixClassifier(**options, **more)
        return float((subject.fit(train, rare).predict(test)[truth == 1] == 1).mean())

    own = recall()
    assert recall(class_weight="balanced") > own + 0.05
    assert recall(class_weight={0: 1, 1: 20}) > own + 0.05
    balanced = compute_sample_weight("balanced", rare)
    weighted = Learn2MixClassifier(**options).fit(train, rare, sample_weight=balanced)
    by_class = Learn2MixClassifier(**options, class_weight="balanced").fit(train, rare)
    assert np.array_equal(weighted.predict_proba(test), by_class.predict_proba(test))


def test_sparse_tables_are_read_as_dense_ones(digits: Any) -> None:
    train, test, labels, _ = digits
    dense = Learn2MixClassifier(epochs=2, random_state=0).fit(train, labels)
    sparse = Learn2MixClassifier(epochs=2, random_state=0).fit(csr_array(train), labels)
    assert np.array_equal(dense.predict_proba(test), sparse.predict_proba(csr_array(test)))


@pytest.mark.parametrize("estimator", [Learn2MixClassifier, Learn2MixRegressor])
def test_early_stopping_keeps_the_best_epoch(digits: Any, estimator: Any) -> None:
    train, test, labels, _ = digits
    options = {"hidden_layer_sizes": (32, 16), "learning_rate": 0.01, "random_state": 0}
    stopped = estimator(early_stopping=True, n_iter_no_change=4, validation_fraction=0.3, **options).fit(train, labels)
    scores = np.array(stopped.validation_scores_)
    best = scores.argmax() if estimator is Learn2MixClassifier else scores.argmin()
    assert stopped.best_iter_ == best + 1 == stopped.n_iter_ - 4 < 196
    kept = estimator(early_stopping=True, n_iter_no_change=200, validation_fraction=0.3, **options)
    shorter = kept.set_params(epochs=stopped.best_iter_).fit(train, labels)
    assert np.array_equal(shorter.predict(test), stopped.predict(test))
    whole = stopped.set_params(early_stopping=False, epochs=1).fit(train, labels)
    assert (whole.n_iter_, whole.best_iter_, whole.validation_scores_) == (1, None, None)
    with pytest.raises(UserError, match="has nothing to hold out of classes or groups of 1 sample: drop it"):
        estimator(early_stopping=True, epochs=1).fit([[0], [1]], [0, 1], groups=[0, 1])


@pytest.mark.parametrize("strategy", ["learn2mix", "focal"])
def test_early_stopping_leaves_some_of_each_group_to_train_on(strategy: str) -> None:
    rng = np.random.default_rng(0)
    groups = np.repeat([0, 1, 2, 3], [18, 20, 1, 1])
    targets = rng.permutation(np.arange(40) % 2)
    inputs = rng.normal(size=(40, 3)) + 4 * targets[:, None]
    options = {"early_stopping": True, "validation_fraction": 0.3, "n_iter_no_change": 60, "learning_rate": 0.01}
    for seed in range(8):
        subject = Learn2MixClassifier(strategy=strategy, epochs=60, random_state=seed, **options)
        losses = subject.fit(inputs, targets, groups=groups).loss_curve_
        assert losses[-1] < losses[0] / 4


@pytest.mark.parametrize("name", sorted(set(STRATEGIES.names()) - {"bilevel", "curriculum", "pike"}))
def test_every_strategy_of_single_trainings_fits(digits: Any, name: str) -> None:
    train, test, labels, test_labels = digits
    subject = Learn2MixClassifier(strategy=name, epochs=12, learning_rate=0.01, random_state=0).fit(train, labels)
    assert balanced_accuracy_score(test_labels, subject.predict(test)) > 0.6
    assert subject.proportions_curve_.shape == (12, 10)


def test_weights_have_no_place_in_a_resampled_set(digits: Any) -> None:
    train, _, labels, _ = digits
    subject = Learn2MixClassifier(strategy="smote", epochs=1, class_weight="balanced")
    with pytest.raises(UserError, match="strategy=smote makes a training set of its own"):
        subject.fit(train, labels)
    subject.set_params(class_weight=None)
    for size in (41, 90, len(labels)):  # of some, 0.1 is not the mean
        assert subject.fit(train[:size], labels[:size], sample_weight=np.full(size, 0.1)).n_iter_ == 1


def test_it_stands_in_ensembles_calibration_and_threshold_tuning(digits: Any) -> None:
    train, test, labels, test_labels = digits
    rare, truth = (labels < 5).astype(int), (test_labels < 5).astype(int)
    base = Learn2MixClassifier(hidden_layer_sizes=16, epochs=8, learning_rate=0.01, random_state=0)
    for subject in (
        AdaBoostClassifier(base, n_estimators=3, random_state=0),
        CalibratedClassifierCV(base, cv=2),
        TunedThresholdClassifierCV(base, scoring="balanced_accuracy", cv=2),
    ):
        assert roc_auc_score(truth, subject.fit(train, rare).predict_proba(test)[:, 1]) > 0.75


def test_it_stands_behind_an_encoder_with_its_defaults() -> None:
    """OneHotEncoder gives a sparse table."""
    rng = np.random.default_rng(0)
    table = pd.DataFrame({"ward": rng.choice(list("abcdefgh"), 200), "day": rng.choice(["mo", "tu"], 200)})
    answer = table["ward"].isin(["a", "b"]) & (table["day"] == "mo")
    subject = make_pipeline(OneHotEncoder(), Learn2MixClassifier(epochs=40, learning_rate=0.01, random_state=0))
    assert subject.fit(table, answer).score(table, answer) > 0.97
