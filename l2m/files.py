"""Files that are written whole or not at all, and texts that are read or told."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path


def write_whole(file: Path, content: bytes) -> None:
    """Write beside ``file``, whose folder is made, and rename: no reader ever sees a part of it.

    Raises:
        OSError: it can't be written; nothing is left beside it.
    """
    part = file.with_name(f"{file.name}.{os.getpid()}.part")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        part.write_bytes(content)
        part.replace(file)
    finally:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)


def read_text(file: Path) -> str:
    """What a text file holds.

    Raises:
        ValueError: it is missing, can't be opened, or is no text; named without its folder.
    """
    try:
        return file.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ValueError(f"{file.name} is missing") from None
    except OSError as error:
        raise ValueError(f"{file.name} can't be opened: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ValueError(f"{file.name} is no text from byte {error.start} on") from error
