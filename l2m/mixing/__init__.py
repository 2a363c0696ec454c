"""Mixing: what becomes of the samples that a strategy draws. One file each; it composes with every strategy.

The strategy says which samples, mixing says what becomes of them. The engine calls ``needs`` and ``prepare`` once,
``begin_epoch`` at the start of each epoch and, unless that says to train plainly, ``losses`` at each step. An epoch's
draws come from a generator of its own, named by the epoch: there is no state to save, and a run that goes on from a
checkpoint draws what it would have drawn.

What records hold under mixing: ``train_loss`` is the mean of what was descended, as ever. L_i, which learn2mix
follows, is the mean loss of mixed samples, each counted for the group of its first part, whatever that part's share.
Those that a filter leaves out count as well. Where clean samples are seen besides, it is the mean of both losses,
weighed as they are descended.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from torch import Tensor

from l2m.data import Batch, Data
from l2m.registry import Registry
from l2m.strategies import Context

if TYPE_CHECKING:
    from l2m.config.run import RunConfig

MIXINGS: Registry[Any] = Registry("mixing", __name__)

Losses = Callable[[Tensor, Tensor], Tensor]
"""(inputs (m, ...), targets) -> the task's loss of each (m,) under a model."""

Objective = Callable[[Batch, Tensor], Tensor]
"""(batch, losses of its samples (M,)) -> the scalar to descend: a strategy's ``loss``."""


class Mixing:
    """What every mixing has."""

    def needs(self, config: RunConfig) -> dict[str, RunConfig]:
        """Runs to be done before that of ``config``, by name: ordinary ones, skipped where they are finished."""
        return {}

    def prepare(self, context: Context, epochs: int, data: Data, trained: Mapping[str, Losses]) -> None:
        """Keep what is needed.

        Args:
            context: the strategy's.
            epochs: E, the configuration's; a run that is given seconds may take more or fewer.
            data: what is trained on.
            trained: by the name of a run that mixing needs, the losses under the model that run left, in evaluation
                mode and without a gradient.

        Raises:
            UserError: the data can't be mixed.
        """
        self.context, self.epochs, self.classes, self.trained = context, epochs, data.classes, trained

    def begin_epoch(self, epoch: int) -> bool:
        """Draw what the epoch takes, counted from 1; False if it is to be trained without mixing."""
        raise NotImplementedError

    def losses(self, batch: Batch, model: Losses, objective: Objective) -> tuple[Tensor, Tensor]:
        """A step's losses of each sample (M,), for statistics, and the scalar to descend, ().

        ``model`` gives losses under the model that is trained, ``objective`` is the strategy's.
        """
        raise NotImplementedError


@MIXINGS.register("none")
def none() -> None:
    """Samples stay as they are: the engine takes no step out of its way."""
