"""The sets of the paper as they are loaded: sizes and proportions to the digits it prints (PAPER.md, section 2).

Each test is skipped where its files are not in ``L2M_DATA_DIR``, or ``data``.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch

from l2m import compose
from l2m.data import Data, load

FOLDER = Path(os.environ.get("L2M_DATA_DIR", Path(__file__).resolve().parents[2] / "data"))

FILES = {
    "mnist": "MNIST/raw/train-images-idx3-ubyte",
    "fashion_mnist": "FashionMNIST/raw/train-images-idx3-ubyte",
    "cifar10": "cifar-10-batches-py/data_batch_1",
    "imdb": "aclImdb/train/pos/0_9.txt",
    "imagenette": "imagenette2-320/val/n03888257",
    "imagenette_v1": "imagenette2-320/val/n03888257",
    "cifar100": "cifar-100-python/train",
    "cifar100_v1": "cifar-100-python/train",
    "wine_quality": "wine_quality/winequality-white.csv",
    "california_housing": "california_housing/housing.csv",
}

MNIST = [0.0987, 0.1124, 0.0993, 0.1022, 0.0974, 0.0904, 0.0986, 0.1044, 0.0975, 0.0991]

PUBLISHED = {  # train N, test N, proportions, their printed digits
    "mnist": (60000, 10000, MNIST, 4),
    "fashion_mnist": (60000, 10000, [0.1] * 10, 4),
    "cifar10": (50000, 10000, [0.1] * 10, 4),
    "imdb": (26000, 10000, [0.2308, 0.7692], 4),  # printed .2307 .7693, which are not 6000 and 20000 of 26000
    "imagenette": (
        5207, 3925, [0.1849, 0.1650, 0.1525, 0.1152, 0.1083, 0.0918, 0.0737, 0.0536, 0.0365, 0.0184], 4,
    ),
    "imagenette_v1": (
        5185, 3925, [0.1857, 0.1842, 0.1915, 0.1655, 0.1815, 0.0183, 0.0185, 0.0179, 0.0183, 0.0185], 4,
    ),
    "cifar100": (13290, 10000, [int(500 * 40 ** (-i / 99)) / 13290 for i in range(100)], 4),  # none printed
    "cifar100_v1": (26250, 10000, [0.001] * 50 + [0.019] * 50, 3),
    "mean_estimation": (3000, 4000, [0.333, 0.333, 0.267, 0.067], 3),
    "wine_quality": (1043, 3249, [0.234, 0.766], 3),
    "california_housing": (3641, 10214, [0.0615, 0.9055, 0.0154, 0.0176], 4),
}  # fmt: skip


def real(dataset: str, *overrides: str) -> Data:
    if dataset in FILES and not (FOLDER / FILES[dataset]).exists():
        pytest.skip(f"{FILES[dataset]} is not in {FOLDER}")
    return load(compose(f"dataset={dataset}", f"data_dir={FOLDER}", *overrides))


ROWS = [pytest.param(name, marks=pytest.mark.long if name == "imagenette_v1" else ()) for name in PUBLISHED]
"""The rows; the second one of Imagenette decodes the same photographs again."""


@pytest.mark.parametrize("dataset", ROWS)
def test_sizes_and_proportions_are_the_papers(dataset: str) -> None:
    train, test, proportions, digits = PUBLISHED[dataset]
    data = real(dataset)
    assert (len(data.train), len(data.test)) == (train, test)
    # half a unit of the last digit: MNIST's last share, .09915, is printed .0991
    tolerance = 0.5001 * 10**-digits
    assert data.proportions.tolist() == pytest.approx(proportions, rel=0, abs=tolerance)


# Reconstruction rows, whose recipes are there before their task is: N and proportions (PAPER.md, section 2)
RECIPES = {
    "mnist": ("[5,6,7,8,9]", 0.2, 36475,
              [0.1624, 0.1848, 0.1633, 0.1681, 0.1602, 0.0297, 0.0324, 0.0344, 0.0321, 0.0326]),
    "fashion_mnist": ("[5,6,7,8,9]", 0.2, 36000, [0.1667] * 5 + [0.0333] * 5),
    "cifar10": ("[0,1,2,3,6,7,8,9]", 0.1, 14000, [0.0357] * 4 + [0.3571] * 2 + [0.0357] * 4),
}  # fmt: skip


@pytest.mark.parametrize("dataset", RECIPES)
def test_step_recipes_of_the_reconstruction_rows(dataset: str) -> None:
    groups, factor, size, proportions = RECIPES[dataset]
    data = real(dataset, "imbalance=step", f"imbalance.groups={groups}", f"imbalance.factor={factor}")
    assert (len(data.train), len(data.test)) == (size, 10000)
    assert data.proportions.tolist() == pytest.approx(proportions, rel=0, abs=0.5001e-4)


@pytest.mark.parametrize("dataset", ["mnist", "fashion_mnist", "cifar10"])
def test_classes_of_the_image_sets_match_their_labels(dataset: str) -> None:
    data = real(dataset)
    assert torch.equal(data.train.targets, data.train.groups)
    assert torch.bincount(data.test.targets).min() >= 892  # MNIST's fives; the others have 1000 each
    assert data.train.inputs.dtype == torch.uint8


def test_cifar10_is_standardised_by_its_own_statistics() -> None:
    split = real("cifar10").train
    inputs = split.batch(torch.arange(0, 50000, 5)).inputs
    assert inputs.mean((0, 2, 3)).tolist() == pytest.approx([0, 0, 0], abs=0.02)
    assert inputs.std((0, 2, 3)).tolist() == pytest.approx([1, 1, 1], abs=0.02)


def test_wine_and_housing_targets_are_in_the_papers_units() -> None:
    wine = real("wine_quality")
    assert set(wine.test.targets.flatten().tolist()) <= set(range(3, 10))
    housing = real("california_housing", "imbalance=none")
    assert len(housing.train) + len(housing.test) == 20640 - 207 - 5  # 207 rows lack total_bedrooms, 5 are ISLAND
    assert float(housing.test.targets.max()) == pytest.approx(5.00001)
