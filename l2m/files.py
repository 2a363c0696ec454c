"""Files that are written whole or not at all, and read if they are files."""

from __future__ import annotations

import contextlib
import gzip
import io
import os
import stat
import zlib
from collections.abc import Iterator
from pathlib import Path

LARGEST = 2**28
"""Bytes that a packed file may hold: a run of 10 000 groups and 300 epochs."""


@contextlib.contextmanager
def replacing(file: Path) -> Iterator[Path]:
    """A place beside ``file`` to write to, renamed into it at the end: no reader ever sees a part of it.

    Raises:
        OSError: it can't be written; nothing is left of it.
    """
    part = file.with_name(f"{file.name}.{os.getpid()}.part")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        yield part
        part.replace(file)
    finally:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)


def write_whole(file: Path, content: bytes | memoryview) -> None:
    """Write ``file`` as :func:`replacing` does.

    Raises:
        OSError: it can't be written; nothing is left of it.
    """
    with replacing(file) as part:
        part.write_bytes(content)


@contextlib.contextmanager
def opened(file: Path) -> Iterator[io.BufferedReader]:
    """A file to read from.

    Raises:
        OSError: it can't be opened, or, without a ``strerror``, it is no file: a pipe would be waited for, a device
            never ends.
    """
    if not stat.S_ISREG(file.stat().st_mode):
        raise OSError("it is no regular file")
    with file.open("rb") as stream:
        yield stream


def content(file: Path) -> bytearray:
    """What a file holds; an array may lie in it, and be written to.

    Raises:
        OSError: as for :func:`opened`.
    """
    with opened(file) as stream:
        return content_of(stream)


def content_of(stream: io.BufferedReader) -> bytearray:
    """The same of a file that is open."""
    held = bytearray(os.fstat(stream.fileno()).st_size)
    del held[stream.readinto(held) :]
    return held


def packed(file: Path) -> Path:
    """Where ``file`` lies once :func:`pack` has packed it."""
    return file.with_name(file.name + ".gz")


def pack(file: Path) -> None:
    """Replace a file by its content in gzip's format, without the time it was done at.

    Raises:
        OSError: it can't be read or written; then it stays as it is.
    """
    write_whole(packed(file), gzip.compress(content(file), mtime=0))
    file.unlink()


def read_bytes(file: Path) -> bytearray:
    """What a file holds, packed or not.

    Raises:
        ValueError: it is missing, can't be opened or unpacked, or is no file; named without its folder.
    """
    try:
        return content(file)
    except FileNotFoundError:
        if packed(file).exists():
            return _unpacked(packed(file))
        raise ValueError(f"{file.name} is missing") from None
    except OSError as error:
        why = f"can't be opened: {error.strerror}" if error.strerror else "is no regular file"
        raise ValueError(f"{file.name} {why}") from error


def _unpacked(file: Path) -> bytearray:
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(read_bytes(file))) as stream:
            held = bytearray(stream.read(LARGEST + 1))
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise ValueError(f"{file.name} can't be unpacked") from error
    if len(held) > LARGEST:
        raise ValueError(f"{file.name} holds more than {LARGEST} bytes")
    return held


def read_text(file: Path) -> str:
    """What a text file holds.

    Raises:
        ValueError: as for :func:`read_bytes`, or it is no text.
    """
    try:
        return read_bytes(file).decode()
    except UnicodeDecodeError as error:
        raise ValueError(f"{file.name} is no text from byte {error.start} on") from error
