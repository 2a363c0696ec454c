"""Image folders: which images are read, how they are split, and what can be wrong with a folder."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mutations import SORTS, assert_sentence, assert_valid, damage, within
from peak_memory import measure_beyond, write_images
from PIL import Image

from l2m import RunConfig, UserError, compose, train
from l2m.catalog import registries
from l2m.data import Data, load
from l2m.data.images import IMAGENET_MEAN, IMAGENET_SD
from l2m.data.own import storage
from l2m.data.own.description import format_description

CLASSES = {"cat": 10, "dog": 6, "owl": 4}


def write(folder: Path, name: str, colour: tuple[int, int, int], size: tuple[int, int] = (12, 8)) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, colour).save(folder / name)
    return folder / name


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Images whose colours identify them: red is the class, green the number; one lies in a subfolder."""
    place = tmp_path / "animals"
    for label, (name, count) in enumerate(CLASSES.items()):
        for i in range(count):
            write(place / name / ("more" if i == 2 else ""), f"{i}.png", (label, i, 200))
    (place / "cat" / "Thumbs.db").write_bytes(b"no image")
    (place / ".cache").mkdir()
    return place


@cache
def configuration(*overrides: str) -> RunConfig:
    return compose("dataset=image_folder", "dataset.path=-", "dataset.resize=16", *overrides)


def loaded(folder: Path, *overrides: str) -> Data:
    config = configuration(*overrides)
    return load(replace(config, dataset=config.dataset | {"path": str(folder)}))


def outcome(folder: Path, *overrides: str) -> Data | str:
    with within(20):
        try:
            return loaded(folder, *overrides)
        except UserError as error:
            return str(error)


def identities(data: Data) -> list[set[tuple[int, int]]]:
    """(class, number) of the training and of the test images, from their colours."""
    assert (data.train.inputs.flatten(2).amax(2) == data.train.inputs.flatten(2).amin(2)).all()
    for split in (data.train, data.test):
        assert split.inputs[:, 0, 0, 0].tolist() == split.targets.tolist()
    return [{(r, g) for r, g, _ in split.inputs[:, :, 0, 0].tolist()} for split in (data.train, data.test)]


def test_a_share_of_each_class_is_tested_on(folder: Path) -> None:
    data = loaded(folder, "dataset.test_fraction=0.3")
    train_images, test_images = identities(data)
    everything = {(label, i) for label, count in enumerate(CLASSES.values()) for i in range(count)}
    assert train_images | test_images == everything
    assert train_images.isdisjoint(test_images)
    assert torch.bincount(data.test.targets).tolist() == [3, 2, 1]
    assert data.group_names == data.class_names == tuple(CLASSES)
    assert identities(loaded(folder, "dataset.test_fraction=0.3", "data_seed=1"))[1] != test_images


@pytest.mark.parametrize(("trains", "tests"), [("train", "test"), ("Training", "VAL"), ("TRAIN", "testing")])
def test_folders_that_are_split_already(folder: Path, tmp_path: Path, trains: str, tests: str) -> None:
    place = tmp_path / "split"
    shutil.copytree(folder, place / trains)
    (place / "notes").mkdir()
    for label, name in enumerate(CLASSES):
        write(place / tests / name, "a.jpeg", (label, 99, 200))
    write(place / tests, "stray.png", (0, 0, 0))
    data = loaded(place)
    assert len(data.train) == 20
    assert data.test.targets.tolist() == [0, 1, 2]
    assert data.test.inputs[:, 1].float().mean().item() == pytest.approx(99, abs=2)
    assert data.description is not None
    text = "\n".join(format_description(data.description))
    assert f"parts       train in {trains}=20, test in {tests}=3" in text
    assert "skipped     .db=1, images outside a class=1" in text


