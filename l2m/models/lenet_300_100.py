"""LeNet-300-100 (LeCun et al., 1998): the network of the talk on mixup by data valuation."""

from __future__ import annotations

from torch import nn

from l2m.data import Data
from l2m.models import MODELS, image_size


@MODELS.register("lenet_300_100")
def lenet_300_100(data: Data) -> nn.Module:
    """d-300-100-outputs with ReLU, fully connected, for images of d numbers; 784 for Fashion-MNIST."""
    channels, height, width = image_size(data, "lenet_300_100")
    return nn.Sequential(
        nn.Flatten(),
        nn.Linear(channels * height * width, 300), nn.ReLU(inplace=True),
        nn.Linear(300, 100), nn.ReLU(inplace=True),
        nn.Linear(100, data.outputs),
    )  # fmt: skip
