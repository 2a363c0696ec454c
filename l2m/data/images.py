"""Find, decode and resize images in files, and scale their pixels."""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor

from l2m.errors import UserError, cause
from l2m.files import read

Images = NDArray[np.uint8]
Integers = NDArray[np.int64]
Reader = Callable[[Integers], Images]
"""Ascending rows (m,) of a part -> its images (m, C, H, W) there."""
Fit = Literal["stretch", "crop"]

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_SD = (0.229, 0.224, 0.225)

READABLE = (".jpg", ".jpeg", ".png")
UNREADABLE = (".gif", ".bmp", ".tif", ".tiff", ".webp", ".heic", ".avif")
"""Images of these formats are refused, where other files of a folder are skipped."""

LARGEST_RATIO = 20
"""Of a photograph's longer side to its shorter: of a thread of pixels a crop would be gigabytes."""


def list_images(folder: Path) -> list[Path]:
    """The JPEG and PNG files in a folder and its subfolders, sorted; other files are skipped.

    Raises:
        UserError: one is an image of another format.
    """
    files = list_files(folder)
    refused = next((file for file in files if file.suffix.lower() in UNREADABLE), None)
    if refused:
        raise UserError(f"{refused} is not a JPEG or PNG: save it as one of them, or remove it")
    return [file for file in files if file.suffix.lower() in READABLE]


def list_files(folder: Path) -> list[Path]:
    """All files in a folder and its subfolders but hidden ones, sorted."""
    return sorted(file for file in folder.rglob("*") if file.is_file() and not file.name.startswith("."))


def read_image(file: Path, upright: bool = True) -> Image.Image:
    """A photograph in JPEG or PNG as RGB, whatever its channels; ``upright`` turns it as its camera says.

    No other format is tried, whatever the file's first bytes are: some are read by running other programs.

    Raises:
        UserError: the file holds something else, or only a part.
    """
    return decode_image(read(file), file, upright)


def decode_image(content: bytes | bytearray, place: Path | str, upright: bool = True) -> Image.Image:
    """:func:`read_image` for the content of a file, which errors call ``place``."""
    try:
        with Image.open(io.BytesIO(content), formats=("JPEG", "PNG")) as image:
            if max(image.size) > LARGEST_RATIO * min(image.size):
                raise ValueError("it has {}×{} pixels".format(*image.size))
            if image.mode.startswith("I"):  # Pillow would cut all above 255 off
                raise ValueError("it has 16 bits a pixel, not 8")
            return (ImageOps.exif_transpose(image) if upright else image).convert("RGB")
    except Exception as error:  # whatever a damaged file makes its reader say
        why = "it is not a JPEG or PNG" if isinstance(error, UnidentifiedImageError) else cause(error)
        raise UserError(
            f"{place} cannot be read as an image ({why}): save it anew as a JPEG or PNG of 8 bits, or remove it"
        ) from error


def resize_all(readers: Sequence[Callable[[], Image.Image]], side: int, fit: Fit) -> Images:
    """(N, 3, side, side) of photographs as they are read: 1.4 GB for Imagenette's training set, and no copy of it.

    ``stretch`` takes both sides to ``side``, ``crop`` the shorter one to 8/7 of it, and cuts the centre out.
    """
    from l2m.data.torchvision_import import torchvision

    steps = torchvision.transforms
    crop = [steps.Resize(side * 8 // 7), steps.CenterCrop(side)]
    resize = steps.Compose([*(crop if fit == "crop" else [steps.Resize((side, side))]), steps.PILToTensor()])
    images = np.empty((len(readers), side, side, 3), np.uint8).transpose(0, 3, 1, 2)

    def decode(i: int) -> None:
        images[i] = resize(readers[i]())

    with warnings.catch_warnings(), ThreadPoolExecutor() as pool:
        warnings.simplefilter("ignore")  # Pillow's, of what surrounds the pixels
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        list(pool.map(decode, range(len(readers))))
    return images


def scaling(
    mean: Sequence[float], sd: Sequence[float], white: int = 255
) -> tuple[Tensor, Tensor, dict[str, list[float]]]:
    """Scale and shift of a split whose pixels x are seen as (x / white − mean) / sd, and what they are made of."""
    deviation = torch.tensor(sd).view(-1, 1, 1)
    scale, shift = 1 / (white * deviation), -torch.tensor(mean).view(-1, 1, 1) / deviation
    return scale, shift, {"mean": list(mean), "sd": list(sd), "white": [float(white)]}
