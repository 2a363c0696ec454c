"""Tasks: the loss of each sample, and the reported metric."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional


@dataclass(frozen=True)
class Task:
    """A loss and a metric, per sample."""

    name: str
    loss: Callable[[Tensor, Tensor], Tensor]  # (outputs (M, ...), targets) -> losses (M,)
    # (outputs, targets, losses) -> metric of each sample (M,); its mean over a data set is reported
    score: Callable[[Tensor, Tensor, Tensor], Tensor]
    metric: str  # the name of that mean
    higher_is_better: bool  # whether a worst group is the one with the lowest metric


def cross_entropy(outputs: Tensor, targets: Tensor) -> Tensor:
    """Cross entropy of logits (M, k) with labels (M,)."""
    return functional.cross_entropy(outputs.float(), targets, reduction="none")


def correct(outputs: Tensor, targets: Tensor, losses: Tensor) -> Tensor:
    """1 where the largest logit belongs to the label, else 0."""
    return (outputs.argmax(1) == targets).to(torch.float32)


def squared_error(outputs: Tensor, targets: Tensor) -> Tensor:
    """Squared error of predictions (M, d), averaged over d; d = 1 except for images."""
    losses = functional.mse_loss(outputs.float(), targets.flatten(1), reduction="none")
    return losses.mean(1) if losses.shape[1] > 1 else losses.squeeze(1)  # squeezing takes no pass over them


def squared_error_of_image(outputs: Tensor, targets: Tensor, losses: Tensor) -> Tensor:
    """Squared error summed over an image's pixels, which lie in [0, 1] (the metric of Table 2)."""
    return losses * targets[0].numel()


TASKS = {
    task.name: task
    for task in (
        Task("classification", cross_entropy, correct, "accuracy", higher_is_better=True),
        Task("regression", squared_error, lambda outputs, targets, losses: losses, "mean squared error", False),
        Task("reconstruction", squared_error, squared_error_of_image, "squared error", False),
    )
}
