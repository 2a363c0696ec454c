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
        classes: of the labels; None if there are none.
    """

    losses: Tensor
    scores: Tensor
    split: Split
    groups: int
    classes: int | None

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
        return self._metric_by(self.split.groups, self.groups)

    @property
    def class_metric(self) -> Tensor:
        """The metric by label (classes,), NaN for one without samples; by group if there are no labels."""
        if self.classes is None or self.split.targets is None:
            return self.group_metric
        return self._metric_by(self.split.targets, self.classes)

    def _metric_by(self, labels: Tensor, k: int) -> Tensor:
        sums, counts = torch.zeros(2, k, dtype=torch.float64, device=self.scores.device)
        sums.index_add_(0, labels, self.scores)
        counts.index_add_(0, labels, torch.ones_like(self.scores))
        metric: Tensor = sums / counts
        return metric
