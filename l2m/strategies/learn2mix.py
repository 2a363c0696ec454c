"""Learn2Mix: proportions that follow the groups' losses (section 3, Algorithms 1 and 2)."""

from dataclasses import dataclass
from typing import Annotated, Literal

from torch import Tensor

from l2m.data import Batch, Split
from l2m.schema import Range
from l2m.strategies import STRATEGIES, Context, SampledStrategy, Statistics, read_step


@STRATEGIES.register("learn2mix")
@dataclass(kw_only=True)
class Learn2Mix(SampledStrategy):
    """The task's mean loss on batches whose proportions α start as the training set's and follow eq. 3.

    ``cadence`` says when α moves: once an epoch from the mean over its batches (``epoch_mean``, the paper's text), once
    an epoch from its last batch alone (``epoch_last``, the authors' code for regression and reconstruction), or after
    every batch (``batch``, their older code for classification), for which losses are read from the device each step.
    """

    mixing_rate: Annotated[float, Range(0, 1)] = 0.1  # γ
    cadence: Literal["epoch_mean", "epoch_last", "batch"] = "epoch_mean"

    def prepare(self, context: Context) -> Split:
        self.sampler = context.sampler(self.mixing_rate)
        return super().prepare(context)

    def plan(self, epoch: int) -> Tensor | None:
        return None if self.cadence == "batch" else self.sampler.plan()

    @property
    def reads_steps(self) -> bool:
        return self.cadence == "batch"

    def after_step(self, batch: Batch, per_sample: Tensor) -> None:
        if step := read_step(batch, per_sample, self.context.groups):
            total, count = step
            self.sampler.update(total / count, seen=count > 0)

    def end_epoch(self, statistics: Statistics) -> None:
        if self.cadence == "epoch_mean":
            self.sampler.update(statistics.loss, seen=statistics.count > 0)
        elif self.cadence == "epoch_last":
            self.sampler.update(statistics.last_loss, seen=statistics.last_count > 0)
