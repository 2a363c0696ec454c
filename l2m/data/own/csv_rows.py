"""Rows of a user's table in a file, by line, with every error located in the file."""

import csv
import io
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import chain, takewhile
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd

from l2m.data.own.cells import Decimal
from l2m.data.own.table_files import number_sheet_rows, read_parquet, unpack
from l2m.data.tables import parse_numbers
from l2m.errors import UserError, shown

Separator = Literal["auto", "comma", "semicolon", "tab", "bar"]
Header = Literal["line", "none"]

SEPARATORS = {"comma": ",", "semicolon": ";", "tab": "\t", "bar": "|"}

MISSING = {"", "NA", "N/A", "n/a", "NaN", "nan", "NULL", "null", "None", "<NA>", "#N/A"}
"""Cells that count as empty, as for pandas."""

FOOTER = re.compile(r"(?i)((grand |sub-?)?totals?|sum|average|mean):?|(sources?|notes?):.*|\(?\d+ rows?\b.*")
"""The first cell of a row under a table, if others are empty."""

BLOCK = 10_000  # rows that are lists at a time: as text in a table they take less memory
HEADER = 10_000  # characters in which quoted names with line breaks end, after the first line
WIDE = 1000  # columns from which cells stay Python's objects: pandas takes a millisecond for each column of text


def read_rows(
    file: Path,
    separator: Separator = "auto",
    encoding: str = "utf-8",
    header: Header = "line",
    names: tuple[str, ...] = (),
    may_be_single: bool = False,
    decimal: Decimal = "point",
) -> pd.DataFrame:
    """The rows of a table in text, Excel or Parquet, as text without surrounding blanks; NaN where a cell is empty.

    Lines without any value are skipped. The index, called ``line``, is the line of the file in which a row begins,
    counted from 1 as editors do, so that quoted line breaks count; in Excel it is the number of the row. In Parquet it
    is called ``row`` and counted from 0.

    Args:
        separator: of the cells; ``auto`` is the one that splits the first line into most cells, a comma only if no
            other does where ``decimal`` is one too.
        header: whether the first line names the columns.
        names: of the columns of a file without such a line; by default they are numbered from 1.
        may_be_single: whether a text may have one column, without separators.

    Raises:
        UserError: the file is not there, is not a table of its kind or not text in this encoding, has no rows, lacks or
            repeats names of columns, or has lines with more or fewer cells than columns, or a footer.
    """
    if twice := [name for name in names if names.count(name) > 1]:
        raise UserError(f"dataset.names has {twice[0]} twice: name each column once")
    if names and header == "line":
        raise UserError(f"dataset.names={shown(','.join(names), 60)} needs dataset.header=none: use both, or neither")
    content, kind = unpack(file)
    if kind == "Parquet":
        table = read_parquet(content, file, decimal)
        if table.empty:
            raise UserError(f"{file} has no rows or no columns: put a table with both there")
        return table
    if kind == "Excel":
        numbered = number_sheet_rows(content, file, decimal)
    else:
        text = _decode(content, encoding, file)
        del content
        numbered = _parse(text, _separator(text, separator, file, may_be_single, decimal), file)
    first = next(numbered, None)
    if first is None:
        raise UserError(f"{file} is empty: put a table there whose first line names the columns")
    if header == "line":
        columns, expected = [name.strip() for name in first[1]], "its first line names"
        _check_names(columns, file)
    else:
        columns = list(names) or [str(i + 1) for i in range(len(first[1]))]
        expected = "dataset.names has" if names else "its first line has"
        numbered = chain([first], numbered)
    kind = "str" if len(columns) < WIDE else "object"
    blocks: list[pd.DataFrame] = []
    lines: list[int] = []
    rows: list[list[str | None]] = []
    for line, row in numbered:
        if len(rows) == BLOCK:
            blocks.append(pd.DataFrame(rows, columns=columns, dtype=kind))
            rows = []
        if len(row) != len(columns):
            if lines and len(row) < len(columns) and all(len(later) < len(columns) for _, later in numbered):
                _refuse_footer(line, row, file)
            raise UserError(
                f"{file} has {len(row)} cells in line {line}, and {expected} {len(columns)} columns: fix the line, "
                "cells that hold a separator or a line break need quotes around them"
            )
        lines.append(line)
        rows.append([None if cell in MISSING else cell for cell in map(str.strip, row)])
    if not lines:
        raise UserError(f"{file} has names of columns and no rows: put a table with rows there")
    footers = [*takewhile(lambda row: None in row and FOOTER.fullmatch(row[0] or ""), reversed(rows))]
    if footers:
        _refuse_footer(lines[-len(footers)], [cell or "" for cell in footers[-1]], file)
    blocks.append(pd.DataFrame(rows, columns=columns, dtype=kind))
    table = pd.concat(blocks, ignore_index=True)
    table.index = pd.Index(lines, name="line")
    return table


