"""RegMixup (Pinto et al., 2022): mixup in addition to the clean batch."""

from dataclasses import dataclass

from l2m.mixing import MIXINGS
from l2m.mixing.mixup import Concentration, Mixup


@MIXINGS.register("regmixup")
@dataclass(kw_only=True)
class RegMixup(Mixup):
    """Half of the loss is that of the clean batch, half that of its mixed samples; both pass the model together.

    The options are mixup's; α is higher, so most pairs are mixed in nearly equal parts.
    """

    concentration: Concentration = 20.0

    purpose = "regmixup"
    clean = 0.5
