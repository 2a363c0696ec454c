"""Importance sampling, a baseline of the paper's third version (after Katharopoulos and Fleuret, 2018)."""

from __future__ import annotations

from collections.abc import Sequence
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

    stackable = True
    saved = (*Strategy.saved, "_draws")

    def prepare(self, context: Context) -> Split:
        self._draws = context.generator("importance")
        return super().prepare(context)

    def loss(self, batch: Batch, per_sample: Tensor) -> Tensor:
        return self._mean_of_drawn(self._waits(len(per_sample)), per_sample)

    @classmethod
    def losses(cls, runs: Sequence[ImportanceSampling], batch: Batch, per_sample: Tensor) -> Tensor:
        return cls._mean_of_drawn(torch.stack([run._waits(per_sample.shape[1]) for run in runs]), per_sample)

    def _waits(self, samples: int) -> Tensor:
        return torch.empty(samples).exponential_(generator=self._draws)

    @staticmethod
    def _mean_of_drawn(waits: Tensor, per_sample: Tensor) -> Tensor:
        # arrivals at rates L_j: the first to arrive are such a draw
        arrivals = to_device(waits, per_sample.device) / per_sample.detach()
        first = arrivals.topk(max(per_sample.shape[-1] // 2, 1), largest=False).indices
        return per_sample.gather(-1, first).mean(-1)
