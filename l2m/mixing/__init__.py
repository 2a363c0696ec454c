"""Mixing: how the samples that a strategy draws are mixed. One file each; every mixing works with every strategy.

The engine calls ``needs`` and ``prepare`` once, ``begin_epoch`` at the start of each epoch and, if that returns True,
``losses`` at each step. Each epoch draws from its own generator, so there is no state to save, and a resumed run draws
the same.

Records under mixing: ``train_loss`` is the mean training objective, as always. L_i, which learn2mix follows, is the
mean loss of mixed samples, each counted for the group of its first part, whatever that part's share, and also if a
filter excludes it. With clean samples beside the mixed ones, it is the mean of both, weighted as in the objective;
the strategy's ``loss`` is then called for each, so group DRO's weights move twice a step.
"""

from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor

from l2m.config.run import RunConfig
from l2m.data import Batch, Data
from l2m.registry import Registry
from l2m.strategies import Context

MIXINGS: Registry[Any] = Registry("mixing", __name__)

Losses = Callable[[Tensor, Tensor], Tensor]
"""(inputs (m, ...), targets) -> the task's loss of each (m,) under a model."""

TrainingLosses = Callable[[Tensor, Tensor], tuple[Tensor, ...]]
"""(inputs (m, ...), targets) -> the losses (m,) under the model in training, and those for the strategy's ``loss``."""

Objective = Callable[[Batch, Tensor], Tensor]
"""(batch, losses of its samples (M,)) -> the scalar to minimise: a strategy's ``loss``."""


class Mixing:
    """The base of every mixing."""

    def needs(self, config: RunConfig) -> dict[str, RunConfig]:
        """Runs to finish before that of ``config``, by name: ordinary runs, skipped if they are finished."""
        return {}

    def prepare(self, context: Context, epochs: int, data: Data, trained: Mapping[str, Losses]) -> None:
        """Keep what the mixing needs.

        Args:
            context: the strategy's.
            epochs: E, the configuration's; a run with a time budget may train more or fewer.
            data: the data set in training.
            trained: for each run that the mixing needs, by name, the losses under its final model, in evaluation mode
                and without a gradient.

        Raises:
            UserError: the data cannot be mixed.
        """
        self.context, self.epochs, self.classes, self.trained = context, epochs, data.classes, trained

    def begin_epoch(self, epoch: int) -> bool:
        """Draw for the epoch, counted from 1; False: train it without mixing."""
        raise NotImplementedError

    def losses(self, batch: Batch, model: TrainingLosses, objective: Objective) -> tuple[Tensor, Tensor]:
        """A step's losses of each sample (M,), for statistics, and the scalar to minimise, ().

        ``model`` returns losses by its outputs, and by its outputs as the strategy adjusts them, for ``objective``.
        """
        raise NotImplementedError


@MIXINGS.register("none")
def none() -> None:
    """Samples are not mixed."""
