"""Group DRO: the worst group's loss by exponentiated gradient (Sagawa et al., 2020, arXiv 1911.08731)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

import torch
from torch import Tensor

from l2m.data import Batch, Split
from l2m.schema import Range
from l2m.strategies import STRATEGIES, Context, SampledStrategy


@STRATEGIES.register("group_dro")
@dataclass(kw_only=True)
class GroupDRO(SampledStrategy):
    """A step minimises Σ_g q_g ℓ_g, ℓ_g the mean loss of group g in the batch; q follows the losses (Algorithm 1).

    Before each step, q_g ← q_g exp(η (ℓ_g + C / √n_g)) for the groups in the batch, n_g their training samples, and
    q is scaled to sum to 1; it starts at 1/k. A group that the batch lacks adds nothing to the step. Algorithm 1
    takes one sample of one group a step; this is the form for batches in the authors' code.
    """

    step_size: Annotated[float, Range(0)] = 0.01  # η, their default
    adjustment: Annotated[float, Range(0)] = 0.0  # C, for the generalisation gap of small groups
    batches: Literal["balanced", "stratified"] = "balanced"  # as Algorithm 1, or in the training set's shares

    replayable = stackable = True
    saved = (*SampledStrategy.saved, "_log_q")

    def prepare(self, context: Context) -> Split:
        k = context.groups
        self.sampler = context.sampler(proportions=[1 / k] * k if self.batches == "balanced" else None)
        sizes = torch.bincount(context.train.groups, minlength=k)
        self._gap = (self.adjustment / sizes.sqrt()).to(context.device)
        self._log_q = torch.zeros(k, device=context.device).log_softmax(0)  # exp(η ℓ) may overflow
        return super().prepare(context)

    def loss(self, batch: Batch, per_sample: Tensor) -> Tensor:
        return self._weighted(self._log_q, batch, per_sample)

    @classmethod
    def losses(cls, runs: Sequence[GroupDRO], batch: Batch, per_sample: Tensor) -> Tensor:
        log_q = torch.stack([run._log_q for run in runs])
        losses = runs[0]._weighted(log_q, batch, per_sample)
        torch._foreach_copy_([run._log_q for run in runs], list(log_q))
        return losses

    def _weighted(self, log_q: Tensor, batch: Batch, per_sample: Tensor) -> Tensor:
        """The loss at the weights ``log_q`` (..., k), which move first, from samples (..., M)."""
        total, count = per_sample.new_zeros(2, *log_q.shape)
        count = count.scatter_add(-1, batch.groups, torch.ones_like(per_sample))
        means = total.scatter_add(-1, batch.groups, per_sample) / count.clamp_min(1)
        with torch.no_grad():
            rise = self.step_size * (means + self._gap) * (count > 0)
            log_q.copy_((log_q + rise).log_softmax(-1))
        weighted: Tensor = (log_q.exp() * means).sum(-1)
        return weighted

    def changing(self) -> Iterable[Tensor]:
        return (self._log_q,)
