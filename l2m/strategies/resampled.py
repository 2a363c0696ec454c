"""Training on a set that one of imbalanced-learn's samplers has resampled."""

from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from l2m.data import Split
from l2m.errors import UserError, cause
from l2m.strategies import STRATEGIES, Context, Strategy

Method = Literal[
    "ADASYN", "AllKNN", "BorderlineSMOTE", "ClusterCentroids", "CondensedNearestNeighbour", "EditedNearestNeighbours",
    "InstanceHardnessThreshold", "KMeansSMOTE", "NearMiss", "NeighbourhoodCleaningRule", "OneSidedSelection",
    "RandomOverSampler", "RandomUnderSampler", "RepeatedEditedNearestNeighbours", "SMOTE", "SMOTEENN", "SMOTETomek",
    "SVMSMOTE", "TomekLinks",
]  # fmt: skip
"""The classes of imbalanced-learn 0.14 that resample numbers; SMOTEN and SMOTENC are for categories."""


@STRATEGIES.register("resampled", revision=2)  # the first took RandomOverSampler's shrinkage for 0
@dataclass(kw_only=True)
class Resampled(Strategy):
    """The training set is resampled by class, once; then shuffled batches, ⌊N/M⌋ an epoch as for all strategies.

    Inputs are resampled as one row of float32 a sample. New pixels are rounded and new tokens truncated, within the
    range of those that there are. A method that selects or repeats samples keeps their groups; one that makes new ones
    needs groups that are the classes. ``strategy=smote`` is the paper's: it fills groups that are too small for
    ``method=SMOTE``, and needs less memory.
    """

    method: Method = "RandomOverSampler"
    options: dict[str, Any] | None = None  # its arguments, by name, other than its seed

    tasks = frozenset({"classification"})

    def __post_init__(self) -> None:
        if "random_state" in (self.options or {}):
            raise UserError("strategy.options: random_state follows the run's seed: leave it out")

    def prepare(self, context: Context) -> Split:
        super().prepare(context)
        train, labels = context.train, torch.as_tensor(context.train.targets)
        rng = np.random.default_rng(context.generator("resampled").initial_seed())
        try:
            sampler = _sampler(self.method, self.options or {}, int(rng.integers(2**31)))
            rows, new_labels = sampler.fit_resample(train.in_memory().flatten(1).float().numpy(), labels.numpy())
        except (ValueError, RuntimeError, TypeError) as error:
            raise UserError(
                f"strategy.method={self.method} cannot resample this training set ({cause(error)}): use another "
                "method, or change its strategy.options"
            ) from error
        if hasattr(sampler, "sample_indices_") and not getattr(sampler, "shrinkage", None):
            self.drawn_from = train.subset(torch.from_numpy(sampler.sample_indices_).long())
        elif torch.equal(train.groups, labels):
            classes = torch.from_numpy(new_labels)
            self.drawn_from = replace(train, inputs=_like(train.inputs, rows), targets=classes, groups=classes)
        else:
            raise UserError(
                f"strategy.method={self.method} makes new samples, which have no group unless the groups are the "
                "classes: use a method that selects samples, such as RandomOverSampler"
            )
        if len(self.drawn_from) < context.batch_size:
            raise UserError(
                f"strategy.method={self.method} leaves {len(self.drawn_from)} of {len(train)} training samples, fewer "
                f"than batch_size={context.batch_size}: use a smaller batch_size or another method"
            )
        return self.drawn_from


def _sampler(method: str, options: dict[str, Any], seed: int) -> Any:
    """The sampler, seeded if it draws numbers."""
    from imblearn import combine, over_sampling, under_sampling  # takes most of a second

    kind = next(
        getattr(module, method) for module in (over_sampling, under_sampling, combine) if hasattr(module, method)
    )
    if isinstance(counts := options.get("sampling_strategy"), dict):  # a record has its classes as text
        options = options | {"sampling_strategy": {int(label): count for label, count in counts.items()}}
    sampler = kind(**options)
    return sampler.set_params(random_state=seed) if "random_state" in sampler.get_params() else sampler


def _like(inputs: Tensor, rows: NDArray[np.float32]) -> Tensor:
    """Rows of numbers (N, d) in the type and shape of stored samples (n, ...)."""
    made = torch.from_numpy(rows)
    if not inputs.is_floating_point():
        made = (made.round() if inputs.dtype == torch.uint8 else made).clamp(int(inputs.min()), int(inputs.max()))
    return made.to(inputs.dtype).view(-1, *inputs.shape[1:])
