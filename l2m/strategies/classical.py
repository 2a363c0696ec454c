"""Classical training: always the proportions of the training set."""

from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from l2m.data import Split
from l2m.strategies import STRATEGIES, Context, Strategy


@STRATEGIES.register("classical")
@dataclass(kw_only=True)
class Classical(Strategy):
    """The task's mean loss on batches that reflect the training set.

    ``shuffled`` batches are cut from the shuffled set; ``stratified`` ones have the set's proportions through the
    sampler, and equal learn2mix at rate 0.
    """

    batches: Literal["shuffled", "stratified"] = "shuffled"

    saved = (*Strategy.saved, "_sampler")

    def prepare(self, context: Context) -> Split:
        self._sampler = context.sampler() if self.batches == "stratified" else None
        return super().prepare(context)

    def plan(self, epoch: int) -> Tensor | None:
        return self._sampler.plan() if self._sampler else super().plan(epoch)
