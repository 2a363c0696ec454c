"""What all tests share: data sets in their real file formats, but tiny, and no network."""

from __future__ import annotations

import hashlib
import pickle
import socket
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

TRAIN, TEST = 12, 3
"""Images of a class in the tiny image sets."""


@pytest.fixture(autouse=True, scope="session")
def _offline() -> Iterator[None]:
    """Any attempt to reach the network fails at once; local sockets of worker processes still work."""
    connect = socket.socket.connect

    def local_only(self: socket.socket, address: Any) -> None:
        if self.family != getattr(socket, "AF_UNIX", None):
            refuse()
        connect(self, address)

    def refuse(*_: object, **__: object) -> NoReturn:
        raise OSError("the tests are offline")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket.socket, "connect", local_only)
        patch.setattr(socket.socket, "connect_ex", refuse)
        patch.setattr(socket, "getaddrinfo", refuse)
        yield


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> None:
    """Tiny batches gain nothing from more, and on a busy machine threads wait for each other."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def tiny_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A ``data_dir`` with every data set that has files: 10 classes of 12 + 3 images, some 400 rows, 40 reviews."""
    folder = tmp_path_factory.mktemp("data")
    rng = np.random.default_rng(0)
    for name in ("MNIST", "FashionMNIST"):
        write_idx(folder / name / "raw", rng)
    write_cifar10(folder / "cifar-10-batches-py", rng)
    write_wine(folder / "wine_quality", rng)
    write_housing(folder / "california_housing", rng)
    write_imdb(folder / "aclImdb", rng)
    return folder


@pytest.fixture(autouse=True)
def _tiny_cifar10(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where ``tiny_data`` is used, torchvision expects its CIFAR-10 files: it checks their MD5 sums."""
    if "tiny_data" not in request.fixturenames:
        return
    from l2m.data.torchvision_import import torchvision

    kind = torchvision.datasets.CIFAR10
    folder = request.getfixturevalue("tiny_data") / kind.base_folder
    for attribute in ("train_list", "test_list"):
        files = [[name, md5(folder / name)] for name, _ in getattr(kind, attribute)]
        monkeypatch.setattr(kind, attribute, files)
    monkeypatch.setattr(kind, "meta", kind.meta | {"md5": md5(folder / kind.meta["filename"])})


def md5(file: Path) -> str:
    return hashlib.md5(file.read_bytes()).hexdigest()


def idx(array: NDArray[np.uint8]) -> bytes:
    """The idx format: 0, 0, the type 8 (uint8), the number of dimensions, each of them big-endian; the data."""
    return struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape) + array.tobytes()


def write_idx(folder: Path, rng: np.random.Generator) -> None:
    """The four files of MNIST."""
    folder.mkdir(parents=True)
    for part, each in (("train", TRAIN), ("t10k", TEST)):
        images = rng.integers(0, 256, (10 * each, 28, 28), np.uint8)
        (folder / f"{part}-images-idx3-ubyte").write_bytes(idx(images))
        labels = rng.permutation(np.arange(10, dtype=np.uint8).repeat(each))
        (folder / f"{part}-labels-idx1-ubyte").write_bytes(idx(labels))


def write_cifar10(folder: Path, rng: np.random.Generator) -> None:
    """The pickles of CIFAR-10's Python version: rows of 1024 red, 1024 green and 1024 blue pixels."""
    folder.mkdir(parents=True)
    classes = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
    labels = rng.permutation(np.arange(10).repeat(TRAIN)).tolist()
    size = len(labels) // 5
    batches = {f"data_batch_{i + 1}": labels[i * size : (i + 1) * size] for i in range(5)}
    batches["test_batch"] = np.arange(10).repeat(TEST).tolist()
    for name, some in batches.items():
        batch = {
            "batch_label": name,
            "labels": some,
            "data": rng.integers(0, 256, (len(some), 3072), np.uint8),
            "filenames": [f"{classes[label]}_{i}.png" for i, label in enumerate(some)],
        }
        (folder / name).write_bytes(pickle.dumps(batch, protocol=2))
    meta = {"num_cases_per_batch": size, "label_names": classes, "num_vis": 3072}
    (folder / "batches.meta").write_bytes(pickle.dumps(meta, protocol=2))


def write_wine(folder: Path, rng: np.random.Generator) -> None:
    """UCI's two files, separated by semicolons: 120 red wines and 280 white."""
    from l2m.data.tabular import WINE_FEATURES

    folder.mkdir(parents=True)
    for kind, rows in (("red", 120), ("white", 280)):
        lines = [";".join(f'"{column}"' for column in (*WINE_FEATURES, "quality"))]
        for _ in range(rows):
            measured = [f"{value:.4g}" for value in rng.gamma(4, 2, len(WINE_FEATURES))]
            lines.append(";".join([*measured, str(rng.integers(3, 10))]))
        (folder / f"winequality-{kind}.csv").write_text("\n".join(lines) + "\n")


def write_housing(folder: Path, rng: np.random.Generator) -> None:
    """Géron's file: 100 rows of four proximities, 5 of ISLAND, and three rows without ``total_bedrooms``."""
    from l2m.data.tabular import HOUSING_FEATURES

    folder.mkdir(parents=True)
    places = ["<1H OCEAN", "INLAND", "NEAR BAY", "NEAR OCEAN"] * 100 + ["ISLAND"] * 5
    lines = [",".join((*HOUSING_FEATURES, "median_house_value", "ocean_proximity"))]
    for row, place in enumerate(rng.permutation(places)):
        values = [f"{value:.2f}" for value in (*rng.normal(0, 50, 2), *rng.gamma(4, 200, 6))]
        if row in (0, 7, 30):
            values[HOUSING_FEATURES.index("total_bedrooms")] = ""
        lines.append(",".join([*values, f"{rng.integers(15, 501) * 1000:.1f}", place]))
    (folder / "housing.csv").write_text("\n".join(lines) + "\n")


def write_imdb(folder: Path, rng: np.random.Generator) -> None:
    """The archive's labelled files, ``number_rating.txt``: 20 negative and 20 positive reviews."""
    words = ["the", "film", "was", "it's", "didn't", "well-made", "8/10", "café", "...", "<br /><br />", "(", ",", "!"]
    for part in ("train", "test"):
        for label, ratings in (("neg", (1, 5)), ("pos", (7, 11))):
            place = folder / part / label
            place.mkdir(parents=True)
            for number in range(10):
                text = " ".join(rng.choice([*words, label], rng.integers(4, 40)))
                (place / f"{number}_{rng.integers(*ratings)}.txt").write_text(f"{part} {number}. {text}", "utf-8")
