"""The larger LeNet-5 of the CIFAR rows (section C.1.2)."""

from __future__ import annotations

from torch import nn

from l2m.data import Data
from l2m.models import MODELS, image_size


@MODELS.register("lenet5_large")
def lenet5_large(data: Data) -> nn.Module:
    """Convolutions 16, 32, 64 @3, padded, each with 2×2 max pooling; 1024-500-outputs with dropout 0.5 for 32×32."""
    channels, height, width = image_size(data, "lenet5_large", 8)
    return nn.Sequential(
        nn.Conv2d(channels, 16, 3, padding=1), nn.MaxPool2d(2), nn.ReLU(inplace=True),
        nn.Conv2d(16, 32, 3, padding=1), nn.MaxPool2d(2), nn.ReLU(inplace=True),
        nn.Conv2d(32, 64, 3, padding=1), nn.MaxPool2d(2), nn.ReLU(inplace=True),
        nn.Flatten(),
        nn.Linear(64 * (height // 8) * (width // 8), 500), nn.ReLU(inplace=True),
        nn.Dropout(0.5),
        nn.Linear(500, data.outputs),
    )  # fmt: skip
