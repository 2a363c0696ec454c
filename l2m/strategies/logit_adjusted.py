"""Logit-adjusted cross entropy (Menon et al., 2021, arXiv 2007.07314)."""

from dataclasses import dataclass
from typing import Annotated

from torch import Tensor

from l2m.data import Split
from l2m.schema import Range
from l2m.strategies import STRATEGIES, Context, Strategy
from l2m.strategies.class_weighted import class_sizes


@STRATEGIES.register("logit_adjusted")
@dataclass(kw_only=True)
class LogitAdjusted(Strategy):
    """Shuffled batches; the cross entropy of the logits f_y + τ log π_y, π the classes' shares (their eq. 10).

    Evaluation uses the model's own logits f: with τ = 1 the largest minimises the balanced error. With equally large
    classes, or τ = 0, this is classical training.
    """

    temperature: Annotated[float, Range(0)] = 1.0  # τ

    tasks = frozenset({"classification"})
    replayable = stackable = True

    def prepare(self, context: Context) -> Split:
        sizes = class_sizes(context)
        shares = sizes.clamp_min(1e-300) / sizes.sum()  # finite for a class without samples, as mixed labels need it
        self._offset = (self.temperature * shares.log()).float().to(context.device)
        return super().prepare(context)

    def adjust(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return outputs.float() + self._offset
