"""Random changes to the images of each training batch, made on the whole batch at once, on its device.

They act on stored pixels, before standardisation, where black is 0 and the jitter has a range to stay in. Each image
has its own draws, a row of uniform numbers from a generator.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from l2m.seeding import to_device

GREY = (0.299, 0.587, 0.114)  # luma of red, green and blue (ITU-R BT.601)


@dataclass(frozen=True)
class Standard:
    """The augmentation of the authors' CIFAR-10 code, for images (M, 3, H, W) with pixels from 0 to 255.

    Brightness, contrast and saturation times 0.9 to 1.1 each; half of the images mirrored; turned by up to 15°;
    shifted by up to 4 pixels either way, which is a crop after padding; and in half of the images a rectangle of
    2 to 10 % of the area, 0.3 to 3.3 times as high as wide, erased to 1 after standardisation. The code jitters
    after turning and in random order; here it comes first, in this order, and one resampling moves everything.

    Attributes:
        mean, sd: of each channel, in units of 255, by which the data set is standardised.
    """

    mean: Sequence[float]
    sd: Sequence[float]

    def __call__(self, draws: torch.Generator, images: Tensor) -> Tensor:
        """New images of the same shape, in channels-last memory; each takes 12 uniform draws."""
        height, width = images.shape[2:]
        uniform = to_device(torch.rand(len(images), 12, generator=draws), images.device).unbind(1)
        images = jitter(images, *(0.9 + 0.2 * u for u in uniform[:3]))
        flip = torch.where(uniform[3] < 0.5, -1.0, 1.0)
        angle = math.radians(15) * (2 * uniform[4] - 1)
        right, down = ((9 * u).floor() - 4 for u in uniform[5:7])
        images = move(images, flip, angle, right, down)
        area = height * width * (0.02 + 0.08 * uniform[7])
        aspect = (math.log(0.3) + math.log(3.3 / 0.3) * uniform[8]).exp()
        rows = (area * aspect).sqrt().round() * (uniform[9] < 0.5)
        columns = (area / aspect).sqrt().round()
        top = (uniform[10] * (height - rows + 1)).floor()
        left = (uniform[11] * (width - columns + 1)).floor()
        one = 255 * (torch.tensor(self.mean) + torch.tensor(self.sd))
        images = erase(images, top, left, rows, columns, to_device(one, images.device))
        return images.contiguous(memory_format=torch.channels_last)


def jitter(images: Tensor, brightness: Tensor, contrast: Tensor, saturation: Tensor) -> Tensor:
    """Scale pixels, their distance from the image's mean grey, and their distance from their own grey, in this order.

    Factors (M,); 1 changes nothing. Pixels stay from 0 to 255.
    """
    brightness, contrast, saturation = (factor.view(-1, 1, 1, 1) for factor in (brightness, contrast, saturation))
    images = (images * brightness).clamp(0, 255)
    images = torch.lerp(_grey(images).mean((2, 3), keepdim=True), images, contrast).clamp(0, 255)
    return torch.lerp(_grey(images), images, saturation).clamp(0, 255)


def _grey(images: Tensor) -> Tensor:
    """(M, 1, H, W)."""
    return GREY[0] * images[:, :1] + GREY[1] * images[:, 1:2] + GREY[2] * images[:, 2:]


def move(images: Tensor, flip: Tensor, angle: Tensor, right: Tensor, down: Tensor) -> Tensor:
    """Mirror left and right where ``flip`` is −1, not 1; turn by ``angle`` in radians; shift by whole pixels.

    All of them (M,). A pixel takes the value nearest to its origin, black if that is outside.
    """
    height, width = images.shape[2:]
    cos, sin = angle.cos(), angle.sin()
    # From a pixel's position to its origin, first in pixels from the centre, then with edges at −1 and 1
    rows = (
        (flip * cos, flip * sin * height / width, -flip * (cos * right + sin * down) * 2 / width),
        (-sin * width / height, cos, (sin * right - cos * down) * 2 / height),
    )
    origin = torch.stack([torch.stack(row, 1) for row in rows], 1)
    grid = functional.affine_grid(origin, list(images.shape), align_corners=False)
    moved: Tensor = functional.grid_sample(images, grid, mode="nearest", padding_mode="zeros", align_corners=False)
    return moved


def erase(images: Tensor, top: Tensor, left: Tensor, rows: Tensor, columns: Tensor, colour: Tensor) -> Tensor:
    """Fill a rectangle of each image, its position and size (M,) in whole pixels, with ``colour`` (C,)."""
    y, x = (torch.arange(size, device=images.device) for size in images.shape[2:])
    in_rows = (y >= top[:, None]) & (y < (top + rows)[:, None])
    in_columns = (x >= left[:, None]) & (x < (left + columns)[:, None])
    return torch.where(in_rows[:, None, :, None] & in_columns[:, None, None, :], colour.view(-1, 1, 1), images)
