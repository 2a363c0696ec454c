"""Results of a model on a split."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from l2m.data import Split


@dataclass(frozen=True)
class Evaluation:
    """Results on a split, on the device, for which nothing here waits.

    Attributes:
        losses, scores: the task's loss and metric of each sample (n,), float64.
        split: the samples.
        groups: k.
        outputs: of the model, (n, ...), if they were to be kept.
    """

    losses: Tensor
    scores: Tensor
    split: Split
    groups: int
    outputs: Tensor | None = None

    @property
    def loss(self) -> Tensor:
        """The mean loss, ()."""
        return self.losses.mean()

    @property
    def metric(self) -> Tensor:
        """The mean metric, ()."""
        return self.scores.mean()

    @property
    def group_metric(self) -> Tensor:
        """The metric by group (k,), NaN for one without samples."""
        sums, counts = torch.zeros(2, self.groups, dtype=torch.float64, device=self.scores.device)
        sums.index_add_(0, self.split.groups, self.scores)
        counts.index_add_(0, self.split.groups, torch.ones_like(self.scores))
        metric: Tensor = sums / counts
        return metric
