"""ResNet-18 (He et al., 2016; section C.1.3), the network of the Imagenette row."""

from __future__ import annotations

from typing import Any

from l2m.data import Data
from l2m.models import MODELS, image_size


@MODELS.register("resnet18")
def resnet18(data: Data) -> Any:
    """torchvision's, from scratch, for images of three channels; five halvings of their sides."""
    from l2m.data.torchvision_import import torchvision

    image_size(data, "resnet18", 32, colour=True)
    return torchvision.models.resnet18(weights=None, num_classes=data.outputs)
