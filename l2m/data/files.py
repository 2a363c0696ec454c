"""Files of data, read and written so that whatever goes wrong is told in a sentence."""

from __future__ import annotations

import io
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd

from l2m import files
from l2m.errors import UserError, cause


@contextmanager
def opened(file: Path) -> Iterator[io.BufferedReader]:
    """A file to read from.

    Raises:
        UserError: it is not there, or no file: a pipe would be waited for, a device never ends.
    """
    try:
        with files.opened(file) as stream:
            yield stream
    except OSError as error:
        raise UserError(f"{file} can't be read ({error.strerror or error}): put a whole file there") from error


def read(file: Path) -> bytearray:
    """What a file holds; an array may lie in it, and be written to.

    Raises:
        UserError: as for :func:`opened`.
    """
    with opened(file) as stream:
        return files.content_of(stream)


def read_table(file: Path, **how: Any) -> pd.DataFrame:
    """:func:`pandas.read_csv`; its first line names the columns.

    Raises:
        UserError: the file can't be read, or its lines have more fields than its first one.
    """
    content = read(file)
    try:
        table: pd.DataFrame = pd.read_csv(io.BytesIO(content), low_memory=False, **how)  # else it guesses by chunks
    except Exception as error:  # whatever pandas says of what is no table
        raise UserError(f"{file} can't be read as a table ({cause(error)}): put a whole one there") from error
    if not isinstance(table.index, pd.RangeIndex):
        raise UserError(f"{file} has more fields in its lines than columns in its first line: put a whole one there")
    return table


def write_table(table: pd.DataFrame, file: Path, separator: str = ",") -> None:
    """Write a table in the form that :func:`read_table` reads.

    Raises:
        UserError: it can't be written.
    """
    with replacing(file) as part:
        table.to_csv(part, sep=separator, index=False)


def copy(source: Path, target: Path) -> None:
    """Copy the files of a folder, and of those in it, that ``target`` lacks.

    Raises:
        UserError: one can't be written.
    """
    for file in source.rglob("*"):
        place = target / file.relative_to(source)
        if file.is_file() and not place.exists():
            with replacing(place) as part:
                shutil.copyfile(file, part)


@contextmanager
def replacing(file: Path) -> Iterator[Path]:
    """As :func:`l2m.files.replacing`.

    Raises:
        UserError: it can't be written.
    """
    try:
        with files.replacing(file) as part:
            yield part
    except OSError as error:
        raise UserError(
            f"{file} can't be written ({error.strerror or error}): make room there, or choose a data_dir that can be"
        ) from error
