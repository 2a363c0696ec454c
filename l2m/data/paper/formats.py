"""Images in the files that they are published in. A file that is not as its format says is named, and so is where."""

from __future__ import annotations

import gzip
import io
import math
import os
import pickle
import struct
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from l2m.data.files import opened, read
from l2m.data.fingerprint import md5_of
from l2m.errors import UserError, cause

Images = NDArray[np.uint8]
Labels = NDArray[np.int64]
Rows = NDArray[np.int64]

BLOCK = 4096
"""Images that are read at a time."""

REMEDY = "put the published file there"

LONGEST = 20
"""Times that a photograph is longer than wide at most: of a thread of pixels a crop would be gigabytes."""


class Stored(Protocol):
    """Images (N, C, H, W) of which those at some rows (m,), ascending, can be had: an array, or what reads files."""

    def __len__(self) -> int: ...

    def __getitem__(self, rows: Rows, /) -> Images: ...


def idx(file: Path, shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """The array (N, \\*shape) of an idx file; packed by gzip, if its name ends so.

    Its header is 0, 0, the type 8 (uint8), the number of dimensions, and each of them in four bytes, big-endian.

    Raises:
        UserError: the file holds something else, or more or less than its header says.
    """
    content = read(file)
    if file.suffix == ".gz":
        try:
            content = bytearray(gzip.decompress(content))
        except Exception as error:  # whatever is said of bytes that are no gzip
            raise UserError(f"{file} can't be unpacked ({cause(error)}): {REMEDY}") from error
    header = _header(shape)
    size = _idx_size(file, content[:header], len(content), shape)
    return np.frombuffer(content, np.uint8, offset=header).reshape(size, *shape)


def _header(shape: tuple[int, ...]) -> int:
    """Bytes of an idx file's header."""
    return 8 + 4 * len(shape)


def _idx_size(file: Path, head: bytes | bytearray, length: int, shape: tuple[int, ...]) -> int:
    """N, as the header of an idx file of ``length`` bytes says."""
    dimensions = 1 + len(shape)
    start = bytes([0, 0, 8, dimensions])
    if head[:4] != start or len(head) < _header(shape):
        raise UserError(
            f"{file} begins with the bytes {head.hex(' ') or '(none)'}: they must be {start.hex(' ')} and "
            f"{dimensions} of four bytes, {REMEDY}"
        )
    size, *sides = struct.unpack(f">{dimensions}I", head[4:])
    if tuple(sides) != shape:
        raise UserError(
            f"{file} says in byte 8 that its images have {_times(sides)} pixels: it must be {_times(shape)}, {REMEDY}"
        )
    whole = _header(shape) + size * math.prod(shape)
    if length != whole:
        what = "images" if shape else "labels"
        raise UserError(
            f"{file} ends after {length} bytes: the {size} {what} that byte 4 says end after {whole}, {REMEDY}"
        )
    return int(size)


def idx_images(file: Path, shape: tuple[int, int]) -> Stored:
    """Images (N, 1, H, W) of an idx file; if it is not packed, those alone are read that are asked for.

    Raises:
        UserError: as :func:`idx`.
    """
    return idx(file, shape)[:, None] if file.suffix == ".gz" else _IdxImages(file, shape)


class _IdxImages:
    def __init__(self, file: Path, shape: tuple[int, int]) -> None:
        self._file, self._shape = file, shape
        with opened(file) as stream:
            head, length = stream.read(_header(shape)), os.fstat(stream.fileno()).st_size
        self._size = _idx_size(file, head, length, shape)

    def __len__(self) -> int:
        return self._size

    def __getitem__(self, rows: Rows) -> Images:
        images = np.empty((len(rows), 1, *self._shape), np.uint8)
        with opened(self._file) as stream:
            stream.seek(_header(self._shape))
            for at in range(0, self._size, BLOCK):
                size = min(BLOCK, self._size - at)
                block = np.frombuffer(stream.read(size * math.prod(self._shape)), np.uint8)
                first, end = np.searchsorted(rows, [at, at + size])
                images[first:end, 0] = block.reshape(size, *self._shape)[rows[first:end] - at]
        return images


def idx_labels(file: Path, classes: int) -> Labels:
    """The labels (N,) of an idx file, 0 to ``classes`` − 1.

    Raises:
        UserError: the file holds something else.
    """
    labels = idx(file, ())
    wrong = np.flatnonzero(labels >= classes)
    if len(wrong):
        row = wrong[0]
        raise UserError(
            f"{file} has the label {labels[row]} in byte {8 + row}: it must be 0 to {classes - 1}, {REMEDY}"
        )
    return labels.astype(np.int64)


def cifar(file: Path, md5: str, key: str, classes: int) -> tuple[Images, Labels]:
    """Images (N, 3, 32, 32) and labels (N,), 0 to ``classes`` − 1, of a batch of CIFAR's Python version.

    A file with another MD5 sum than ``md5`` is read as well: its pickle can do no harm (see :func:`unpickled`).

    Raises:
        UserError: as :func:`unpickled` says, or the batch holds something else.
    """
    content = read(file)
    try:
        batch = unpickled(file, content)
        images, labels = batch.get("data"), batch.get(key)
        if not isinstance(images, np.ndarray) or images.dtype != np.uint8 or images.shape[1:] != (3072,):
            raise UserError(f"{file} has no rows of 3072 uint8 pixels as its data: {REMEDY}")
        if not isinstance(labels, list) or len(labels) != len(images):
            raise UserError(f"{file} has no list of {len(images)} {key}, one for each row of its data: {REMEDY}")
        for row, label in enumerate(labels):
            if type(label) is not int or not 0 <= label < classes:
                raise UserError(
                    f"{file} has the label {label!r:.50} in row {row}: it must be 0 to {classes - 1}, {REMEDY}"
                )
    except UserError as error:
        if (found := md5_of(file)) == md5:
            raise
        why = str(error).removeprefix(f"{file} ")
        raise UserError(f"{file} has the MD5 sum {found}, the published file has {md5}; it {why}") from error
    return images.reshape(-1, 3, 32, 32), np.array(labels, np.int64)


class CifarImages:
    """Images (N, 3, 32, 32) of several batches of CIFAR's, one of which at a time is in memory whole.

    ``files`` are the batches and their published MD5 sums. Files with other sums hold the same set if together they
    have ``each`` images of every class: the published images in another order, say.

    Raises:
        UserError: as :func:`cifar` says, or files with other sums have other numbers of images.

    Attributes:
        labels: (N,), read as it is made.
        others: the files that are not the published ones.
    """

    def __init__(
        self, files: Sequence[tuple[Path, str]], key: str, classes: int, each: int, channels_last: bool
    ) -> None:
        self._read = [partial(cifar, file, md5, key, classes) for file, md5 in files]
        self._channels_last = channels_last
        self.labels: Labels = np.concatenate([first()[1] for first in self._read])
        self.others = [file for file, md5 in files if md5_of(file) != md5]
        if self.others:
            counts = np.bincount(self.labels, minlength=classes)
            if wrong := [group for group, count in enumerate(counts) if count != each]:
                raise UserError(
                    f"{self.others[0]} has another MD5 sum than the published file, and there are {counts[wrong[0]]} "
                    f"images of class {wrong[0]}, not {each}: {REMEDY}"
                )

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, rows: Rows) -> Images:
        """Those at ``rows`` (m, 3, 32, 32), in the memory that a split keeps them in."""
        sides = (32, 32, 3) if self._channels_last else (3, 32, 32)
        images = np.empty((len(rows), *sides), np.uint8)
        images = images.transpose(0, 3, 1, 2) if self._channels_last else images
        at = 0
        for again in self._read:
            batch, _ = again()
            first, end = np.searchsorted(rows, [at, at + len(batch)])
            images[first:end] = batch[rows[first:end] - at]
            at += len(batch)
        return images