@pytest.mark.parametrize("held", ["val", "Validation"])
def test_images_of_a_held_out_folder_are_held_out_and_never_trained_on(folder: Path, tmp_path: Path, held: str) -> None:
    place = tmp_path / "split"
    shutil.copytree(folder, place / "train")
    for label, name in enumerate(CLASSES):
        write(place / "test" / name, "a.png", (label, 99, 200))
        for i in range(2):
            write(place / held / name, f"{i}.png", (label, 50 + i, 200))
    everything = {(label, i) for label, count in enumerate(CLASSES.values()) for i in range(count)}
    held_out = {(label, 50 + i) for label in range(3) for i in range(2)}
    assert identities(loaded(place)) == [everything, {(label, 99) for label in range(3)}]
    assert loaded(place).held_out is None
    choosing = loaded(place, "validation_fraction=0.25")
    assert identities(choosing) == [everything, held_out], "the fraction asks for a held-out part, and this is it"
    stopping = loaded(place, "early_stopping=3")
    assert identities(stopping) == [everything, {(label, 99) for label in range(3)}]
    assert stopping.held_out is not None
    assert stopping.held_out.inputs[:, 1].unique().tolist() == [50, 51]
    thinned = loaded(
        place, "imbalance=step", "imbalance.groups=[1,2]", "imbalance.factor=0.5", "validation_fraction=0.25"
    )
    assert torch.bincount(thinned.train.targets).tolist()[0] == 10
    assert len(thinned.train) < 20
    assert len(thinned.test) == 6
    message = outcome(place, "validation_fraction=0.25", "validation_part=1")
    assert isinstance(message, str)
    assert "has one held-out part of its own, 6 samples: use validation_part=0" in message


def test_a_class_may_have_the_name_of_a_part(tmp_path: Path) -> None:
    for name in ("bus", "train"):
        for i in range(3):
            write(tmp_path / name, f"{i}.png", (0, i, 200))
    assert loaded(tmp_path).class_names == ("bus", "train")


def test_links_to_folders_are_followed_once(folder: Path, tmp_path: Path) -> None:
    shutil.move(folder / "owl", tmp_path / "elsewhere")
    (folder / "owl").symlink_to(tmp_path / "elsewhere")
    write(tmp_path / "more", "9.png", (0, 9, 200))
    (folder / "dog" / "linked").symlink_to(tmp_path / "more")
    (folder / "dog" / "loop").symlink_to(folder / "dog")
    data = loaded(folder)
    assert len(data.train) + len(data.test) == 21


@pytest.mark.parametrize(
    ("suffix", "mode", "extra"),
    [("webp", "RGB", {"lossless": True}), ("gif", "P", {}), ("bmp", "RGB", {}), ("tiff", "RGB", {}),
     ("jfif", "RGB", {}), ("jpe", "RGB", {}), ("tif", "CMYK", {}), ("JPG", "CMYK", {}), ("png", "I;16", {}),
     ("tif", "I;16", {}), ("png", "LA", {}), ("png", "1", {})],
)  # fmt: skip
def test_formats_of_images(tmp_path: Path, suffix: str, mode: str, extra: dict[str, bool]) -> None:
    """A dark and a light half come out dark and light, whatever the format."""
    halves = Image.new("L", (32, 32), 0)
    halves.paste(255, (16, 0, 32, 32))
    if mode == "I;16":
        image = Image.fromarray(np.asarray(halves).astype(np.uint16) * 257)
    else:
        image = halves.convert("RGB").convert(mode) if mode in ("CMYK", "P") else halves.convert(mode)
    for name in "ab":
        for i in range(2):
            (tmp_path / name).mkdir(exist_ok=True)
            kind = {"JPG": "JPEG", "jfif": "JPEG", "jpe": "JPEG", "tif": "TIFF"}.get(suffix)
            image.save(tmp_path / name / f"{i}.{suffix}", format=kind, **extra)
    pixels = loaded(tmp_path).train.inputs
    assert pixels[..., :7].max() <= 10
    assert pixels[..., 9:].min() >= 245


def test_unreadable_images_are_listed_together(folder: Path) -> None:
    for i in range(12):
        (folder / "cat" / f"bad{i:02}.jpg").write_bytes(b"nothing")
    message = outcome(folder, "dataset.test_fraction=0.02")
    assert isinstance(message, str)
    files = {str(folder / "cat" / f"bad{i:02}.jpg") for i in range(12)}
    named = {line.split(" ")[0] for line in message.splitlines()}
    assert len(named) == len(named & files) == 10
    assert message.endswith("save it anew, or remove it, and 2 more")


