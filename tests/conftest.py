"""What all tests share: data sets in their real file formats, but tiny, and no network."""

from __future__ import annotations

import hashlib
import json
import math
import os
import pickle
import socket
import struct
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np
import pytest
import torch
from loky import cpu_count
from numpy.typing import NDArray
from PIL import Image

if TYPE_CHECKING:
    from browser import Browser

    from l2m.paper.results import Results

TRAIN, TEST = 12, 3
"""Images of a class in the tiny MNIST, Fashion-MNIST and CIFAR-10."""


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


def pytest_configure(config: pytest.Config) -> None:
    """Warnings of workers are read by the process that started them, which imports Lightning, and it torchvision."""
    if config.option.markexpr.startswith("extras"):
        import_module("l2m.data.torchvision_import").torchvision  # noqa: B018


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """``-n auto``: the cores that this process may use; beyond eight the longest files decide."""
    return min(cpu_count(), 8)


@pytest.fixture(autouse=True, scope="session")
def _no_power_cuts() -> Iterator[None]:
    """Hundreds of records are written, and flushing each to the disk would take a tenth of a second."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda descriptor: None)
        yield


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> Iterator[None]:
    """Tiny batches gain nothing from more, and where tests run side by side threads wait for each other."""
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OMP_NUM_THREADS", "1")
        yield


@pytest.fixture(scope="session")
def tiny_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A ``data_dir`` with every data set that has files, in so many samples that the paper's recipes leave some."""
    folder = tmp_path_factory.mktemp("data")
    rng = np.random.default_rng(0)
    for name in ("MNIST", "FashionMNIST"):
        write_idx(folder / name / "raw", rng)
    write_cifar10(folder / "cifar-10-batches-py", rng)
    write_cifar100(folder / "cifar-100-python", rng)
    write_imagenette(folder / "imagenette2-320", rng)
    write_wine(folder / "wine_quality", rng)
    write_housing(folder / "california_housing", rng)
    write_imdb(folder / "aclImdb", rng)
    write_own(folder / "own", rng)
    return folder


@pytest.fixture(scope="session")
def _published(tiny_data: Path) -> list[tuple[Any, str, Any]]:
    """What torchvision would know of CIFAR's files, had they been published like this: class, attribute, MD5 sums."""
    from l2m.data.torchvision_import import torchvision

    found: list[tuple[Any, str, Any]] = []
    for kind in (torchvision.datasets.CIFAR10, torchvision.datasets.CIFAR100):
        folder = tiny_data / kind.base_folder
        for attribute in ("train_list", "test_list"):
            found.append((kind, attribute, [[name, md5(folder / name)] for name, _ in getattr(kind, attribute)]))
        found.append((kind, "meta", kind.meta | {"md5": md5(folder / kind.meta["filename"])}))
    return found


