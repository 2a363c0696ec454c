"""Results of a trained model on each sample of a split, and what several scores compute from them."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csc_array
from scipy.special import log_softmax
from torch import Tensor

from l2m.data import Data

Floats = NDArray[np.floating]
Integers = NDArray[np.integer]

PerDraw = Any
"""A number, or if there are weights of several draws one for each, (draws,)."""


class Ranking(NamedTuple):
    """The order of N samples by their probability of a class, of which n are."""

    order: Integers  # (N,) samples, ascending
    own: Integers  # (n,) those of the class, ascending
    # of each of these, how many have a lower probability, and one that is not higher, in order and in own, (n,) each
    below: tuple[Integers, Integers]
    up_to: tuple[Integers, Integers]


@dataclass(frozen=True)
class SampleResults:
    """Results of N samples, (N,) each, from which scores are computed. Bootstrap draws change their weights.

    Attributes:
        weights: how often each sample counts, (N,) or (draws, N); every score then is one number, or one a draw.
        targets, labels: the true and the predicted class. None in a regression.
        probabilities: (N, k) of the classes, which a moved threshold leaves as they are.
        log_likelihood: of the true class.
        prior: (k,) shares of the classes in the training set.
        rankings: by class.
        squared, absolute: errors of a value, of an image the mean over its pixels. None in a classification.
        units: what the samples belong to, such as patients, if ``dataset.split_by`` names it: these are drawn.
        numbers: of held-out samples, their places in the training set, by which parts are compared.
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
    units: Integers | None = None
    numbers: Integers | None = None

    @property
    def is_right(self) -> NDArray[np.bool_]:
        """Whether the predicted class is the true one."""
        return np.asarray(self.labels == self.targets)

    @cached_property
    def confusion(self) -> Floats:
        """(k, k) or (draws, k, k) weights of samples, by true and by predicted class."""
        k = len(np.asarray(self.prior))
        cells = np.asarray(self.targets) * k + np.asarray(self.labels)
        return sum_cells(self.weights, cells, k * k).reshape(*self.weights.shape[:-1], k, k)

    @cached_property
    def recalls(self) -> tuple[Floats, NDArray[np.bool_]]:
        """(k,) or (draws, k) recalls of the classes, 0 for one that doesn't occur; and which occur."""
        samples = self.confusion.sum(-1)
        return diagonal(self.confusion) / np.where(samples > 0, samples, 1), samples > 0

    @cached_property
    def areas(self) -> Sequence[PerDraw]:
        """The areas under the ROC curve and under the steps of the precision-recall curve.

        They are means over the classes that some samples have and others lack, NaN without any; of two classes that of
        the rarer one in the training set, of equals the second, whose area under the ROC curve is also the other's.
        """
        first, *rest = np.asarray(self.prior)
        rankings = self.rankings if rest[1:] else [self.rankings[int(rest[0] <= first)]]
        areas = np.array([_areas(self.weights, ranking) for ranking in rankings])
        is_defined = ~np.isnan(areas)
        with np.errstate(invalid="ignore"):
            return list(areas.sum(0, where=is_defined) / is_defined.sum(0))


def sample_results(outputs: Tensor, data: Data) -> SampleResults:
    """Results from a model's ``outputs`` (N, k) for the test part; values of a regression in the target's own unit."""
    test, (_, sd) = data.test, data.target_unit
    targets = test.batch(slice(None)).targets.flatten(1) if test.targets is None else test.targets
    groups = test.groups.cpu().numpy()
    units = None if data.tested_units is None or data.tested_units.are_ordered else data.tested_units.numbers
    numbers = None if data.tested_numbers is None else data.tested_numbers.numpy()
    if targets.is_floating_point():
        values = value_results(outputs.double().numpy() * sd, targets.cpu().double().numpy() * sd, groups)
        return replace(values, units=units)
    trained = np.asarray(data.train.targets)
    prior = np.bincount(trained, minlength=outputs.shape[1]) / len(trained)
    results = label_results(outputs.double().numpy(), targets.cpu().numpy(), groups, prior)
    return replace(results, units=units, numbers=numbers)


def label_results(logits: Floats, targets: Integers, groups: Integers, prior: Floats) -> SampleResults:
    """Results from logits (N, k), classes (N,) and the classes' shares (k,) of the training set."""
    logs = log_softmax(logits, axis=1)
    probabilities = np.exp(logs)
    rankings = tuple(_rank(each, targets == number) for number, each in enumerate(probabilities.T))
    return SampleResults(
        groups, np.ones(len(targets)), targets=targets, labels=logits.argmax(1), probabilities=probabilities,
        log_likelihood=logs[np.arange(len(logs)), targets], prior=prior, rankings=rankings,
    )  # fmt: skip


def value_results(values: Floats, targets: Floats, groups: Integers) -> SampleResults:
    """Results from predicted values (N, k) and true ones (N, k)."""
    error = values - targets
    return SampleResults(groups, np.ones(len(error)), squared=(error**2).mean(1), absolute=np.abs(error).mean(1))


def _rank(probabilities: Floats, is_own: NDArray[np.bool_]) -> Ranking:
    order = probabilities.argsort().astype(np.int32)
    all_, own = probabilities[order], probabilities[order[is_own[order]]]

    def count(side: Literal["left", "right"]) -> tuple[Integers, Integers]:
        return np.searchsorted(all_, own, side), np.searchsorted(own, own, side)

    return Ranking(order, order[is_own[order]], count("left"), count("right"))


def sum_cells(weights: Floats, cells: Integers, size: int) -> Floats:
    """(..., size) sums of the weights (..., N) of the samples in each cell, of which ``cells`` (N,) has the numbers."""
    samples = len(cells)
    return np.asarray((csc_array((np.ones(samples), cells, np.arange(samples + 1)), (size, samples)) @ weights.T).T)


def diagonal(confusion: Floats) -> Floats:
    return confusion.diagonal(axis1=-2, axis2=-1)


def _areas(weights: Floats, ranking: Ranking) -> list[Floats]:
    """The areas under a class's ROC and precision-recall curves; NaN without samples of it, or without others."""
    all_, own = (_cumulated(weights[..., samples]) for samples in (ranking.order, ranking.own))
    own_below, own_up_to = (own[..., count] for _, count in (ranking.below, ranking.up_to))
    others_below = all_[..., ranking.below[0]] - own_below
    others_up_to = all_[..., ranking.up_to[0]] - own_up_to
    n_own, n_others = own[..., -1:], all_[..., -1:] - own[..., -1:]
    hits, false_alarms = n_own - own_below, n_others - others_below
    with np.errstate(invalid="ignore"):
        heights = (others_below + others_up_to) / (2 * n_others), hits / (hits + false_alarms).clip(1e-300)
        areas = [(weights[..., ranking.own] * height).sum(-1, keepdims=True) / n_own for height in heights]
    return [np.where((n_own > 0) & (n_others > 0), area, np.nan)[..., 0] for area in areas]


def _cumulated(weights: Floats) -> Floats:
    """(..., 1 + N) sums of the first 0 to N weights; of all draws they are large, so they are written once."""
    sums = np.zeros((*weights.shape[:-1], weights.shape[-1] + 1))
    weights.cumsum(-1, out=sums[..., 1:])
    return sums
