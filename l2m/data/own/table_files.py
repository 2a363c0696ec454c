"""Files that a user's table is in: text, Parquet or Excel, compressed or not. Name and content must agree."""

import bz2
import gzip
import io
import lzma
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd

from l2m.data.own.cells import Decimal
from l2m.errors import UserError, cause, describe_missing, shown
from l2m.files import read

SUFFIXES = {".gz": "gzip", ".bz2": "bzip2", ".xz": "xz", ".zip": "zip", ".parquet": "Parquet", ".xlsx": "Excel"}
"""Kinds of files that are read besides text, by the end of their names."""

BEGINNINGS = {
    b"\x1f\x8b": "gzip", b"\xfd7zXZ\0": "xz", b"PK\x03\x04": "zip", b"PAR1\x15": "Parquet", b"%PDF-": "PDF",
    b"\xd0\xcf\x11\xe0": "old Excel (.xls)", b"ARROW1\0\0": "Arrow", b"\x89HDF": "HDF5",
    b"SQLite format 3\0": "SQLite", b"7z\xbc\xaf": "7z", b"Rar!\x1a\x07": "RAR", b"<!DOCTYPE": "HTML",
    b"<!doctype": "HTML", b"<html": "HTML", **{b"BZh%d1AY&SY" % level: "bzip2" for level in range(1, 10)},
}  # fmt: skip
"""Kinds of files, by the first bytes of their content."""

GROUPED = re.compile(r"^-?\d{1,3}\.\d{3}$")  # looks grouped by thousands where the decimal sign is a comma

LIBRARIES: dict[str, Any] = {"gzip": gzip, "bzip2": bz2, "xz": lzma}
PACKED = (*LIBRARIES, "zip")  # kinds that hold a file of another kind


def unpack(file: Path) -> tuple[bytes, str]:
    """The content of a file without compression, and its kind: text, Parquet or Excel.

    Raises:
        UserError: the file is not there, its name says another kind than its content, or it cannot be unpacked.
    """
    if not file.is_file():
        what = "is not a file" if file.exists() else f"is not there (looked for it from {Path.cwd()})"
        raise UserError(f"{file} {what}: name one that holds the table")
    name, content = file.name, bytes(read(file))
    while True:
        kind, named = _kind(content), SUFFIXES.get(Path(name).suffix.lower(), "text")
        if kind != named:
            suffix = next((suffix for suffix, each in SUFFIXES.items() if each == kind), None)
            if kind == "text":
                remedy = f"put a whole {named} file there, or name it .csv"
            elif suffix:
                remedy = f"name it {name if kind in PACKED else Path(name).stem}{suffix}"
            else:
                remedy = "save its table as CSV, Parquet or Excel (.xlsx)"
            inner = f" holds {name}, which" if name != file.name else ""
            article = "an" if kind[0] in "AEHSo" else "a"
            raise UserError(f"{file}{inner} is {article} {kind} file, and its name says {named}: {remedy}")
        if kind not in PACKED:
            return content, kind
        try:
            name, content = _unzip(content) if kind == "zip" else (Path(name).stem, LIBRARIES[kind].decompress(content))
        except Exception as error:  # each library has its own
            raise UserError(f"{file} cannot be unpacked ({cause(error)}): put a whole one there") from error
        if not name:
            raise UserError(f"{file} does not hold exactly one file: put the table alone there")


def _kind(content: bytes) -> str:
    first = content.lstrip()[:16]
    kind = next((kind for start, kind in BEGINNINGS.items() if first.startswith(start)), "text")
    return "Excel" if kind == "zip" and b"xl/workbook.xml" in content else kind


def _unzip(content: bytes) -> tuple[str, bytes]:
    """The name and the content of an archive's only file; an empty name if there are more or none."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        names = [name for name in archive.namelist() if not name.endswith("/") and not name.startswith("__MACOSX")]
        return (names[0], archive.read(names[0])) if len(names) == 1 else ("", b"")


def read_parquet(content: bytes, file: Path, decimal: Decimal = "point") -> pd.DataFrame:
    """The rows of a Parquet file as text, by ``row`` from 0; NaN where a cell is empty."""
    try:
        table = pd.read_parquet(io.BytesIO(content), dtype_backend="pyarrow")
    except Exception as error:  # whatever pyarrow says
        raise UserError(f"{file} cannot be read as Parquet ({cause(error)}): put a whole one there") from error
    for level in reversed(range(table.index.nlevels)):
        table = table.reset_index(level, drop=table.index.names[level] in (None, *table.columns))
    return typed_as_text(table, decimal)


def typed_as_text(table: pd.DataFrame, decimal: Decimal = "point") -> pd.DataFrame:
    """Columns of any type as text, whole numbers exactly; NaN where a cell is empty.

    With ``decimal=comma`` no number has a point before three digits, where one would separate thousands.
    """
    text = pd.DataFrame({str(name): _column_as_text(table[name], decimal) for name in table})
    return text.mask(table.isna().to_numpy() | text.isin([""]).to_numpy()).rename_axis(index="row")


def _column_as_text(cells: pd.Series, decimal: Decimal) -> pd.Series:
    try:
        text: pd.Series = cells.astype("str").str.strip()
        is_number = pd.api.types.is_numeric_dtype(cells.dtype)
    except (UnicodeDecodeError, NotImplementedError):  # bytes, and types that pandas does not know
        texts = [each.decode(errors="backslashreplace") if isinstance(each, bytes) else str(each) for each in cells]
        return pd.Series(texts, cells.index, dtype="str").str.strip()
    if not is_number:
        return text
    return (text.str.replace(GROUPED, r"\g<0>0", regex=True) if decimal == "comma" else text).mask(text == "nan")


def number_sheet_rows(content: bytes, file: Path, decimal: Decimal = "point") -> Iterator[tuple[int, list[str]]]:
    """The rows of an Excel file's only sheet with a table, numbered as there; rows without any value are skipped.

    A cell with an error of Excel, such as #N/A or #DIV/0!, is empty. Numbers are those of :func:`typed_as_text`.
    """
    if problems := describe_missing(str(file), "excel", "openpyxl"):
        raise UserError(f"{problems[0]}, or save it as CSV")
    try:
        sheets = pd.read_excel(io.BytesIO(content), sheet_name=None, header=None, dtype=object, na_filter=False)
    except Exception as error:  # whatever openpyxl says
        raise UserError(f"{file} cannot be read as Excel ({cause(error)}): put a whole one there") from error
    filled = {name: sheet for name, sheet in sheets.items() if sheet.size}
    if len(filled) > 1:
        names = shown(", ".join(map(str, filled)), 60)
        raise UserError(f"{file} has {len(filled)} sheets with cells, {names}: save the one with the table as a file")

    def as_text(cell: object) -> str:
        return GROUPED.sub(r"\g<0>0", str(cell)) if decimal == "comma" and isinstance(cell, float) else str(cell)

    for sheet in filled.values():
        rows = enumerate(([*map(as_text, row)] for row in sheet.fillna("").itertuples(index=False)), 1)
        yield from ((number, row) for number, row in rows if any(cell.strip() for cell in row))
