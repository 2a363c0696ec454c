"""PiKE: proportions from the norms and variances of the groups' gradients (Li et al., 2025; arXiv 2502.06244)."""

from dataclasses import dataclass
from typing import Annotated

import torch
from torch import Tensor

from l2m.data import Split
from l2m.sampling.exponentiated_weights import ExponentiatedWeights
from l2m.schema import Range
from l2m.strategies import STRATEGIES, Context, SampledStrategy
from l2m.strategies.inner_loop import Inner


@STRATEGIES.register("pike")
@dataclass(kw_only=True)
class Pike(SampledStrategy):
    """The task's mean loss on batches whose proportions follow the expected gain of a step on each group.

    From the published description of "PiKE: Adaptive Data Mixing for Large-Scale Multi-Task Learning Under Low Gradient
    Conflicts", not its code: if gradients hardly conflict, a bound on the loss after a step falls with a group's
    squared gradient norm and rises with its gradient's variance. So every T steps

        α_i ∝ α_i exp(ζ₁ ‖∇L_i‖² − ζ₂ / (2M) · σ_i²),

    with σ_i² the variance of one sample's gradient, summed over parameters, and a batch has α_i M samples of group i.
    Here ζ₁ is ``rate`` and ζ₂ is ``rate · noise``. The variant that balances the groups' losses is not implemented.
    It may starve groups whose gradients conflict, as those of classes do: in ``experiment=mixers_mnist`` one class gets
    most of the batches after a few epochs, and the others' losses rise until the proportions turn.

    The two estimates are ours, both unbiased over a group's samples: a and b are the gradients at the
    present parameters of two draws of ``samples`` n from the group, with replacement; ‖∇L_i‖² ≈ ⟨a, b⟩ and
    σ_i² ≈ n/2 · ‖a − b‖². The paper has no scale of ζ that suits every task; ``scaled`` divides the exponents by
    their typical size (:class:`~l2m.sampling.exponentiated_weights.ExponentiatedWeights`).
    """

    inner_steps: Annotated[int, Range(1)] = 10  # T
    rate: Annotated[float, Range(0)] = 0.1  # ζ₁
    noise: Annotated[float, Range(0)] = 1.0  # ζ₂ / ζ₁
    scaled: bool = True
    samples: Annotated[int, Range(1)] = 16  # n

    saved = (*SampledStrategy.saved, "_alpha", "_draws")

    @property
    def every(self) -> int:
        return self.inner_steps

    def prepare(self, context: Context) -> Split:
        self.sampler = context.sampler(mixing_rate=1)  # so that update(α) makes α the proportions
        self._alpha = ExponentiatedWeights(self.sampler.proportions, self.rate, self.scaled)
        self._draws = context.generator("pike")
        self._members = [torch.nonzero(context.train.groups == group).flatten() for group in range(context.groups)]
        return super().prepare(context)

    def plan(self, epoch: int) -> None:
        return None

    def outer(self, inner: Inner) -> None:
        gains = torch.stack([self._gain(inner, members) for members in self._members]).cpu()
        if not gains.isfinite().all():
            return  # the engine ends the run at the end of this epoch, and says why
        self._alpha.move(-gains)
        self.sampler.update(self._alpha.weights)

    def _gain(self, inner: Inner, members: Tensor) -> Tensor:
        """‖∇L_i‖² − ζ₂/ζ₁ · σ_i² / (2M) of the group with these ``members``, ()."""
        first, second = (
            torch.cat([part.flatten() for part in inner.gradient(inner.draw(index), training=True).values()]).double()
            for index in members[torch.randint(len(members), (2, self.samples), generator=self._draws)]
        )
        variance = self.samples / 2 * (first - second).square().sum()
        return first @ second - self.noise * variance / (2 * self.context.batch_size)
