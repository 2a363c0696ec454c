"""Label-distribution-aware margins with deferred re-weighting (LDAM-DRW, Cao et al., 2019, arXiv 1906.07413)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Annotated

import torch
from torch import Tensor
from torch.nn import functional

from l2m.data import Batch, Split
from l2m.schema import Range
from l2m.strategies import STRATEGIES, Context, Strategy
from l2m.strategies.class_weighted import class_sizes, effective_number


@STRATEGIES.register("ldam")
@dataclass(kw_only=True)
class Ldam(Strategy):
    """Shuffled batches; cross entropy with a margin that is larger for rarer classes, re-weighted late in training.

    The loss of a sample of class y is the cross entropy of the logits s·(z_j − Δ_y·[j = y]) with Δ_y ∝ n_y^(−1/4) for
    n_y training samples, scaled so that the rarest class has ``margin``. After the share ``deferred`` of the epochs a
    step minimises Σ_b w_b ℓ_b / Σ_b w_b, with w = (1 − β) / (1 − β^n) of the sample's class (their algorithm 1, with
    the weights of arXiv 1901.05555); before that, the mean. Evaluation uses z. Where ``mixing`` mixes labels, each
    class has its margin times its share of the label.

    Margins, s and the deferral are the authors'. Their last layer is not kept: it has normalised features and weights,
    so that z are cosines in [−1, 1]. The logits here are unbounded, and a network may reach a margin by larger weights.
    Gradients are s times as large, which Adam evens out; divide SGD's learning rate by s. With ``margin=0``,
    ``scale=1`` and ``deferred=1`` this is classical training.
    """

    margin: Annotated[float, Range(0)] = 0.5  # the largest Δ
    scale: Annotated[float, Range(0, above=True)] = 30.0  # s
    deferred: Annotated[float, Range(0, 1)] = 0.8  # the authors' 160 of 200 epochs; 1: never re-weighted
    beta: Annotated[float, Range(0, 1, below=True)] = 0.9999  # β

    tasks = frozenset({"classification"})
    replayable = stackable = True

    def prepare(self, context: Context) -> Split:
        sizes = class_sizes(context)
        margins = (sizes**-0.25).where(sizes > 0, 0.0)
        self._margins = (self.margin * margins / margins.max()).float().to(context.device)
        self._late = (1 / effective_number(sizes, self.beta).clamp_min(1)).float().to(context.device)
        self._weights = torch.ones_like(self._late)
        return super().prepare(context)

    def plan(self, epoch: int) -> Tensor | None:
        if epoch > int(Fraction(str(self.deferred)) * self.context.epochs):
            self._weights.copy_(self._late)
        return super().plan(epoch)

    def adjust(self, outputs: Tensor, targets: Tensor) -> Tensor:
        shares = targets if targets.is_floating_point() else functional.one_hot(targets, len(self._margins))
        return self.scale * (outputs.float() - shares * self._margins)

    def loss(self, batch: Batch, per_sample: Tensor) -> Tensor:
        return _weighted_mean(self._weights[batch.targets], per_sample)

    @classmethod
    def losses(cls, runs: Sequence[Ldam], batch: Batch, per_sample: Tensor) -> Tensor:
        weights = torch.stack([run._weights for run in runs])  # which depend on the epoch
        return _weighted_mean(weights.gather(1, batch.targets), per_sample)


def _weighted_mean(weights: Tensor, losses: Tensor) -> Tensor:
    return (weights * losses).sum(-1) / weights.sum(-1)
