"""Fingerprints of a data set's files, to see whether they are those that a run was trained on."""

import hashlib
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

PATH_OPTIONS = ("path", "test_path", "features", "weights")  # of data sets; they may also name something at a hub

# Data sets whose files are published with MD5 sums, by their names in torchvision, and the fingerprint of these files;
# older records have none
CIFAR = {"cifar10": "CIFAR10", "cifar10_reconstruction": "CIFAR10", "cifar100": "CIFAR100"}
PUBLISHED = "published"


def fingerprint(dataset: Mapping[str, Any], data_dir: Path, weights: str | None = None) -> str | None:
    """16 hexadecimal digits of the SHA-256 of a data set's files, or ``PUBLISHED``.

    It covers contents and names of the files of a user's own data, and of CIFAR, and a file of ``weights`` that the
    model starts from. None: the files are not here, or it is another of the paper's sets, whose files have no
    fingerprint.
    """
    files = _of_dataset(dataset, data_dir)
    if weights is None or (files is None and (dataset["name"] in CIFAR or _own_files(dataset))):
        return files
    file = Path(weights).expanduser()
    return _of_files([(f"{files} {file.name}", file)]) if file.is_file() else None


def _of_dataset(dataset: Mapping[str, Any], data_dir: Path) -> str | None:
    if dataset["name"] in CIFAR:
        from l2m.data.torchvision_import import torchvision

        kind = getattr(torchvision.datasets, CIFAR[dataset["name"]])
        sums = {data_dir / kind.base_folder / file: md5 for file, md5 in [*kind.train_list, *kind.test_list]}
        if not all(file.is_file() for file in sums):
            return None
        if all(checksum(file, "md5") == md5 for file, md5 in sums.items()):
            return PUBLISHED
        return _of_files((file.name, file) for file in sums)
    from l2m.data.images import READABLE, list_files

    own, is_of_images = _own_files(dataset), dataset["name"] == "image_folder"
    if not all(place.exists() for place in own):
        return None
    places = [Path(dataset[option]).expanduser() for option in PATH_OPTIONS if dataset.get(option)]
    places = [place for place in places if place.exists()]
    if not places:
        return None
    return _of_files(
        (str(file.relative_to(place)), file)
        for place in places
        for file in ([place] if place.is_file() else list_files(place))
        if not (is_of_images and place in own) or file.suffix.lower() in READABLE
    )


def _own_files(dataset: Mapping[str, Any]) -> list[Path]:
    """The places of a user's own samples; not names at Hugging Face."""
    places = [Path(dataset[option]).expanduser() for option in ("path", "test_path") if dataset.get(option)]
    return [place for place in places if place.exists()] if dataset["name"].startswith("hugging_face") else places


def recorded(dataset: Mapping[str, Any], info: Mapping[str, Any]) -> str | None:
    """The fingerprint that a run was trained on, by its ``run.json``."""
    files: str | None = info.get("files", PUBLISHED if dataset["name"] in CIFAR else None)
    return files


def is_trained_on(place: Path, dataset: Mapping[str, Any]) -> bool:
    """Whether it is the user's own file or folder that a data set trains on, one in it, or a copy of the file."""
    if not dataset.get("path") or not (own := Path(dataset["path"]).expanduser()).exists():
        return False
    if own.is_file() and place.is_file():
        return checksum(own) == checksum(place)
    from l2m.data.own.image_folder import part_of

    place, own = place.resolve(), own.resolve()
    inside = place.is_dir() and place.is_relative_to(own)
    return inside and not any(part_of(name) in ("test", "held out") for name in place.relative_to(own).parts)


def checksum(file: Path, algorithm: str = "sha256") -> str:
    """A file's checksum in hexadecimal; it is read once in a process, unless its size or time of change differs."""
    status = file.stat()
    return _checksum(file, algorithm, status.st_size, status.st_mtime_ns)


def _of_files(files: Iterable[tuple[str, Path]]) -> str:
    """Of names and contents, in this order."""
    digest = hashlib.sha256()
    for name, file in files:
        digest.update(f"{name}/{checksum(file)}\n".encode(errors="surrogateescape"))
    return digest.hexdigest()[:16]


@cache
def _checksum(file: Path, algorithm: str, size: int, changed: int) -> str:
    digest = hashlib.new(algorithm, usedforsecurity=False)
    with file.open("rb") as stream:
        while block := stream.read(2**20):
            digest.update(block)
    return digest.hexdigest()
