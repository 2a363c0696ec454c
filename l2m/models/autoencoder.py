"""The autoencoder of the reconstruction rows (section C.1.5)."""

from typing import Annotated

import torch
from torch import nn

from l2m.data import Data
from l2m.errors import UserError
from l2m.models import MODELS
from l2m.schema import Range


@MODELS.register("autoencoder")
def autoencoder(data: Data, *, noise: Annotated[float, Range(0)] = 0.0) -> nn.Module:
    """d-128-32-128-d with ReLU, except on the code of 32, and a final sigmoid, for images of d pixels in [0, 1].

    ``noise`` is the standard deviation of normal noise added to torch's initial parameters. The paper has none; the
    authors' runs start from one set of parameters with such noise, 0.05 on MNIST and CIFAR-10, 0.007 on Fashion-MNIST.
    """
    if data.train.targets is not None:
        raise UserError(
            "model=autoencoder reconstructs its input: use it with a reconstruction, or choose another model"
        )
    d = data.outputs
    model = nn.Sequential(
        nn.Flatten(),
        nn.Linear(d, 128), nn.ReLU(inplace=True),
        nn.Linear(128, 32),
        nn.Linear(32, 128), nn.ReLU(inplace=True),
        nn.Linear(128, d), nn.Sigmoid(),
    )  # fmt: skip
    if noise:
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(torch.randn_like(parameter), alpha=noise)
    return model
