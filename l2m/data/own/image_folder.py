"""A user's own images, in a folder for each class: ``dataset=image_folder``."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import pandas as pd
import torch

from l2m.data import DATASETS, Data, Source
from l2m.data.augmentation import Standard
from l2m.data.images import IMAGENET_MEAN, IMAGENET_SD, Fit, Images, list_images, read_image, resize_all, scaling
from l2m.data.own.targets import Part, TestFraction, assemble, split_rows
from l2m.errors import UserError, printable, shown
from l2m.schema import Range

Side = Annotated[int, Range(8, 1024)]
Augmentation = Literal["none", "standard"]

TEST_FOLDERS = ("test", "val", "valid", "validation")
"""Names of the folder of test images; the first that exists is used."""


@DATASETS.register("image_folder")
def image_folder(
    source: Source,
    *,
    path: str,
    task: Literal["classification"] = "classification",
    test_fraction: TestFraction = 0.2,
    resize: Side = 64,
    fit: Fit = "stretch",
    augmentation: Augmentation = "none",
) -> Data:
    """Images in ``path/<class>/``; or already split, in ``path/train/<class>/`` and ``path/test/<class>/`` or val.

    JPEG and PNG, in the class's folder or deeper; other files are skipped. They are kept in colour with ``resize``
    pixels a side, and standardised by ImageNet's statistics: nothing is fitted.

    Args:
        path: of the folder, relative to the folder that the command is run in.
        test_fraction: of each class, drawn by ``data_seed``, if there is no folder of test images.
        fit: ``stretch`` takes both sides to ``resize``, ``crop`` the shorter one to 8/7 of it, and cuts the centre out.
        augmentation: of training batches, as CIFAR-10's; ``standard`` mirrors, so do not use it for letters, say.
    """
    folder = Path(path).expanduser()
    if not folder.is_dir():
        what = "is not a directory" if folder.exists() else f"is not there (looked for it from {Path.cwd()})"
        raise UserError(f"{folder} {what}: name the folder that holds a folder for each class")
    train_folder, test_folder = folder, None
    if (folder / "train").is_dir():
        train_folder = folder / "train"
        test_folder = next((folder / name for name in TEST_FOLDERS if (folder / name).is_dir()), None)
        if test_folder is None:
            raise UserError(f"{folder} has a folder train and none with test images: put them in {folder / 'test'}")
    names = _classes(train_folder)
    if test_folder and (new := [name for name in _classes(test_folder) if name not in names]):
        raise UserError(
            f"{test_folder / new[0]} is a class that {train_folder} lacks: put images of it there, or remove it"
        )
    whole, tested = _part(train_folder, names), _part(test_folder, names) if test_folder else None
    lone = np.flatnonzero(np.bincount(whole.targets) == 1)
    if len(lone) and not tested:
        raise UserError(
            f"{folder / names[lone[0]]} has one image: one to train on and one to test on are needed, put more there"
        )
    train, test = split_rows(whole, tested, test_fraction, source.data_seed)
    images = [
        resize_all([partial(read_image, file) for file in part.rows["file"]], resize, fit) for part in (train, test)
    ]
    return assemble_images(train, test, images, augmentation)


def assemble_images(train: Part, test: Part, images: list[Images], augmentation: Augmentation) -> Data:
    """The data set of training and test images (N, 3, H, W) in uint8, standardised by ImageNet's statistics."""
    inputs = [torch.from_numpy(each) for each in images]
    scale, shift, preprocessing = scaling(IMAGENET_MEAN, IMAGENET_SD)
    data = assemble(train, test, lambda index: (inputs[0], inputs[1], preprocessing), (scale, shift))
    changes = Standard(IMAGENET_MEAN, IMAGENET_SD) if augmentation == "standard" else None
    return replace(data, augmentation=changes, refit=None)


def _classes(folder: Path) -> list[str]:
    """The names of a folder's subfolders, sorted, without hidden ones."""
    names = sorted(each.name for each in folder.iterdir() if each.is_dir() and not each.name.startswith("."))
    if len(names) < 2:
        found = f"one folder, {names[0]}" if names else "no folders"
        raise UserError(f"{folder} holds {found}: put a folder with images there for each of two classes or more")
    if len(set(map(printable, names))) < len(names):
        raise UserError(f"{folder} holds two folders whose names differ in their blanks alone: rename or join them")
    return names


def _part(folder: Path, names: list[str]) -> Part:
    """The images of each class in a folder, by class and name."""
    files = []
    for name in names:
        images = list_images(folder / name)
        if not images:
            raise UserError(
                f"{folder / name} holds no JPEG or PNG: put images of {shown(name, 60)} there, or remove it"
            )
        files.append(images)
    labels = np.arange(len(names)).repeat([len(images) for images in files])
    rows = pd.DataFrame({"file": [file for images in files for file in images]})
    return Part(rows, folder, labels, labels, tuple(names), tuple(names))
