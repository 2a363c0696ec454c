"""Files that are written whole or not at all, and read if they are files."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path


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


def content(file: Path) -> bytearray:
    """What a file holds; an array may lie in it, and be written to.

    Raises:
        OSError: it can't be opened, or, without a ``strerror``, it is no file: a pipe would be waited for, a device
            never ends.
    """
    if not stat.S_ISREG(file.stat().st_mode):
        raise OSError("it is no regular file")
    with file.open("rb") as opened:
        held = bytearray(os.fstat(opened.fileno()).st_size)
        del held[opened.readinto(held) :]
    return held


def read_bytes(file: Path) -> bytearray:
    """What a file holds.

    Raises:
        ValueError: it is missing, can't be opened, or is no file; named without its folder.
    """
    try:
        return content(file)
    except FileNotFoundError:
        raise ValueError(f"{file.name} is missing") from None
    except OSError as error:
        why = f"can't be opened: {error.strerror}" if error.strerror else "is no regular file"
        raise ValueError(f"{file.name} {why}") from error


def read_text(file: Path) -> str:
    """What a text file holds.

    Raises:
        ValueError: as for :func:`read_bytes`, or it is no text.
    """
    try:
        return read_bytes(file).decode()
    except UnicodeDecodeError as error:
        raise ValueError(f"{file.name} is no text from byte {error.start} on") from error
