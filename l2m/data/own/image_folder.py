"""A user's own images, in a folder for each class: ``dataset=image_folder``."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import pandas as pd

from l2m.data import DATASETS, Data, Source
from l2m.data.augmentation import Standard
from l2m.data.fingerprint import checksum
from l2m.data.images import IMAGENET_MEAN, IMAGENET_SD, Fit, list_files, read_image, scaling, sort_files
from l2m.data.own.encoders import load_encoder
from l2m.data.own.features import assemble_features, check_options
from l2m.data.own.storage import Storage, store_images
from l2m.data.own.targets import Fields, Part, TestFraction, assemble, join, split_rows
from l2m.errors import UserError, printable, shown
from l2m.schema import Range

Side = Annotated[int, Range(8, 1024)]
Augmentation = Literal["none", "standard"]

PARTS = {"train": ("train", "training"), "held out": ("val", "valid", "validation", "dev"), "test": ("test", "testing")}
"""Names of the folders of the parts, in capitals or not."""


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
    storage: Storage = "memory",
    features: str | None = None,
    weights: str | None = None,
) -> Data:
    """Images in ``path/<class>/``; or already split, in ``path/train/<class>/``, and so on for the ``PARTS``.

    Images lie in the class's folder or deeper; other files are skipped. They are kept in colour with ``resize``
    pixels a side, and standardised by ImageNet's statistics: nothing is fitted. Without a folder ``test``, ``val`` is
    the test part; with it, ``val`` is held out wherever a run holds a part out, and not trained on.
    With ``features`` these (N, d), standardised, are the inputs. ``conf/dataset/image_folder.yaml`` has all options.
    """
    check_options(features, weights, resize=resize, augmentation=augmentation)
    folder = Path(path).expanduser()
    if not folder.is_dir():
        what = "is not a directory" if folder.exists() else f"is not there (looked for it from {Path.cwd()})"
        raise UserError(f"{folder} {what}: name the folder that holds a folder for each class")
    folders = _find_parts(folder)
    names = _classes(folders["train"])
    parts, skipped = {}, Counter[str]()
    for kind, place in folders.items():
        if new := [name for name in _classes(place) if name not in names]:
            raise UserError(
                f"{place / new[0]} is a class that {folders['train']} lacks: put images of it there, or remove it"
            )
        parts[kind], others = _part(place, names)
        skipped += others
    lone = np.flatnonzero(np.bincount(parts["train"].targets) == 1)
    if len(lone) and "test" not in parts:
        raise UserError(
            f"{folder / names[lone[0]]} has one image: one to train on and one to test on are needed, put more there"
        )
    held = parts.get("held out")
    whole = join(parts["train"], held) if held else parts["train"]
    train, test = split_rows(whole, parts.get("test"), test_fraction, source.data_seed)
    samples = [(partial(read_image, file), checksum(file)) for file in (*train.rows["file"], *test.rows["file"])]
    if features:
        encoder = load_encoder("image", features, weights, fit, 0)
        data = assemble_features(train, test, encoder, samples, storage, source.folder)
    else:
        stored = store_images(samples, len(train.groups), resize, fit, storage, source.folder)
        data = assemble_images(train, test, stored, augmentation)
    counts = {f"{kind} in {folders[kind].name}": len(part.groups) for kind, part in parts.items() if len(parts) > 1}
    description = {**(data.description or {}), "parts": counts, "skipped": dict(skipped)}
    return replace(data, held_rows=len(held.groups) if held else 0, description=description)


def _find_parts(folder: Path) -> dict[str, Path]:
    """The folders of the parts by kind; only ``folder``, as ``train``, if those in it are classes.

    Raises:
        UserError: it is not clear what the folders are.
    """
    inner = [each for each in sorted(folder.iterdir()) if each.is_dir() and not each.name.startswith(".")]
    named = {each: kind for each in inner if (kind := part_of(each.name))}
    flat = [each for each in named if not any(inside.is_dir() for inside in each.iterdir())]
    others = [each for each in inner if named and each not in named and sort_files(list_files(each))[0]]
    if not named or (flat and others):  # trains, say, beside buses
        return {"train": folder}
    names = " and ".join(each.name for each in named)
    if flat or others:
        what = f"no folder of a class in {flat[0].name}" if flat else f"the folder {others[0].name} beside them"
        raise UserError(
            f"{folder} holds {names}, as parts of a data set are called, with {what}: put images into folders "
            "train/CLASS and test/CLASS, or rename those that are classes"
        )
    parts = {kind: each for kind in PARTS for each in named if named[each] == kind}
    if len(parts) < len(named):
        raise UserError(f"{folder} holds {names}, of which two are the same part: join them")
    if "test" not in parts and "held out" in parts:
        parts["test"] = parts.pop("held out")
    for kind, remedy in (("train", "training images"), ("test", "test images")):
        if kind not in parts:
            raise UserError(f"{folder} has a folder {names} and none with {remedy}: put them in {folder / kind}")
    return parts


def part_of(name: str) -> str | None:
    """The part of a data set that a folder or a split is called after; None for another name."""
    return next((kind for kind, names in PARTS.items() if name.lower() in names), None)


def assemble_images(train: Part, test: Part, stored: Sequence[Fields], augmentation: Augmentation) -> Data:
    """The data set of images as :func:`store_images` keeps them, standardised by ImageNet's statistics."""
    scale, shift, preprocessing = scaling(IMAGENET_MEAN, IMAGENET_SD)
    trained, tested = (part | {"scale": scale, "shift": shift} for part in stored)
    data = assemble(train, test, lambda index: (trained, tested, preprocessing))
    changes = Standard(IMAGENET_MEAN, IMAGENET_SD) if augmentation == "standard" else None
    return replace(data, augmentation=changes, refit=None)


def _classes(folder: Path) -> list[str]:
    """The names of a folder's subfolders, sorted, without hidden ones."""
    names = sorted(each.name for each in folder.iterdir() if each.is_dir() and not each.name.startswith("."))
    if len(names) < 2:
        content = f"one folder, {names[0]}" if names else "no folders"
        raise UserError(f"{folder} holds {content}: put a folder with images there for each of two classes or more")
    if len(set(map(printable, names))) < len(names):
        raise UserError(f"{folder} holds two folders whose names differ in their blanks alone: rename or join them")
    return names


def _part(folder: Path, names: list[str]) -> tuple[Part, Counter[str]]:
    """The images of each class in a folder, by class and name; and the other files, as ``sort_files`` has them."""
    files, labels = [], []
    loose, skipped = sort_files([each for each in folder.iterdir() if each.is_file() and not each.name.startswith(".")])
    if loose:
        skipped["images outside a class"] = len(loose)
    for label, name in enumerate(names):
        images, others = sort_files(list_files(folder / name))
        skipped += others
        if not images:
            raise UserError(f"{folder / name} holds no images: put images of {shown(name, 60)} there, or remove it")
        files += images
        labels += [label] * len(images)
    codes = np.array(labels)
    return Part(pd.DataFrame({"file": files}), folder, codes, codes, tuple(names), tuple(names)), skipped
