"""Data sets from their real file formats, and the recipes of imbalance."""

from __future__ import annotations

import pickle
import shutil
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import CIFAR100_SIZES, IMAGENETTE_SIZES, WORDNET, md5
from made_up import compose
from numpy.typing import NDArray
from PIL import Image
from sklearn.model_selection import train_test_split
from sklearn.utils import Bunch

from l2m import UserError
from l2m.data import RECIPES, Data, Recipe, Split, load
from l2m.data.images import IMAGENET_MEAN, IMAGENET_SD
from l2m.data.paper import tabular, vision
from l2m.data.paper.tabular import HOUSING_FEATURES, PROXIMITIES, WINE_FEATURES
from l2m.data.paper.vision import CIFAR10_MEAN, CIFAR10_SD, CIFAR100_MEAN, CIFAR100_SD
from l2m.data.recipes import Linear, Logarithmic, Step
from l2m.data.validation import held_out

IMAGES = ("mnist", "fashion_mnist", "cifar10")
TABLES = ("wine_quality", "california_housing")
FILES = {
    "mnist": "MNIST/raw",
    "fashion_mnist": "FashionMNIST/raw",
    "cifar10": "cifar-10-batches-py",
    "imdb": "aclImdb",
    "cifar100": "cifar-100-python",
    "imagenette": "imagenette2-320",
    "wine_quality": "wine_quality/winequality-white.csv",
    "california_housing": "california_housing/housing.csv",
}
"""What users are asked to put into ``data_dir``."""


def loaded(dataset: str, folder: Path, *overrides: str) -> Data:
    return load(compose(f"dataset={dataset}", f"data_dir={folder}", *overrides))


def sizes(split: Split) -> list[int]:
    return torch.bincount(split.groups).tolist()


def names(k: int) -> list[str]:
    return [f"g{group}" for group in range(k)]


def everything(folder: Path) -> dict[str, bytes | None]:
    """All that lies in a folder, files with their content."""
    return {str(path): path.read_bytes() if path.is_file() else None for path in folder.rglob("*")}


# Recipes


def test_none_keeps_all() -> None:
    assert Recipe().kept([3, 1, 2]) == [3, 1, 2]
    assert Recipe().select(np.array([1, 0, 1, 2]), names(3), 0).tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("recipe", "before", "after"),
    [
        (Step(groups=(0,), factor=0.1), [2448, 799], [244, 799]),  # Wine Quality: N = 1043
        (Step(groups=(5, 6, 7, 8, 9), factor=0.2), [6000] * 10, [6000] * 5 + [1200] * 5),  # Fashion: N = 36 000
        (Step(groups=(0, 2), factor=0.29), [100, 7, 200], [29, 7, 58]),  # in floats 0.29 * 100 is 28.99...
        (Step(groups=(1,), factor=1.0), [3, 5], [3, 5]),
        (Step(groups=(), factor=0.5), [3, 5], [3, 5]),
        (Linear(), [960] * 10, [960, 864, 768, 672, 576, 480, 384, 288, 192, 96]),  # floats: 95.99... of 960
        (Linear(slope=0.0), [7, 7], [7, 7]),
        (Linear(slope=0.25), [9] * 4, [9, 6, 4, 2]),
        (Linear(slope=0.5), [10, 10, 10, 10], [10, 5, 0, 0]),
        (Logarithmic(ratio=4.0), [100] * 3, [100, 50, 25]),
        (Logarithmic(ratio=1.0), [100] * 3, [100] * 3),
        (Logarithmic(), [40], [40]),
    ],
)
def test_kept(recipe: Recipe, before: list[int], after: list[int]) -> None:
    assert recipe.kept(before) == after


