"""Cross entropy weighted by class: inverse frequency, or the effective number of samples (Cui et al., 2019)."""

from dataclasses import dataclass
from typing import Annotated, Literal

import torch
from torch import Tensor

from l2m.data import Batch, Split
from l2m.schema import Range
from l2m.strategies import STRATEGIES, Context, Strategy


@STRATEGIES.register("class_weighted")
@dataclass(kw_only=True)
class ClassWeighted(Strategy):
    """Shuffled batches; a step minimises the mean over samples of w_y times the cross entropy, y the class.

    w_y ∝ 1 / n_y for a class of n_y training samples, or 1 / E_y with the effective number of samples
    E_y = (1 - β^n_y) / (1 - β) (arXiv 1901.05555, proposition 1), which is 1 at β = 0 and tends to n_y as β tends to 1.
    Weights are scaled so that their mean over the training samples is 1; Cui et al. let them sum to k.
    """

    weights: Literal["inverse", "effective"] = "inverse"
    beta: Annotated[float, Range(0, 1, below=True)] = 0.999  # β; ``inverse`` ignores it

    tasks = frozenset({"classification"})
    replayable = stackable = True

    def prepare(self, context: Context) -> Split:
        sizes = class_sizes(context)
        number = sizes if self.weights == "inverse" else effective_number(sizes, self.beta)
        weights = 1 / number.clamp_min(1)  # the weight of a class without samples is never used
        self._weights = (weights * sizes.sum() / (weights @ sizes)).float().to(context.device)
        return super().prepare(context)

    def loss(self, batch: Batch, per_sample: Tensor) -> Tensor:
        return (self._weights[batch.targets] * per_sample).mean(-1)


def class_sizes(context: Context) -> Tensor:
    """Training samples of each class, (classes,) float64: the labels are its targets."""
    labels = torch.as_tensor(context.train.targets)
    return torch.bincount(labels, minlength=context.classes or context.groups).double()


def effective_number(sizes: Tensor, beta: float) -> Tensor:
    """E = (1 − β^n) / (1 − β) of classes of n samples (arXiv 1901.05555, proposition 1)."""
    return (1 - beta**sizes) / (1 - beta)
