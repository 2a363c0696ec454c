"""Read regular files, and write files whole or not at all."""

import contextlib
import errno
import gzip
import io
import os
import stat
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from l2m.errors import DENIED, TOO_MANY_FILES, UserError, shown

LARGEST = 2**28  # bytes that a packed file may hold: a run of 10 000 groups and 300 epochs


@contextlib.contextmanager
def reporting(action: Literal["read", "written"], file: Path, remedy: str) -> Iterator[None]:
    """Raise an OSError, of what is done to ``file``, as a UserError with the remedy."""
    try:
        yield
    except OSError as error:
        raise UserError(f"{shown(file)} cannot be {action} ({error.strerror or shown(error)}): {remedy}") from error


@contextlib.contextmanager
def replacing(file: Path) -> Iterator[Path]:
    """A path beside ``file`` to write to, renamed to it at the end, so that no reader ever sees a part of it.

    Raises:
        OSError: it cannot be written; nothing is left of it.
    """
    part = file.with_name(f"{file.name}.{os.getpid()}.part")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        yield part
        part.replace(file)
    finally:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)


def write_whole(file: Path, content: bytes | memoryview, flush: bool = False, remedy: str | None = None) -> None:
    """Write ``file`` by way of :func:`replacing`; with ``flush`` it survives a power cut from then on.

    Raises:
        OSError: it cannot be written; nothing is left of it.
        UserError: instead, if there is a ``remedy``.
    """
    with reporting("written", file, remedy) if remedy else contextlib.nullcontext():
        with replacing(file) as part:
            part.write_bytes(content)
            if flush:
                flush_to_disk(part)
        if flush:
            flush_to_disk(file.parent)


def flush_to_disk(path: Path) -> None:
    """Wait until the content of a file, or the entries of a folder, would survive a power cut."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # some file systems cannot flush a folder
            raise
    finally:
        os.close(descriptor)


def read(file: Path) -> bytearray:
    """The content of a regular file of data, else a UserError; arrays may share its memory and be written to."""
    with reporting("read", file, "put a whole file there"):
        return _content(file)


def _content(file: Path) -> bytearray:
    """The content of a regular file: a pipe would be waited for, a device never ends."""
    if not stat.S_ISREG(file.stat().st_mode):
        raise OSError("it is not a regular file")
    with file.open("rb") as stream:
        content = bytearray(os.fstat(stream.fileno()).st_size)
        del content[stream.readinto(content) :]
    return content


def packed_path(file: Path) -> Path:
    """Where ``file`` lies once :func:`pack` has packed it."""
    return file.with_name(file.name + ".gz")


def pack(file: Path) -> None:
    """Replace a file by its content in gzip's format, without a time stamp.

    Raises:
        OSError: it cannot be read or written; it is as before, as it is after a power cut.
        ValueError: it is too large to be read again.
    """
    if len(content := _content(file)) > LARGEST:
        raise ValueError(f"it holds more than {LARGEST} bytes")
    write_whole(packed_path(file), gzip.compress(content, mtime=0), flush=True)
    file.unlink()


def read_bytes(file: Path) -> bytearray:
    """The content of a file, packed or not.

    Raises:
        ValueError: it is missing, cannot be opened or unpacked, or is not a regular file; names it without its folder.
        OSError: this process may not read it, or has too many files open: the file may be whole.
    """
    try:
        return _content(file)
    except FileNotFoundError:
        if packed_path(file).exists():
            return _unpacked(packed_path(file))
        raise ValueError(f"{file.name} is missing") from None
    except OSError as error:
        if error.errno in (*DENIED, *TOO_MANY_FILES):
            raise
        why = f"cannot be opened: {error.strerror}" if error.strerror else "is not a regular file"
        raise ValueError(f"{file.name} {why}") from error


def _unpacked(file: Path) -> bytearray:
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(read_bytes(file))) as stream:
            content = bytearray(stream.read(LARGEST + 1))
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise ValueError(f"{file.name} cannot be unpacked") from error
    if len(content) > LARGEST:
        raise ValueError(f"{file.name} holds more than {LARGEST} bytes")
    return content


def read_text(file: Path) -> str:
    """:func:`read_bytes` as text; a ValueError also if it is not in UTF-8."""
    try:
        return read_bytes(file).decode()
    except UnicodeDecodeError as error:
        raise ValueError(f"{file.name} is not UTF-8 text from byte {error.start} on") from error
