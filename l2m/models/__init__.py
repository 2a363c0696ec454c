"""Networks of the paper's appendix (section C.1), one file for each family.

A model is a function ``build(data, *, options) -> Module``, registered in ``MODELS``. It maps inputs (M, ...)
to (M, ``data.outputs``). Its parameters are drawn from torch's default generator, which the engine seeds, or read from
what the option ``weights`` names. Parameters that need no gradient are not trained; ``rate_factors`` of a module are
factors of the learning rate by parameter.
"""

from collections.abc import Mapping
from typing import Any

from l2m.data import Data
from l2m.errors import UserError
from l2m.registry import Registry

MODELS: Registry[Any] = Registry("model", __name__)


def build_to_load(choice: Mapping[str, Any], data: Data) -> Any:
    """A model whose parameters will be replaced, so that pretrained weights need not be here."""
    return MODELS.build({**choice, **({"weights": "none"} if "weights" in choice else {})}, data)


def image_size(data: Data, model: str, smallest: int = 1, colour: bool = False) -> tuple[int, int, int]:
    """Channels, height and width of the images.

    Raises:
        UserError: the inputs are not images, are smaller than ``smallest`` pixels, or, if ``colour`` is needed, do
            not have three channels.
    """
    shape = tuple(data.train.inputs.shape[1:])
    if len(shape) != 3 or min(shape[1:]) < smallest or (colour and shape[0] != 3):
        size = f"at least {smallest}×{smallest} pixels" if smallest > 1 else "any size"
        larger = "larger images, or " if len(shape) == 3 and (shape[0] == 3 or not colour) else ""
        raise UserError(
            f"model={model} takes {'colour ' if colour else ''}images of {size}, not "
            f"inputs of shape {shape}: use {larger}model={'transformer' if data.vocabulary_size else 'mlp'}"
        )
    return shape[0], shape[1], shape[2]
