"""Augmentation: each change against a slow one, image by image; draws; where it acts and where it does not."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from alike import same
from made_up import compose
from torch import Tensor
from torch.nn import functional

from l2m.config.run import RunConfig
from l2m.data import load
from l2m.data.augmentation import Standard, erase, jitter, move
from l2m.data.paper.vision import CIFAR10_MEAN, CIFAR10_SD
from l2m.data.torchvision_import import torchvision
from l2m.seeding import generator
from l2m.training.engine import Trainer
from l2m.training.run import train

STANDARD = Standard(CIFAR10_MEAN, CIFAR10_SD)


def pixels(count: int = 6, height: int = 32, width: int = 32) -> Tensor:
    drawn = torch.randint(0, 256, (count, 3, height, width), generator=generator(0, "pixels"))
    return drawn.float().contiguous(memory_format=torch.channels_last)


def tiny(data_dir: Path, folder: Path, *overrides: str) -> RunConfig:
    return compose(
        "dataset=cifar10", "batch_size=40", "epochs=2", "device=cpu", "threads=1", f"data_dir={data_dir}",
        f"results_dir={folder}", *overrides,
    )  # fmt: skip


def trainer_of(config: RunConfig) -> Trainer:
    with torch.random.fork_rng():
        return Trainer(config)


# The changes


@pytest.mark.parametrize("size", [(32, 32), (20, 30), (7, 5)])
def test_nothing_to_change_changes_nothing(size: tuple[int, int]) -> None:
    images, one, zero = pixels(6, *size), torch.ones(6), torch.zeros(6)
    assert torch.equal(jitter(images, one, one, one), images)
    assert torch.equal(move(images, one, zero, zero, zero), images)
    assert torch.equal(erase(images, zero, zero, zero, zero, torch.ones(3)), images)


@pytest.mark.parametrize("factors", [(0.9, 1, 1), (1.1, 1, 1), (1, 0.9, 1), (1, 1.1, 1), (1, 1, 0.9), (1.1, 0.9, 1.1)])
def test_jitter_is_torchvisions(factors: tuple[float, float, float]) -> None:
    images, change = pixels(), torchvision.transforms.functional
    brightness, contrast, saturation = factors
    expected = change.adjust_brightness(images / 255, brightness)
    expected = change.adjust_saturation(change.adjust_contrast(expected, contrast), saturation)
    ours = jitter(images, *(torch.full((6,), float(factor)) for factor in factors))
    torch.testing.assert_close(ours / 255, expected, atol=2e-4, rtol=0)  # torchvision's grey has weights of four digits


def test_jitter_stays_in_range_image_by_image() -> None:
    images = pixels()
    factors = torch.linspace(0, 3, 6)
    together = jitter(images, factors, factors.flip(0), factors)
    assert 0 <= float(together.min()) < float(together.max()) <= 255
    for i in range(6):
        alone = jitter(images[i : i + 1], factors[i : i + 1], factors.flip(0)[i : i + 1], factors[i : i + 1])
        torch.testing.assert_close(together[i : i + 1], alone)


@pytest.mark.parametrize("size", [(32, 32), (20, 30), (7, 5)])
@pytest.mark.parametrize(("right", "down"), [(4, 0), (-3, 1), (0, -4), (2, 2)])
@pytest.mark.parametrize("mirrored", [False, True])
def test_a_move_is_a_mirror_and_a_crop_after_padding(
    size: tuple[int, int], right: int, down: int, mirrored: bool
) -> None:
    images = pixels(2, *size)
    flip, shifts = torch.tensor([-1.0 if mirrored else 1.0] * 2), (torch.tensor([float(x)] * 2) for x in (right, down))
    padded = functional.pad(images.flip(3) if mirrored else images, (4, 4, 4, 4))
    expected = padded[:, :, 4 - down : 4 - down + size[0], 4 - right : 4 - right + size[1]]
    assert torch.equal(move(images, flip, torch.zeros(2), *shifts), expected)


@pytest.mark.parametrize("degrees", [-15, -4, 7, 15])
def test_a_turn_is_torchvisions(degrees: float) -> None:
    images, zero = pixels(), torch.zeros(6)
    ours = move(images, torch.ones(6), torch.full((6,), math.radians(degrees)), zero, zero)
    theirs = torchvision.transforms.functional.rotate(images, -degrees)  # against the clock, ours with it
    assert (ours == theirs).float().mean() > 0.995, "but for ties of the nearest pixel"


def test_moves_are_mirror_turn_and_shift_in_this_order() -> None:
    images = pixels()
    flip = torch.tensor([1.0, -1.0] * 3)
    quarter, right, down = torch.full((6,), math.pi / 2), torch.arange(6.0) - 3, 2 - torch.arange(6.0)
    zero, one = torch.zeros(6), torch.ones(6)
    at_once = move(images, flip, quarter, right, down)  # quarter turns of a square lose nothing
    in_turn = move(move(move(images, flip, zero, zero, zero), one, quarter, zero, zero), one, zero, right, down)
    assert torch.equal(at_once, in_turn)


def test_erased_rectangles() -> None:
    images = pixels(3, 8, 9)
    top, left, rows, columns = torch.tensor([[0, 2, 7], [1, 3, 8], [0, 3, 1], [5, 4, 1]]).float()
    expected = images.clone()
    expected[1, :, 2:5, 3:7] = expected[2, :, 7:, 8:] = torch.tensor([1.0, 2.0, 3.0])[:, None, None]
    assert torch.equal(erase(images, top, left, rows, columns, torch.tensor([1.0, 2.0, 3.0])), expected)


# The authors' augmentation


def test_standard_keeps_shape_range_and_memory() -> None:
    images = pixels(200)
    before = images.clone()
    changed = STANDARD(generator(0, "draws"), images)
    assert torch.equal(images, before)
    assert changed.shape == images.shape
    assert changed.dtype == torch.float32
    assert changed.is_contiguous(memory_format=torch.channels_last)
    assert 0 <= float(changed.min()) < float(changed.max()) <= 255
    assert not any(torch.equal(*pair) for pair in zip(images, changed, strict=True))


def test_standard_changes_images_where_they_are() -> None:
    """The draws come from the CPU; everything else must have been moved to the images' device."""
    changed = STANDARD(generator(0, "draws"), pixels().to("meta"))
    assert changed.device.type == "meta"