def test_images_are_resized_and_standardised_by_imagenets_statistics(tmp_path: Path) -> None:
    half = np.zeros((40, 80, 3), np.uint8)
    half[:, 40:] = 255  # the right half is white
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        for i in range(2):
            Image.fromarray(half).save(tmp_path / name / f"{i}.png")
    stretched = loaded(tmp_path)
    assert stretched.train.inputs.shape == (2, 3, 16, 16)
    assert stretched.train.inputs.dtype == torch.uint8
    batch = stretched.train.batch(torch.arange(2)).inputs
    mean, sd = (torch.tensor(each).view(3, 1, 1) for each in (IMAGENET_MEAN, IMAGENET_SD))
    assert torch.allclose(batch[0, :, :, 0], (-mean / sd)[:, :, 0].expand(3, 16), atol=1e-5)
    assert torch.allclose(batch[0, :, :, -1], ((1 - mean) / sd)[:, :, 0].expand(3, 16), atol=1e-5)
    cropped = loaded(tmp_path, "dataset.fit=crop", "dataset.resize=14").train.inputs[0, 0]
    assert cropped[:, :6].max() == 0, "the centre, not squeezed"
    assert cropped[:, 8:].min() == 255


def test_validation_is_a_part_of_the_training_images(folder: Path) -> None:
    whole, part = loaded(folder), loaded(folder, "validation_fraction=0.25")
    assert identities(part)[0] | identities(part)[1] == identities(whole)[0]
    assert torch.bincount(part.test.targets).tolist() == [2, 1, 1]


@pytest.mark.parametrize(("strategy", "augmentation"), [("learn2mix", "standard"), ("smote", "none")])
def test_training(folder: Path, tmp_path: Path, strategy: str, augmentation: str) -> None:
    config = compose(
        "dataset=image_folder", f"dataset.path={folder}", "dataset.resize=16", f"dataset.augmentation={augmentation}",
        f"strategy={strategy}", "epochs=2", "batch_size=8", f"results_dir={tmp_path / 'out'}", "threads=1",
    )  # fmt: skip
    assert config.model["name"] in registries()["model"].names()
    records = train(config)
    assert records.metrics["test_metric"].between(0, 1).all()
    write(folder / "cat", "0.png", (0, 77, 200))
    with pytest.raises(UserError, match="was trained on other files than"):
        train(config)


def empty(folder: Path) -> Path:
    shutil.rmtree(folder / "dog")
    (folder / "dog").mkdir()
    return folder / "dog"


def lone(folder: Path) -> Path:
    write(folder / "yak", "0.png", (3, 0, 200))
    return folder / "yak"


def other_format(folder: Path) -> Path:
    file = write(folder / "dog", "x.png", (1, 9, 200))
    return file.rename(file.with_suffix(".heic"))


def one_class(folder: Path) -> Path:
    for name in ("dog", "owl"):
        shutil.rmtree(folder / name)
    return folder


def no_classes(folder: Path) -> Path:
    for name in CLASSES:
        shutil.rmtree(folder / name)
    write(folder, "0.png", (0, 0, 0))
    return folder


def no_tests(folder: Path) -> Path:
    (folder / "classes").mkdir()
    for name in CLASSES:
        shutil.move(folder / name, folder / "classes" / name)
    return (folder / "classes").rename(folder / "train").parent


def unknown_test_class(folder: Path) -> Path:
    for part in ("train", "test"):
        for name in ("cat", "dog"):
            shutil.rmtree(folder / name, ignore_errors=True)
            write(folder / part / name, "0.png", (0, 0, 0))
    shutil.rmtree(folder / "owl")
    return write(folder / "test" / "yak", "0.png", (0, 0, 0)).parent


def unclear(folder: Path) -> Path:
    shutil.copytree(folder / "dog", folder / "Train" / "dog")
    return folder


def flat_parts(folder: Path) -> Path:
    for name, part in (("cat", "Train"), ("dog", "Test")):
        shutil.copytree(folder / name, folder / "only" / part, ignore=lambda place, names: ["more"])
    for name in CLASSES:
        shutil.rmtree(folder / name)
    for part in ("Train", "Test"):
        shutil.move(folder / "only" / part, folder)
    (folder / "only").rmdir()
    return folder


