"""The paper's image sets, to classify or to reconstruct."""

import logging
import tarfile
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Literal
from unittest.mock import patch

import numpy as np
import torch

from l2m.data import DATASETS, Data, Source, Split
from l2m.data.augmentation import Standard
from l2m.data.download import copy_missing, downloading
from l2m.data.images import IMAGENET_MEAN, IMAGENET_SD, Fit, Images, Integers, Reader, read_image, resize_all, scaling
from l2m.data.paper.formats import REMEDY, read_cifar_names, read_cifar_part, read_idx, read_idx_labels
from l2m.errors import UserError
from l2m.files import packed_path

LOG = logging.getLogger(__name__)

Part = tuple[Path, Reader, Integers]
"""Of a data set: the place that errors name, a reader of the images, and their labels (N,)."""

Task = Literal["classification"]
Reconstruction = Literal["reconstruction"]

CIFAR10_MEAN = (0.4914, 0.4822, 0.4465)
CIFAR10_SD = (0.2470, 0.2435, 0.2616)
CIFAR100_MEAN = (0.5074, 0.4867, 0.4411)
CIFAR100_SD = (0.2011, 0.1987, 0.2025)

CIFAR_SIZES = 50_000, 10_000  # training and test images of CIFAR-10 and CIFAR-100, equally many of each class

# Folders of the archive by torchvision's names of its sizes, classes by folder, published images of each part (B.4)
IMAGENETTE = {"320px": "imagenette2-320", "full": "imagenette2", "160px": "imagenette2-160"}
IMAGENETTE_CLASSES = {
    "n01440764": "tench", "n02102040": "English springer", "n02979186": "cassette player", "n03000684": "chain saw",
    "n03028079": "church", "n03394916": "French horn", "n03417042": "garbage truck", "n03425413": "gas pump",
    "n03445777": "golf ball", "n03888257": "parachute",
}  # fmt: skip
IMAGENETTE_SIZES = {"train": 9469, "val": 3925}


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
    train, test = ((Path("digits"), halves[i].__getitem__, halves[i + 2]) for i in range(2))
    return image_data(source, train, test, [str(digit) for digit in range(10)], (0.5,), (0.5,), white=16)


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
    resize: Fit = "stretch",
) -> Data:
    """Imagenette (Howard, 2020; section B.4): 9469 and 3925 photographs of ten of ImageNet's classes.

    The paper says only 3×224×224 pixels. ``stretch``, as in the authors' code, takes both sides to 224; ``crop``, as is
    usual for ImageNet, takes the shorter side to 256 and cuts the centre out. Standardised by ImageNet's statistics.
    ``archive`` is the size in which the photographs are published.
    """
    from l2m.data.torchvision_import import torchvision

    files = source.folder / IMAGENETTE[archive]
    if not files.exists():
        _download(source.folder, "Imagenette", files, partial(torchvision.datasets.Imagenette, size=archive))
    train, test = (_photographs(files / part, published, resize) for part, published in IMAGENETTE_SIZES.items())
    return image_data(source, train, test, list(IMAGENETTE_CLASSES.values()), IMAGENET_MEAN, IMAGENET_SD)


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
    """MNIST or Fashion-MNIST from the source's folder, downloaded into it if missing."""
    from l2m.data.torchvision_import import torchvision

    kind, folder = getattr(torchvision.datasets, name), source.folder
    raw = folder / name / "raw"
    plain = [raw / f"{part}-{of}-ubyte" for part in ("train", "t10k") for of in ("images-idx3", "labels-idx1")]
    if not all(file.exists() or packed_path(file).exists() for file in plain):
        _download(folder, name, raw / "*-ubyte", kind)
    files = [file if file.exists() else packed_path(file) for file in plain]

    def read_part(part: str, image_file: Path, label_file: Path) -> Part:
        images = read_idx(image_file, (28, 28)).reshape(-1, 1, 28, 28)
        labels = read_idx_labels(label_file, len(kind.classes))
        if len(images) != len(labels):
            raise UserError(
                f"{label_file}: the {part} set has {len(images)} images, but {len(labels)} labels: {REMEDY}"
            )
        return label_file, images.__getitem__, labels

    train, test = read_part("training", *files[:2]), read_part("test", *files[2:])
    return image_data(source, train, test, kind.classes, mean, sd)


