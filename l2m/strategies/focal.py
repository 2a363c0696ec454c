"""Focal training (Lin et al., 2017; section C.2 of the paper)."""

from dataclasses import dataclass
from typing import Annotated

import torch
from torch import Tensor

from l2m.data import Batch, Split
from l2m.schema import Range
from l2m.strategies import STRATEGIES, Context, Strategy


@STRATEGIES.register("focal")
@dataclass(kw_only=True)
class Focal(Strategy):
    """Shuffled batches; a sample's loss is −ω (1 − p)^Γ log p with p = exp(−cross entropy) (eq. 61 and 62).

    ω_i = k·(1/n_i) / Σ_j 1/n_j for a group of n_i samples. Eq. 62 prints a mean over groups; this is the mean
    over samples, as in Lin et al. and in the authors' code.
    """

    focusing: Annotated[float, Range(0)] = 2.0  # Γ
    weight_inside: bool = False  # use ω inside p as well, p = exp(−ω · cross entropy), as the authors' code does

    tasks = frozenset({"classification"})
    replayable = stackable = True

    def prepare(self, context: Context) -> Split:
        inverse = 1 / torch.bincount(context.train.groups, minlength=context.groups).double()
        self._weights = (context.groups * inverse / inverse.sum()).float().to(context.device)
        return super().prepare(context)

    def loss(self, batch: Batch, per_sample: Tensor) -> Tensor:
        weighted = self._weights[batch.groups] * per_sample
        # 1 − p without cancellation; the floor keeps the power's gradient finite where p is 1
        missing = -torch.expm1(-(weighted if self.weight_inside else per_sample))
        return (missing.clamp_min(1e-12) ** self.focusing * weighted).mean(-1)
