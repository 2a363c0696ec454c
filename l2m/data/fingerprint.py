"""Whether the files of a person's own data are those that a run was trained on."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

PLACES = ("path", "test_path")
"""Options of a data set that name a file or a folder."""


def fingerprint(dataset: Mapping[str, Any]) -> str | None:
    """16 hexadecimal digits of the SHA-256 of what lies where a data set's options say, names of files included.

    None: they name nothing that is here, as no row of the paper does.
    """
    places = [Path(dataset[option]).expanduser() for option in PLACES if dataset.get(option)]
    found = [place for place in places if place.exists()]
    if not found:
        return None
    digest = hashlib.sha256()
    for place in found:
        files = [place] if place.is_file() else sorted(each for each in place.rglob("*") if each.is_file())
        for file in files:
            told = file.stat()
            digest.update(f"{file.relative_to(place)}/{_digest(file, told.st_size, told.st_mtime_ns)}\n".encode())
    return digest.hexdigest()[:16]


@cache
def _digest(file: Path, size: int, changed: int) -> str:
    """Of a file's content, read once a process unless its size or time of change has another value."""
    digest = hashlib.sha256()
    with file.open("rb") as opened:
        while block := opened.read(2**20):
            digest.update(block)
    return digest.hexdigest()
