"""Features of images or texts, made by a pretrained network once and kept in a file: ``dataset.features``."""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from l2m.data import Data
from l2m.data.own.encoders import Encoder, load_encoder
from l2m.data.own.storage import array_file, check_room, load_or_make
from l2m.data.own.targets import Part, assemble
from l2m.errors import UserError

BATCH = 32
"""Samples that a network sees at a time."""

Vectors = NDArray[np.float32]


PIXELS_ONLY = {"resize": 64, "augmentation": "none", "storage": "memory"}
"""Options that do nothing for features, and their defaults."""


def check_options(features: str | None, weights: str | None, **others: Any) -> None:
    """Refuse weights without ``features``, and with them ``others`` that are not at their default."""
    if weights and not features:
        raise UserError(f"dataset.weights={weights} does nothing without dataset.features: name its network there")
    for option, value in others.items():
        if features and value != PIXELS_ONLY.get(option):
            raise UserError(f"dataset.{option}={value} does nothing with dataset.features={features}: drop one of them")


def assemble_features(
    train: Part, test: Part, encoder: Encoder, samples: Sequence[tuple[Any, str]], folder: Path, **plain: Any
) -> Data:
    """The data set of features (N, d), standardised by those that are trained on; the cache is ``folder/features``.

    ``samples`` are those of both parts, each with the digest of its content; ``plain`` joins the preprocessing.
    """
    features = _cached(encoder, {digest: sample for sample, digest in samples}, folder / "features")
    features = features[np.unique([digest for _, digest in samples], return_inverse=True)[1]]
    parts = np.split(features, [len(train.groups)])

    def make(index: Tensor) -> tuple[Tensor, Tensor, dict[str, Any]]:
        mean, sd = (of(parts[0][index.numpy()], 0, np.float64) for of in (np.mean, np.std))
        fitted = {"weights": encoder.weights, "mean": mean.tolist(), "sd": np.where(sd > 0, sd, 1).tolist()}
        return _standardise(parts[0], fitted), _standardise(parts[1], fitted), {"features": fitted, **plain}

    described = {"features": f"{features.shape[1]} by {encoder.name}, weights {encoder.weights}"}
    data = assemble(train, test, make)
    return replace(data, description={**(data.description or {}), **described})


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
    return _standardise(_encode(encoder, samples), fitted)


def _standardise(features: Vectors, fitted: Mapping[str, Any]) -> Tensor:
    return torch.from_numpy(((features - fitted["mean"]) / fitted["sd"]).astype(np.float32))


def _cached(encoder: Encoder, samples: Mapping[str, Any], folder: Path) -> Vectors:
    """The features of samples by digest, which is their order: a split that is drawn anew has the same file."""
    digests = sorted(samples)

    def make(part: Path) -> None:
        print(f"computing features of {len(digests)} samples by {encoder.name}, once", flush=True)
        with part.open("wb") as stream:
            np.save(stream, _encode(encoder, [samples[digest] for digest in digests], folder))

    return load_or_make(array_file(folder, f"{encoder.weights} {encoder.preparation}", digests), len(digests), make)


def _encode(encoder: Encoder, samples: Sequence[Any], folder: Path | None = None) -> Vectors:
    """Features (N, d), with a bar at a terminal; a UserError after the first ones if ``folder`` has no room for all."""
    from rich.progress import track

    batches: list[Vectors] = []
    for start in track(range(0, len(samples), BATCH), "features", transient=True, disable=not sys.stdout.isatty()):
        with torch.inference_mode():
            batches.append(encoder.apply(samples, slice(start, start + BATCH)).cpu().numpy())
        if folder and not start:
            check_room(folder, len(samples) * batches[0][0].nbytes)
    return np.concatenate(batches)
