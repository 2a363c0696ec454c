"""Curriculum learning, a baseline of the paper's third version (after Hacohen and Weinshall, 2019)."""

from dataclasses import dataclass
from typing import Annotated, Literal

import torch
from torch import Tensor

from l2m.config.run import RunConfig
from l2m.data import Split
from l2m.schema import Range
from l2m.strategies import STRATEGIES, Context, Statistics, Strategy, as_classical

START, GROWTH, EVERY = 0.5, 1.2, 10
"""Epoch t, counted from 0, trains on the easiest min(1, 0.5 · 1.2^⌊t/10⌋) of the set."""


@STRATEGIES.register("curriculum")
@dataclass(kw_only=True)
class Curriculum(Strategy):
    """Shuffled batches from the easiest samples, whose number grows; P = ⌊N/M⌋ batches an epoch as for all strategies.

    A sample's difficulty is 1 − the confidence in its label of the same model after ``warm_up`` epochs of classical
    training, with early stopping the best of at most so many; it is a separate run that is trained first. Then training
    starts from the same initial parameters.
    """

    warm_up: Annotated[int, Range(1)] = 50
    order: Literal["easiest", "random"] = "easiest"  # the authors' code is random: its scores are of a shuffled loader

    tasks = frozenset({"classification"})
    saved = (*Strategy.saved, "_epoch")

    def needs(self, config: RunConfig) -> dict[str, RunConfig]:
        return {"warm_up": as_classical(config, epochs=self.warm_up, equal_seconds=False)}

    def prepare(self, context: Context) -> Split:
        super().prepare(context)
        if self.order == "easiest":  # confidence is exp(−cross entropy)
            self._sorted = context.losses["warm_up"].argsort(stable=True)
        else:
            self._sorted = torch.randperm(len(context.train), generator=context.generator("curriculum"))
        self._epoch = 0
        return context.train

    @property
    def _easiest(self) -> Tensor:
        share = min(1.0, START * GROWTH ** (self._epoch // EVERY))
        return self._sorted[: max(int(share * len(self._sorted)), 1)]

    @property
    def proportions(self) -> Tensor:
        counts = torch.bincount(self.context.train.groups[self._easiest], minlength=self.context.groups)
        return counts.double() / counts.sum()

    def plan(self, epoch: int) -> Tensor:
        return self._easiest[self.shuffled(len(self._easiest))]

    def end_epoch(self, statistics: Statistics) -> None:
        self._epoch += 1