def class_without_tests(folder: Path) -> Path:
    write(unknown_test_class(folder).parents[1] / "train" / "yak", "0.png", (0, 0, 0))
    write(folder / "train" / "gnu", "0.png", (0, 0, 0))
    return folder / "test" / "gnu"


WRONG: dict[str, tuple[Callable[[Path], Path], str]] = {
    "an empty class": (empty, "holds no images: put images of dog there, or remove it"),
    "one image": (lone, "has one image: one to train on and one to test on are needed"),
    "another format": (other_format, "is not one of JPEG, PNG, WEBP, GIF, BMP, TIFF: save it as one of them"),
    "one class": (one_class, "holds one folder, cat: put a folder"),
    "no classes": (no_classes, "holds no folders: put a folder"),
    "classes beside a part": (
        unclear,
        "holds Train, as parts of a data set are called, with the folder cat beside them",
    ),
    "parts without classes": (
        flat_parts,
        "holds Test and Train, as parts of a data set are called, with no folder of a",
    ),
    "no test folder": (no_tests, "has a folder train and none with test images"),
    "a test class that is new": (unknown_test_class, "is a class that"),
    "a class without tests": (class_without_tests, "holds no images: put images of gnu there"),
}


@pytest.mark.parametrize("kind", WRONG)
def test_wrong_folders_are_named(folder: Path, kind: str) -> None:
    change, expected = WRONG[kind]
    place = change(folder)
    message = outcome(folder)
    assert isinstance(message, str), "it loaded"
    assert expected in message
    assert_sentence(message, place)


def test_a_missing_folder(tmp_path: Path) -> None:
    for place in (tmp_path / "nothing", tmp_path / "file"):
        (tmp_path / "file").write_text("")
        message = outcome(place)
        assert isinstance(message, str)
        assert_sentence(message, place)


def test_photographs_are_rotated_by_their_exif_orientation(folder: Path) -> None:
    sides = Image.new("RGB", (64, 64), "black")
    sides.paste("white", (0, 0, 32, 64))
    exif = Image.Exif()
    exif[274] = 6  # the left side is up
    sides.save(folder / "owl" / "0.jpg", exif=exif)
    data = loaded(folder)
    (image,) = (each for part in (data.train, data.test) for each in part.inputs if each[2].min() < 50)
    assert image[:, :6].min() > 200
    assert image[:, -6:].max() < 50


def test_pixels_of_32_bits_are_refused(folder: Path) -> None:
    """Pillow would clip values above 255 to white."""
    file = folder / "owl" / "0.tif"
    Image.fromarray(np.full((10, 10), 70_000, np.int32)).save(file)
    message = outcome(folder)
    assert isinstance(message, str)
    assert "it has 32 bits a pixel, not 8 or 16): save it anew, or remove it" in message
    assert_sentence(message, file)


@pytest.mark.parametrize("kind", [*SORTS, "middle byte flipped", "a device"])
def test_damage_to_an_image(folder: Path, kind: str) -> None:
    file = folder / "dog" / "1.png"
    damage(file, kind)
    message = outcome(folder)
    if isinstance(message, Data):
        assert_valid(message)
    else:
        assert_sentence(message, file)


STORED = ("dataset.resize=32", "model.name=lenet5_large", "epochs=2", "batch_size=4", "threads=1", "device=cpu")


@pytest.mark.parametrize(
    "words",
    [
        (),
        ("validation_fraction=0.3",),
        ("early_stopping=1", "imbalance=linear", "dataset.augmentation=standard"),
        ("strategy=pike",),
        ("mixing=mixup",),
    ],
    ids=lambda words: " ".join(words) or "plain",
)
def test_a_mapped_set_gives_the_records_of_one_in_memory(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]
) -> None:
    monkeypatch.chdir(tmp_path)
    both = []
    for kind in ("memory", "mapped"):
        config = configuration(*STORED, *words, f"dataset.storage={kind}", f"results_dir={kind}")
        config = replace(config, dataset=config.dataset | {"path": str(folder)})
        place = train(config).path
        both.append([(place / name).read_text() for name in ("groups.csv",)] + [place.name, load(config).description])
    assert both[0] == both[1]


