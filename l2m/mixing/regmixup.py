"""RegMixup (Pinto et al., 2022): mixup in addition to the clean batch."""

from dataclasses import dataclass

import torch
from torch import Tensor

from l2m.data import Batch
from l2m.mixing import MIXINGS, Losses, Objective
from l2m.mixing.mixup import Concentration, Mixup


@MIXINGS.register("regmixup")
@dataclass(kw_only=True)
class RegMixup(Mixup):
    """Half of the loss is that of the clean batch, half that of its mixed samples; both pass the model together.

    The options are mixup's; α is higher, so most pairs are mixed in nearly equal parts.
    """

    concentration: Concentration = 20.0

    purpose = "regmixup"

    def losses(self, batch: Batch, model: Losses, objective: Objective) -> tuple[Tensor, Tensor]:
        inputs, targets = self.mixed(batch)
        both = model(torch.cat([batch.inputs, inputs]), torch.cat([self.targets(batch), targets]))
        clean, mixed = both.chunk(2)
        return (clean + mixed) / 2, (objective(batch, clean) + objective(batch, mixed)) / 2
