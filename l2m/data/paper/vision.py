"""Images, kept in uint8 and normalised batch by batch, to classify or to reconstruct."""

from __future__ import annotations

import logging
import tarfile
import tempfile
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from PIL import Image

from l2m.data import DATASETS, Data, Source, Split
from l2m.data.augmentation import Standard
from l2m.data.files import copy
from l2m.data.paper import formats
from l2m.data.paper.formats import Images, Labels, Rows, Stored
from l2m.errors import UserError, cause

LOG = logging.getLogger(__name__)

Task = Literal["classification"]
Reconstruction = Literal["reconstruction"]

CIFAR10_MEAN = (0.4914, 0.4822, 0.4465)
CIFAR10_SD = (0.2470, 0.2435, 0.2616)
CIFAR100_MEAN = (0.5074, 0.4867, 0.4411)
CIFAR100_SD = (0.2011, 0.1987, 0.2025)
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_SD = (0.229, 0.224, 0.225)

CIFAR_SIZES = 50_000, 10_000
"""Training and test images of CIFAR-10 and CIFAR-100, as many of each class."""

IMAGENETTE = {"320px": "imagenette2-320", "full": "imagenette2", "160px": "imagenette2-160"}
"""torchvision's names of the archive's sizes, and their folders."""

IMAGENETTE_CLASSES = {
    "n01440764": "tench", "n02102040": "English springer", "n02979186": "cassette player", "n03000684": "chain saw",
    "n03028079": "church", "n03394916": "French horn", "n03417042": "garbage truck", "n03425413": "gas pump",
    "n03445777": "golf ball", "n03888257": "parachute",
}  # fmt: skip
"""What the photographs of each folder show."""

IMAGENETTE_SIZES = {"train": 9469, "val": 3925}
"""Images of each part, as published (section B.4)."""


@DATASETS.register("digits")
def digits(source: Source, *, task: Task = "classification") -> Data:
    """scikit-learn's embedded digits: 1797 images of 8×8 pixels from 0 to 16; halves, stratified by digit."""
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    images, labels = load_digits(return_X_y=True)
    halves = train_test_split(
        images.reshape(-1, 1, 8, 8).astype(np.uint8), labels, test_size=0.5, random_state=source.data_seed,
        stratify=labels,
    )  # fmt: skip
    train, test = (halves[0], halves[2]), (halves[1], halves[3])
    return image_data(
        source, (Path("digits"),) * 2, train, test, [str(digit) for digit in range(10)], (0.5,), (0.5,), white=16
    )


@DATASETS.register("mnist")
def mnist(source: Source, *, task: Task = "classification") -> Data:
    """MNIST (section B.1): 60 000 and 10 000 images of 28×28 pixels, scaled to [−1, 1]."""
    return _mnist(source, "MNIST", (0.5,), (0.5,))


@DATASETS.register("fashion_mnist")
def fashion_mnist(source: Source, *, task: Task = "classification") -> Data:
    """Fashion-MNIST (section B.2): as MNIST, but clothing."""
    return _mnist(source, "FashionMNIST", (0.5,), (0.5,))


@DATASETS.register("cifar10")
def cifar10(
    source: Source, *, task: Task = "classification", augmentation: Literal["none", "standard"] = "none"
) -> Data:
    """CIFAR-10 (section B.3): 50 000 and 10 000 images of 3×32×32 pixels, standardised by channel.

    The paper mentions no augmentation; ``standard`` is that of the authors' code.
    """
    data = _cifar(source, "CIFAR10", CIFAR10_MEAN, CIFAR10_SD)
    return data if augmentation == "none" else replace(data, augmentation=Standard(CIFAR10_MEAN, CIFAR10_SD))


@DATASETS.register("cifar100")
def cifar100(source: Source, *, task: Task = "classification") -> Data:
    """CIFAR-100 (section B.5): as CIFAR-10, but 100 classes, the fine ones."""
    return _cifar(source, "CIFAR100", CIFAR100_MEAN, CIFAR100_SD)


@DATASETS.register("imagenette")
def imagenette(
    source: Source,
    *,
    task: Task = "classification",
    archive: Literal["320px", "full", "160px"] = "320px",
    resize: Literal["stretch", "crop"] = "stretch",
) -> Data:
    """Imagenette (Howard, 2020; section B.4): 9469 and 3925 photographs of ten of ImageNet's classes.

    The paper says 3×224×224 pixels and no more. ``stretch``, as in the authors' code, takes both sides to 224;
    ``crop``, as is usual for ImageNet, takes the shorter side to 256 and cuts the centre out. Standardised by
    ImageNet's statistics. ``archive`` says in which size the photographs are published.
    """
    from l2m.data.torchvision_import import torchvision

    files = source.folder / IMAGENETTE[archive]
    if not files.exists():
        _download(source.folder, "Imagenette", files, partial(torchvision.datasets.Imagenette, size=archive))
    parts = [_photographs(files / part, published) for part, published in IMAGENETTE_SIZES.items()]
    train, test = (
        (_Photographs([file for file, _ in part], 224, resize), np.array([label for _, label in part], np.int64))
        for part in parts
    )
    places = files / "train", files / "val"
    return image_data(source, places, train, test, list(IMAGENETTE_CLASSES.values()), IMAGENET_MEAN, IMAGENET_SD)


