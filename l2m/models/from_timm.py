"""Networks of timm, with weights of their own to go on from or none: ``model=timm``."""

from __future__ import annotations

from collections import defaultdict
from typing import Annotated, Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from l2m.data import Data
from l2m.data.own.encoders import check_file, check_name, classifier_of, read_network, reading
from l2m.errors import UserError, cause, did_you_mean
from l2m.models import MODELS, image_size
from l2m.schema import Range


@MODELS.register("timm")
def from_timm(
    data: Data,
    *,
    architecture: str = "resnet18",
    weights: str = "none",
    freeze: str = "none",
    backbone_rate: Annotated[float, Range(0, above=True)] = 1.0,
    resolution: Annotated[int, Range(16, 1024)] | None = None,
) -> nn.Module:
    """A network of timm whose last layer is drawn anew, with as many outputs as the data set needs.

    Args:
        architecture: a name that timm lists, as resnet18 or resnet18.a1_in1k.
        weights: ``none``: all is drawn; ``pretrained``: those of the hub; or a file of the whole network, safetensors
            or what ``torch.save`` wrote, of which nothing is executed.
        freeze: which parameters keep these weights: none; those up to a stage, by name or counted from 1; or ``all``
            but the last layer's. Batch norm there normalises as in evaluation.
        backbone_rate: factor of the learning rate for all layers but the last one.
        resolution: images are resized bilinearly to so many pixels a side. None: they stay as they are.

    Raises:
        UserError: timm is not installed or has no such network, the weights cannot be had or are of another network,
            there is no such stage, or the network does not take the images.
    """
    shape = image_size(data, "timm")
    file = None if weights in ("none", "pretrained") else weights
    if file:
        check_file("model.weights", file)
    network: Any
    with reading("timm", "model.architecture", architecture, file):
        import timm

        check_name("model.architecture", architecture, ": use a name that timm.list_models() has")
        seen = timm.models.get_pretrained_cfg(architecture)
        size = (resolution, resolution) if resolution else shape[1:]
        options = {"img_size": size} if seen.fixed_input_size else {}
        if weights != "none":
            network = read_network(architecture, file, **options)
    if weights == "none":
        network = timm.create_model(architecture, **options)
    network.reset_classifier(data.outputs)
    stages = _stages(network)
    for name in _frozen(freeze, stages, architecture):
        network.get_parameter(name).requires_grad_(False)
    model = FineTuned(network, resolution, _rescaling(data, seen.mean, seen.std))
    if backbone_rate != 1:
        model.rate_factors = {f"network.{name}": backbone_rate for names in stages.values() for name in names}
    try:
        with torch.no_grad():
            model.eval()(torch.zeros(1, *shape))
    except Exception as error:  # each network has its own rule and words for it
        raise UserError(
            f"model.architecture={architecture} does not take images of shape {shape} with model.resolution="
            f"{resolution or 'null'} ({cause(error)}): use model.resolution={seen.input_size[-1]}"
        ) from error
    return model


class FineTuned(nn.Module):
    """A network that sees images at the size and the scale of colours that it was pretrained with.

    Attributes:
        network: timm's; layers whose parameters are all frozen stay in evaluation mode.
        resolution: pixels a side that images are resized to, or None.
        rate_factors: of the learning rate, by the name of a parameter.
    """

    scale: Tensor
    shift: Tensor

    def __init__(self, network: nn.Module, resolution: int | None, rescaling: tuple[Tensor, Tensor]) -> None:
        super().__init__()
        self.network, self.resolution, self.rate_factors = network, resolution, dict[str, float]()
        for name, values in zip(("scale", "shift"), rescaling, strict=True):
            self.register_buffer(name, values, persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        """(M, C, H, W) as the data set scales them, of one channel or three, to (M, outputs)."""
        images = (images * self.scale + self.shift).contiguous(memory_format=torch.channels_last)
        if self.resolution:
            images = functional.interpolate(images, (self.resolution, self.resolution), mode="bilinear")
        outputs: Tensor = self.network(images)
        return outputs

    def synchronized(self) -> nn.Module:
        """Itself, with batch norm over all processes; torch's own conversion would lose timm's activations."""
        from timm.layers import convert_sync_batchnorm

        converted: nn.Module = convert_sync_batchnorm(self)
        return converted

    def train(self, mode: bool = True) -> FineTuned:
        super().train(mode)
        for layer in self.network.modules():
            own = list(layer.parameters(recurse=False))
            if own and not any(each.requires_grad for each in own):
                layer.training = False
        return self


def _rescaling(data: Data, mean: tuple[float, ...], sd: tuple[float, ...]) -> tuple[Tensor, Tensor]:
    """Scale and shift (3, 1, 1) from inputs, as the data set scales them, to the network's."""
    scale, shift, white = data.train.scale, data.train.shift, data.preprocessing.get("white", (255.0,))[0]
    theirs, level = (torch.tensor(each).view(-1, 1, 1) for each in (sd, mean))
    if scale is None or shift is None:  # as they are stored, from 0 to 1
        scale, shift, white = torch.ones(1, 1, 1), torch.zeros(1, 1, 1), 1.0
    factor = 1 / (scale.cpu() * white * theirs)
    return factor, -shift.cpu() * factor - level / theirs


def _stages(network: Any) -> dict[str, list[str]]:
    """The names of the parameters of each stage, as timm groups them, without the last layers; by the stage's name.

    That is the shortest start of its first parameter's name that no other stage has.
    """
    from timm.models import group_parameters

    last = tuple(f"{name}." for name in classifier_of(network))
    groups: dict[int, list[str]] = defaultdict(list)
    matcher = network.group_matcher(coarse=True) if hasattr(network, "group_matcher") else lambda name: 0
    for name, stage in group_parameters(network, matcher, reverse=True).items():
        if not name.startswith(last):
            groups[stage].append(name)
    stages = {}
    for stage, names in sorted(groups.items()):
        others = [f"{name}." for other in groups if other != stage for name in groups[other]]
        parts = names[0].split(".")
        starts = (".".join(parts[: i + 1]) for i in range(len(parts)))
        own = next(start for start in starts if not any(other.startswith(f"{start}.") for other in others))
        stages[own] = names
    return stages


def _frozen(freeze: str, stages: dict[str, list[str]], architecture: str) -> list[str]:
    """The names of the parameters up to a stage."""
    names = list(stages)
    counts = {"none": 0, "all": len(names)} | {name: i for i, name in enumerate(names, 1)}
    counts |= {str(i): i for i in range(len(names) + 1)}
    if freeze not in counts:
        raise UserError(
            f"model.freeze={freeze} is no stage of {architecture}{did_you_mean(freeze, names)}: use a number up to "
            f"{len(names)}, none, all, or one of {', '.join(names)}"
        )
    return [name for stage in names[: counts[freeze]] for name in stages[stage]]