@pytest.mark.parametrize(("ratio", "groups", "samples"), [(32, 6, 32), (1024, 6, 1024), (49, 3, 49), (1000, 4, 1000)])
def test_logarithmic_keeps_whole_numbers_whole(ratio: float, groups: int, samples: int) -> None:
    root = round(ratio ** (1 / (groups - 1)))
    assert Logarithmic(ratio=ratio).kept([samples] * groups) == [samples // root**group for group in range(groups)]


def test_logarithmic_is_cifar100s() -> None:
    kept = Logarithmic().kept([500] * 100)
    assert kept[:3] == [500, 481, 464]
    assert kept[-1] == 12
    assert sum(kept) == 13290  # PAPER.md, section 2: the paper's 13209 has two digits swapped


IMAGENETTE = [963, 955, 993, 858, 941, 956, 961, 931, 951, 960]
"""Training images of each class, as published."""


@pytest.mark.parametrize(
    ("row", "published", "proportions", "size"),
    [
        ("imagenette", IMAGENETTE,
         [0.1849, 0.1650, 0.1525, 0.1152, 0.1083, 0.0918, 0.0737, 0.0536, 0.0365, 0.0184], 5207),
        ("imagenette_v1", IMAGENETTE,
         [0.1857, 0.1842, 0.1915, 0.1655, 0.1815, 0.0183, 0.0185, 0.0179, 0.0183, 0.0185], 5185),
        ("cifar100_v1", [500] * 100, [0.000952] * 50 + [0.019048] * 50, 26250),
        ("cifar100", [500] * 100, [int(500 * 40 ** (-i / 99)) / 13290 for i in range(100)], 13290),
    ],
)  # fmt: skip
def test_recipes_of_the_rows_on_published_sizes(
    row: str, published: list[int], proportions: list[float], size: int
) -> None:
    kept = RECIPES.build(compose(f"dataset={row}").imbalance).kept(published)
    assert sum(kept) == size
    assert [n / size for n in kept] == pytest.approx(proportions, rel=0, abs=0.5001e-4)


def test_first_keeps_the_first_samples_of_each_group() -> None:
    groups = np.array([0, 1, 0, 1, 0, 1, 0, 1])
    chosen = Step(groups=(1,), factor=0.5, keep="first").select(groups, names(2), 0)
    assert chosen.tolist() == [0, 1, 2, 3, 4, 6]


def test_random_choice_is_drawn_by_the_data_seed() -> None:
    groups = np.arange(2).repeat(100)
    recipe = Step(groups=(1,), factor=0.3)
    once, again, other = (recipe.select(groups, names(2), seed) for seed in (42, 42, 43))
    assert np.array_equal(once, again)
    assert not np.array_equal(once, other)
    for chosen in (once, other):
        assert np.array_equal(chosen[:100], np.arange(100)), "a group that is not listed stays whole"
        assert len(np.unique(chosen)) == 130, "no sample twice"
        assert not np.array_equal(chosen[100:], np.arange(100, 130)), "not merely the first"


def test_random_choice_is_the_same_for_every_seed_of_a_run(tiny_data: Path) -> None:
    step = ("imbalance=step", "imbalance.groups=[0]", "imbalance.factor=0.5")
    one, two = (loaded("mnist", tiny_data, *step, seed) for seed in ("seed=0", "seed=1"))
    other = loaded("mnist", tiny_data, *step, "data_seed=7")
    assert torch.equal(one.train.inputs, two.train.inputs)
    assert sizes(one.train) == sizes(other.train) == [6, *[12] * 9]
    assert not torch.equal(one.train.inputs, other.train.inputs)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (("imbalance=step", "imbalance.groups=[2]", "imbalance.factor=0.001"), "group 2 (chi-squared)"),
        (("imbalance=linear", "imbalance.slope=0.5"), "group 2 (chi-squared)"),
        (("imbalance=logarithmic", "imbalance.ratio=1e4"), "group 3 (uniform)"),
        (("imbalance=step", "imbalance.groups=[0,4]", "imbalance.factor=0.5"), "groups are 0 to 3"),
    ],
)
def test_recipe_that_leaves_no_sample_or_names_no_group(overrides: tuple[str, ...], message: str) -> None:
    with pytest.raises(UserError) as caught:
        load(compose(*overrides))
    assert message in str(caught.value)


@pytest.mark.parametrize("dataset", ["mnist", "cifar10", "wine_quality", "digits", "mean_estimation"])
def test_recipes_leave_the_test_set_alone(tiny_data: Path, dataset: str) -> None:
    plain = loaded(dataset, tiny_data, "imbalance=none")
    rare = loaded(dataset, tiny_data, "imbalance=step", "imbalance.groups=[1]", "imbalance.factor=0.1")
    assert sizes(rare.train)[1] == sizes(plain.train)[1] // 10
    assert rare.preprocessing == plain.preprocessing
    for name in ("inputs", "targets", "groups"):
        assert torch.equal(getattr(plain.test, name), getattr(rare.test, name))


# Images


@pytest.mark.parametrize("dataset", IMAGES)
def test_images_rest_as_published(tiny_data: Path, dataset: str) -> None:
    data = loaded(dataset, tiny_data)
    shape = (3, 32, 32) if dataset == "cifar10" else (1, 28, 28)
    for split, each in ((data.train, 12), (data.test, 3)):
        assert split.inputs.shape == (10 * each, *shape)
        assert split.inputs.dtype == torch.uint8
        assert split.targets.dtype == split.groups.dtype == torch.int64
        assert torch.equal(split.targets, split.groups)
        assert sizes(split) == [each] * 10
    assert data.classes == data.outputs == len(data.group_names) == 10
    assert data.proportions.tolist() == [0.1] * 10


def test_class_names(tiny_data: Path) -> None:
    assert loaded("fashion_mnist", tiny_data).group_names[9] == "Ankle boot"
    assert loaded("cifar10", tiny_data).group_names[:2] == ("airplane", "automobile")


def test_mnist_is_read_pixel_by_pixel(tiny_data: Path) -> None:
    raw = tiny_data / "MNIST" / "raw"
    data = loaded("mnist", tiny_data)
    for split, part in ((data.train, "train"), (data.test, "t10k")):
        pixels = np.frombuffer((raw / f"{part}-images-idx3-ubyte").read_bytes()[16:], np.uint8)
        labels = np.frombuffer((raw / f"{part}-labels-idx1-ubyte").read_bytes()[8:], np.uint8)
        assert np.array_equal(split.inputs.numpy().ravel(), pixels)
        assert np.array_equal(split.targets.numpy(), labels)


def test_mnist_batches_lie_in_minus_one_to_one(tiny_data: Path) -> None:
    split = loaded("mnist", tiny_data).train
    batch = split.batch(torch.arange(len(split)))
    assert batch.inputs.dtype == torch.float32
    assert float(batch.inputs.min()) == -1.0
    assert float(batch.inputs.max()) == 1.0
    torch.testing.assert_close(batch.inputs, split.inputs.float() / 127.5 - 1)


def test_cifar10_is_read_and_standardised_by_channel(tiny_data: Path) -> None:
    stored = pickle.loads((tiny_data / "cifar-10-batches-py" / "data_batch_1").read_bytes())
    split = loaded("cifar10", tiny_data).train
    batch = split.batch(torch.arange(24))
    assert batch.targets.tolist() == stored["labels"]
    pixels = stored["data"].reshape(24, 3, 32, 32).astype(np.float64) / 255
    for channel in range(3):
        expected = (pixels[:, channel] - CIFAR10_MEAN[channel]) / CIFAR10_SD[channel]
        np.testing.assert_allclose(batch.inputs[:, channel].numpy(), expected, atol=1e-5)


