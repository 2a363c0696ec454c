"""Images, kept in uint8 and normalised batch by batch, to classify or to reconstruct."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from l2m.data import DATASETS, Data, Source, Split
from l2m.data.augmentation import Standard
from l2m.errors import UserError, cause

Images = NDArray[np.uint8]
Labels = NDArray[np.int64]

Task = Literal["classification"]
Reconstruction = Literal["reconstruction"]

CIFAR10_MEAN = (0.4914, 0.4822, 0.4465)
CIFAR10_SD = (0.2470, 0.2435, 0.2616)
CIFAR100_MEAN = (0.5074, 0.4867, 0.4411)
CIFAR100_SD = (0.2011, 0.1987, 0.2025)
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_SD = (0.229, 0.224, 0.225)

IMAGENETTE = {"320px": "imagenette2-320", "full": "imagenette2", "160px": "imagenette2-160"}
"""torchvision's names of the archive's sizes, and their folders."""

IMAGENETTE_SIZES = {"train": 9469, "val": 3925}
"""Images of each part, as published (section B.4)."""


@DATASETS.register("digits")
def digits(source: Source, *, task: Task = "classification") -> Data:
    """scikit-learn's embedded digits: 1797 images of 8×8 pixels from 0 to 16; halves, stratified by digit."""
    images, labels = load_digits(return_X_y=True)
    halves = train_test_split(
        images.reshape(-1, 1, 8, 8).astype(np.uint8), labels, test_size=0.5, random_state=source.data_seed,
        stratify=labels,
    )  # fmt: skip
    train, test = (halves[0], halves[2]), (halves[1], halves[3])
    return _images(Path("digits"), train, test, [str(digit) for digit in range(10)], (0.5,), (0.5,), white=16)


@DATASETS.register("mnist")
def mnist(source: Source, *, task: Task = "classification") -> Data:
    """MNIST (section B.1): 60 000 and 10 000 images of 28×28 pixels, scaled to [−1, 1]."""
    return _torchvision(source.folder, "MNIST", "MNIST/raw/*-ubyte", (0.5,), (0.5,))


@DATASETS.register("fashion_mnist")
def fashion_mnist(source: Source, *, task: Task = "classification") -> Data:
    """Fashion-MNIST (section B.2): as MNIST, but clothing."""
    return _torchvision(source.folder, "FashionMNIST", "FashionMNIST/raw/*-ubyte", (0.5,), (0.5,))


@DATASETS.register("cifar10")
def cifar10(
    source: Source, *, task: Task = "classification", augmentation: Literal["none", "standard"] = "none"
) -> Data:
    """CIFAR-10 (section B.3): 50 000 and 10 000 images of 3×32×32 pixels, standardised by channel.

    The paper mentions no augmentation; ``standard`` is that of the authors' code.
    """
    data = _torchvision(source.folder, "CIFAR10", "cifar-10-batches-py/", CIFAR10_MEAN, CIFAR10_SD)
    return data if augmentation == "none" else replace(data, augmentation=Standard(CIFAR10_MEAN, CIFAR10_SD))


@DATASETS.register("cifar100")
def cifar100(source: Source, *, task: Task = "classification") -> Data:
    """CIFAR-100 (section B.5): as CIFAR-10, but 100 classes, the fine ones."""
    return _torchvision(source.folder, "CIFAR100", "cifar-100-python/", CIFAR100_MEAN, CIFAR100_SD)


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
    steps = torchvision.transforms
    fit = [steps.Resize(256), steps.CenterCrop(224)] if resize == "crop" else [steps.Resize((224, 224))]
    transform = steps.Compose([*fit, steps.PILToTensor()])
    build = partial(torchvision.datasets.Imagenette, size=archive, transform=transform, loader=_open)
    if not files.exists():
        _download(source.folder, "Imagenette", f"{files.name}/", build)
    try:
        parts = {part: build(source.folder, part) for part in IMAGENETTE_SIZES}
    except Exception as error:  # whatever torchvision says of folders that are missing, empty or strange
        raise UserError(
            f"{files} can't be read as Imagenette ({cause(error)}): put it there whole, or remove it to download it"
        ) from error
    for part, published in IMAGENETTE_SIZES.items():
        if (found := len(parts[part])) != published:
            raise UserError(
                f"{files / part} has {found} images, not {published}: put all of them there, or remove {files} to "
                "download it"
            )
    names = [synonyms[0] for synonyms in parts["train"].classes]
    train, test = (_decoded(part) for part in parts.values())
    return _images(files, train, test, names, IMAGENET_MEAN, IMAGENET_SD)


@DATASETS.register("mnist_reconstruction")
def mnist_reconstruction(source: Source, *, task: Reconstruction = "reconstruction") -> Data:
    """MNIST's images as their own targets, in [0, 1] (section B.1)."""
    return _torchvision(source.folder, "MNIST", "MNIST/raw/*-ubyte")


@DATASETS.register("fashion_mnist_reconstruction")
def fashion_mnist_reconstruction(source: Source, *, task: Reconstruction = "reconstruction") -> Data:
    """Fashion-MNIST's images as their own targets, in [0, 1] (section B.2)."""
    return _torchvision(source.folder, "FashionMNIST", "FashionMNIST/raw/*-ubyte")