def _cifar(source: Source, name: str, mean: Sequence[float] | None = None, sd: Sequence[float] = (1.0,)) -> Data:
    """CIFAR-10 or CIFAR-100 from the source's folder, downloaded into it if missing."""
    from l2m.data.torchvision_import import torchvision

    kind, folder = getattr(torchvision.datasets, name), source.folder
    place, meta = folder / kind.base_folder, kind.meta
    if not all((place / file).exists() for file, _ in [*kind.train_list, *kind.test_list, (meta["filename"], None)]):
        _download(folder, name, place, kind)
    names = read_cifar_names(place / meta["filename"], meta["md5"], meta["key"])
    key = meta["key"].replace("_names", "s")  # labels, or fine_labels

    parts: list[Part] = []
    strange: list[str] = []
    for batches, size in zip((kind.train_list, kind.test_list), CIFAR_SIZES, strict=True):
        files, each = [(place / file, md5) for file, md5 in batches], size // len(names)
        reader, labels, others = read_cifar_part(files, key, len(names), each, channels_last=bool(mean))
        parts.append((place, reader, labels))
        strange += [file.name for file in others]
    if strange:
        LOG.warning(
            "%s: %s are not the published files, but every class has as many images: they are used, and run.json keeps "
            "their fingerprint", place, ", ".join(strange),
        )  # fmt: skip
    return image_data(source, parts[0], parts[1], names, mean, sd)


def _photographs(folder: Path, published: int, resize: Fit) -> Part:
    """The photographs of a part, which must be as many as published."""
    files = [
        (file, label)
        for label, name in enumerate(IMAGENETTE_CLASSES)
        for file in sorted((folder / name).glob("*.JPEG"))
    ]
    if len(files) != published:
        filled = {file.parent.name for file, _ in files}
        empty = "".join(f", none of them in {name}" for name in IMAGENETTE_CLASSES if name not in filled)
        raise UserError(
            f"{folder} has {len(files)} images in its ten classes{empty}: it must have {published}, put all of them "
            f"there, or remove {folder.parent} to download it"
        )

    def read_images(rows: Integers) -> Images:
        readers = [partial(read_image, files[row][0], upright=False) for row in rows]  # as torchvision's
        return resize_all(readers, 224, resize)

    return folder, read_images, np.array([label for _, label in files], np.int64)


def _download(folder: Path, name: str, files: Path, build: Callable[..., Any]) -> None:
    """Download a data set, and once it is whole copy what ``folder`` lacks into it."""
    # It refuses members that leave their folder, or are neither file, folder nor link; older Pythons lack it
    data_filter: Any = getattr(tarfile, "data_filter", None)
    with downloading(f"{name} is not in {folder}: put it there as {files}"), tempfile.TemporaryDirectory() as fresh:
        with patch.object(tarfile.TarFile, "extraction_filter", staticmethod(data_filter), create=True):
            build(fresh, download=True)
        copy_missing(Path(fresh), folder)


def image_data(
    source: Source,
    train: Part,
    test: Part,
    names: Sequence[str],
    mean: Sequence[float] | None,
    sd: Sequence[float],
    white: int = 255,
) -> Data:
    """Classes are groups; a pixel x in 0 to ``white`` is seen as (x / white − mean) / sd.

    Without a ``mean``, images are reconstructed: pixels are seen in [0, 1], and are the targets. Only those training
    images are read that the source's recipe leaves.
    """
    for part, (place, _, labels) in {"training": train, "test": test}.items():
        counts = np.bincount(labels, minlength=len(names))
        if not counts.all():
            empty = int(counts.argmin())
            raise UserError(f"{place}: class {empty} ({names[empty]}) has no images in the {part} set: {REMEDY}")
    scale, shift, preprocessing = scaling(mean or (0.0,), sd, white)

    def split(part: Part, rows: Integers) -> Split:
        _, read_images, labels = part
        groups = torch.from_numpy(labels[rows])
        return Split(torch.from_numpy(read_images(rows)), groups if mean else None, groups, scale, shift)

    classes = len(names) if mean else None
    return Data(
        split(train, source.stay(train[2], names)), split(test, np.arange(len(test[2]))), tuple(names), classes,
        preprocessing, class_names=tuple(names) if mean else None, thinned=True,
    )  # fmt: skip