def cifar_names(file: Path, md5: str, key: str) -> list[str]:
    """The names of CIFAR's classes, from the file that lists them.

    Raises:
        UserError: the file has another MD5 sum than ``md5``, or as :func:`unpickled` says.
    """
    content = read(file)
    if (found := md5_of(file)) != md5:
        raise UserError(f"{file} has the MD5 sum {found}: the published file has {md5}, {REMEDY}")
    names: list[str] = unpickled(file, content)[key]
    return names


def unpickled(file: Path, content: bytes | bytearray) -> dict[str, Any]:
    """The dictionary in a pickle of CIFAR's, whoever wrote it: no name that it gives is imported, no code is run.

    Raises:
        UserError: it holds something else than a dictionary of text, numbers, lists and arrays.
    """
    stream = io.BytesIO(content)
    try:
        batch = _Unpickler(stream, encoding="bytes").load()  # as text, an array would be held thrice
    except Exception as error:  # whatever a pickle of something else makes its reader say
        raise UserError(f"{file} can't be read as a batch of CIFAR ({cause(error)}): {REMEDY}") from error
    if not isinstance(batch, dict):
        raise UserError(f"{file} holds a {type(batch).__name__}, not the dictionary of a batch: {REMEDY}")
    return {_text(key): [*map(_text, value)] if isinstance(value, list) else value for key, value in batch.items()}


def _text(value: Any) -> Any:
    """What Python 2 wrote as text, as text."""
    return value.decode("latin1") if isinstance(value, bytes) else value


class _Unpickler(pickle.Unpickler):
    """Text, numbers, lists and dictionaries, and numpy's arrays: no name that a pickle gives is imported."""

    def find_class(self, module: str, name: str) -> Any:
        known = {
            ("numpy", "ndarray"): np.ndarray,
            ("numpy", "dtype"): np.dtype,
            ("multiarray", "_reconstruct"): np.empty(0).__reduce__()[0],
            ("_codecs", "encode"): _latin1,
        }
        home = module.removeprefix("numpy.core.").removeprefix("numpy._core.")
        if (home, name) not in known:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}")
        return known[home, name]


def _latin1(text: str, encoding: str) -> bytes:
    """How Python 3 writes bytes for Python 2."""
    return text.encode("latin1")


def image(file: Path, upright: bool = True) -> Image.Image:
    """A photograph in JPEG or PNG, RGB whatever its channels; ``upright``, it is turned as its camera says.

    No other format is tried, whatever the file's first bytes are: some are read by running other programs.

    Raises:
        UserError: the file holds something else, or only a part.
    """
    return decoded(read(file), file, upright)


def decoded(content: bytes | bytearray, place: Path | str, upright: bool = True) -> Image.Image:
    """The same of a file's content, which is at ``place``."""
    try:
        with Image.open(io.BytesIO(content), formats=("JPEG", "PNG")) as opened:
            if max(opened.size) > LONGEST * min(opened.size):
                raise ValueError(f"it has {_times(opened.size)} pixels")
            if opened.mode.startswith("I"):  # Pillow would cut all above 255 off
                raise ValueError("it has 16 bits a pixel, not 8")
            return (ImageOps.exif_transpose(opened) if upright else opened).convert("RGB")
    except Exception as error:  # whatever a damaged file makes its reader say
        told = "it is no JPEG or PNG" if isinstance(error, UnidentifiedImageError) else cause(error)
        raise UserError(
            f"{place} can't be read as an image ({told}): save it anew as a JPEG or PNG of 8 bits, or remove it"
        ) from error


def _times(sizes: Any) -> str:
    return "×".join(map(str, sizes))
