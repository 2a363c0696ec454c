"""Features of images or texts, made by a pretrained network once and kept in a file: ``dataset.features``."""

import math
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from l2m.data import Data
from l2m.data.images import Integers
from l2m.data.own.encoders import Encoder, load_encoder
from l2m.data.own.storage import Storage, array_file, check_memory, in_words, load_or_make, new_array
from l2m.data.own.targets import Fields, Part, assemble
from l2m.errors import UserError

Vectors = NDArray[np.float32]

BATCH = 32  # samples that a network sees at a time
BLOCK = 2**20  # numbers of features that are standardised at a time
PIXELS_ONLY = {"resize": 64, "augmentation": "none"}  # options that do nothing for features, and their defaults


def check_options(features: str | None, weights: str | None, **others: Any) -> None:
    """Refuse weights without ``features``, and with them ``others`` that are not at their default."""
    if weights and not features:
        raise UserError(f"dataset.weights={weights} does nothing without dataset.features: name its network there")
    for option, value in others.items():
        if features and value != PIXELS_ONLY.get(option):
            raise UserError(f"dataset.{option}={value} does nothing with dataset.features={features}: drop one of them")


def assemble_features(
    train: Part,
    test: Part,
    encoder: Encoder,
    samples: Sequence[tuple[Any, str]],
    storage: Storage,
    folder: Path,
    **plain: Any,
) -> Data:
    """The data set of features (N, d), standardised by those that are trained on; the cache is ``folder/features``.

    ``samples`` are those of both parts, each with the digest of its content; ``plain`` joins the preprocessing.

    Raises:
        UserError: memory or the disk has no room for them, or a sample cannot be read.
    """
    features = _cached(encoder, {digest: sample for sample, digest in samples}, storage, folder / "features")
    rows = np.unique([digest for _, digest in samples], return_inverse=True)[1].astype(np.int64)
    parts = np.split(rows, [len(train.groups)])
    if storage == "memory":
        _check_memory((len(rows), features.shape[1]))

    def make(index: Tensor) -> tuple[Fields, Fields, dict[str, Any]]:
        mean, sd = _moments(features, np.sort(parts[0][index.numpy()]))
        sd[sd <= 1e-6 * np.abs(mean)] = np.inf  # less is rounding in float32; as in l2m.data.own.columns.fit
        fitted = {"weights": encoder.weights, "mean": mean.tolist(), "sd": sd.tolist()}
        if storage == "memory":
            fields = [{"inputs": _standardise(features, part, fitted)} for part in parts]
        else:
            scaled = {"scale": torch.from_numpy(1 / sd).float(), "shift": torch.from_numpy(-mean / sd).float()}
            inputs = {"inputs": torch.from_numpy(features)} | scaled
            fields = [inputs | {"rows": torch.from_numpy(part)} for part in parts]
        return fields[0], fields[1], {"features": fitted, **plain}

    described = {"features": f"{features.shape[1]} by {encoder.name}, weights {encoder.weights}"}
    return assemble(train, test, make, described)


def features_of_unseen(choice: Mapping[str, Any], samples: Sequence[Any], fitted: Mapping[str, Any]) -> Tensor:
    """The features (N, d) of new samples, as those that a model of the data set ``choice`` was trained on.

    Raises:
        UserError: the network has other weights or cannot be loaded, or a sample cannot be read.
    """
    fit, length = choice["fit"], choice.get("length", 0)
    encoder = load_encoder(choice.get("kind", "image"), choice["features"], choice["weights"], fit, length)
    if encoder.weights != fitted["weights"]:
        raise UserError(
            f"dataset.features={encoder.name} has weights with the checksum {encoder.weights}, but the model was "
            f"trained on features by {fitted['weights']}: put those weights back, or train anew"
        )
    features = np.concatenate([batch for _, batch in _encode(encoder, samples)])
    return _standardise(features, np.arange(len(samples)), fitted)


def _blocks(array: NDArray[Any], width: int) -> list[NDArray[Any]]:
    """Parts of an array (n, ...), of as many rows as have ``BLOCK`` numbers if each has ``width``."""
    return np.array_split(array, len(array) * width // BLOCK + 1)


def _moments(features: Vectors, rows: Integers) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and standard deviation (d,) of the features in these rows."""
    width = features.shape[1]
    mean, square = np.zeros(width), np.zeros(width)
    for block in _blocks(rows, width):
        mean += features[block].sum(0, np.float64) / len(rows)
    for block in _blocks(rows, width):
        square += ((features[block] - mean) ** 2).sum(0) / len(rows)
    return mean, np.sqrt(square)


def _standardise(features: Vectors, rows: Integers, fitted: Mapping[str, Any]) -> Tensor:
    """The features (n, d) in these rows, standardised."""
    width = features.shape[1]
    standard = np.empty((len(rows), width), np.float32)
    for part, block in zip(_blocks(standard, width), _blocks(rows, width), strict=True):
        part[:] = (features[block] - fitted["mean"]) / fitted["sd"]
    return torch.from_numpy(standard)


def _named(shape: tuple[int, ...]) -> str:
    return f"features of {shape[0]} samples, {shape[1]} numbers each"


def _check_memory(shape: tuple[int, int]) -> None:
    check_memory(_named(shape), 4 * math.prod(shape), " or fewer samples")


def _cached(encoder: Encoder, samples: Mapping[str, Any], storage: Storage, folder: Path) -> Vectors:
    """The features of samples by digest, which is their order: a split that is drawn anew has the same file."""
    digests = sorted(samples)

    def make(part: Path) -> None:
        for start, batch in _encode(encoder, [samples[digest] for digest in digests]):
            if not start:
                shape = len(digests), batch.shape[1]
                if storage == "memory":
                    _check_memory(shape)
                features = new_array(part, shape, np.float32)
                size = in_words(features.nbytes)
                print(f"computing {_named(shape)} by {encoder.name} once: {size} in {folder}", flush=True)
            features[start : start + BATCH] = batch

    return load_or_make(array_file(folder, f"{encoder.weights} {encoder.preparation}", digests), len(digests), make)


def _encode(encoder: Encoder, samples: Sequence[Any]) -> Iterator[tuple[int, Vectors]]:
    """Where each batch begins, and its features (m, d); with a bar at a terminal."""
    from rich.progress import track

    for start in track(range(0, len(samples), BATCH), "features", transient=True, disable=not sys.stdout.isatty()):
        with torch.inference_mode():
            yield start, encoder.apply(samples, slice(start, start + BATCH)).cpu().numpy()
