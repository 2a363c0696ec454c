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
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from filelock import FileLock
from numpy.typing import DTypeLike, NDArray

from l2m.data.images import Fit, resize_all
from l2m.data.own.targets import Fields
from l2m.errors import UserError, cause
from l2m.files import replacing, reporting

LOG = logging.getLogger(__name__)

Storage = Literal["memory", "mapped"]

ANNOUNCED = 2**30  # bytes of images from which on a line says beforehand how much they take

REMEDY = "make room, or name another folder with data_dir="


def store_images(
    samples: Sequence[tuple[Any, str]], trained: int, side: int, fit: Fit, storage: Storage, folder: Path
) -> list[Fields]:
    """The images of ``samples``, functions that read them and the digests of their content, resized.

    Returns:
        Those of the first ``trained`` samples and of the others, (m, 3, side, side) in memory. With ``mapped`` the
        images of a file in ``folder/images``, which holds each content once, whatever the split, and their rows there.

    Raises:
        UserError: memory or the disk has no room for them; or as for :func:`l2m.data.images.resize_all`.
    """
    size = len(samples) * 3 * side**2
    if storage == "memory":
        what = f"{len(samples)} images of {side}×{side} pixels"
        check_memory(what, size, ", a smaller dataset.resize or fewer images")
        _announce(len(samples), size, "memory")
        images = torch.from_numpy(resize_all([read for read, _ in samples], side, fit))
        return [{"inputs": part} for part in images.tensor_split([trained])]
    digests, first, rows = np.unique([digest for _, digest in samples], return_index=True, return_inverse=True)
    size = len(digests) * 3 * side**2
    file = array_file(folder / "images", f"{side} {fit}", digests.tolist())

    def make(part: Path) -> None:
        array = new_array(part, (len(digests), side, side, 3), np.uint8)
        _announce(len(digests), size, str(file))
        resize_all([samples[i][0] for i in first], side, fit, array.transpose(0, 3, 1, 2))

    images = torch.from_numpy(load_or_make(file, len(digests), make)).permute(0, 3, 1, 2)
    return [{"inputs": images, "rows": part} for part in torch.from_numpy(rows).tensor_split([trained])]


def array_file(folder: Path, recipe: str, digests: Sequence[str]) -> Path:
    """Where the array lies that ``recipe`` makes of samples with these digests."""
    return folder / (hashlib.sha256("\n".join([recipe, *digests]).encode()).hexdigest()[:16] + ".npy")


def load_or_make(file: Path, samples: int, make: Callable[[Path], None]) -> NDArray[Any]:
    """The array (``samples``, ...) in ``file``, mapped into memory; changes to it are not written.

    ``make`` writes it to another path first, if it is not there or damaged: one process of a sweep does, others wait.
    """
    if (array := _load(file, samples, reports=False)) is not None:  # its folder may be one that cannot be written to
        return array
    with reporting("written", file, REMEDY):
        file.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(file.with_suffix(".lock")):
            if (array := _load(file, samples)) is None:
                for left in file.parent.glob(f"{file.name}.*.part"):  # by a process that was killed
                    left.unlink()
                with replacing(file) as part:
                    make(part)
                    checksum = _checksum(np.memmap(part, mode="r"), file.name)
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


def new_array(file: Path, shape: tuple[int, ...], kind: DTypeLike) -> NDArray[Any]:
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


def _load(file: Path, samples: int, reports: bool = True) -> NDArray[Any] | None:
    try:
        array: NDArray[Any] = np.load(file, mmap_mode="c", allow_pickle=False)
        content = np.memmap(file, mode="r")
        if len(array) == samples and content[-4:].tobytes() == _checksum(content[:-4], file.name):
            return array
        why = "its checksum is wrong"
    except FileNotFoundError:
        return None
    except Exception as error:  # whatever a damaged file makes its reader say
        why = cause(error)
    if reports:
        LOG.warning("%s cannot be used (%s): it is made again", file, why)
    return None


def _checksum(content: NDArray[np.uint8], name: str) -> bytes:
    """The CRC-32 of a name and of a file's bytes; it lies behind them, where np.load does not read."""
    return zlib.crc32(content.data, zlib.crc32(name.encode())).to_bytes(4, "little")


def _announce(count: int, size: int, place: str) -> None:
    if size >= ANNOUNCED:
        print(f"decoding {count} images, {in_words(size)} in {place}", flush=True)


def in_words(size: int) -> str:
    """A number of bytes, to be read."""
    return f"{size / 2**30:.3g} GiB" if size >= 2**30 else f"{size / 2**20:.3g} MiB"