@pytest.mark.parametrize("row", ["cifar100", "cifar100_v1"])
def test_cifar100_has_fine_labels_and_its_recipe(tiny_data: Path, row: str) -> None:
    data = loaded(row, tiny_data)
    kept = [int(n * 40 ** (-i / 99)) if row == "cifar100" else n // 20 if i < 50 else n
            for i, n in enumerate(CIFAR100_SIZES)]  # fmt: skip
    assert sizes(data.train) == kept
    assert sizes(data.test) == [1] * 100
    assert data.group_names == tuple(f"fine_{i}" for i in range(100))
    assert data.outputs == 100


def test_cifar100_is_read_and_standardised_by_channel(tiny_data: Path) -> None:
    stored = pickle.loads((tiny_data / "cifar-100-python" / "test").read_bytes())
    split = loaded("cifar100", tiny_data).test
    assert split.targets.tolist() == stored["fine_labels"]
    pixels = stored["data"].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1) / 255
    expected = (pixels - CIFAR100_MEAN) / CIFAR100_SD
    np.testing.assert_allclose(split.batch(slice(None)).inputs.permute(0, 2, 3, 1).numpy(), expected, atol=1e-5)


@pytest.mark.parametrize(
    ("dataset", "kept"), [("mnist", [12] * 5 + [2] * 5), ("cifar10", [1] * 4 + [12] * 2 + [1] * 4)]
)
def test_images_to_reconstruct_are_their_own_targets_in_0_to_1(tiny_data: Path, dataset: str, kept: list[int]) -> None:
    plain, data = loaded(dataset, tiny_data), loaded(f"{dataset}_reconstruction", tiny_data)
    assert sizes(data.train) == kept
    assert torch.equal(data.test.inputs, plain.test.inputs)
    assert (data.classes, data.outputs) == (None, plain.test.inputs[0].numel())
    batch = data.test.batch(slice(0, 7))
    assert batch.targets is batch.inputs
    torch.testing.assert_close(batch.inputs, plain.test.inputs[:7].float() / 255)
    assert torch.equal(batch.groups, plain.test.groups[:7])


def test_digits() -> None:
    data = load(compose("dataset=digits", "imbalance=none"))
    assert len(data.train) + len(data.test) == 1797
    assert abs(len(data.train) - len(data.test)) == 1
    assert data.train.inputs.shape[1:] == (1, 8, 8)
    assert data.train.inputs.dtype == torch.uint8
    assert int(data.train.inputs.max()) == 16
    inputs = data.train.batch(slice(None)).inputs
    assert (float(inputs.min()), float(inputs.max())) == (-1.0, 1.0)
    differences = [abs(a - b) for a, b in zip(sizes(data.train), sizes(data.test), strict=True)]
    assert max(differences) <= 1, "stratified by digit"