@pytest.fixture(autouse=True)
def _tiny_sets_are_the_published_ones(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where ``tiny_data`` is used, its files are expected: CIFAR's by MD5 sums, Imagenette's by their number."""
    if "tiny_data" not in request.fixturenames:
        return
    from l2m.data.paper import vision

    monkeypatch.setattr(vision, "IMAGENETTE_SIZES", {"train": sum(IMAGENETTE_SIZES), "val": 10})
    for kind, attribute, value in request.getfixturevalue("_published"):
        monkeypatch.setattr(kind, attribute, value)


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


CIFAR100_SIZES = [20] * 50 + [math.ceil(40 ** (i / 99)) for i in range(50, 100)]
"""Training images of a class: as few as either recipe takes, so that one stays."""


def write_cifar100(folder: Path, rng: np.random.Generator) -> None:
    """The pickles of CIFAR-100's Python version: pixels as in CIFAR-10, 100 fine labels in 20 coarse ones."""
    folder.mkdir(parents=True)
    for name, sizes in (("train", CIFAR100_SIZES), ("test", [1] * 100)):
        labels = rng.permutation(np.arange(100).repeat(sizes))
        batch = {
            "filenames": [f"image_{i}.png" for i in range(len(labels))],
            "batch_label": f"{name} batch 1 of 1",
            "fine_labels": labels.tolist(),
            "coarse_labels": (labels // 5).tolist(),
            "data": rng.integers(0, 256, (len(labels), 3072), np.uint8),
        }
        (folder / name).write_bytes(pickle.dumps(batch, protocol=2))
    meta = {
        "fine_label_names": [f"fine_{i}" for i in range(100)],
        "coarse_label_names": [f"coarse_{i}" for i in range(20)],
    }
    (folder / "meta").write_bytes(pickle.dumps(meta, protocol=2))


WORDNET = (
    "n01440764", "n02102040", "n02979186", "n03000684", "n03028079", "n03394916", "n03417042", "n03425413",
    "n03445777", "n03888257",
)  # fmt: skip
"""Imagenette's class folders, tench to parachute."""

IMAGENETTE_SIZES = [1, 2, 2, 2, 2, 10, 10, 10, 10, 10]
"""Training images of a class: as few as either recipe takes, so that one stays; each costs time in ResNet-18."""


def write_imagenette(folder: Path, rng: np.random.Generator) -> None:
    """Photographs wider than high in ``{train,val}/<class>/``; one in grey, one in CMYK."""
    for part, sizes in (("train", IMAGENETTE_SIZES), ("val", [1] * 10)):
        for name, size in zip(WORDNET, sizes, strict=True):
            (folder / part / name).mkdir(parents=True)
            for i in range(size):
                image = Image.fromarray(rng.integers(0, 256, (48, 64, 3), np.uint8))
                mode = {"n01440764_0": "L", "n02102040_0": "CMYK"}.get(f"{name}_{i}", "RGB")
                image.convert(mode).save(folder / part / name / f"{name}_{i}.JPEG", "JPEG")


def write_wine(folder: Path, rng: np.random.Generator) -> None:
    """UCI's two files, separated by semicolons: 120 red wines and 280 white."""
    from l2m.data.paper.tabular import WINE_FEATURES

    folder.mkdir(parents=True)
    for kind, rows in (("red", 120), ("white", 280)):
        lines = [";".join(f'"{column}"' for column in (*WINE_FEATURES, "quality"))]
        for _ in range(rows):
            measured = [f"{value:.4g}" for value in rng.gamma(4, 2, len(WINE_FEATURES))]
            lines.append(";".join([*measured, str(rng.integers(3, 10))]))
        (folder / f"winequality-{kind}.csv").write_text("\n".join(lines) + "\n")


def write_housing(folder: Path, rng: np.random.Generator) -> None:
    """Géron's file: 100 rows of four proximities, 5 of ISLAND, and three rows without ``total_bedrooms``."""
    from l2m.data.paper.tabular import HOUSING_FEATURES

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


def write_own(folder: Path, rng: np.random.Generator) -> None:
    """What a person might have: a table with gaps, photographs in a folder a class, and texts, one a line, in JSON."""
    folder.mkdir(parents=True)
    lines = ["age,income,city,outcome"]
    for row in range(60):
        age = "" if row % 9 == 4 else f"{rng.integers(18, 90)}"
        city = ["Aachen", "Bonn", "Köln", ""][row % 7 % 4]
        lines.append(f"{age},{rng.gamma(4, 900):.2f},{city},{'ill' if row % 5 == 0 else 'well'}")
    (folder / "table.csv").write_text("\n".join(lines) + "\n", "utf-8")
    for name, images in (("cat", 7), ("dog", 8)):
        (folder / "images" / name).mkdir(parents=True)
        for i in range(images):
            image = Image.fromarray(rng.integers(0, 256, (24, 30, 3), np.uint8))
            image.save(folder / "images" / name / f"{i}{'.JPG' if i % 2 else '.png'}")
    words = ["the", "film", "was", "good", "bad", "long"]
    texts = [{"text": " ".join(rng.choice(words, rng.integers(2, 9))), "label": int(i % 3 > 0)} for i in range(30)]
    (folder / "texts.jsonl").write_text("".join(f"{json.dumps(text)}\n" for text in texts))


@pytest.fixture(scope="session")
def committed_results() -> Results:
    """The results folder of the repository, which takes seconds to read."""
    from l2m.paper.results import read_results

    return read_results(Path(__file__).parents[1] / "results")


@pytest.fixture(scope="session")
def made_up_results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A results folder with the records of ``rows_made_up.write_all``; not to be changed."""
    import rows_made_up

    return rows_made_up.write_all(tmp_path_factory.mktemp("results"))


class Code:
    def __reduce__(self) -> Any:
        return Path.touch, (Path("was_executed"),)


@pytest.fixture
def weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Files of weights: of a small network, of another one, of none; in a folder without connection to the hub."""
    from l2m.data.torchvision_import import torchvision  # noqa: F401

    timm = pytest.importorskip("timm")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.chdir(tmp_path)
    values = timm.create_model("test_resnet").state_dict()
    for value in values.values():
        if value.ndim == 1:
            value += 0.1  # of some norms it is 0 at first, which leaves other layers without gradient
    torch.save(values, "right.pth")
    torch.save(timm.create_model("test_vit").state_dict(), "other.pth")
    Path("none.pth").write_text("no weights")
    Path("code.pth").write_bytes(pickle.dumps(Code()))
    return tmp_path


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """Headless Chromium."""
    from browser import CHROMIUM, Browser

    if CHROMIUM is None:
        pytest.skip("no Chromium is installed")
    with Browser(tmp_path_factory.mktemp("profile")) as browser:
        yield browser
