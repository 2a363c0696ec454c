"""Tables of data: CSV files read and written, cells as numbers, and errors that say where one is."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from l2m.data.download import WRITE_REMEDY
from l2m.errors import UserError, cause, shown
from l2m.files import read, replacing, reporting

LARGEST = float(np.finfo(np.float32).max)  # that an input or a target can be


def read_table(file: Path, **options: Any) -> pd.DataFrame:
    """:func:`pandas.read_csv` with its ``options``; the first line names the columns.

    Raises:
        UserError: the file cannot be read, or its lines have more fields than its first one.
    """
    content = read(file)
    try:
        table: pd.DataFrame = pd.read_csv(io.BytesIO(content), low_memory=False, **options)  # else it guesses by chunks
    except Exception as error:  # whatever pandas says of what is not a table
        raise UserError(f"{file} cannot be read as a table ({cause(error)}): put a whole one there") from error
    if not isinstance(table.index, pd.RangeIndex):
        raise UserError(f"{file} has more fields in its lines than columns in its first line: put a whole one there")
    return table


def write_table(table: pd.DataFrame, file: Path, separator: str = ",") -> None:
    """Write a table in the form that :func:`read_table` reads; a UserError if it cannot be written."""
    with reporting("written", file, WRITE_REMEDY), replacing(file) as part:
        table.to_csv(part, sep=separator, index=False)


def parse_numbers(cells: pd.Series | NDArray[Any]) -> NDArray[np.float64]:
    """Cells (N,) as numbers; NaN where a cell is empty or not a number."""
    plain = np.asarray(cells.astype("str") if cells.dtype == bool else cells)
    return np.asarray(pd.to_numeric(plain, errors="coerce"), np.float64)


def locate(index: pd.Index, i: int) -> str:
    """``line 7``: where row ``i`` is from."""
    return f"{index.name or 'row'} {index[i]}"


def refuse(wrong: NDArray[np.bool_], cells: pd.Series, file: Path | str, rule: str, more: str = "") -> None:
    """Raise a UserError about the first ``wrong`` cell (N,), if any: its value and line, ``more``, the rule."""
    if wrong.any():
        i = int(wrong.argmax())
        cell = f"no {cells.name}" if pd.isna(cells.iloc[i]) else f"{cells.name}={shown(cells.iloc[i], 60)}"
        footer = ", perhaps a footer" if i and wrong[i:].all() else ""
        raise UserError(f"{file} has {cell} in {locate(cells.index, i)}{footer}{more}: {rule}")