def test_digits_recipe_makes_half_of_the_classes_rare() -> None:
    full, rare = load(compose("dataset=digits", "imbalance=none")), load(compose("dataset=digits"))
    expected = [n if digit < 5 else n // 10 for digit, n in enumerate(sizes(full.train))]
    assert sizes(rare.train) == expected


# What stays


IMAGES = ["mnist", "cifar10", "cifar100", "imagenette", "mnist_reconstruction", "cifar10_reconstruction", "digits"]


@pytest.mark.parametrize("dataset", IMAGES)
def test_images_that_a_recipe_leaves_are_those_of_the_whole_set(tiny_data: Path, dataset: str) -> None:
    thinned = ("imbalance=step", "imbalance.groups=[1,3]", "imbalance.factor=0.5", "data_seed=5")
    full = ("imbalance=none", "data_seed=5")
    whole, left = (loaded(dataset, tiny_data, *overrides).train for overrides in (full, thinned))
    recipe = Step(groups=(1, 3), factor=0.5)
    rows = recipe.select(whole.groups.numpy(), names(int(whole.groups.max()) + 1), 5)
    assert 0 < len(left) < len(whole)
    expected = whole.subset(torch.from_numpy(rows))
    assert torch.equal(left.inputs, expected.inputs)
    assert torch.equal(left.groups, expected.groups)
    assert (left.targets is None) == dataset.endswith("reconstruction")
    assert left.targets is None or torch.equal(left.targets, left.groups)
    assert left.inputs.is_contiguous(memory_format=torch.contiguous_format if left.targets is None
                                     else torch.channels_last)  # fmt: skip


def test_no_photograph_is_decoded_that_a_recipe_leaves_out(tiny_data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    decoded, read_image = [], vision.read_image

    def counted(file: Path, upright: bool = True) -> Image.Image:
        decoded.append(file)
        return read_image(file, upright)

    monkeypatch.setattr(vision, "read_image", counted)
    data = loaded("imagenette", tiny_data, "data_seed=11")
    assert len(data.train) < sum(IMAGENETTE_SIZES)
    assert len(decoded) == len(set(decoded)) == len(data.train) + len(data.test)


# Imagenette


def test_imagenette(tiny_data: Path) -> None:
    data = loaded("imagenette", tiny_data, "imbalance=none")
    assert sizes(data.train) == IMAGENETTE_SIZES
    assert sizes(data.test) == [1] * 10
    assert data.train.inputs.shape == (sum(IMAGENETTE_SIZES), 3, 224, 224)
    assert data.train.inputs.dtype == torch.uint8
    assert data.group_names == (
        "tench", "English springer", "cassette player", "chain saw", "church", "French horn", "garbage truck",
        "gas pump", "golf ball", "parachute",
    )  # fmt: skip


@pytest.mark.parametrize(("row", "kept"), [("imagenette", [1, 1, 1, 1, 1, 5, 4, 3, 2, 1]),
                                           ("imagenette_v1", [1, 2, 2, 2, 2, 1, 1, 1, 1, 1])])  # fmt: skip
def test_imagenette_recipes(tiny_data: Path, row: str, kept: list[int]) -> None:
    assert sizes(loaded(row, tiny_data).train) == kept


def test_imagenette_can_be_cropped_and_is_standardised(tiny_data: Path) -> None:
    """64×48 pixels become 341×256, of which the 224×224 in the middle stay."""
    split = loaded("imagenette", tiny_data, "imbalance=none", "dataset.resize=crop").test
    name = WORDNET[7]
    with Image.open(tiny_data / "imagenette2-320" / "val" / name / f"{name}_0.JPEG") as image:
        pixels = np.asarray(image.resize((341, 256), Image.Resampling.BILINEAR))[16:240, 58:282]
    assert np.array_equal(split.inputs[7].permute(1, 2, 0).numpy(), pixels)
    seen = split.batch(torch.tensor([7])).inputs[0].permute(1, 2, 0).numpy()
    np.testing.assert_allclose(seen, (pixels / 255 - IMAGENET_MEAN) / IMAGENET_SD, atol=1e-5)


def test_imagenette_is_stretched(tiny_data: Path) -> None:
    split = loaded("imagenette", tiny_data).test
    name = WORDNET[7]
    with Image.open(tiny_data / "imagenette2-320" / "val" / name / f"{name}_0.JPEG") as image:
        pixels = np.asarray(image.resize((224, 224), Image.Resampling.BILINEAR))
    assert np.array_equal(split.inputs[7].permute(1, 2, 0).numpy(), pixels)


def test_imagenette_is_read_in_rgb_whatever_the_channels(tiny_data: Path, tmp_path: Path) -> None:
    folder = copied(tiny_data, tmp_path / "data", "imagenette2-320")
    place = folder / "imagenette2-320" / "val"
    colours = {"L": 200, "CMYK": (0, 255, 255, 0), "RGBA": (10, 200, 30, 128)}
    for name, (mode, colour) in zip(WORDNET, colours.items(), strict=False):
        file = place / name / f"{name}_0.JPEG"
        Image.new(mode, (50, 40), colour).save(file, "PNG" if mode == "RGBA" else "JPEG")
    grey, red, green = loaded("imagenette", folder).test.inputs[:3, :, 100, 100].tolist()
    assert grey == [200] * 3
    assert red[0] > 250 > 5 > max(red[1:])
    assert green == [10, 200, 30]


def test_imagenette_is_read_in_the_size_that_is_asked_for(tiny_data: Path, tmp_path: Path) -> None:
    expected = loaded("imagenette", tiny_data)
    for name, archive in (("imagenette2-160", "160px"), ("imagenette2", "full")):
        shutil.copytree(tiny_data / "imagenette2-320", tmp_path / name)
        assert same_data(loaded("imagenette", tmp_path, f"dataset.archive={archive}"), expected)
    with pytest.raises(UserError, match="imagenette2-320"):
        loaded("imagenette", tmp_path)


def remove_a_part(folder: Path) -> None:
    shutil.rmtree(folder / "val")


def empty_a_class(folder: Path) -> None:
    for file in (folder / "train" / WORDNET[4]).iterdir():
        file.unlink()


def remove_a_class(folder: Path) -> None:
    shutil.rmtree(folder / "val" / WORDNET[4])


def rename_a_class(folder: Path) -> None:
    (folder / "train" / WORDNET[4]).rename(folder / "train" / "n99999999")


def remove_an_image(folder: Path) -> None:
    (folder / "train" / WORDNET[9] / f"{WORDNET[9]}_3.JPEG").unlink()


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (remove_a_part, "val"),
        (empty_a_class, WORDNET[4]),
        (remove_a_class, f"val has 9 images in its ten classes, none of them in {WORDNET[4]}: it must have 10"),
        (rename_a_class, f"none of them in {WORDNET[4]}"),
        (remove_an_image, "train has 58 images in its ten classes: it must have 59"),
    ],
)
def test_imagenette_folder_that_is_not_the_published_one(
    tiny_data: Path, tmp_path: Path, damage: Callable[[Path], None], message: str
) -> None:
    folder = copied(tiny_data, tmp_path / "data", "imagenette2-320")
    damage(folder / "imagenette2-320")
    before = everything(folder)
    with pytest.raises(UserError) as caught:
        loaded("imagenette", folder)
    assert str(folder / "imagenette2-320") in str(caught.value)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert everything(folder) == before


