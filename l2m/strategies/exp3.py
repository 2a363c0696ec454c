"""Exp3: a bandit whose arms are the groups (Auer et al., 2002, SIAM Journal on Computing 32, 48-77)."""

from dataclasses import dataclass
from typing import Annotated, Literal

import torch
from torch import Tensor

from l2m.data import Batch, Split
from l2m.schema import Range
from l2m.strategies import STRATEGIES, Context, SampledStrategy, read_step


@STRATEGIES.register("exp3")
@dataclass(kw_only=True)
class Exp3(SampledStrategy):
    """Groups are drawn with probabilities p that Exp3 moves towards large losses; the loss is the task's mean loss.

    p_i = (1 - γ) w_i / Σ w + γ / k. After a step whose batch held n_i of its M samples from group i, with the mean
    loss ℓ_i, w_i ← w_i exp(γ x_i / k) with x_i = (ℓ_i / s) n_i / (M p_i): an unbiased estimate of the reward
    ℓ_i / s, since M p_i samples are expected. Auer et al. require rewards in [0, 1]: s is the largest ℓ so far.

    The loss as reward follows Albalak et al. (2023, arXiv 2312.02406), who mix data for language models this way.
    They decrease γ and take a moving average of rewards; here γ is constant and rewards are summed, as in Exp3. Losses
    are read from the device at every step.
    """

    exploration: Annotated[float, Range(0, 1, above=True)] = 0.1  # γ
    batches: Literal["mixture", "arm"] = "mixture"  # a group for each sample of a batch, or one for the whole batch

    saved = (*SampledStrategy.saved, "_draws", "_log_w", "_largest")

    def prepare(self, context: Context) -> Split:
        self.sampler = context.sampler(mixing_rate=1.0)  # so that update sets the proportions at once
        self._draws = context.generator("exp3")
        self._log_w = torch.zeros(context.groups, dtype=torch.float64)
        self._largest = 0.0
        return super().prepare(context)

    @property
    def proportions(self) -> Tensor:
        return (1 - self.exploration) * self._log_w.softmax(0) + self.exploration / self.context.groups

    def plan(self, epoch: int) -> None:
        return None

    def next_batch(self) -> Tensor:
        plays = self.context.batch_size if self.batches == "mixture" else 1
        arms = torch.multinomial(self.proportions, plays, replacement=True, generator=self._draws)
        self.sampler.update(torch.bincount(arms, minlength=self.context.groups))
        return self.sampler.next_batch()

    def after_step(self, batch: Batch, per_sample: Tensor) -> None:
        k = self.context.groups
        if not (step := read_step(batch, per_sample, k)):
            return
        total, count = step
        self._largest = max(self._largest, float((total / count.clamp_min(1)).max()))
        if self._largest > 0:  # ℓ_i n_i is the total
            rewards = total / self._largest / (len(per_sample) * self.proportions)
            self._log_w = (self._log_w + self.exploration / k * rewards).log_softmax(0)