@DATASETS.register("mnist_reconstruction")
def mnist_reconstruction(source: Source, *, task: Reconstruction = "reconstruction") -> Data:
    """MNIST's images as their own targets, in [0, 1] (section B.1)."""
    return _mnist(source, "MNIST")


@DATASETS.register("fashion_mnist_reconstruction")
def fashion_mnist_reconstruction(source: Source, *, task: Reconstruction = "reconstruction") -> Data:
    """Fashion-MNIST's images as their own targets, in [0, 1] (section B.2)."""
    return _mnist(source, "FashionMNIST")


@DATASETS.register("cifar10_reconstruction")
def cifar10_reconstruction(source: Source, *, task: Reconstruction = "reconstruction") -> Data:
    """CIFAR-10's images as their own targets, in [0, 1] (section B.3)."""
    return _cifar(source, "CIFAR10")


def _mnist(source: Source, name: str, mean: Sequence[float] | None = None, sd: Sequence[float] = (1.0,)) -> Data:
    """MNIST, or what has its form, from the source's folder if it is there, else downloaded into it."""
    from l2m.data.torchvision_import import torchvision

    kind, folder = getattr(torchvision.datasets, name), source.folder
    raw = folder / name / "raw"
    plain = [raw / f"{part}-{of}-ubyte" for part in ("train", "t10k") for of in ("images-idx3", "labels-idx1")]
    packed = [file.with_name(f"{file.name}.gz") for file in plain]
    if not all(file.exists() or gz.exists() for file, gz in zip(plain, packed, strict=True)):
        _download(folder, name, raw / "*-ubyte", kind)
    files = [file if file.exists() else gz for file, gz in zip(plain, packed, strict=True)]
    train, test = (
        (formats.idx_images(images, (28, 28)), formats.idx_labels(labels, len(kind.classes)))
        for images, labels in (files[:2], files[2:])
    )
    return image_data(source, (files[1], files[3]), train, test, kind.classes, mean, sd)


def _cifar(source: Source, name: str, mean: Sequence[float] | None = None, sd: Sequence[float] = (1.0,)) -> Data:
    """CIFAR-10 or CIFAR-100 from the source's folder if it is there, else downloaded into it."""
    from l2m.data.torchvision_import import torchvision

    kind, folder = getattr(torchvision.datasets, name), source.folder
    place, meta = folder / kind.base_folder, kind.meta
    if not all((place / file).exists() for file, _ in [*kind.train_list, *kind.test_list, (meta["filename"], None)]):
        _download(folder, name, place, kind)
    names = formats.cifar_names(place / meta["filename"], meta["md5"], meta["key"])
    key = meta["key"].replace("_names", "s")  # labels, or fine_labels

    train, test = (
        formats.CifarImages(
            [(place / file, md5) for file, md5 in files], key, len(names), size // len(names), channels_last=bool(mean)
        )
        for files, size in zip((kind.train_list, kind.test_list), CIFAR_SIZES, strict=True)
    )
    if others := [file.name for file in (*train.others, *test.others)]:
        LOG.warning(
            "%s: %s are not the published files, but every class has as many images: they are used, and run.json keeps "
            "their fingerprint",
            place,
            ", ".join(others),
        )
    return image_data(source, (place, place), (train, train.labels), (test, test.labels), names, mean, sd)


class _Photographs:
    """Photographs in files, decoded as they are asked for."""

    def __init__(self, files: Sequence[Path], side: int, resize: Literal["stretch", "crop"]) -> None:
        self._files, self._side, self._resize = files, side, resize

    def __len__(self) -> int:
        return len(self._files)

    def __getitem__(self, rows: Rows) -> Images:
        read = [partial(formats.image, self._files[row], upright=False) for row in rows]  # as torchvision's
        return squares(read, self._side, self._resize)


def _photographs(folder: Path, published: int) -> list[tuple[Path, int]]:
    """File and label of each of a part's photographs, which are so many."""
    found = [
        (file, label)
        for label, name in enumerate(IMAGENETTE_CLASSES)
        for file in sorted((folder / name).glob("*.JPEG"))
    ]
    if len(found) != published:
        held = {file.parent.name for file, _ in found}
        empty = "".join(f", none of them in {name}" for name in IMAGENETTE_CLASSES if name not in held)
        raise UserError(
            f"{folder} has {len(found)} images in its ten classes{empty}: it must have {published}, put all of them "
            f"there, or remove {folder.parent} to download it"
        )
    return found


