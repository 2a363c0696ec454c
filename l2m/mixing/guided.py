"""Guided mixup: a teacher says which mixed samples a student learns from (the talk on mixup by data valuation)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

import torch
from torch import Tensor

from l2m.data import Batch
from l2m.mixing import MIXINGS, Losses, Objective
from l2m.mixing.mixup import Mixup
from l2m.schema import Range
from l2m.strategies import as_classical

if TYPE_CHECKING:
    from l2m.config.run import RunConfig


@MIXINGS.register("guided")
@dataclass(kw_only=True)
class Guided(Mixup):
    """Mixup that keeps a mixed sample z by the sign of its value r̂(z) = CE_teacher(z) − CE_student(z).

    The talk's student learns from z where r̂(z) ≤ 0: where it is no better yet than the teacher. The student's loss
    is the one it would descend, in training mode; the teacher's is that of its final parameters, in evaluation mode.
    Samples that are left out have a loss of 0, and what the strategy then descends is divided by the share that was
    kept, so that a mean over the batch is one over the kept samples. A batch of which none is kept has no gradient.
    For tasks other than classification CE is the task's loss.

    The talk does not say whether its students see clean samples besides. Its numbers speak for it: +r̂ ends close to
    training without mixup on all of its sets, and its students without a filter have half of the input gradients of
    their mixup teachers, which are what they would be otherwise. ``clean`` gives clean samples a share of the loss.

    The teacher is a run of its own, done first and shared by all students of its seed: classical training, all else
    as here but for the mixing. Teacher and student begin with the same parameters and draw their pairs anew. Nor does
    the talk say how its students begin, or that a batch's loss is a mean over those kept; these are choices.

    Attributes:
        filter: ``low`` keeps r̂ ≤ 0, the talk's −r̂; ``high`` keeps r̂ > 0, its +r̂; ``all`` keeps every sample, its
            whole r̂, needs no teacher and is mixup but for the draws.
        teacher: the mixing that the teacher is trained with, at its defaults.
        clean: the share of the loss that is that of the batch as it is, beside its mixed samples; 0 has none.
    """

    filter: Literal["low", "high", "all"] = "low"
    teacher: Literal["mixup", "regmixup"] = "mixup"
    clean: Annotated[float, Range(0, 1, below=True)] = 0.0

    purpose = "guided"

    def needs(self, config: RunConfig) -> dict[str, RunConfig]:
        if self.filter == "all":
            return {}
        choice = {"name": self.teacher, **MIXINGS.defaults(self.teacher)}
        return {"teacher": as_classical(config, mixing=choice, equal_seconds=False)}

    def losses(self, batch: Batch, model: Losses, objective: Objective) -> tuple[Tensor, Tensor]:
        inputs, targets = self.mixed(batch)
        if not self.clean:
            mixed = model(inputs, targets)
            return mixed, self._filtered(batch, inputs, targets, mixed, objective)
        both = model(torch.cat([batch.inputs, inputs]), torch.cat([self.targets(batch), targets]))
        clean, mixed = both.chunk(2)
        filtered = self._filtered(batch, inputs, targets, mixed, objective)
        return mixed.lerp(clean, self.clean), filtered.lerp(objective(batch, clean), self.clean)

    def _filtered(self, batch: Batch, inputs: Tensor, targets: Tensor, losses: Tensor, objective: Objective) -> Tensor:
        """What is descended of mixed samples, ()."""
        if self.filter == "all":
            return objective(batch, losses)
        value = self.trained["teacher"](inputs, targets) - losses.detach()
        kept = (value <= 0 if self.filter == "low" else value > 0).to(losses.dtype)
        return objective(batch, losses * kept) / kept.mean().clamp_min(1 / len(kept))
