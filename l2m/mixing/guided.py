"""Guided mixup: a teacher selects the mixed samples that a student learns from (talk on mixup by data valuation)."""

from dataclasses import dataclass
from typing import Annotated, Literal

from torch import Tensor

from l2m.config.run import RunConfig
from l2m.mixing import MIXINGS
from l2m.mixing.mixup import Mixup
from l2m.schema import Range
from l2m.strategies import as_classical


@MIXINGS.register("guided", revision=2)  # the first valued samples by adjusted outputs, where a strategy adjusts them
@dataclass(kw_only=True)
class Guided(Mixup):
    """Mixup that keeps a mixed sample z by the sign of its value r̂(z) = CE_teacher(z) − CE_student(z).

    The talk's student learns from z if r̂(z) ≤ 0: if it is not yet better than the teacher. The student's loss is
    computed in training mode; the teacher's with its final parameters, in evaluation mode. Excluded samples have a loss
    of 0, and the strategy's objective is divided by the share that was kept, so that a mean over the batch becomes one
    over the kept samples; of importance sampling, which leaves out excluded samples itself, it becomes up to twice
    that. A batch without kept samples has no gradient. For tasks other than classification CE is the task's loss, and
    both CE are of the models' own outputs, also where the strategy adjusts the student's.

    The talk does not say whether its students also see clean samples. Its numbers suggest it: +r̂ ends close to training
    without mixup on all of its sets, and its students without a filter have half the input gradients of their mixup
    teachers, although they would otherwise be the same. ``clean`` gives clean samples a share of the loss.

    The teacher is a separate run, trained first and shared by all students of its seed: classical training, otherwise
    configured as here except for the mixing. Teacher and student start from the same parameters and draw different
    pairs. The talk does not say how its students start, or that a batch's loss is a mean over the kept samples; these
    are our choices.

    The filter ``low`` keeps r̂ ≤ 0, the talk's −r̂; ``high`` keeps r̂ > 0, its +r̂; ``all`` keeps every sample, its whole
    r̂, needs no teacher and equals mixup except for the draws.
    """

    filter: Literal["low", "high", "all"] = "low"
    teacher: Literal["mixup", "regmixup"] = "mixup"  # that the teacher is trained with, at its defaults
    clean: Annotated[float, Range(0, 1, below=True)] = 0.0

    purpose = "guided"

    def needs(self, config: RunConfig) -> dict[str, RunConfig]:
        if self.filter == "all":
            return {}
        choice = {"name": self.teacher, **MIXINGS.defaults(self.teacher)}
        return {"teacher": as_classical(config, mixing=choice, equal_seconds=False)}

    def kept(self, inputs: Tensor, targets: Tensor, losses: Tensor) -> Tensor | None:
        if self.filter == "all":
            return None
        value = self.trained["teacher"](inputs, targets) - losses.detach()
        return (value <= 0 if self.filter == "low" else value > 0).to(losses.dtype)
