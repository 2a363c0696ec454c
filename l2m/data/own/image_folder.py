"""A person's own images, in a folder a class: ``dataset=image_folder``."""

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
from l2m.data.own.targets import Answers, TestFraction, assembled, parted
from l2m.data.paper import formats
from l2m.data.paper.formats import Images
from l2m.data.paper.vision import IMAGENET_MEAN, IMAGENET_SD, scaling, squares
from l2m.errors import UserError, shown
from l2m.schema import Range

Side = Annotated[int, Range(8, 1024)]
Fit = Literal["stretch", "crop"]
Augmentation = Literal["none", "standard"]

READ = (".jpg", ".jpeg", ".png")
OTHERS = (".gif", ".bmp", ".tif", ".tiff", ".webp", ".heic", ".avif")
"""Images that are not read: they are told, where other files of a folder are passed over."""

TESTS = ("test", "val", "valid", "validation")
"""What the folder of test images may be called; the first that is there is taken."""


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
    """Images in ``path/<class>/``, or split already, in ``path/train/<class>/`` and ``path/test/<class>/`` or val.

    JPEG and PNG, in the class's folder or deeper; other files are passed over. They are kept in colour with ``resize``
    pixels a side, and standardised by ImageNet's statistics: nothing is fitted.

    Args:
        path: of the folder, from the folder that the command is given in.
        test_fraction: of each class, drawn by ``data_seed``, if there is no folder of test images.
        fit: ``stretch`` takes both sides to ``resize``, ``crop`` the shorter one to 8/7 of it, and cuts the centre out.
        augmentation: of training batches, as CIFAR-10's; ``standard`` mirrors, so it is not for letters, say.
    """
    folder = Path(path).expanduser()
    if not folder.is_dir():
        what = "is no folder" if folder.exists() else f"is not there (looked for it from {Path.cwd()})"
        raise UserError(f"{folder} {what}: name the folder that holds a folder for each class")
    if (folder / "train").is_dir():
        test_folder = next((folder / name for name in TESTS if (folder / name).is_dir()), None)
        if test_folder is None:
            raise UserError(f"{folder} has a folder train and none with test images: put them in {folder / 'test'}")
        places = folder / "train", test_folder
        names = _classes(places[0])
        if new := [name for name in _classes(test_folder) if name not in names]:
            raise UserError(
                f"{test_folder / new[0]} is a class that {places[0]} lacks: put images of it there, or remove it"
            )
        train, test = ([_files(place / name) for name in names] for place in places)
    else:
        places = folder, folder
        names = _classes(folder)
        found = [_files(folder / name) for name in names]
        labels = np.arange(len(names)).repeat([len(files) for files in found])
        lone = [folder / name for name, files in zip(names, found, strict=True) if len(files) == 1]
        if lone:
            raise UserError(f"{lone[0]} has one image: one to train on and one to test on are needed, put more there")
        parts = parted(
            Answers(labels, labels, tuple(names), tuple(names)),
            pd.Series(labels),
            test_fraction,
            source.data_seed,
            folder,
        )
        every = [file for files in found for file in files]
        train, test = (
            [[every[i] for i in part if labels[i] == label] for label in range(len(names))] for part in parts
        )
    kinds = tuple(names)
    answers = [
        Answers(of, of, kinds, kinds)
        for of in (np.arange(len(names)).repeat([*map(len, part)]) for part in (train, test))
    ]
    images = [
        squares([partial(formats.image, file) for files in part for file in files], resize, fit)
        for part in (train, test)
    ]
    return of_images((answers[0], images[0]), (answers[1], images[1]), augmentation)


def of_images(train: tuple[Answers, Images], test: tuple[Answers, Images], augmentation: Augmentation) -> Data:
    """What is to be learned of images (N, 3, H, W) in uint8, standardised by ImageNet's statistics."""
    inputs = torch.from_numpy(train[1]), torch.from_numpy(test[1])
    scale, shift, preprocessing = scaling(IMAGENET_MEAN, IMAGENET_SD)
    data = assembled(train[0], test[0], lambda index: (*inputs, preprocessing), scale=scale, shift=shift)
    changes = Standard(IMAGENET_MEAN, IMAGENET_SD) if augmentation == "standard" else None
    return replace(data, augmentation=changes, refit=None)


def _classes(folder: Path) -> list[str]:
    """The names of a folder's folders, sorted, but for hidden ones."""
    names = sorted(each.name for each in folder.iterdir() if each.is_dir() and not each.name.startswith("."))
    if len(names) < 2:
        found = f"one folder, {names[0]}" if names else "no folders"
        raise UserError(f"{folder} holds {found}: put a folder with images there for each of two classes or more")
    return names


def _files(folder: Path) -> list[Path]:
    """The images in a class's folder, and in those in it, sorted."""
    held = (
        sorted(file for file in folder.rglob("*") if file.is_file() and not file.name.startswith("."))
        if (folder.is_dir())
        else []
    )
    other = next((file for file in held if file.suffix.lower() in OTHERS), None)
    if other:
        raise UserError(f"{other} is no JPEG or PNG: put it there as one of them, or remove it")
    files = [file for file in held if file.suffix.lower() in READ]
    if not files:
        raise UserError(f"{folder} holds no JPEG or PNG: put images of {shown(folder.name, 60)} there, or remove it")
    return files
