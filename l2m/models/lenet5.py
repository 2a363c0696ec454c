"""LeNet-5 (LeCun et al., 1998; section C.1.2).

Here and in :mod:`l2m.models.lenet5_large` pooling comes before ReLU: the two commute, so the function is the
same, on a quarter of the elements.
"""

from __future__ import annotations

from torch import Tensor, nn

from l2m.data import Data
from l2m.models import MODELS, image_size
from l2m.models.pooling import convolved_and_pooled


class LeNet5(nn.Sequential):
    """The layers in turn; the first two, of few channels, in one."""

    def forward(self, input: Tensor) -> Tensor:
        convolution, _, *rest = self
        outputs = convolved_and_pooled(input, *convolution.parameters())
        for layer in rest:
            outputs = layer(outputs)
        return outputs


@MODELS.register("lenet5")
def lenet5(data: Data) -> nn.Module:
    """Convolutions 6@5 and 16@5, each with 2×2 max pooling, then 256-120-84-outputs for 28×28 pixels."""
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
