"""Random numbers of a row's shape, for rows without data here: training takes as long, and learns nothing."""

from __future__ import annotations

import torch

from l2m import data
from l2m.config.run import RunConfig
from l2m.data import Data, Split
from l2m.data.tokens import LENGTH
from l2m.errors import UserError
from l2m.paper import published

IMAGES = {
    "mnist": (1, 28, 10), "fashion_mnist": (1, 28, 10), "cifar10": (3, 32, 10), "cifar100": (3, 32, 100),
    "imagenette": (3, 224, 10),
}  # fmt: skip
"""Channels, pixels per side, and classes."""

VALUES = {"mean_estimation": (10, 4), "wine_quality": (11, 2), "california_housing": (8, 4)}
"""Features and groups."""

TEST_SIZES = dict.fromkeys((*IMAGES, "imdb"), 10_000) | {
    "imagenette": 3925, "mean_estimation": 4000, "wine_quality": 3249, "california_housing": 10_214,
}  # fmt: skip
"""Samples of the test sets."""

VOCABULARY = 50_000


def load_or_draw(config: RunConfig, samples: int | None = None, random: bool = False) -> tuple[Data, str]:
    """A run's data, or random data of ``samples`` where it has none, and which in words; ``random`` reads nothing."""
    try:
        if not random:
            return data.load(config), "real"
    except UserError:
        pass
    name = config.dataset["name"]
    return draw(name, samples or published.settings(name)["train_size"]), "random, of the true shape"


def draw(name: str, samples: int) -> Data:
    """Random data of a row's shape: ``samples`` to train on, and a test set in the row's proportion to them."""
    generator = torch.Generator().manual_seed(0)
    shape = name.removesuffix("_reconstruction")
    test_size = max(1, samples * TEST_SIZES[shape] // published.settings(name)["train_size"])

    def integers(below: int, *size: int, dtype: torch.dtype = torch.int64) -> torch.Tensor:
        return torch.randint(below, size, generator=generator, dtype=dtype)

    def split(count: int) -> Split:
        if shape in IMAGES:
            channels, side, classes = IMAGES[shape]
            labels = torch.arange(count) % classes
            pixels = integers(256, count, channels, side, side, dtype=torch.uint8)
            scale, shift = torch.full((channels, 1, 1), 1 / 255), torch.zeros(channels, 1, 1)
            return Split(pixels, labels if shape == name else None, labels, scale, shift)
        if shape == "imdb":
            labels = torch.arange(count) % 2
            return Split(integers(VOCABULARY, count, LENGTH, dtype=torch.int32), labels, labels)
        features, groups = VALUES[shape]
        values = torch.randn(count, features + 1, generator=generator)
        return Split(values[:, :features], values[:, features:], torch.arange(count) % groups)

    groups = IMAGES[shape][2] if shape in IMAGES else VALUES.get(shape, (0, 2))[1]
    vocabulary = {"vocabulary": [str(word) for word in range(VOCABULARY)]} if shape == "imdb" else {}
    classes = groups if shape == name and shape not in VALUES else None
    return Data(split(samples), split(test_size), tuple(map(str, range(groups))), classes, vocabulary)
