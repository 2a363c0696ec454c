"""Results of an epoch."""

from typing import NamedTuple

import torch
from torch import Tensor

from l2m.records import EpochRow, GroupRow
from l2m.strategies import Statistics

Rows = tuple[EpochRow, list[GroupRow]]
"""Those of an epoch."""


class Evaluation(NamedTuple):
    """Results on a split, on the device, for which nothing here waits; of R runs with a first dimension (R,)."""

    loss: Tensor
    metric: Tensor
    group_metric: Tensor
    """(k,), NaN for a group without samples; the others are (), means over all samples."""
    outputs: list[Tensor]
    """(n, ...) of each batch, if early stopping reads them."""

    def joined(self, objective: Tensor, trained: Statistics, proportions: Tensor) -> Tensor:
        """All of an epoch's results, (3 + 6·k,) float64, to be read from the device at once."""
        return torch.cat([
            torch.stack([objective, self.loss, self.metric], -1),
            trained.loss, trained.last_loss, trained.count.double(), trained.last_count.double(), self.group_metric,
            proportions,
        ], -1)  # fmt: skip
