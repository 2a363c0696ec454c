"""SMOTE training (Chawla et al., 2002; section C.3 of the paper's second version)."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from l2m.data import Split
from l2m.errors import UserError
from l2m.strategies import STRATEGIES, Context, Strategy

TOGETHER = 2**20
"""Numbers interpolated at a time: 8 MiB in float64."""


@STRATEGIES.register("smote")
@dataclass(kw_only=True)
class Smote(Strategy):
    """Every group is oversampled to the largest one, once; then shuffled batches, ⌊N/M⌋ an epoch as for all strategies.

    A new sample lies at a random place between a sample and one of its min(5, n − 1) nearest neighbours of the
    group, in float32; pixels are rounded, and tokens truncated as by imbalanced-learn, which the authors used. A
    group of one sample is repeated. On tokens it makes little sense: a number between two words' is another word.
    """

    tasks = frozenset({"classification"})

    def prepare(self, context: Context) -> Split:
        super().prepare(context)
        train = context.train
        if train.targets is None or not torch.equal(train.groups, train.targets):
            raise UserError(
                "strategy=smote needs groups that are the classes, the labels of new samples: use strategy=balanced"
            )
        sizes = torch.bincount(train.groups, minlength=context.groups)
        rng = np.random.default_rng(context.generator("smote").initial_seed())
        missing = (sizes.max() - sizes).tolist()
        members = [torch.nonzero(train.groups == group).flatten() for group in range(context.groups)]
        repeated = [own[:1].repeat(more) for own, more in zip(members, missing, strict=True)]
        self.drawn_from = train.subset(torch.cat([torch.arange(len(train)), *repeated]))
        places = self.drawn_from.in_memory()[len(train) :].split(missing)
        for own, place in zip(members, places, strict=True):
            if len(own) > 1 and len(place):
                _interpolate(train.inputs[own], place, rng)
        return self.drawn_from


def _interpolate(samples: Tensor, place: Tensor, rng: np.random.Generator) -> None:
    """Fill ``place`` (m, ...) with new samples between those of one group (n, ...)."""
    from imblearn.over_sampling import SMOTE  # takes most of a second

    class InPlace(SMOTE):  # type: ignore[misc]
        """Writes samples to their place, a few at a time; imbalanced-learn stores all of them several times."""

        def _generate_samples(
            self, X: Any, nn_data: Any, nn_num: Any, rows: Any, cols: Any, steps: Any, *_: Any
        ) -> Any:
            few = max(1, TOGETHER // X.shape[1])
            for at in range(0, len(rows), few):
                part = slice(at, at + few)
                new = super()._generate_samples(X, nn_data, nn_num, rows[part], cols[part], steps[part])
                made = torch.from_numpy(new.round() if place.dtype == torch.uint8 else new)
                place[part] = made.view(-1, *place.shape[1:])
            return X[:0]

    # imbalanced-learn needs two classes: a row of zeros is the other one, and never a neighbour
    group = np.zeros((len(samples) + 1, samples[0].numel()), np.float32)
    group[:-1] = samples.flatten(1)
    InPlace(
        sampling_strategy={1: len(samples) + len(place)},
        k_neighbors=min(5, len(samples) - 1),
        random_state=int(rng.integers(2**31)),
    ).fit_resample(group, np.append(np.ones(len(samples), int), 0))
