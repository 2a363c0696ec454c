"""MobileNetV3-small (Howard et al., 2019), the network of the CIFAR-100 row in the paper's third version."""

from __future__ import annotations

from typing import Annotated

from torch import nn

from l2m.data import Data
from l2m.models import MODELS, image_size
from l2m.schema import Range


@MODELS.register("mobilenet_v3")
def mobilenet_v3(data: Data, *, resolution: Annotated[int, Range(32, 512)] = 224) -> nn.Module:
    """torchvision's, from scratch, on images of three channels resized bilinearly to ``resolution`` pixels a side.

    The third version starts from weights trained on ImageNet: its numbers can't be had from scratch.
    """
    from l2m.data.torchvision_import import torchvision

    image_size(data, "mobilenet_v3", colour=True)
    network = torchvision.models.mobilenet_v3_small(weights=None, num_classes=data.outputs)
    return nn.Sequential(nn.Upsample(size=(resolution, resolution), mode="bilinear"), network)
