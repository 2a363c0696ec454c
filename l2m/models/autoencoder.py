"""The autoencoder of the reconstruction rows (section C.1.5)."""

from __future__ import annotations

from torch import nn

from l2m.data import Data
from l2m.errors import UserError
from l2m.models import MODELS


@MODELS.register("autoencoder")
def autoencoder(data: Data) -> nn.Module:
    """d-128-32-128-d with ReLU, none on the code of 32, and a sigmoid at the end, for images of d pixels in [0, 1]."""
    if data.train.targets is not None:
        raise UserError("model=autoencoder gives its input back: use it with a reconstruction, or choose another model")
    d = data.outputs
    return nn.Sequential(
        nn.Flatten(),
        nn.Linear(d, 128), nn.ReLU(),
        nn.Linear(128, 32),
        nn.Linear(32, 128), nn.ReLU(),
        nn.Linear(128, d), nn.Sigmoid(),
    )  # fmt: skip
