"""Rows of a user's table in a text file, by line, with every error located in the file."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd

from l2m.data.tables import parse_numbers
from l2m.errors import UserError, shown
from l2m.files import read

Separator = Literal["auto", "comma", "semicolon", "tab", "bar"]
Decimal = Literal["point", "comma"]

SEPARATORS = {"comma": ",", "semicolon": ";", "tab": "\t", "bar": "|"}

MISSING = ("", "NA", "N/A", "n/a", "NaN", "nan", "NULL", "null", "None", "<NA>", "#N/A")
"""Cells that count as empty, as for pandas."""

BLOCK = 10_000
"""Rows that are lists at a time: as text in a table they take less memory."""


def read_rows(
    file: Path, separator: Separator = "auto", decimal: Decimal = "point", missing: Sequence[str] = ()
) -> pd.DataFrame:
    """The rows of a table as text without surrounding blanks; NaN where a cell is empty.

    The first line names the columns. Lines without any value are skipped. The index, called ``line``, is the line of
    the file in which a row begins, counted from 1 as editors do, so that quoted line breaks count.

    Args:
        separator: of the cells; ``auto`` is the one that splits the first line into most cells.
        decimal: how numbers are written; with ``comma``, 3,5 is read as 3.5.
        missing: further cells that count as empty, such as ``?``.

    Raises:
        UserError: the file is not there, is not UTF-8 text, has no rows, lacks or repeats names of columns, or has
            lines with more or fewer cells than columns.
    """
    if not file.is_file():
        what = "is not a file" if file.exists() else f"is not there (looked for it from {Path.cwd()})"
        raise UserError(f"{file} {what}: name one that holds the table")
    content = read(file)
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise UserError(
            f"{file} is not UTF-8 text from line {line} on (byte 0x{content[error.start]:02x}): put it there in UTF-8, "
            "which spreadsheets call CSV UTF-8"
        ) from error
    del content
    numbered = _parse(text, _separator(text, separator, file), file)
    header = next(numbered, None)
    if header is None:
        raise UserError(f"{file} is empty: put a table there whose first line names the columns")
    columns = [name.strip() for name in header[1]]
    _check_names(columns, file)
    blocks, lines, rows = [], [], []
    for line, row in numbered:
        if len(row) != len(columns):
            raise UserError(
                f"{file} has {len(row)} cells in line {line}, and its first line names {len(columns)} columns: fix "
                "the line, cells that hold a separator or a line break need quotes around them"
            )
        lines.append(line)
        rows.append(row)
        if len(rows) == BLOCK:
            blocks.append(pd.DataFrame(rows, columns=columns, dtype="str"))
            rows = []
    blocks.append(pd.DataFrame(rows, columns=columns, dtype="str"))
    if not lines:
        raise UserError(f"{file} has names of columns and no rows: put a table with rows there")
    table = pd.concat(blocks, ignore_index=True)
    table.index = pd.Index(lines, name="line")
    empty = {*MISSING, *missing}
    for name in columns:
        cells = table[name].str.strip()
        if decimal == "comma":
            cells = cells.str.replace(r"^([+-]?\d*),(\d+)$", r"\1.\2", regex=True)
        table[name] = cells.mask(cells.isin(empty))
    return table


def _separator(text: str, asked: Separator, file: Path) -> str:
    """The character between the cells of the first line."""
    match = re.search(r"\S[^\r\n]*", text)
    first = match[0] if match else ""
    cells = {name: _cells(first, sign) for name, sign in SEPARATORS.items()}
    most = max(cells, key=lambda name: cells[name])
    chosen = most if asked == "auto" else asked
    if first and cells[chosen] == 1:
        if asked == "auto":
            problem = f"has one column only, {shown(first, 60)}"
            raise UserError(f"{file} {problem}: put commas, semicolons, tabs or bars between its cells")
        use = most if cells[most] > 1 else "auto"
        raise UserError(f"{file} has no {asked} in its first line, {shown(first, 60)}: use dataset.separator={use}")
    return SEPARATORS[chosen]


def _cells(line: str, separator: str) -> int:
    """How many cells a line has; separators inside quotes do not count."""
    try:
        return len(next(csv.reader([line], delimiter=separator), []))
    except csv.Error:
        return 1


def _parse(text: str, separator: str, file: Path) -> Iterator[tuple[int, list[str]]]:
    """The line in which each row begins, and its cells; rows without any value are skipped."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, skipinitialspace=True, strict=True)
    while True:
        line = reader.line_num + 1
        try:
            row = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise UserError(
                f"{file} cannot be read as a table from line {line} on ({error}): fix the line, look for a quote that "
                "is not closed"
            ) from error
        if any(cell.strip() for cell in row):
            yield line, row


def _check_names(columns: list[str], file: Path) -> None:
    if columns[0].lower() == "sep=":
        raise UserError(f"{file} has a mark for spreadsheets in its first line, sep=: remove the line")
    if "" in columns:
        place = columns.index("")
        unnamed = ", or leave out the index that pandas writes (index=False)" if place == 0 else ""
        raise UserError(f"{file} has no name for column {place + 1} in its first line: put one there{unnamed}")
    repeated = next((name for name in columns if columns.count(name) > 1), None)
    if repeated:
        raise UserError(
            f"{file} has two columns {shown(repeated)} in its first line: choose another name for one of them"
        )
    if np.isfinite(parse_numbers(pd.Series(columns, dtype="str"))).all():
        raise UserError(
            f"{file} has numbers alone in its first line, {shown(', '.join(columns), 60)}: put a line with the names "
            "of the columns before it"
        )
