"""Mixup (Zhang et al., 2018), with the schedules and early stopping of the talk on mixup by data valuation."""

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Annotated, ClassVar, Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from l2m.data import Batch, Data
from l2m.errors import UserError
from l2m.mixing import MIXINGS, Losses, Mixing, Objective, TrainingLosses
from l2m.schema import Range
from l2m.seeding import to_device
from l2m.strategies import Context

Concentration = Annotated[float, Range(1e-3, 1e3)]


@MIXINGS.register("mixup")
@dataclass(kw_only=True)
class Mixup(Mixing):
    """Each sample becomes λ times itself and 1 − λ times another of its batch, input and target alike.

    One λ a batch is drawn from Beta(α, α), and the others are a permutation of the batch. Labels are mixed as
    distributions over classes, so the loss is λ·CE(f(z), y₁) + (1 − λ)·CE(f(z), y₂): cross entropy is linear in the
    target. Values and images to reconstruct are mixed directly.

    In a schedule α depends on the epoch through p, which goes from 0 in the first to 1 in the last: easy is
    α·10^(1 − 2p), from hard pairs with λ near 1/2 to easy ones near 0 or 1; hard is α·10^(2p − 1); easy_hard_easy
    is α·10^(1 − 2·|2p − 1|), from easy pairs to hard ones at half time and back. At α = 1 they range from 10 to 0.1,
    and easy and hard pass 1 at half time, as in the talk.
    ``early_stop``, the share of the epochs, rounded down, after which training continues without mixing, does not
    change the schedule.
    """

    concentration: Concentration = 1.0  # α
    schedule: Literal["constant", "easy", "hard", "easy_hard_easy"] = "constant"
    early_stop: Annotated[float, Range(0, 1, above=True)] = 1.0

    purpose: ClassVar[str] = "mixup"  # names the generators
    clean = 0.0  # the share of clean samples in the loss, [0, 1)

    def prepare(self, context: Context, epochs: int, data: Data, trained: Mapping[str, Losses]) -> None:
        if data.vocabulary_size:
            raise UserError(
                f"mixing={self.purpose} needs continuous inputs, but this data set has tokens: use mixing=none"
            )
        super().prepare(context, epochs, data, trained)

    def concentration_at(self, epoch: int) -> float:
        """α of an epoch, counted from 1."""
        last = self.epochs - 1
        p = min((epoch - 1) / last, 1.0) if last else 0.5
        exponents = {"constant": 0.0, "easy": 1 - 2 * p, "hard": 2 * p - 1, "easy_hard_easy": 1 - 2 * abs(2 * p - 1)}
        return float(self.concentration * 10 ** exponents[self.schedule])

    def begin_epoch(self, epoch: int) -> bool:
        if self.early_stop < 1 and epoch > int(self.epochs * Fraction(str(self.early_stop))):
            return False
        steps, size = self.context.steps, self.context.batch_size
        rng = np.random.default_rng(self.context.generator(f"{self.purpose}/{epoch}").initial_seed())
        alpha = self.concentration_at(epoch)
        shares = torch.from_numpy(rng.beta(alpha, alpha, steps)).float()
        others = torch.from_numpy(rng.permuted(np.tile(np.arange(size), (steps, 1)), axis=1))
        self._draws = zip(*(to_device(each, self.context.device).unbind() for each in (shares, others)), strict=True)
        return True

    def losses(self, batch: Batch, model: TrainingLosses, objective: Objective) -> tuple[Tensor, Tensor]:
        inputs, targets = self.mixed(batch)
        if not self.clean:
            mixed, adjusted = model(inputs, targets)
        else:
            both = model(torch.cat([batch.inputs, inputs]), torch.cat([self.targets(batch), targets]))
            (clean, mixed), (clean_adjusted, adjusted) = (losses.chunk(2) for losses in both)
        kept = self.kept(inputs, targets, mixed)
        if kept is None:
            filtered = objective(batch, adjusted)
        else:
            filtered = objective(batch, adjusted * kept) / kept.mean().clamp_min(1 / len(kept))
        if not self.clean:
            return mixed, filtered
        return mixed.lerp(clean, self.clean), filtered.lerp(objective(batch, clean_adjusted), self.clean)

    def kept(self, inputs: Tensor, targets: Tensor, losses: Tensor) -> Tensor | None:
        """Which of the mixed samples count, (M,) of 0 and 1, by their losses (M,); None: all do."""
        return None

    def targets(self, batch: Batch) -> Tensor:
        """Targets that can be mixed: labels (M,) as distributions (M, classes), others unchanged."""
        if self.classes is None:
            return batch.targets
        return functional.one_hot(batch.targets, self.classes).to(torch.float32)

    def mixed(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """The batch's inputs and targets, each mixed with those of another sample, by the next draw."""
        first, other = next(self._draws)
        targets = self.targets(batch)
        return batch.inputs[other].lerp(batch.inputs, first), targets[other].lerp(targets, first)