def test_standard_erases_half_of_the_images_to_one_after_standardisation() -> None:
    changed = STANDARD(generator(0, "draws"), torch.full((2000, 3, 32, 32), 128.0))
    standardised = (changed / 255 - torch.tensor(CIFAR10_MEAN)[:, None, None]) / torch.tensor(CIFAR10_SD)[:, None, None]
    area = ((standardised - 1).abs() < 1e-5).all(1).sum((1, 2))
    assert (area > 0).float().mean().item() == pytest.approx(0.5, abs=0.04)
    shares = area[area > 0] / 1024
    assert 0.015 < float(shares.min()) < 0.03
    assert 0.08 < float(shares.max()) < 0.11


def test_standard_shifts_by_every_offset_up_to_four_pixels() -> None:
    """A white column in a black image, in images that are neither erased nor turned far."""
    images = torch.zeros(4000, 3, 32, 32)
    images[:, :, :, 15:17] = 255
    changed = STANDARD(generator(0, "draws"), images)[:, 0]
    middle = changed[:, 12:20].sum(1)
    places = (middle * torch.arange(32.0)).sum(1) / middle.sum(1)
    clean = (middle > 0).sum(1) <= 4
    found = torch.bincount((places[clean] - 15.5).round().long() + 6, minlength=13) / clean.sum()
    assert found[2:11].min() > 0.07  # a ninth each
    assert found[[0, 1, 11, 12]].sum() < 0.06  # turning moves a little further


# In training


