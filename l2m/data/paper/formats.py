"""The published formats of images: idx and CIFAR's pickles. Errors name the file and the place in it."""

import gzip
import io
import math
import pickle
import struct
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from l2m.data.fingerprint import checksum
from l2m.data.images import Images, Integers, Reader
from l2m.errors import UserError, cause
from l2m.files import read

REMEDY = "put the published file there"


def read_idx(file: Path, shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """The array (N, \\*shape) of an idx file, packed by gzip if its name ends in .gz.

    Its header is 0, 0, the type 8 (uint8), the number of dimensions, and each of them in four bytes, big-endian.

    Raises:
        UserError: the file holds something else, or more or less than its header says.
    """
    content = read(file)
    if file.suffix == ".gz":
        try:
            content = bytearray(gzip.decompress(content))
        except Exception as error:  # whatever is said of bytes that are not gzip's
            raise UserError(f"{file} cannot be unpacked ({cause(error)}): {REMEDY}") from error
    dimensions = 1 + len(shape)
    head = content[: 4 + 4 * dimensions]
    start = bytes([0, 0, 8, dimensions])
    if head[:4] != start or len(head) < 4 + 4 * dimensions:
        raise UserError(
            f"{file} begins with the bytes {head.hex(' ') or '(none)'}: they must be {start.hex(' ')} and "
            f"{dimensions} of four bytes, {REMEDY}"
        )
    size, *sides = struct.unpack(f">{dimensions}I", head[4:])
    if tuple(sides) != shape:
        raise UserError(
            f"{file} says in byte 8 that its images have {'×'.join(map(str, sides))} pixels: it must be "
            f"{'×'.join(map(str, shape))}, {REMEDY}"
        )
    whole = len(head) + size * math.prod(shape)
    if len(content) != whole:
        what = "images" if shape else "labels"
        raise UserError(
            f"{file} ends after {len(content)} bytes: the {size} {what} that byte 4 says end after {whole}, {REMEDY}"
        )
    return np.frombuffer(content, np.uint8, offset=len(head)).reshape(size, *shape)


def read_idx_labels(file: Path, classes: int) -> Integers:
    """The labels (N,) of an idx file, 0 to ``classes`` − 1; a UserError if it holds something else."""
    labels = read_idx(file, ())
    wrong = np.flatnonzero(labels >= classes)
    if len(wrong):
        row = wrong[0]
        raise UserError(
            f"{file} has the label {labels[row]} in byte {8 + row}: it must be 0 to {classes - 1}, {REMEDY}"
        )
    return labels.astype(np.int64)


def read_cifar(file: Path, md5: str, key: str, classes: int) -> tuple[Images, Integers]:
    """Images (N, 3, 32, 32) and labels (N,), 0 to ``classes`` − 1, of a batch of CIFAR's Python version.

    A file with another MD5 sum than ``md5`` is read as well: its pickle can do no harm (see :func:`unpickle`).

    Raises:
        UserError: as for :func:`unpickle`, or the batch holds something else.
    """
    content = read(file)
    try:
        batch = unpickle(file, content)
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
        if (sum_ := checksum(file, "md5")) == md5:
            raise
        why = str(error).removeprefix(f"{file} ")
        raise UserError(f"{file} has the MD5 sum {sum_}, the published file has {md5}; it {why}") from error
    return images.reshape(-1, 3, 32, 32), np.array(labels, np.int64)


def read_cifar_part(
    files: Sequence[tuple[Path, str]], key: str, classes: int, each: int, channels_last: bool
) -> tuple[Reader, Integers, list[Path]]:
    """A reader of the images (N, 3, 32, 32) in batches of CIFAR, of which it holds one at a time; and the labels (N,).

    ``files`` are the batches and their published MD5 sums. Files with other sums are returned as well: they are
    accepted if all together have ``each`` images of every class, the published images in another order, say.

    Raises:
        UserError: as for :func:`read_cifar`, or files with other sums have other numbers of images.
    """
    batches = [partial(read_cifar, file, md5, key, classes) for file, md5 in files]
    labels = [read_batch()[1] for read_batch in batches]
    counts = np.bincount(np.concatenate(labels), minlength=classes)
    wrong = np.flatnonzero(counts != each)
    others = [file for file, md5 in files if checksum(file, "md5") != md5]
    if others and len(wrong):
        raise UserError(
            f"{others[0]} has another MD5 sum than the published file, and there are {counts[wrong[0]]} images of "
            f"class {wrong[0]}, not {each}: {REMEDY}"
        )

    def read_images(rows: Integers) -> Images:
        images = np.empty((len(rows), *((32, 32, 3) if channels_last else (3, 32, 32))), np.uint8)
        images = images.transpose(0, 3, 1, 2) if channels_last else images
        at = 0
        for read_batch in batches:
            batch = read_batch()[0]
            first, end = np.searchsorted(rows, [at, at + len(batch)])
            images[first:end] = batch[rows[first:end] - at]
            at += len(batch)
        return images

    return read_images, np.concatenate(labels), others


def read_cifar_names(file: Path, md5: str, key: str) -> list[str]:
    """The names of CIFAR's classes, from the file that lists them.

    Raises:
        UserError: the file has another MD5 sum than ``md5``, or as for :func:`unpickle`.
    """
    content = read(file)
    if (sum_ := checksum(file, "md5")) != md5:
        raise UserError(f"{file} has the MD5 sum {sum_}: the published file has {md5}, {REMEDY}")
    names: list[str] = unpickle(file, content)[key]
    return names


def unpickle(file: Path, content: bytearray) -> dict[str, Any]:
    """The dictionary in a pickle of CIFAR, whoever wrote it: nothing that it names is imported, and no code is run.

    Raises:
        UserError: it holds anything but a dictionary of text, numbers, lists and arrays.
    """
    stream = io.BytesIO(content)
    try:
        batch = _Unpickler(stream, encoding="bytes").load()  # as text, an array would be in memory three times
    except Exception as error:  # whatever a pickle of something else raises
        raise UserError(f"{file} cannot be read as a batch of CIFAR ({cause(error)}): {REMEDY}") from error
    if not isinstance(batch, dict):
        raise UserError(f"{file} holds a {type(batch).__name__}, not the dictionary of a batch: {REMEDY}")

    def as_text(value: Any) -> Any:  # what Python 2 wrote
        return value.decode("latin1") if isinstance(value, bytes) else value

    return {as_text(key): [*map(as_text, value)] if isinstance(value, list) else value for key, value in batch.items()}


class _Unpickler(pickle.Unpickler):
    """Text, numbers, lists, dictionaries and numpy's arrays: nothing that a pickle names is imported."""

    def find_class(self, module: str, name: str) -> Any:
        allowed = {
            ("numpy", "ndarray"): np.ndarray,
            ("numpy", "dtype"): np.dtype,
            ("multiarray", "_reconstruct"): np.empty(0).__reduce__()[0],
            ("_codecs", "encode"): lambda text, _: text.encode("latin1"),  # how Python 3 writes bytes for Python 2
        }
        home = module.removeprefix("numpy.core.").removeprefix("numpy._core.")
        if (home, name) not in allowed:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}")
        return allowed[home, name]
