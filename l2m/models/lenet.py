"""LeNet-300-100 and LeNet-5 (LeCun et al., 1998), and the larger LeNet-5 of the CIFAR rows.

Pooling comes before ReLU: the two commute, so the function is the same, on a quarter of the elements.
"""

from torch import Tensor, nn

from l2m.data import Data
from l2m.models import MODELS, image_size
from l2m.models.pooling import convolved_and_pooled


@MODELS.register("lenet_300_100")
def lenet_300_100(data: Data) -> nn.Module:
    """d-300-100-outputs with ReLU, fully connected, for images of d numbers: the network of the talk on mixup."""
    channels, height, width = image_size(data, "lenet_300_100")
    return nn.Sequential(
        nn.Flatten(),
        nn.Linear(channels * height * width, 300), nn.ReLU(inplace=True),
        nn.Linear(300, 100), nn.ReLU(inplace=True),
        nn.Linear(100, data.outputs),
    )  # fmt: skip


class LeNet5(nn.Sequential):
    """The layers in turn; the first two, of few channels, are fused."""

    def forward(self, input: Tensor) -> Tensor:
        convolution, _, *rest = self
        outputs = convolved_and_pooled(input, *convolution.parameters())
        for layer in rest:
            outputs = layer(outputs)
        return outputs


@MODELS.register("lenet5")
def lenet5(data: Data) -> nn.Module:
    """Convolutions 6@5 and 16@5, each with 2×2 max pooling, then 256-120-84-outputs for 28×28 (section C.1.2)."""
    channels, height, width = image_size(data, "lenet5", 16)
    rows, columns = (((side - 4) // 2 - 4) // 2 for side in (height, width))
    return LeNet5(
        nn.Conv2d(channels, 6, 5), nn.MaxPool2d(2), nn.ReLU(inplace=True),
        nn.Conv2d(6, 16, 5), nn.MaxPool2d(2), nn.ReLU(inplace=True),
        nn.Flatten(),
        nn.Linear(16 * rows * columns, 120), nn.ReLU(inplace=True),
        nn.Linear(120, 84), nn.ReLU(inplace=True),
        nn.Linear(84, data.outputs),
    )  # fmt: skip


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
