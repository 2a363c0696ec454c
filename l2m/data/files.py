"""Tables in CSV files, read and written so that whatever goes wrong is told in a sentence."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from l2m.errors import UserError, cause
from l2m.files import write_whole


def read_table(file: Path, **how: Any) -> pd.DataFrame:
    """:func:`pandas.read_csv`; its first line names the columns.

    Raises:
        UserError: the file can't be read, or its lines have more fields than its first one.
    """
    try:
        table: pd.DataFrame = pd.read_csv(file, **how)
    except (ValueError, OSError) as error:
        raise UserError(f"{file} can't be read as a table ({cause(error)}): put a whole one there") from error
    if not isinstance(table.index, pd.RangeIndex):
        raise UserError(f"{file} has more fields in its lines than columns in its first line: put a whole one there")
    return table


def write_table(table: pd.DataFrame, file: Path, separator: str = ",") -> None:
    """Write a whole table or none.

    Raises:
        UserError: it can't be written.
    """
    try:
        write_whole(file, table.to_csv(sep=separator, index=False).encode())
    except OSError as error:
        raise UserError(f"{file} can't be written ({cause(error)}): choose a data_dir that can be") from error
