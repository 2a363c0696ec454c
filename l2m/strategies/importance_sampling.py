"""Importance sampling, a baseline of the paper's third version (after Katharopoulos and Fleuret, 2018)."""

from dataclasses import dataclass

import torch
from torch import Tensor

from l2m.data import Batch, Split
from l2m.seeding import to_device
from l2m.strategies import STRATEGIES, Context, Strategy


@STRATEGIES.register("importance_sampling")
@dataclass(kw_only=True)
class ImportanceSampling(Strategy):
    """Shuffled batches; a step minimises the mean loss of half of its batch, drawn by loss.

    ⌊M/2⌋ of the M samples are drawn without replacement, each with probability p_j = L_j / Σ L among those
    that remain. Their losses are not divided by p, so the gradient's mean is not that of classical training.
    """

    saved = (*Strategy.saved, "_draws")

    def prepare(self, context: Context) -> Split:
        self._draws = context.generator("importance")
        return super().prepare(context)

    def loss(self, batch: Batch, per_sample: Tensor) -> Tensor:
        # arrivals at rates L_j: the first to arrive are such a draw
        waits = to_device(torch.empty(len(per_sample)).exponential_(generator=self._draws), per_sample.device)
        first = (waits / per_sample.detach()).topk(max(len(per_sample) // 2, 1), largest=False).indices
        return per_sample[first].mean()
