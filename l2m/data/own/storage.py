"""Arrays that are made from a user's files once and kept: features, and photographs with ``dataset.storage=mapped``."""

import hashlib
import logging
import os
import re
import shutil
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from filelock import FileLock
from numpy.typing import NDArray

from l2m.data.images import Fit, Images, Integers, resize_all
from l2m.errors import UserError, cause
from l2m.files import replacing, reporting

LOG = logging.getLogger(__name__)

Storage = Literal["memory", "mapped"]

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
        if size > (free := free_memory()):
            raise UserError(
                f"{len(samples)} images of {side}×{side} pixels take {_gib(size)} of memory, and {_gib(free)} are "
                "free: use dataset.storage=mapped, a smaller dataset.resize or fewer images"
            )
        _announce(len(samples), size, "memory")
        return resize_all([read for read, _ in samples], side, fit), None
    digests, first, rows = np.unique([digest for _, digest in samples], return_index=True, return_inverse=True)
    size = len(digests) * 3 * side**2
    file = array_file(folder / "images", f"{side} {fit}", digests.tolist())

    def make(part: Path) -> None:
        check_room(file.parent, size)
        _announce(len(digests), size, str(file))
        images = np.lib.format.open_memmap(part, "w+", np.uint8, (len(digests), side, side, 3))
        resize_all([samples[i][0] for i in first], side, fit, images.transpose(0, 3, 1, 2))
        images.flush()

    return load_or_make(file, len(digests), make).transpose(0, 3, 1, 2), rows.astype(np.int64)


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


def check_room(folder: Path, size: int) -> None:
    """Raise a UserError if the disk of ``folder`` has fewer than ``size`` bytes free."""
    if size > (free := shutil.disk_usage(folder).free):
        raise UserError(f"{folder} has {free >> 20} MiB free, and {size >> 20} are needed: {REMEDY}")


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
        print(f"decoding {count} images, {_gib(size)} in {place}", flush=True)


def _gib(size: int) -> str:
    return f"{size / 2**30:.3g} GiB"