@pytest.mark.parametrize("change", [lambda b: b[: len(b) // 2], lambda b: b"", lambda b: b"<html>not found</html>"])
def test_damaged_image_is_named(tiny_data: Path, tmp_path: Path, change: Callable[[bytes], bytes]) -> None:
    file = f"imagenette2-320/train/{WORDNET[6]}/{WORDNET[6]}_2.JPEG"
    folder = altered(tiny_data, tmp_path / "data", file, change)
    with pytest.raises(UserError) as caught:
        loaded("imagenette", folder, "imbalance=none")
    assert str(caught.value).startswith(f"{folder / file} cannot be read as an image")
    assert "\n" not in str(caught.value)


def test_missing_image_is_named(tiny_data: Path, tmp_path: Path) -> None:
    folder = copied(tiny_data, tmp_path / "data", "imagenette2-320")
    file = folder / "imagenette2-320" / "val" / WORDNET[0] / f"{WORDNET[0]}_0.JPEG"
    file.unlink()
    file.symlink_to("nowhere")
    with pytest.raises(UserError, match=f"{WORDNET[0]}_0.JPEG cannot be read .No such file"):
        loaded("imagenette", folder)


# Tables


def wine_table(folder: Path) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int64]]:
    """Features, quality and group of the files as they stand, white first."""
    white, red = (
        np.loadtxt(folder / "wine_quality" / f"winequality-{kind}.csv", delimiter=";", skiprows=1)
        for kind in ("white", "red")
    )
    rows = np.concatenate([white, red])
    return rows[:, :11], rows[:, 11], np.array([0] * len(white) + [1] * len(red))


def test_wine_is_split_by_type_and_standardised_before_the_recipe(tiny_data: Path) -> None:
    features, quality, group = wine_table(tiny_data)
    names = np.array(["white", "red"])[group]  # scikit-learn sorts them: by the numbers it would draw other rows
    train, test = train_test_split(np.arange(len(group)), test_size=0.5, random_state=42, stratify=names)
    mean, sd = features[train].mean(0), features[train].std(0)
    data = loaded("wine_quality", tiny_data)
    assert data.group_names == ("white", "red")
    assert sizes(data.train) == [14, 60]  # the recipe keeps a tenth of 140
    assert sizes(data.test) == [140, 60]
    np.testing.assert_allclose(data.preprocessing["mean"], mean, rtol=1e-9)
    np.testing.assert_allclose(data.preprocessing["sd"], sd, rtol=1e-9)
    white, red = train[group[train] == 0], train[group[train] == 1]
    first = np.array([i for i in train if i in {*white[:14], *red}])  # the recipe keeps the first rows
    for split, rows in ((data.train, first), (data.test, test)):
        np.testing.assert_allclose(split.inputs.numpy(), (features[rows] - mean) / sd, atol=1e-5)
        assert split.targets.squeeze(1).tolist() == quality[rows].tolist()
        assert split.groups.tolist() == group[rows].tolist()
        assert split.inputs.dtype == split.targets.dtype == torch.float32
        assert split.inputs.shape[1:] == (len(WINE_FEATURES),)


def test_housing_drops_missing_rows_and_island(tiny_data: Path) -> None:
    lines = (tiny_data / "california_housing" / "housing.csv").read_text().splitlines()[1:]
    cells = [line.split(",") for line in lines]
    rows = [row for row in cells if "" not in row and row[-1] != "ISLAND"]
    assert len(cells) - len(rows) in range(5, 9), "the file has both kinds of rows"
    data = loaded("california_housing", tiny_data, "imbalance=none")
    assert len(data.train) + len(data.test) == len(rows)
    assert data.group_names == PROXIMITIES
    train, test = train_test_split(np.arange(len(rows)), test_size=0.5, random_state=42)
    features = np.array([row[:8] for row in rows], float)
    mean, sd = features[train].mean(0), features[train].std(0)
    for split, index in ((data.train, train), (data.test, test)):
        assert split.inputs.shape == (len(index), len(HOUSING_FEATURES))
        np.testing.assert_allclose(split.inputs.numpy(), (features[index] - mean) / sd, atol=1e-5)
        dollars = [float(rows[i][8]) for i in index]
        np.testing.assert_allclose(split.targets.squeeze(1).numpy(), np.array(dollars) / 100_000, rtol=1e-6)
        assert split.groups.tolist() == [PROXIMITIES.index(rows[i][9]) for i in index]
    assert data.preprocessing["target_unit"] == [100_000.0]


def test_housing_recipe_keeps_a_twentieth_of_all_but_inland(tiny_data: Path) -> None:
    plain, rare = loaded("california_housing", tiny_data, "imbalance=none"), loaded("california_housing", tiny_data)
    assert sizes(rare.train) == [n if i == 1 else n // 20 for i, n in enumerate(sizes(plain.train))]


def test_another_data_seed_splits_tables_anew(tiny_data: Path) -> None:
    once, other = (loaded("wine_quality", tiny_data, f"data_seed={seed}") for seed in (42, 43))
    assert not torch.equal(once.test.targets, other.test.targets)


# Mean Estimation


def test_mean_estimation() -> None:
    data = load(compose("dataset=mean_estimation"))
    assert data.group_names == ("normal", "exponential", "chi-squared", "uniform")
    assert sizes(data.train) == [1000, 1000, 800, 200]
    assert sizes(data.test) == [1000] * 4
    assert data.outputs == 1
    assert data.classes is None
    for split in (data.train, data.test):
        assert split.inputs.shape == (len(split), 10)
        for group in range(4):
            rows = split.groups == group
            mu, mean = split.targets[rows].squeeze(1), split.inputs[rows].mean(1)
            low, high = (20, 50) if group == 3 else (0, 1)
            assert low <= float(mu.min()) < float(mu.max()) <= high
            assert float(mu.mean()) == pytest.approx((low + high) / 2, rel=0.06)
            # ten draws of variance 1, μ², 2μ and 400/12: their mean is off by its sd at most, on average
            spread = (1, 1 / 3, 1, 400 / 12)[group] / 10
            assert float((mean - mu).square().mean()) == pytest.approx(spread, rel=0.3)
    assert float(data.train.inputs[data.train.groups == 1].min()) >= 0
    uniform = data.train.groups == 3
    assert float((data.train.inputs[uniform] - data.train.targets[uniform]).abs().max()) <= 10


def test_mean_estimation_in_other_sizes() -> None:
    data = load(compose("dataset.train_sizes=[5,4,3,2]", "dataset.test_size=7"))
    assert (sizes(data.train), sizes(data.test)) == ([5, 4, 3, 2], [7] * 4)
    with pytest.raises(UserError, match=r"train_sizes=\[5, 4\] must have 4 numbers"):
        load(compose("dataset.train_sizes=[5,4]"))


# Split


def test_split_subset_and_batch(tiny_data: Path) -> None:
    split = loaded("mnist", tiny_data).train
    index = torch.tensor([5, 0, 5])
    part = split.subset(index)
    assert len(part) == 3
    assert part.inputs.dtype == torch.uint8
    assert torch.equal(part.targets, split.targets[index])
    for ours, direct in zip(part.batch(slice(None)), split.batch(index), strict=True):
        assert torch.equal(ours, direct)
    images = split.batch(torch.arange(4)).inputs
    assert images.is_contiguous(memory_format=torch.channels_last)


def test_batches_are_copies_that_leave_the_split_as_it_is(tiny_data: Path) -> None:
    split = loaded("mnist", tiny_data).test
    before = split.inputs.clone()
    split.batch(slice(0, 5)).inputs.zero_()
    assert torch.equal(split.inputs, before)


def test_split_moves_whole(tiny_data: Path) -> None:
    for split in (loaded("mnist", tiny_data).test, load(compose()).test):
        moved = split.to(torch.device("meta"))
        present = [name for name, value in vars(split).items() if value is not None]
        assert {getattr(moved, name).device.type for name in present} == {"meta"}
        assert (moved.scale is None) == (split.scale is None)


# Validation


@pytest.mark.parametrize("dataset", ["digits", "wine_quality"])
def test_a_held_out_part_of_the_training_split_takes_the_place_of_the_test_split(dataset: str, tiny_data: Path) -> None:
    whole = loaded(dataset, tiny_data)
    part = loaded(dataset, tiny_data, "validation_fraction=0.25")
    assert sizes(part.test) == [round(0.25 * size) for size in sizes(whole.train)]
    assert np.add(sizes(part.train), sizes(part.test)).tolist() == sizes(whole.train)

    def rows(*splits: Split) -> list[list[float]]:
        together = [torch.cat([s.inputs.flatten(1), s.groups[:, None]], 1) for s in splits]
        return sorted(torch.cat(together).tolist())

    assert rows(part.train, part.test) == rows(whole.train)
    second = loaded(dataset, tiny_data, "validation_fraction=0.25", "validation_part=1")
    assert sizes(second.test) == sizes(part.test)
    assert rows(second.train, second.test) == rows(whole.train)
    assert rows(second.test) != rows(part.test)
    again = loaded(dataset, tiny_data, "validation_fraction=0.25", "seed=5", "strategy=classical")
    other = loaded(dataset, tiny_data, "validation_fraction=0.25", "data_seed=43")
    assert torch.equal(again.test.inputs, part.test.inputs)
    assert other.test.inputs.shape != part.test.inputs.shape or not torch.equal(other.test.inputs, part.test.inputs)


@pytest.mark.parametrize("dataset", ["digits", "wine_quality"])
def test_early_stopping_holds_out_the_same_part_and_keeps_the_test_split(dataset: str, tiny_data: Path) -> None:
    whole, tested = loaded(dataset, tiny_data), loaded(dataset, tiny_data, "validation_fraction=0.25")
    early = loaded(dataset, tiny_data, "early_stopping=3", "early_stopping_fraction=0.25")
    both = loaded(dataset, tiny_data, "early_stopping=3", "validation_fraction=0.25")
    assert whole.held_out is None
    assert early.held_out is not None
    assert torch.equal(early.test.inputs, whole.test.inputs)
    assert torch.equal(early.train.inputs, tested.train.inputs)
    assert torch.equal(early.held_out.inputs, tested.test.inputs)
    assert both.held_out is both.test
    assert torch.equal(both.test.inputs, tested.test.inputs)


def test_parts_hold_out_every_sample_before_any_again() -> None:
    groups = torch.tensor([0] * 8 + [1] * 3)
    parts = [held_out(groups, 0.25, torch.Generator().manual_seed(1), part) for part in range(5)]
    assert torch.stack(parts[:4])[:, :8].sum(0).tolist() == [1] * 8
    assert torch.stack(parts[:3])[:, 8:].sum(0).tolist() == [1] * 3
    assert torch.equal(parts[4][:8], parts[0][:8])
    with pytest.raises(UserError, match=r"validation_part=1 of no held-out samples: set validation_fraction"):
        compose("dataset=digits", "validation_part=1")
    assert compose("dataset=digits", "validation_part=1", "early_stopping=5").held_out[2] == 1


def test_a_group_of_one_sample_cannot_be_held_out_from(tmp_path: Path) -> None:
    lone = ["dataset=digits", "imbalance=step", "imbalance.groups=[3]", "imbalance.factor=0.015"]
    assert min(sizes(load(compose(*lone)).train)) == 1
    with pytest.raises(UserError, match=r"validation_fraction=0.1 holds out .* group 3 \(3\) has 1 training sample: "):
        load(compose(*lone, "validation_fraction=0.1"))
    with pytest.raises(UserError, match=r"early_stopping_fraction=0.2 holds out .* or use early_stopping=null"):
        load(compose(*lone, "early_stopping=3"))


# Loading once


def test_a_sweep_over_strategies_and_seeds_loads_once(tiny_data: Path, tmp_path: Path) -> None:
    folder = tmp_path / "data"
    shutil.copytree(tiny_data / "wine_quality", folder / "wine_quality")
    first = loaded("wine_quality", folder)
    shutil.rmtree(folder)
    assert loaded("wine_quality", folder, "strategy=classical", "seed=3", "epochs=7") is first
    with pytest.raises(UserError):
        loaded("wine_quality", folder, "imbalance=none")


# What goes wrong


@pytest.mark.parametrize("dataset", FILES)
def test_missing_data_set_says_which_file_goes_where(tmp_path: Path, dataset: str) -> None:
    folder = tmp_path / "data"
    with pytest.raises(UserError) as caught:
        loaded(dataset, folder)
    message = str(caught.value)
    assert str(folder / FILES[dataset]) in message
    assert "data_dir=" in message
    assert "\n" not in message
    assert everything(tmp_path) == {}, "nothing was written"


@pytest.mark.parametrize("dataset", FILES)
def test_missing_part_leaves_the_rest_alone(tiny_data: Path, tmp_path: Path, dataset: str) -> None:
    folder = copied(tiny_data, tmp_path / "data", FILES[dataset])
    place = folder / FILES[dataset]
    if dataset == "imdb":  # one review of many may be missing, not all of a kind
        shutil.rmtree(place / "train" / "pos")
    else:
        (place if place.is_file() else max(file for file in place.rglob("*") if file.is_file())).unlink()
    before = everything(folder)
    with pytest.raises(UserError) as caught:
        loaded(dataset, folder)
    assert str(folder / FILES[dataset]) in str(caught.value)
    assert everything(folder) == before


def copied(tiny_data: Path, folder: Path, name: str) -> Path:
    """A copy of the tiny data set that a file is part of."""
    top = Path(name).parts[0]
    shutil.copytree(tiny_data / top, folder / top)
    return folder


def altered(tiny_data: Path, folder: Path, name: str, change: Callable[[bytes], bytes]) -> Path:
    """A copy of a tiny data set in which one file is changed."""
    file = copied(tiny_data, folder, name) / name
    file.write_bytes(change(file.read_bytes()))
    return folder


def cell(row: int, column: int, value: str, separator: str = ";") -> Callable[[bytes], bytes]:
    """Replace a cell; rows are the lines of the file, counted from 1."""

    def change(content: bytes) -> bytes:
        lines = content.decode().splitlines()
        cells = lines[row - 1].split(separator)
        cells[column] = value
        lines[row - 1] = separator.join(cells)
        return "\n".join(lines).encode()

    return change


@pytest.mark.parametrize("value", ["abc", "nan", "inf", "-inf", "1e999", "1,5", ""])
@pytest.mark.parametrize(("column", "name"), [(2, "citric acid"), (11, "quality")])
def test_wine_with_a_cell_that_is_no_number(
    tiny_data: Path, tmp_path: Path, column: int, name: str, value: str
) -> None:
    file = "wine_quality/winequality-red.csv"
    folder = altered(tiny_data, tmp_path / "data", file, cell(6, column, value))
    with pytest.raises(UserError) as caught:
        loaded("wine_quality", folder)
    message = str(caught.value)
    assert message.startswith(str(folder / file))
    assert (f" has no {name} in" if value in ("", "nan") else f" has {name}=") in message
    assert " in line 6: it must be a finite number" in message


@pytest.mark.parametrize("value", ["abc", "inf", "0x10"])
@pytest.mark.parametrize(("column", "name"), [(0, "longitude"), (8, "median_house_value")])
def test_housing_with_a_cell_that_is_no_number(
    tiny_data: Path, tmp_path: Path, column: int, name: str, value: str
) -> None:
    file = "california_housing/housing.csv"
    folder = altered(tiny_data, tmp_path / "data", file, cell(4, column, value, ","))
    with pytest.raises(UserError, match=rf"housing\.csv has {name}=.* in line 4"):
        loaded("california_housing", folder)


@pytest.mark.parametrize("column", [0, 4, 8, 9])
def test_housing_drops_a_row_with_any_cell_missing(tiny_data: Path, tmp_path: Path, column: int) -> None:
    whole = loaded("california_housing", tiny_data, "imbalance=none")
    file = "california_housing/housing.csv"
    lines = (tiny_data / file).read_text().splitlines()
    row = next(i for i, line in enumerate(lines, 1) if "INLAND" in line and ",," not in line)
    folder = altered(tiny_data, tmp_path / "data", file, cell(row, column, "", ","))
    less = loaded("california_housing", folder, "imbalance=none")
    assert len(less.train) + len(less.test) == len(whole.train) + len(whole.test) - 1


@pytest.mark.parametrize(
    ("dataset", "name", "change", "message"),
    [
        ("wine_quality", "winequality-red.csv", lambda b: b.replace(b"alcohol", b"alc"), "has no column alcohol"),
        ("wine_quality", "winequality-white.csv", lambda b: b.replace(b'"quality"', b'"q"'), "no column quality"),
        ("wine_quality", "winequality-red.csv", lambda b: b.replace(b";", b","), "no column fixed acidity"),
        ("wine_quality", "winequality-red.csv", lambda b: b"", "cannot be read as a table"),
        ("wine_quality", "winequality-red.csv", lambda b: b"\xff\xfe" + b, "cannot be read as a table"),
        ("wine_quality", "winequality-red.csv", lambda b: b + b"1;2;3;4;5;6;7;8;9;10;11;12;13\n", "line 122"),
        ("california_housing", "housing.csv", lambda b: b.replace(b"households", b"hh"), "no column households"),
        ("california_housing", "housing.csv", lambda b: b.replace(b"ocean_", b"sea_"), "no column ocean_proximity"),
        ("california_housing", "housing.csv", lambda b: b.replace(b"INLAND", b"Inland"), "ocean_proximity=Inland"),
    ],
)
def test_table_of_another_shape(
    tiny_data: Path, tmp_path: Path, dataset: str, name: str, change: Callable[[bytes], bytes], message: str
) -> None:
    folder = altered(tiny_data, tmp_path / "data", f"{dataset}/{name}", change)
    with pytest.raises(UserError) as caught:
        loaded(dataset, folder)
    assert message in str(caught.value)
    assert str(folder / dataset / name) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_table_that_lacks_a_group(tiny_data: Path, tmp_path: Path) -> None:
    folder = altered(
        tiny_data, tmp_path / "data", "california_housing/housing.csv", lambda b: b.replace(b"NEAR BAY", b"INLAND")
    )
    with pytest.raises(
        UserError, match=r"housing\.csv has 0 whole rows of group 2 \(NEAR BAY\): it must have at least two"
    ):
        loaded("california_housing", folder)


@pytest.mark.parametrize(
    ("part", "change"),
    [
        ("train-images-idx3-ubyte", lambda b: b[:-5]),
        ("train-images-idx3-ubyte", lambda b: b[:6]),
        ("train-images-idx3-ubyte", lambda b: b""),
        ("train-images-idx3-ubyte", lambda b: b"\0\0\x63" + b[3:]),
        ("train-images-idx3-ubyte", lambda b: b[:4] + struct.pack(">I", 2**31) + b[8:]),
        ("train-labels-idx1-ubyte", lambda b: b[:-1]),
        ("t10k-labels-idx1-ubyte", lambda b: b""),
        ("t10k-images-idx3-ubyte", lambda b: b"<html>not found</html>"),
    ],
)
@pytest.mark.parametrize(("dataset", "name"), [("mnist", "MNIST"), ("fashion_mnist", "FashionMNIST")])
def test_damaged_idx_file(
    tiny_data: Path, tmp_path: Path, dataset: str, name: str, part: str, change: Callable[[bytes], bytes]
) -> None:
    folder = altered(tiny_data, tmp_path / "data", f"{name}/raw/{part}", change)
    before = everything(folder)
    with pytest.raises(UserError) as caught:
        loaded(dataset, folder)
    assert f"{folder / name / 'raw'}" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert everything(folder) == before


@pytest.mark.parametrize(
    ("part", "change", "message"),
    [
        (
            "train",
            lambda b: b[:-1] + b"\x0a",
            "train-labels-idx1-ubyte has the label 10 in byte 127: it must be 0 to 9",
        ),
        ("t10k", lambda b: b[:-1] + b"\xff", "t10k-labels-idx1-ubyte has the label 255 in byte 37: it must be 0 to 9"),
        (
            "train",
            lambda b: b[:4] + struct.pack(">I", 119) + b[8:-1],
            "the training set has 120 images, but 119 labels",
        ),
        ("t10k", lambda b: b[:8] + b[8:].replace(b"\x09", b"\x01"), "class 9 (9 - nine) has no images in the test set"),
    ],
)
def test_idx_labels_that_fit_no_image(
    tiny_data: Path, tmp_path: Path, part: str, change: Callable[[bytes], bytes], message: str
) -> None:
    folder = altered(tiny_data, tmp_path / "data", f"MNIST/raw/{part}-labels-idx1-ubyte", change)
    with pytest.raises(UserError) as caught:
        loaded("mnist", folder)
    assert message in str(caught.value)


@pytest.mark.parametrize(("dataset", "name"), [("cifar10", "data_batch_3"), ("cifar100", "train")])
@pytest.mark.parametrize("change", [lambda b: b + b"x", lambda b: b[:-100]])
def test_cifar_file_that_is_not_the_published_one(
    tiny_data: Path, tmp_path: Path, dataset: str, name: str, change: Callable[[bytes], bytes]
) -> None:
    folder = altered(tiny_data, tmp_path / "data", f"{FILES[dataset]}/{name}", change)
    before = everything(folder)
    with pytest.raises(UserError) as caught:
        loaded(dataset, folder)
    assert str(folder / FILES[dataset]) in str(caught.value)
    assert everything(folder) == before


@pytest.mark.parametrize(
    ("label", "message"), [(100, "has the label 100 in row"), (1, "class 0 (fine_0) has no images in the test")]
)
def test_cifar100_labels_that_fit_no_image(
    tiny_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, label: int, message: str
) -> None:
    """With MD5 sums that fit, as if they had been published like this."""
    from l2m.data.torchvision_import import torchvision

    def relabel(content: bytes) -> bytes:
        batch = pickle.loads(content)
        batch["fine_labels"][batch["fine_labels"].index(0)] = label
        return pickle.dumps(batch, protocol=2)

    folder = altered(tiny_data, tmp_path / "data", "cifar-100-python/test", relabel)
    published = [["test", md5(folder / "cifar-100-python" / "test")]]
    monkeypatch.setattr(torchvision.datasets.CIFAR100, "test_list", published)
    with pytest.raises(UserError) as caught:
        loaded("cifar100", folder)
    assert message in str(caught.value)


def same_data(ours: Data, theirs: Data) -> bool:
    return all(
        torch.equal(getattr(getattr(ours, part), name), getattr(getattr(theirs, part), name))
        for part in ("train", "test")
        for name in ("inputs", "targets", "groups")
    )


def test_wine_is_downloaded_once_and_kept(tiny_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The real reader, on an address of this machine."""
    monkeypatch.setattr(tabular, "WINE_URL", (tiny_data / "wine_quality").as_uri() + "/")
    first = loaded("wine_quality", tmp_path)
    assert same_data(first, loaded("wine_quality", tiny_data))
    assert sorted(file.name for file in tmp_path.rglob("*.*")) == ["winequality-red.csv", "winequality-white.csv"]
    monkeypatch.setattr(tabular, "WINE_URL", "file:///nowhere/")
    assert same_data(first, loaded("wine_quality", tmp_path))


def test_housing_is_downloaded_and_kept(tiny_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """OpenML gives ocean_proximity as a categorical column; only the network is stood in for."""
    table = pd.read_csv(tiny_data / "california_housing" / "housing.csv")
    served = Bunch(frame=table.astype({"ocean_proximity": "category"}))
    monkeypatch.setattr("sklearn.datasets.fetch_openml", lambda **asked: served if asked["data_id"] == 43939 else None)
    assert same_data(loaded("california_housing", tmp_path), loaded("california_housing", tiny_data))
    assert [file.name for file in tmp_path.rglob("*.*")] == ["housing.csv"]