def test_the_same_draws_for_every_strategy_and_others_at_every_step(tiny_data: Path, tmp_path: Path) -> None:
    seen: dict[str, list[Tensor]] = {}
    for name, seed in (("classical", 0), ("learn2mix", 0), ("smote", 0), ("classical", 1)):
        augment = ("dataset.augmentation=standard", "imbalance=linear", f"strategy={name}", f"seed={seed}")
        trainer = trainer_of(tiny(tiny_data, tmp_path, *augment, "batch_size=20"))
        steps = seen.setdefault(f"{name} {seed}", [])

        def observe(draws: torch.Generator, images: Tensor, steps: list[Tensor] = steps) -> Tensor:
            steps.append(torch.rand(3, generator=draws.clone_state()))
            return STANDARD(draws, images)

        trainer.augmentation = observe
        for _ in range(2):
            trainer.train_epoch()
    first = torch.stack(seen["classical 0"])
    assert len(first) == 2 * 3  # 62 images are left
    assert torch.equal(torch.stack(seen["learn2mix 0"]), first)
    assert torch.equal(torch.stack(seen["smote 0"]), first)
    assert len(first.unique(dim=0)) == len(first)
    assert not (torch.stack(seen["classical 1"]) == first).any()


def test_an_epoch_draws_the_same_wherever_training_began(tiny_data: Path, tmp_path: Path) -> None:
    """So that nothing of the draws need be kept between epochs."""
    augment = "dataset.augmentation=standard"
    begun, later = (trainer_of(tiny(tiny_data, tmp_path, augment)) for _ in range(2))
    drawn: dict[str, list[Any]] = {"begun": [], "later": []}
    for name, trainer in (("begun", begun), ("later", later)):
        trainer.augmentation = lambda draws, images, name=name: (drawn[name].append(draws.get_state()), images)[1]
    later.epoch = 1
    for _ in range(2):
        begun.train_epoch()
    later.train_epoch()
    assert torch.equal(torch.stack(drawn["begun"][3:]), torch.stack(drawn["later"]))


def test_training_sees_it_and_evaluation_does_not(tiny_data: Path, tmp_path: Path) -> None:
    plain, augmented = (
        trainer_of(tiny(tiny_data, tmp_path, f"dataset.augmentation={name}")) for name in ("none", "standard")
    )
    assert torch.equal(plain.evaluate().loss, augmented.evaluate().loss)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        first = plain.train_epoch()[0]
        torch.manual_seed(0)
        second = augmented.train_epoch()[0]
        state = torch.get_rng_state()
        torch.manual_seed(0)
        plain.train_epoch()
        assert torch.equal(torch.get_rng_state(), state), "torch's own generator is left to dropout"
    assert not torch.equal(first, second)


def test_two_runs_of_a_seed_are_equal_to_the_byte(tiny_data: Path, tmp_path: Path) -> None:
    augment = "dataset.augmentation=standard"
    once, again, other = (
        train(tiny(tiny_data, tmp_path / str(i), augment, f"seed={seed}")) for i, seed in enumerate((0, 0, 1))
    )
    assert same(once, again)
    assert not same(once, other)


def test_batches_are_standardised_after_it(tiny_data: Path, tmp_path: Path) -> None:
    split = load(tiny(tiny_data, tmp_path, "dataset.augmentation=standard")).train
    index = torch.arange(10)
    assert torch.equal(split.batch(index, lambda images: images).inputs, split.batch(index).inputs)
    black = split.batch(index, torch.zeros_like).inputs
    expected = -torch.tensor(CIFAR10_MEAN) / torch.tensor(CIFAR10_SD)
    torch.testing.assert_close(black, expected.view(1, 3, 1, 1).expand_as(black))
    assert split.batch(index, lambda images: STANDARD(generator(0, "draws"), images)).inputs.is_contiguous(
        memory_format=torch.channels_last
    )


def test_none_is_as_before(tiny_data: Path, tmp_path: Path) -> None:
    config = tiny(tiny_data, tmp_path)
    assert config.dataset["augmentation"] == "none"
    assert load(config).augmentation is None
    standard = load(dataclasses.replace(config, dataset=config.dataset | {"augmentation": "standard"}))
    assert standard.augmentation == STANDARD
    assert compose("dataset=cifar10").digest() == "e0f86cd4", "the digest before there was augmentation"
    assert compose("dataset=cifar10", "dataset.augmentation=standard").digest() != "e0f86cd4"