@DATASETS.register("cifar10_reconstruction")
def cifar10_reconstruction(source: Source, *, task: Reconstruction = "reconstruction") -> Data:
    """CIFAR-10's images as their own targets, in [0, 1] (section B.3)."""
    return _torchvision(source.folder, "CIFAR10", "cifar-10-batches-py/")


def _torchvision(
    folder: Path, name: str, files: str, mean: Sequence[float] | None = None, sd: Sequence[float] = (1.0,)
) -> Data:
    """One of torchvision's data sets, from ``folder`` if it is there, else downloaded into it."""
    from l2m.data.torchvision_import import torchvision

    build = getattr(torchvision.datasets, name)

    def parts() -> list[Any]:
        return [build(folder, train=train, download=False) for train in (True, False)]

    try:
        try:
            train, test = parts()
        except RuntimeError as error:
            if "not found" not in str(error):  # what torchvision says of files that are not there, or altered
                raise
            _download(folder, name, files, build)
            train, test = parts()
        arrays = _arrays(train), _arrays(test)
    except UserError:
        raise
    except Exception as error:  # whatever a damaged file makes its reader say
        raise UserError(
            f"{folder / files} can't be read as {name} ({cause(error)}): "
            "remove what is there, and put whole files in its place"
        ) from error
    return _images(folder / files, *arrays, [str(label) for label in train.classes], mean, sd)


def _download(folder: Path, name: str, files: str, build: Callable[..., Any]) -> None:
    """Fetch a data set, and once it is whole copy it into ``folder``."""
    try:
        with tempfile.TemporaryDirectory() as fresh:
            build(fresh, download=True)
            shutil.copytree(fresh, folder, dirs_exist_ok=True)
    except Exception as error:  # whatever the network, the server or the archive says
        raise UserError(
            f"{name} is not in {folder}, or not as published: put it there as {folder / files}, or name the "
            f"folder that holds it with data_dir= (the download failed: {cause(error)})"
        ) from error


def _arrays(dataset: Any) -> tuple[Images, Labels]:
    """(N, C, H, W) images and (N,) labels of one of torchvision's data sets."""
    images = np.asarray(dataset.data)
    images = images[:, None] if images.ndim == 3 else np.ascontiguousarray(images.transpose(0, 3, 1, 2))
    return images, np.asarray(dataset.targets, np.int64)


def _open(file: str) -> Any:
    """An image, RGB whatever its channels."""
    from l2m.data.torchvision_import import torchvision

    try:
        return torchvision.datasets.folder.default_loader(file)
    except Exception as error:  # whatever a file that is missing or damaged makes its reader say
        raise UserError(f"{file} can't be read as an image ({cause(error)}): put a whole one there") from error


def _decoded(dataset: Any) -> tuple[Images, Labels]:
    """(N, 3, 224, 224) images and (N,) labels of Imagenette: 1.4 GB for its training set, and no copy of it."""
    images = np.empty((len(dataset), 3, 224, 224), np.uint8)
    labels = np.empty(len(dataset), np.int64)

    def decode(i: int) -> None:
        images[i], labels[i] = dataset[i]

    with ThreadPoolExecutor() as pool:
        list(pool.map(decode, range(len(dataset))))
    return images, labels


def _images(
    files: Path,
    train: tuple[Images, Labels],
    test: tuple[Images, Labels],
    names: Sequence[str],
    mean: Sequence[float] | None,
    sd: Sequence[float],
    white: int = 255,
) -> Data:
    """Classes are groups; a pixel x in 0 to ``white`` is seen as (x / white − mean) / sd.

    Without a ``mean``, images are to be reconstructed: pixels are seen in [0, 1], and are the targets.
    """
    for part, (images, labels) in (("training", train), ("test", test)):
        if len(images) != len(labels):
            raise UserError(
                f"{files}: the {part} set has {len(images)} images, but {len(labels)} labels: fetch its files anew"
            )
        counts = np.bincount(labels, minlength=len(names))
        if labels.min() < 0 or len(counts) > len(names):
            raise UserError(
                f"{files}: the {part} set has labels from {labels.min()} to {labels.max()}, not 0 to {len(names) - 1}"
            )
        if not counts.all():
            empty = int(np.flatnonzero(counts == 0)[0])
            raise UserError(
                f"{files}: class {empty} ({names[empty]}) has no images in the {part} set: fetch its files anew"
            )
    deviation = torch.tensor(sd).view(-1, 1, 1)
    scale, shift = 1 / (white * deviation), -torch.tensor(mean or (0.0,)).view(-1, 1, 1) / deviation

    def split(images: Images, labels: Labels) -> Split:
        groups = torch.from_numpy(labels)
        return Split(torch.from_numpy(images), groups if mean else None, groups, scale, shift)

    preprocessing = {"mean": list(mean or (0.0,)), "sd": list(sd), "white": [float(white)]}
    classes = len(names) if mean else None
    return Data(split(*train), split(*test), tuple(names), classes=classes, preprocessing=preprocessing)