def _refuse_footer(line: int, row: Sequence[str], file: Path) -> None:
    raise UserError(
        f"{file} has a footer from line {line} on, {shown(', '.join(row), 60)}: remove it, or fix the line if it is a "
        "row of the table"
    )


def _decode(content: bytes, encoding: str, file: Path) -> str:
    try:
        text = content.decode("utf-8-sig" if encoding.lower() in ("utf-8", "utf8") else encoding)
        if (zero := text.find("\0")) < 0:
            return text
        raise UserError(
            f"{file} has a zero byte in line {text.count(chr(10), 0, zero) + 1}, as text never has: save it in UTF-8, "
            "or train with dataset.encoding=utf-16-le or another"
        )
    except LookupError:
        raise UserError(
            f"dataset.encoding={encoding} is not known: use one of Python's, such as utf-8, cp1252 or utf-16"
        ) from None
    except UnicodeError as error:
        start = getattr(error, "start", 0)
        line = content[:start].count(b"\n") + 1
        marked = content[:2] in (b"\xff\xfe", b"\xfe\xff")
        likely = "utf-16" if marked else "utf-16-le" if b"\0" in content else "cp1252"
        raise UserError(
            f"{file} is not {encoding.upper()} text from line {line} on (byte 0x{content[start]:02x}): save it in "
            f"UTF-8, which spreadsheets call CSV UTF-8, or train with dataset.encoding={likely} or another"
        ) from error


def _separator(text: str, asked: Separator, file: Path, may_be_single: bool, decimal: Decimal) -> str:
    """The character between the cells of the first line."""
    if not (match := re.search(r"\S[^\r\n]*", text)):
        return ","
    begin = text[match.start() : match.end() + HEADER]  # of a file that may be large
    cells = {name: _cells(begin, sign) for name, sign in SEPARATORS.items()}
    most = max(cells, key=lambda name: (cells[name] > 1 and (name, decimal) != ("comma", "comma"), cells[name]))
    chosen = most if asked == "auto" else asked
    if cells[chosen] == 1 and not (may_be_single and cells[most] == 1):
        first = shown(match[0], 60)
        if asked == "auto":
            rule = "put commas, semicolons, tabs or bars between its cells"
            raise UserError(f"{file} has one column only, {first}: {rule}")
        rule = f"put some between its cells, or train with dataset.separator={most if cells[most] > 1 else 'auto'}"
        raise UserError(f"{file} has no {asked} in its first line, {first}: {rule}")
    return SEPARATORS[chosen]


def _cells(text: str, separator: str) -> int:
    """How many cells the first row has; separators and line breaks inside quotes do not count."""
    try:
        return len(next(csv.reader(io.StringIO(text, newline=""), delimiter=separator), []))
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
        line = shown(", ".join(columns), 60)
        raise UserError(
            f"{file} has no name for column {place + 1} in its first line, {line}: put one there{unnamed}, or remove "
            "the line if it is a title"
        )
    (name, count), *_ = Counter(columns).most_common(1)
    if count > 1:
        raise UserError(f"{file} has two columns {shown(name)} in its first line: choose another name for one of them")
    if np.isfinite(parse_numbers(pd.Series(columns, dtype="str"))).all():
        raise UserError(
            f"{file} has numbers alone in its first line, {shown(', '.join(columns), 60)}: put a line with the names "
            "of the columns before it, rename them if these are their names, or train with dataset.header=none"
        )