def _download(folder: Path, name: str, files: Path, build: Callable[..., Any]) -> None:
    """Fetch a data set, and once it is whole copy into ``folder`` what it lacks."""
    try:
        with tempfile.TemporaryDirectory() as fresh:
            with _archives_stay_inside():
                build(fresh, download=True)
            copy(Path(fresh), folder)
    except UserError:
        raise
    except Exception as error:  # whatever the network, the server or the archive says
        raise UserError(
            f"{name} is not in {folder}: put it there as {files}, or name the folder that holds it with data_dir= "
            f"(the download failed: {cause(error)})"
        ) from error


@contextmanager
def _archives_stay_inside() -> Iterator[None]:
    """What torchvision unpacks is refused where it leads out of its folder, or is neither file, folder nor link."""
    before = getattr(tarfile.TarFile, "extraction_filter", None)
    data_filter = getattr(tarfile, "data_filter", None)  # older releases of 3.10 and 3.11 lack it
    tarfile.TarFile.extraction_filter = data_filter and staticmethod(data_filter)
    try:
        yield
    finally:
        tarfile.TarFile.extraction_filter = before and staticmethod(before)


def squares(photographs: Sequence[Callable[[], Image.Image]], side: int, resize: Literal["stretch", "crop"]) -> Images:
    """(N, 3, side, side) of photographs as they are read: 1.4 GB for Imagenette's training set, and no copy of it.

    ``stretch`` takes both sides to ``side``, ``crop`` the shorter one to 8/7 of it, and cuts the centre out.
    """
    from l2m.data.torchvision_import import torchvision

    steps = torchvision.transforms
    cut = [steps.Resize(side * 8 // 7), steps.CenterCrop(side)]
    fit = steps.Compose([*(cut if resize == "crop" else [steps.Resize((side, side))]), steps.PILToTensor()])
    images = np.empty((len(photographs), side, side, 3), np.uint8).transpose(0, 3, 1, 2)

    def decode(i: int) -> None:
        images[i] = fit(photographs[i]())

    with warnings.catch_warnings(), ThreadPoolExecutor() as pool:
        warnings.simplefilter("ignore")  # Pillow's, of what surrounds the pixels
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        list(pool.map(decode, range(len(photographs))))
    return images


def image_data(
    source: Source,
    places: tuple[Path, Path],
    train: tuple[Stored, Labels],
    test: tuple[Stored, Labels],
    names: Sequence[str],
    mean: Sequence[float] | None,
    sd: Sequence[float],
    white: int = 255,
) -> Data:
    """Classes are groups; a pixel x in 0 to ``white`` is seen as (x / white − mean) / sd.

    Without a ``mean``, images are to be reconstructed: pixels are seen in [0, 1], and are the targets. ``train`` and
    ``test`` are images (N, C, H, W) and labels (N,), ``places`` where to look for what is wrong with them. Of the
    training images those alone are read that the source's recipe leaves.
    """
    for place, part, (images, labels) in zip(places, ("training", "test"), (train, test), strict=True):
        if len(images) != len(labels):
            raise UserError(
                f"{place}: the {part} set has {len(images)} images, but {len(labels)} labels: {formats.REMEDY}"
            )
        counts = np.bincount(labels, minlength=len(names))
        if not counts.all():
            empty = int(np.flatnonzero(counts == 0)[0])
            raise UserError(
                f"{place}: class {empty} ({names[empty]}) has no images in the {part} set: {formats.REMEDY}"
            )
    scale, shift, preprocessing = scaling(mean or (0.0,), sd, white)

    def split(images: Stored, labels: Labels, rows: Rows) -> Split:
        groups = torch.from_numpy(labels[rows])
        return Split(torch.from_numpy(images[rows]), groups if mean else None, groups, scale, shift)

    classes = len(names) if mean else None
    return Data(
        split(*train, source.stay(train[1], names)), split(*test, np.arange(len(test[1]))), tuple(names), classes,
        preprocessing, class_names=tuple(names) if mean else None, thinned=True,
    )  # fmt: skip


def scaling(
    mean: Sequence[float], sd: Sequence[float], white: int = 255
) -> tuple[torch.Tensor, torch.Tensor, dict[str, list[float]]]:
    """Scale and shift of a split whose pixels x are seen as (x / white − mean) / sd, and what they are made of."""
    deviation = torch.tensor(sd).view(-1, 1, 1)
    scale, shift = 1 / (white * deviation), -torch.tensor(mean).view(-1, 1, 1) / deviation
    return scale, shift, {"mean": list(mean), "sd": list(sd), "white": [float(white)]}
