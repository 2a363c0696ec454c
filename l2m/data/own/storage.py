"""Arrays that are made from a user's files once and kept: features, and photographs with ``dataset.storage=mapped``.

With ``memory`` they are read as a whole, with ``mapped`` batch by batch from a file that is mapped into memory.
"""

import hashlib
import logging
import math
import os
import re
import shutil
import zlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, TypeVar

import numpy as np
import torch
from filelock import FileLock
from numpy.typing import NDArray
from torch import Tensor

from l2m.data import Data
from l2m.data.images import Fit, Images, Integers, resize_all
from l2m.errors import UserError, cause
from l2m.files import replacing, reporting

LOG = logging.getLogger(__name__)

Storage = Literal["memory", "mapped"]
Number = TypeVar("Number", np.uint8, np.float32)

ANNOUNCED = 2**30
"""Bytes of images from which on a line says beforehand how much they take."""

REMEDY = "make room, or name another folder with data_dir="


def store_images(
    samples: Sequence[tuple[Any, str]], side: int, fit: Fit, storage: Storage, folder: Path
) -> tuple[Images, Integers | None]:
    """The images of ``samples``, functions that read them and the digests of their content, resized.

    Returns:
        Images (N, 3, side, side) in memory, and None. With ``mapped`` the images of a file in ``folder/images``, which
        holds each content once, whatever the split, and where each sample lies there, (N,).

    Raises:
        UserError: memory or the disk has no room for them; or as for :func:`l2m.data.images.resize_all`.
    """
    size = len(samples) * 3 * side**2
    if storage == "memory":
        check_memory(
            f"{len(samples)} images of {side}×{side} pixels", size, ", a smaller dataset.resize or fewer images"
        )
        _announce(len(samples), size, "memory")
        return resize_all([read for read, _ in samples], side, fit), None
    digests, first, rows = np.unique([digest for _, digest in samples], return_index=True, return_inverse=True)
    size = len(digests) * 3 * side**2
    file = array_file(folder / "images", f"{side} {fit}", digests.tolist())

    def make(part: Path) -> None:
        images = new_array(part, (len(digests), side, side, 3), np.uint8)
        _announce(len(digests), size, str(file))
        resize_all([samples[i][0] for i in first], side, fit, images.transpose(0, 3, 1, 2))

    return load_or_make(file, len(digests), make).transpose(0, 3, 1, 2), rows.astype(np.int64)


def left_in_file(data: Data, rows: Integers, **scaling: Tensor) -> Data:
    """Data whose inputs are a mapped file, with the row there of each sample, (N,) of both parts, and the scaling."""
    train, test = torch.from_numpy(rows).split([len(data.train), len(data.test)])
    return replace(
        data, train=replace(data.train, rows=train, **scaling), test=replace(data.test, rows=test, **scaling)
    )


def array_file(folder: Path, recipe: str, digests: Sequence[str]) -> Path:
    """Where the array lies that ``recipe`` makes of samples with these digests."""
    return folder / (hashlib.sha256("\n".join([recipe, *digests]).encode()).hexdigest()[:16] + ".npy")


def load_or_make(file: Path, samples: int, make: Callable[[Path], None]) -> NDArray[Any]:
    """The array (``samples``, ...) in ``file``, mapped into memory; changes to it are not written.

    ``make`` writes it to another path first, if it is not there or damaged: one process of a sweep does, others wait.
    """
    with reporting("written", file, REMEDY):
        file.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(file.with_suffix(".lock")):
            if (array := _load(file, samples)) is None:
                for left in file.parent.glob(f"{file.name}.*.part"):  # by a process that was killed
                    left.unlink()
                with replacing(file) as part:
                    make(part)
                    checksum = _checksum(part, file.name)
                    with part.open("ab") as stream:
                        stream.write(checksum)
                array = np.load(file, mmap_mode="c", allow_pickle=False)
    return array


def check_memory(what: str, size: int, remedy: str) -> None:
    """Raise a UserError if fewer than ``size`` bytes of memory are free, which ``what`` takes."""
    if size > (free := free_memory()):
        raise UserError(
            f"{what} take {in_words(size)} of memory, and {in_words(free)} are free: use dataset.storage=mapped{remedy}"
        )


def new_array(file: Path, shape: tuple[int, ...], kind: type[Number]) -> NDArray[Number]:
    """An array in a new ``file``, whose room is taken: a disk that became full later would end the process.

    Raises:
        UserError, OSError: the disk has no room for it.
    """
    size = math.prod(shape) * np.dtype(kind).itemsize
    if size > (free := shutil.disk_usage(file.parent).free):
        raise UserError(f"{file.parent} has {free >> 20} MiB free, and {size >> 20} are needed: {REMEDY}")
    array = np.lib.format.open_memmap(file, "w+", kind, shape)
    if hasattr(os, "posix_fallocate"):
        with file.open("r+b") as stream:
            os.posix_fallocate(stream.fileno(), 0, file.stat().st_size)
    return array


def free_memory() -> int:
    """Bytes that this machine, or the control group of this process, has left; 2^63 where neither says so."""
    left = [2**63]
    try:
        known = dict(re.findall(r"(\w+):\s+(\d+) kB", Path("/proc/meminfo").read_text()))
        left.append(int(known["MemAvailable"]) * 1024)
        group = Path("/sys/fs/cgroup" + Path("/proc/self/cgroup").read_text().partition("::")[2].strip())
        used = re.search(r"^anon (\d+)", (group / "memory.stat").read_text(), re.M)
        left.append(int((group / "memory.max").read_text()) - int(used[1] if used else 0))
    except (OSError, ValueError, KeyError):  # not Linux, or no limit ("max")
        pass
    return min(left)


def _load(file: Path, samples: int) -> NDArray[Any] | None:
    try:
        array: NDArray[Any] = np.load(file, mmap_mode="c", allow_pickle=False)
        with file.open("rb") as stream:
            stream.seek(-4, os.SEEK_END)
            kept = stream.read()
        if len(array) == samples and kept == _checksum(file, file.name, 4):
            return array
        why = "its checksum is wrong"
    except FileNotFoundError:
        return None
    except Exception as error:  # whatever a damaged file makes its reader say
        why = cause(error)
    LOG.warning("%s cannot be used (%s): it is made again", file, why)
    return None


def _checksum(file: Path, name: str, without: int = 0) -> bytes:
    """The CRC-32 of a name and of a file without its last bytes; np.load reads no further than the array either."""
    left, value = file.stat().st_size - without, zlib.crc32(name.encode())
    with file.open("rb") as stream:
        while left and (block := stream.read(min(left, 2**22))):
            value, left = zlib.crc32(block, value), left - len(block)
    return value.to_bytes(4, "little")


def _announce(count: int, size: int, place: str) -> None:
    if size >= ANNOUNCED:
        print(f"decoding {count} images, {in_words(size)} in {place}", flush=True)


def in_words(size: int) -> str:
    """A number of bytes, to be read."""
    return f"{size / 2**30:.3g} GiB" if size >= 2**30 else f"{size / 2**20:.3g} MiB"
