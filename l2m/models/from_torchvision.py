"""Networks of torchvision, trained from scratch on images of three channels."""

from typing import Annotated, Any

from torch import nn

from l2m.data import Data
from l2m.models import MODELS, image_size
from l2m.schema import Range


@MODELS.register("mobilenet_v3")
def mobilenet_v3(data: Data, *, resolution: Annotated[int, Range(32, 512)] = 224) -> nn.Module:
    """MobileNetV3-small (Howard et al., 2019) on images resized bilinearly to ``resolution`` pixels a side.

    The CIFAR-100 row of the paper's third version uses it with weights trained on ImageNet; from scratch its numbers
    are out of reach.
    """
    from l2m.data.torchvision_import import torchvision

    image_size(data, "mobilenet_v3", colour=True)
    network = torchvision.models.mobilenet_v3_small(weights=None, num_classes=data.outputs)
    return nn.Sequential(nn.Upsample(size=(resolution, resolution), mode="bilinear"), network)


@MODELS.register("resnet18")
def resnet18(data: Data) -> Any:
    """ResNet-18 (He et al., 2016; section C.1.3), of the Imagenette row; it halves the sides of images five times."""
    from l2m.data.torchvision_import import torchvision

    image_size(data, "resnet18", 32, colour=True)
    return torchvision.models.resnet18(weights=None, num_classes=data.outputs)