def test_a_file_of_images_serves_every_split_and_is_made_again_if_damaged(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)
    write(folder / "cat", "twice.png", (0, 1, 200))
    data = loaded(folder, "dataset.storage=mapped")
    (file,) = (tmp_path / "data" / "images").glob("*.npy")
    assert len(np.load(file)) == sum(CLASSES.values()) == len(data.train) + len(data.test) - 1
    made = file.stat().st_mtime_ns
    other = loaded(folder, "dataset.storage=mapped", "data_seed=1")
    assert file.stat().st_mtime_ns == made
    for each in (data, other):
        for split in (each.train, each.test):
            pixels = (split.batch(slice(None)).inputs[:, 0, 0, 0] * IMAGENET_SD[0] + IMAGENET_MEAN[0]) * 255
            assert pixels.round().tolist() == split.targets.tolist()
    assert not caplog.text
    for number, kept in enumerate((file.read_bytes()[:-100], b"")):
        file.unlink()
        file.write_bytes(kept)
        file.with_name(f"{file.name}.1.part").touch()
        again = loaded(folder, "dataset.storage=mapped", f"data_seed={number + 2}")
        assert "cannot be used" in caplog.text
        assert "it is made again" in caplog.text
        caplog.clear()
        assert len(np.load(file)) == len(again.train.inputs) == sum(CLASSES.values())
        assert sorted(each.suffix for each in file.parent.iterdir()) == [".lock", ".npy"]


def test_an_image_that_cannot_be_read_leaves_no_file(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (folder / "cat" / "broken.png").write_bytes(b"no image")
    assert "broken.png cannot be read as an image" in str(outcome(folder, "dataset.storage=mapped"))
    assert not list((tmp_path / "data" / "images").glob("*.np*"))


def test_what_storage_has_no_room_for_is_refused_beforehand(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert storage.free_memory() < 2**50
    monkeypatch.setattr(storage, "free_memory", lambda: 10_000)
    assert "dataset.storage=mapped" in str(outcome(folder))
    monkeypatch.setattr(storage, "ANNOUNCED", 1000)
    assert isinstance(outcome(folder, "dataset.storage=mapped"), Data)
    assert "decoding 20 images, 0.0146 MiB in data/images/" in capsys.readouterr().out
    monkeypatch.setattr(storage.shutil, "disk_usage", lambda place: SimpleNamespace(free=10))
    assert "0 MiB free" in str(outcome(folder, "dataset.storage=mapped", "dataset.resize=17"))


def test_a_class_may_have_the_name_of_a_missing_number(tmp_path: Path) -> None:
    for name in ("nan", "inf"):
        for i in range(4):
            write(tmp_path / "set" / name, f"{i}.png", (10, i, 200))
    config = compose(
        "dataset=image_folder", f"dataset.path={tmp_path / 'set'}", "dataset.resize=8", "model=mlp", "epochs=1",
        "batch_size=2", "device=cpu", f"results_dir={tmp_path}",
    )  # fmt: skip
    assert set(train(config).groups["name"]) == {"nan", "inf"}


@pytest.mark.parametrize("strategy", ["smote", "resampled"])
def test_strategies_that_make_samples_refuse_a_mapped_set(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, strategy: str
) -> None:
    monkeypatch.chdir(tmp_path)
    config = configuration(*STORED, "dataset.storage=mapped", f"strategy={strategy}")
    with pytest.raises(UserError, match=r"use dataset\.storage=memory, or another strategy"):
        train(replace(config, dataset=config.dataset | {"path": str(folder)}))


@pytest.mark.long
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux's account of memory")
@pytest.mark.parametrize("kind", ["mapped", "memory"])
def test_a_set_ten_times_the_memory_is_trained_on(tmp_path: Path, kind: str) -> None:
    """590 MB of images within 59 MB beyond what a sixth of them takes; in memory they take all of it."""
    rng = np.random.default_rng(0)
    for name, count in (("few", 250), ("many", 1500)):
        write_images(tmp_path / name, 16, rng, count)
    taken = measure_beyond(tmp_path, kind, "dataset.resize=256")
    assert taken < 59 if kind == "mapped" else taken > 500
