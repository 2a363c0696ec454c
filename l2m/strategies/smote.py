"""SMOTE training (Chawla et al., 2002; section C.3 of the paper's second version)."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from l2m.data import Split
from l2m.errors import UserError
from l2m.strategies import STRATEGIES, Context, Strategy

NEIGHBOURS = 5
CHUNK = 2**26
"""Numbers interpolated at a time: 256 MiB in float32."""


@STRATEGIES.register("smote")
@dataclass(kw_only=True)
class Smote(Strategy):
    """Every group is oversampled to the largest one, once; then shuffled batches, P = ⌊N/M⌋ an epoch as for all.

    A new sample lies at a random place between a sample and one of its min(5, n − 1) nearest neighbours of the
    group, in float32, rounded back to integers where inputs rest as such. A group of one sample is repeated.
    On tokens this is what the authors did, and worth little: a number between two words' is that of another word.
    """

    tasks = frozenset({"classification"})

    def prepare(self, context: Context) -> Split:
        super().prepare(context)
        train = context.train
        if train.targets is None or not torch.equal(train.groups, train.targets):
            raise UserError("strategy=smote needs groups that are the classes: a new sample has no other label")
        sizes = torch.bincount(train.groups, minlength=context.groups)
        rng = np.random.default_rng(context.generator("smote").initial_seed())
        inputs, groups = [train.inputs], [train.groups]
        for group, size in enumerate(sizes.tolist()):
            missing = int(sizes.max()) - size
            if missing:
                inputs.append(_interpolate(train.inputs[train.groups == group], missing, rng))
                groups.append(torch.full((missing,), group))
        labels = torch.cat(groups)
        self.drawn_from = replace(train, inputs=torch.cat(inputs), targets=labels, groups=labels)
        return self.drawn_from


def _interpolate(samples: Tensor, count: int, rng: np.random.Generator) -> Tensor:
    """``count`` new samples between those of one group (n, ...), of their shape and type."""
    from imblearn.over_sampling import SMOTE  # takes most of a second

    if len(samples) == 1:
        return samples.repeat(count, *[1] * (samples.ndim - 1))
    group = samples.flatten(1).to(torch.float32).numpy()
    # imbalanced-learn wants two classes: a row of zeros stands for the other one and is never a neighbour
    rows = np.concatenate([group, np.zeros_like(group[:1])])
    labels = np.append(np.ones(len(group), int), 0)
    made = []
    while count:
        size = min(count, max(1, CHUNK // group.shape[1]))
        resampler = SMOTE(
            sampling_strategy={1: len(group) + size},
            k_neighbors=min(NEIGHBOURS, len(group) - 1),
            random_state=int(rng.integers(2**31)),
        )
        new = torch.from_numpy(resampler.fit_resample(rows, labels)[0][len(rows) :])
        made.append((new if samples.is_floating_point() else new.round()).to(samples.dtype))
        count -= size
    return torch.cat(made).view(-1, *samples.shape[1:])
