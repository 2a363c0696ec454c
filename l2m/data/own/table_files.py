"""Files that a user's table is in: text, Parquet or Excel, compressed or not. Name and content must agree."""

import bz2
import gzip
import io
import lzma
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from l2m.errors import UserError, cause, describe_missing, shown
from l2m.files import read

SUFFIXES = {".gz": "gzip", ".bz2": "bzip2", ".xz": "xz", ".zip": "zip", ".parquet": "Parquet", ".xlsx": "Excel"}
"""Kinds of files that are read besides text, by the end of their names."""

BEGINNINGS = {
    b"\x1f\x8b": "gzip", b"BZh": "bzip2", b"\xfd7zXZ": "xz", b"PK\x03\x04": "zip", b"PAR1": "Parquet", b"%PDF": "PDF",
    b"\xd0\xcf\x11\xe0": "old Excel (.xls)", b"ARROW1": "Arrow", b"\x89HDF": "HDF5", b"SQLite": "SQLite",
    b"7z\xbc\xaf": "7z", b"Rar!": "RAR", b"<!DOCTYPE": "HTML", b"<!doctype": "HTML", b"<html": "HTML",
}  # fmt: skip
"""Kinds of files, by the first bytes of their content."""

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


def read_parquet(content: bytes, file: Path) -> pd.DataFrame:
    """The rows of a Parquet file as text, by ``row`` from 0; NaN where a cell is empty."""
    try:
        table = pd.read_parquet(io.BytesIO(content), dtype_backend="pyarrow")
    except Exception as error:  # whatever pyarrow says
        raise UserError(f"{file} cannot be read as Parquet ({cause(error)}): put a whole one there") from error
    for level in reversed(range(table.index.nlevels)):
        table = table.reset_index(level, drop=table.index.names[level] in (None, *table.columns))
    return typed_as_text(table)


def typed_as_text(table: pd.DataFrame) -> pd.DataFrame:
    """Columns of any type as text, whole numbers exactly; NaN where a cell is empty."""
    text = pd.DataFrame({str(name): table[name].astype("str").str.strip() for name in table})
    floats = [pd.api.types.is_float_dtype(kind) for kind in table.dtypes]
    is_nan = text.isin(["nan"]).to_numpy() & np.array(floats, bool)
    return text.mask(table.isna().to_numpy() | text.isin([""]).to_numpy() | is_nan).rename_axis(index="row")


def number_sheet_rows(content: bytes, file: Path) -> Iterator[tuple[int, list[str]]]:
    """The rows of an Excel file's only sheet with a table, numbered as there; rows without any value are skipped.

    A cell with an error of Excel, such as #N/A or #DIV/0!, is empty.
    """
    if problems := describe_missing(str(file), "excel", "openpyxl"):
        raise UserError(f"{problems[0]}, or save it as CSV")
    try:
        sheets = pd.read_excel(io.BytesIO(content), sheet_name=None, header=None, dtype=str, na_filter=False)
    except Exception as error:  # whatever openpyxl says
        raise UserError(f"{file} cannot be read as Excel ({cause(error)}): put a whole one there") from error
    filled = {name: sheet for name, sheet in sheets.items() if sheet.size}
    if len(filled) > 1:
        names = shown(", ".join(map(str, filled)), 60)
        raise UserError(f"{file} has {len(filled)} sheets with cells, {names}: save the one with the table as a file")
    for sheet in filled.values():
        rows = enumerate(sheet.fillna("").itertuples(index=False), 1)
        yield from ((number, list(row)) for number, row in rows if any(cell.strip() for cell in row))
