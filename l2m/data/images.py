"""Find, decode and resize images in files, and scale their pixels."""

import io
import os
import warnings
from collections import Counter
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

# Pillow's readers that files are given to, whatever their names are: some others run programs
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF")
READABLE = (".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff")
# Photographs of these formats are refused, where other files of a folder are skipped
UNREADABLE = (".heic", ".heif", ".avif", ".jp2", ".jxl", ".dng", ".cr2", ".nef", ".arw")

LARGEST_RATIO = 20  # of a photograph's longer side to its shorter: of a thread of pixels a crop would be gigabytes
SUBMITTED = 10_000  # images that wait for a thread to decode them, at most: a kilobyte each
MOST_LISTED = 10  # files that an error lists


def sort_files(files: Sequence[Path]) -> tuple[list[Path], Counter[str]]:
    """The images among files, and how many others there are by suffix, or by name.

    Raises:
        UserError: one is an image of a format that is not read.
    """
    if refused := [file for file in files if file.suffix.lower() in UNREADABLE]:
        raise UserError(
            f"{refused[0]} is not one of {', '.join(FORMATS)}{_and_more(len(refused) - 1)}: save it as one of them, "
            "or remove it"
        )
    images = [file for file in files if file.suffix.lower() in READABLE]
    skipped = (file for file in files if file.suffix.lower() not in READABLE)
    return images, Counter(file.suffix.lower() or file.name for file in skipped)


def list_files(folder: Path) -> list[Path]:
    """All files in a folder and its subfolders but hidden ones, sorted; links to folders are followed, each once."""
    files, seen = [], {folder.resolve()}
    for place, folders, names in os.walk(folder, followlinks=True):
        inner = {name: Path(place, name) for name in sorted(folders) if not name.startswith(".")}
        links = {name: path.resolve() for name, path in inner.items() if path.is_symlink()}
        folders[:] = [name for name in inner if links.get(name) not in seen]
        seen.update(links.values())
        files += [Path(place, name) for name in names if not name.startswith(".")]
    return sorted(file for file in files if file.is_file())


def _and_more(count: int) -> str:
    return f", and {count} more" if count else ""


def read_image(file: Path, upright: bool = True) -> Image.Image:
    """A photograph in one of ``FORMATS`` as RGB; ``upright`` turns it as its camera says, of several it is the first.

    Raises:
        UserError: the file holds something else, or only a part.
    """
    return decode_image(read(file), file, upright)


def decode_image(content: bytes | bytearray, place: Path | str, upright: bool = True) -> Image.Image:
    """:func:`read_image` for the content of a file, which errors call ``place``."""
    try:
        with Image.open(io.BytesIO(content), formats=FORMATS) as image:
            if max(image.size) > LARGEST_RATIO * min(image.size):
                raise ValueError("it has {}×{} pixels".format(*image.size))
            turned = ImageOps.exif_transpose(image) if upright else image
            if turned.mode.startswith(("I", "F")):  # Pillow would cut all above 255 off
                values = np.asarray(turned)
                if turned.mode == "F" or values.min() < 0 or values.max() >= 2**16:
                    raise ValueError("it has 32 bits a pixel, not 8 or 16")
                turned = Image.fromarray(np.rint(values / 257).astype(np.uint8))
            return turned.convert("RGB")
    except Exception as error:  # whatever a damaged file makes its reader say
        formats = ", ".join(FORMATS)
        why = f"it is not one of {formats}" if isinstance(error, UnidentifiedImageError) else cause(error)
        raise UserError(f"{place} cannot be read as an image ({why}): save it anew, or remove it") from error


def resize_all(
    readers: Sequence[Callable[[], Image.Image]], side: int, fit: Fit, images: Images | None = None
) -> Images:
    """(N, 3, side, side) of photographs as they are read: 1.4 GB for Imagenette's training set, and no copy of it.

    ``stretch`` takes both sides to ``side``, ``crop`` the shorter one to 8/7 of it, and cuts the centre out. They are
    written into ``images`` if it is given.

    Raises:
        UserError: some cannot be read; ``MOST_LISTED`` of them have a line each.
    """
    from l2m.data.torchvision_import import torchvision

    steps = torchvision.transforms
    crop = [steps.Resize(side * 8 // 7), steps.CenterCrop(side)]
    resize = steps.Compose([*(crop if fit == "crop" else [steps.Resize((side, side))]), steps.PILToTensor()])
    images = np.empty((len(readers), side, side, 3), np.uint8).transpose(0, 3, 1, 2) if images is None else images

    def decode(i: int) -> UserError | None:
        try:
            images[i] = resize(readers[i]())
        except UserError as error:
            return error
        return None

    with warnings.catch_warnings(), ThreadPoolExecutor() as pool:
        warnings.simplefilter("ignore")  # Pillow's, of what surrounds the pixels
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        errors = []
        for first in range(0, len(readers), SUBMITTED):
            several = range(first, min(first + SUBMITTED, len(readers)))
            errors += [str(error) for error in pool.map(decode, several) if error]
    if errors:
        raise UserError("\n".join(errors[:MOST_LISTED]) + _and_more(len(errors[MOST_LISTED:])))
    return images


def scaling(
    mean: Sequence[float], sd: Sequence[float], white: int = 255
) -> tuple[Tensor, Tensor, dict[str, list[float]]]:
    """Scale and shift of a split whose pixels x are seen as (x / white − mean) / sd, and what they are made of."""
    deviation = torch.tensor(sd).view(-1, 1, 1)
    scale, shift = 1 / (white * deviation), -torch.tensor(mean).view(-1, 1, 1) / deviation
    return scale, shift, {"mean": list(mean), "sd": list(sd), "white": [float(white)]}
