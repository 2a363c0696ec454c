"""Every sampler of imbalanced-learn, by its name."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any, get_args

import numpy as np
import pytest
import torch
from imblearn.over_sampling import SMOTE
from imblearn.utils.testing import all_estimators
from made_up import compose
from sklearn.neighbors import KNeighborsClassifier
from test_strategies import SIZES, batches, built, context, images, small

from l2m import UserError
from l2m.data import Split
from l2m.seeding import generator
from l2m.strategies import resampled

CLASSES = (90, 40, 20)

QUICKER = {
    "ADASYN": {"n_neighbors": 19},  # near so many, the smallest class has others' samples
    "InstanceHardnessThreshold": {"estimator": KNeighborsClassifier()},  # for a forest, which takes seconds
    "KMeansSMOTE": {"cluster_balance_threshold": 0.1},
}


@pytest.fixture(scope="module")
def overlapping() -> Split:
    """Three classes around their own centres, in two dimensions."""
    targets = torch.repeat_interleave(torch.arange(3), torch.tensor(CLASSES))
    inputs = torch.randn(len(targets), 2, generator=generator(0, "blobs")) + 1.5 * targets[:, None]
    return Split(inputs, targets, targets)


def test_the_methods_are_those_of_imbalanced_learn() -> None:
    """The two for categories would take numbers for categories; one wraps a function."""
    known = {name for name, _ in all_estimators(type_filter="sampler")}
    assert set(get_args(resampled.Method)) == known - {"SMOTEN", "SMOTENC", "FunctionSampler"}


def test_shrinkage_makes_new_samples(overlapping: Split) -> None:
    repeated, made = (
        built("resampled", options=options).prepare(context(overlapping)) for options in ({}, {"shrinkage": 2.0})
    )
    known = {tuple(row) for row in overlapping.inputs.flatten(1).tolist()}
    new = [sum(tuple(row) not in known for row in split.inputs.flatten(1).tolist()) for split in (repeated, made)]
    assert new[0] == 0 < new[1]
    assert torch.equal(torch.as_tensor(repeated.targets), torch.as_tensor(made.targets))


@pytest.mark.parametrize("method", get_args(resampled.Method))
def test_every_method_resamples(method: str, overlapping: Split) -> None:
    options = QUICKER.get(method)
    first, again = (built("resampled", method=method, options=options) for _ in range(2))
    split, same = (strategy.prepare(context(overlapping, batch_size=10)) for strategy in (first, again))
    assert torch.equal(split.inputs, same.inputs)
    assert torch.equal(split.targets, split.groups)
    sizes = torch.bincount(split.targets, minlength=3)
    assert sizes.tolist() != list(CLASSES)
    assert torch.equal(first.proportions, sizes.double() / sizes.sum())
    assert batches(first, 1).shape == (15, 10), "as many steps as without resampling"
    made = split.inputs[:, None].eq(overlapping.inputs).all(2).any(1).logical_not()
    assert bool(made.any()) == (method in ("ADASYN", "ClusterCentroids") or "SMOTE" in method)


def test_the_samples_are_those_of_the_sampler(overlapping: Split) -> None:
    seed = int(np.random.default_rng(generator(3, "resampled").initial_seed()).integers(2**31))
    sampler = SMOTE(random_state=seed, k_neighbors=2)
    rows, labels = sampler.fit_resample(overlapping.inputs.numpy(), overlapping.targets.numpy())
    strategy = built("resampled", method="SMOTE", options={"k_neighbors": 2})
    split = strategy.prepare(context(overlapping, seed=3))
    assert torch.equal(split.inputs, torch.from_numpy(rows))
    assert split.targets.tolist() == labels.tolist()
    other = built("resampled", method="SMOTE", options={"k_neighbors": 2}).prepare(context(overlapping, seed=4))
    assert not torch.equal(split.inputs, other.inputs)


def test_classes_of_options_are_numbers_as_a_record_has_them(overlapping: Split) -> None:
    splits = [
        built("resampled", options={"sampling_strategy": counts}).prepare(context(overlapping))
        for counts in ({1: 50, 2: 60}, {"1": 50, "2": 60})
    ]
    assert torch.equal(splits[0].inputs, splits[1].inputs)
    assert torch.bincount(splits[1].targets).tolist() == [90, 50, 60]


def test_a_seed_of_its_own_is_refused() -> None:
    with pytest.raises(UserError, match="random_state follows the run's seed: leave it out"):
        built("resampled", options={"random_state": 2})


@pytest.mark.parametrize(("dtype", "whole"), [(torch.uint8, torch.round), (torch.int32, torch.trunc)])
@pytest.mark.parametrize("method", ["SMOTE", "SVMSMOTE"])  # the second leaves the range of the samples
def test_pixels_are_rounded_and_tokens_truncated(method: str, dtype: torch.dtype, whole: Any) -> None:
    made, exact = (
        built("resampled", method=method).prepare(context(images((40, 9), kind))) for kind in (dtype, torch.float32)
    )
    assert made.inputs.dtype == dtype
    assert made.inputs.shape == exact.inputs.shape == (len(made), 1, 4, 4)
    assert torch.equal(made.inputs, whole(exact.inputs).clamp(20, 49).to(dtype))


def test_a_smaller_set_is_shuffled_several_times() -> None:
    strategy = built("resampled", method="RandomUnderSampler")
    split = strategy.prepare(context(small(), batch_size=7))
    assert torch.bincount(split.groups).tolist() == [min(SIZES)] * 4
    drawn = Counter(batches(strategy, 1).flatten().tolist())
    assert sorted(drawn) == list(range(8))
    assert set(drawn.values()) == {6, 7}, "7 steps of 7"


def test_a_set_smaller_than_a_batch_is_refused() -> None:
    with pytest.raises(UserError, match=r"strategy\.method=RandomUnderSampler leaves 8 of 50 training samples, fewer "
                       r"than batch_size=10: use a smaller batch_size or another method"):  # fmt: skip
        built("resampled", method="RandomUnderSampler").prepare(context(small(), batch_size=10))


def test_selected_samples_keep_their_groups(overlapping: Split) -> None:
    groups = torch.arange(len(overlapping)) % 4
    split = replace(overlapping, groups=groups)
    chosen = built("resampled", method="RandomOverSampler").prepare(context(split))
    assert torch.bincount(chosen.targets).tolist() == [max(CLASSES)] * 3
    rows = [overlapping.inputs.eq(sample).all(1).nonzero().item() for sample in chosen.inputs]
    assert torch.equal(chosen.groups, groups[rows])
    with pytest.raises(UserError, match=r"strategy\.method=SMOTE makes new samples, which have no group unless"):
        built("resampled", method="SMOTE").prepare(context(split))


@pytest.mark.parametrize(
    ("method", "options", "why"),
    [
        ("SMOTE", None, "ValueError: Expected n_neighbors <= n_samples_fit, .*"),
        ("SMOTE", {"neighbours": 1}, "TypeError: .* unexpected keyword argument 'neighbours'"),
        ("RandomUnderSampler", {"sampling_strategy": "some"}, "InvalidParameterError: .*"),
    ],
)
def test_what_the_sampler_refuses_is_quoted(method: str, options: dict[str, Any] | None, why: str) -> None:
    with pytest.raises(UserError, match=rf"strategy\.method={method} cannot resample this training set \({why}\): use"):
        built("resampled", method=method, options=options).prepare(context(small()))


def test_a_typo_is_reported_with_the_nearest_name() -> None:
    with pytest.raises(UserError, match=r"strategy\.method=smoteen must be one of .* \(did you mean SMOTEENN\?"):
        compose("dataset=digits", "strategy=resampled", "strategy.method=smoteen")
