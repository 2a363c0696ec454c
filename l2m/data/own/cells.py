"""Cells of a user's table, as text: which are missing, and which are numbers."""

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from l2m.data.tables import parse_numbers, refuse
from l2m.errors import UserError

Decimal = Literal["point", "comma"]

MISSING = ""  # the category of an empty cell; no other cell is empty text

SIGNS = "$¢£¤¥฿\u20a0-\u20cf"  # of currencies, as in a regular expression's brackets
FORMATTED = re.compile(
    rf"[+−-]?\s?(?P<before>[{SIGNS}]?)\s?[+−-]?(?P<whole>\d{{1,3}}(?:[,'’\s]\d{{3}})+|\d*)(?:\.(?P<part>\d+))?"
    rf"\s?(?P<after>[{SIGNS}%]?)"
)
"""A number with a currency or percent sign, and with commas, apostrophes or spaces between thousands."""

COMMA_FOR_POINT = str.maketrans(",.", ".,")


def as_text(cells: pd.Series | NDArray[Any]) -> NDArray[np.object_]:
    """Cells (N,) as text; ``MISSING`` where a cell is empty."""
    text = np.array([*map(str, cells)], object)
    text[np.asarray(pd.isna(cells), bool)] = MISSING
    return text


def parse_formatted(text: str, decimal: Decimal = "point") -> tuple[str, str] | None:
    """``$1,234.50`` as (``1234.50``, ``$``): a number and its sign, which may be empty; None if it is not one."""
    text = re.sub(r"\d", lambda digit: str(int(digit[0])), text)  # of other scripts too
    match = FORMATTED.fullmatch(text.translate(COMMA_FOR_POINT) if decimal == "comma" else text)
    if not match or not (match["whole"] or match["part"]) or (match["before"] and match["after"]):
        return None
    minus = "-" if {"-", "−"} & set(text) else ""
    part = f".{match['part']}" if match["part"] else ""
    return minus + re.sub(r"\D", "", match["whole"]) + part, match["before"] or match["after"]


def clean(
    table: pd.DataFrame,
    names: Iterable[str],
    file: Path | str,
    *,
    missing: Sequence[str] = (),
    numbers: Sequence[str] = (),
    decimal: Decimal = "point",
    categorical: Sequence[str] = (),
    signs: dict[str, str] | None = None,
) -> pd.DataFrame:
    """A table of text with NaN where a cell is missing, and numbers as Python writes them.

    Args:
        names: columns that may hold numbers unless they are ``categorical``; in others only ``missing`` cells change.
        missing: cells that count as empty; those that are numbers match equal numbers, except in ``categorical``.
        numbers: columns in which numbers have percent or currency signs, or thousands separators.
        decimal: how numbers are written; with ``comma``, 3,5 is read as 3.5.
        signs: of the columns ``numbers`` in the training part; those that it lacks are added.

    Raises:
        UserError: a cell of ``numbers`` is not a number, or has another sign than the others or the training part; one
            of them is ``categorical`` too; or with ``comma``, a point may separate thousands.
    """
    if both := sorted({*numbers} & {*categorical}):
        raise UserError(f"{file} has {both[0]} in dataset.numbers and in dataset.categorical: name it in one")
    marks = parse_numbers(pd.Series([with_point(mark, decimal) for mark in missing], dtype="str"))
    if missing:
        table = table.mask(table.isin(missing))
    if not (numbers or decimal == "comma" or np.isfinite(marks).any()):
        return table
    with_comma, read = {*names} - {*categorical} if decimal == "comma" else set(), {}
    for name, cells in table.items():
        if name in numbers:
            cells, sign = _read_formatted(cells, decimal, file, (signs or {}).get(str(name)))
            if signs is not None:
                signs[str(name)] = sign
        elif name in with_comma:
            grouped = cells.str.fullmatch(r"[+-]?\d{1,3}(\.\d{3})+", na=False).to_numpy(bool)
            rule = f"fix the cell, or train with 'dataset.numbers=[\"{name}\"]' if it separates thousands"
            refuse(grouped, cells, file, rule, ", a number with a point, beside dataset.decimal=comma")
            cells = cells.map(lambda text: with_point(text, "comma"), na_action="ignore")
        if name not in categorical and (equal := np.isin(parse_numbers(cells), marks[np.isfinite(marks)])).any():
            cells = cells.mask(equal)
        read[name] = cells
    return pd.DataFrame(read, table.index)


def with_point(text: str, decimal: Decimal) -> str:
    """A number with a decimal point; other text as it is."""
    return re.sub(r"^([+-]?\d*),(\d+(?:[eE][+-]?\d+)?)$", r"\1.\2", text) if decimal == "comma" else text


def _read_formatted(cells: pd.Series, decimal: Decimal, file: Path | str, trained: str | None) -> tuple[pd.Series, str]:
    """Cells as numbers without signs and separators, and their sign, which must be that of all and the ``trained``."""
    formatted = {text: parse_formatted(text, decimal) or (text, "") for text in cells.dropna().unique()}
    plain = cells.map({text: number for text, (number, _) in formatted.items()})
    rule = "fix the cell or leave it empty, or train with dataset.missing if it means that the value is missing"
    refuse(np.isnan(parse_numbers(plain)) & cells.notna().to_numpy(bool), cells, file, rule, ", which is not a number")
    signs = cells.map({text: sign for text, (_, sign) in formatted.items()})
    usual = signs.mode().max() if trained is None else trained
    other = signs.notna() & (signs != usual) & (parse_numbers(plain) != 0)
    if "%" not in (usual, *signs[other]):
        other &= signs != ""
    rule = "the numbers of a column must have the same unit, fix the cells or use two columns"
    have = "most have" if trained is None else "the training part has"
    refuse(other.to_numpy(bool), cells, file, rule, f", where {have} {usual or 'no sign'}")
    return plain, usual if isinstance(usual, str) else ""
