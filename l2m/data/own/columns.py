"""Columns of a table as inputs, fitted on some rows and kept as plain values, so that new rows can be treated alike.

Numbers get the median where they are missing, and a second column that says where, if the training part lacks some;
all are standardised. Categories become a column for each value; rare ones share one, and a missing one is a value.
"""

import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from l2m.data.own.cells import Decimal, as_text, parse_formatted
from l2m.data.own.description import place_names
from l2m.data.tables import LARGEST, parse_numbers, refuse
from l2m.errors import UserError, did_you_mean, shown

DATE = re.compile(r"\d{4}-\d\d?-\d\d?(?!\d)|\d\d?([./-])\d\d?\1(\d{4}|\d\d)(?!\d)")
"""The beginning of a date."""

WITH_UNIT = re.compile(r"[+-]?\d[\d.,]*\s?[^\W\d_]{1,4}|[A-Z]{3}\s?\d[\d.,]*")
"""A number and its unit, as in 5 kg and EUR 5."""

LISTED_MARKS = 3  # texts among numbers that an error names, at most
FEW_CATEGORIES = 20  # that a column may have, even if most rows have rare ones
FAR = 10.0  # standard deviations from the mean of the training part, from which a new number is reported


def check_columns(names: Iterable[str], columns: Iterable[str], option: str, file: Path | str) -> None:
    """Check that the ``names`` given in ``option`` are among the columns of ``file``.

    Raises:
        UserError: one is not; suggests the column that was probably meant.
    """
    choices = list(map(str, columns))
    for name in names:
        if name not in choices:
            doubt = ", if they are names" if np.isfinite(parse_numbers(pd.Series(choices, dtype="str"))).any() else ""
            raise UserError(
                f"{file} has no column {name}{did_you_mean(name, choices)}: choose {option} from those it names, "
                f"{shown(', '.join(choices))}{doubt}"
            )


def require(names: Iterable[str], table: pd.DataFrame, file: Path | str, source: str) -> None:
    """Raise a UserError if the table lacks one of the columns that ``source`` has."""
    for name in names:
        if name not in table:
            guess = did_you_mean(name, table.columns)
            raise UserError(f"{file} has no column {name}{guess}, which {source}: put the same columns there")


def find_kinds(
    table: pd.DataFrame, categorical: Sequence[str], most: int, file: Path | str, decimal: Decimal = "point"
) -> tuple[list[str], list[str], pd.DataFrame]:
    """The names of columns of numbers, those of categories, with all of ``categorical``, and the table with numbers.

    A column without any value counts as numbers.

    Raises:
        UserError: a column is mostly numbers, with cells of something else; numbers that are not finite in float32; or
            text that is not a category: dates, or more than ``most`` values, of which more than half of the rows have a
            new one, or one too rare for an input of its own, if there are more than ``FEW_CATEGORIES``.
    """
    numbers, categories, texts, have_unit = dict[str, Any](), list[str](), dict[str, str](), False
    every = list(map(str, table.columns))
    for name, cells, values in zip(every, iterate(table, every), _parse(table), strict=True):
        if name in categorical:
            categories.append(name)
            continue
        filled = np.asarray(pd.notna(cells), bool)
        other = filled & np.isnan(values)
        if other.any():
            categories.append(name)
            _refuse_numbers_with_text(table[name], other, filled, file, decimal)
            counted, half = Counter(cells[filled]), filled.sum() / 2
            counts = sorted(counted.values(), reverse=True)
            rare = sum(counts[max(most, FEW_CATEGORIES) - 1 :])
            if sum(count for text, count in counted.items() if DATE.match(text)) > half:
                texts[name] = "a date"
            elif len(counts) > most and max(len(counts), rare) > half:
                texts[name] = "a rare text"
                have_unit |= sum(count for text, count in counted.items() if WITH_UNIT.fullmatch(text)) > half
        else:
            numbers[name] = values
            rule = f"numbers must be finite, of at most {LARGEST:.1e}, fix the cell or leave it empty"
            if (wrong := np.abs(values) > LARGEST).any():
                refuse(wrong, table[name], file, rule)
    if texts:
        names = ",".join(f'"{name}"' for name in texts)
        units = ", write the numbers alone if they have a unit" if have_unit else ""
        raise UserError(
            f"{file} has {' or '.join(sorted({*texts.values()}))} in most rows of {shown(', '.join(texts))}: it is not "
            f"a category to learn from, use 'dataset.ignore=[{names}]' to leave it out{units}, dataset.categorical "
            "if it is one, or dataset=hugging_face to learn from texts"
        )
    return [*numbers], categories, pd.concat([pd.DataFrame(numbers, table.index), table[categories]], axis=1)


def iterate(table: pd.DataFrame, names: Sequence[str]) -> Iterator[pd.Series | NDArray[Any]]:
    """Columns, as arrays if all have a type of NumPy: thousands of Series would take seconds."""
    part = table[list(names)]
    if all(isinstance(kind, np.dtype) for kind in set(part.dtypes)):
        return iter(part.to_numpy().T)
    return (part[name] for name in names)


def _parse(table: pd.DataFrame) -> Iterator[NDArray[np.float64]]:
    """The cells of each column as numbers; in a table of text alone each text is parsed once."""
    if set(table.dtypes) != {np.dtype(object)}:
        return map(parse_numbers, iterate(table, list(table.columns)))
    codes, texts = pd.factorize(table.to_numpy().ravel())
    return iter(np.append(parse_numbers(texts), np.nan)[codes].reshape(table.shape).T)  # −1 where a cell is empty


def _refuse_numbers_with_text(
    cells: pd.Series, other: NDArray[np.bool_], filled: NDArray[np.bool_], file: Path | str, decimal: Decimal
) -> None:
    """Refuse ``other`` cells than numbers, if most ``filled`` ones but the commonest of them are numbers."""
    texts = Counter(cells[other])
    formatted = [text for text in texts if parse_formatted(text, "point") or parse_formatted(text, "comma")]
    marks = {text: count for text, count in texts.most_common() if text not in formatted}
    if filled.sum() - sum(marks.values()) <= (filled.sum() - max(marks.values(), default=0)) / 2:
        return
    categories = f"'dataset.categorical=[\"{cells.name}\"]' if the column holds categories"
    if formatted:
        other = cells.isin(formatted).to_numpy(bool)
        notation, use = describe_notation(str(cells[other].iloc[0]), str(cells.name), decimal)
        rule = f"use {use}, or {categories}"
    else:
        listed = ",".join(f'"{shown(text, 60)}"' for text in list(marks)[:LISTED_MARKS])
        more = "" if len(marks) <= LISTED_MARKS else f" (and so on, there are {len(marks)} different texts)"
        rule = (
            f"fix the cell or leave it empty, use 'dataset.missing=[{listed}]'{more} if it means that the value is "
            f"missing, 'dataset.ignore=[\"{cells.name}\"]' to leave the column out, or {categories}"
        )
        notation = f"beside {filled.sum() - other.sum()} numbers"
    count = other.sum()
    share = f" and {count - 1} more cells of this kind ({count / filled.sum():.0%} of the column)" if count > 1 else ""
    refuse(other, cells, file, rule, f"{share}, {notation}")


def describe_notation(text: str, name: str, decimal: Decimal) -> tuple[str, str]:
    """What a formatted number has that others do not, and the options that read it."""
    swapped: Decimal = "comma" if decimal == "point" else "point"
    read, otherwise = parse_formatted(text, decimal), parse_formatted(text, swapped)
    _, sign = read or otherwise or ("", "")
    numbers = f"'dataset.numbers=[\"{name}\"]'"
    if sign:
        notation = f"a number with a {'percent' if sign == '%' else 'currency'} sign"
        return notation, f"{numbers} to read it as {read[0]}" if read else f"{numbers} with dataset.decimal={swapped}"
    if otherwise and {"comma": ",", "point": "."}[swapped] in text:
        if read:
            numbers = f"dataset.decimal={swapped} if it is a decimal {swapped}, {numbers} if it separates thousands"
        return f"a number with a {swapped}", numbers if read else f"dataset.decimal={swapped}"
    return "a number with thousands separators or other signs", f"{numbers} to read it as {read[0] if read else text}"


def fit(table: pd.DataFrame, numeric: Sequence[str], categorical: Sequence[str], most: int) -> dict[str, Any]:
    """The preprocessing for :func:`apply`, fitted on these rows: plain numbers and text, by the names of the columns.

    It is that of scikit-learn's SimpleImputer, StandardScaler and OneHotEncoder, but a column that is constant in
    these rows has an infinite standard deviation: nothing is learned from it, so it is 0 in every row.

    Args:
        most: columns at most that a categorical one becomes; its rarer values share the last.
    """
    fitted: dict[str, Any] = {"numbers": [], "categories": []}
    for name, cells in zip(numeric, iterate(table, numeric), strict=True):
        values = parse_numbers(cells)
        missing = np.isnan(values)
        median = 0.0 if missing.all() else float(np.median(values[~missing]))
        mean, sd = _moments(np.where(missing, median, values))
        column = {"name": name, "median": median, "mean": mean, "sd": sd}
        if missing.any():
            column["missing_mean"], column["missing_sd"] = _moments(missing)
        fitted["numbers"].append(column)
    for name, cells in zip(categorical, iterate(table, categorical), strict=True):
        values, counts = np.unique(as_text(cells), return_counts=True)
        is_rare = np.zeros(len(values), bool)
        is_rare[np.argsort(counts, kind="stable")[: max(len(values) - most + 1, 0)]] = True
        kept, rare = values[~is_rare].tolist(), values[is_rare].tolist()
        fitted["categories"].append({"name": name, "values": kept, "rare": rare})
    return fitted


def _moments(values: ArrayLike) -> tuple[float, float]:
    """Mean and standard deviation, which is infinite if it is rounding error alone."""
    numbers = np.asarray(values, np.float64)
    mean = numbers.mean()
    distance = numbers - mean
    variance = ((distance**2).sum() - distance.sum() ** 2 / len(numbers)) / len(numbers)
    error = len(numbers) * np.finfo(np.float64).eps
    return float(mean), math.inf if variance <= error * variance + (error * mean) ** 2 else float(np.sqrt(variance))


def apply(preprocessing: Mapping[str, Any], table: pd.DataFrame, file: Path | str = "the table") -> Tensor:
    """The inputs (N, d) float32 of rows, made as those that the model was trained on.

    In this order: numbers, standardised; for each that the training part lacked somewhere, whether it is missing, also
    standardised; for each categorical column a 0 or 1 for each of its values, and one for the rare ones together. A
    value that the training part did not have counts as rare, or is 0 everywhere; ``1`` and ``1.0`` are the same value.

    Args:
        preprocessing: from :func:`fit`, or the ``preprocessing`` of a run's data.
        table: has its columns, in any order, as text or numbers; the index says where a row is from.
        file: where the table is from.

    Raises:
        UserError: a column is missing, or has a cell that is not a finite number where the training part had numbers.
    """
    names = [column["name"] for column in (*preprocessing["numbers"], *preprocessing["categories"])]
    require(names, table, file, "the model was trained with")
    values, missing, blocks, cells_of = [], [], [], iterate(table, names)
    for column, cells in zip(preprocessing["numbers"], cells_of, strict=False):
        numbers = parse_numbers(cells)
        empty = np.isnan(numbers)
        wrong = (empty & np.asarray(pd.notna(cells), bool)) | (np.abs(numbers) > LARGEST)
        if wrong.any():
            rule = "fix the cell or leave it empty, with the decimal sign of the table that was trained on"
            refuse(wrong, table[column["name"]], file, rule, ", where the training part has finite numbers")
        values.append((np.where(empty, column["median"], numbers) - column["mean"]) / column["sd"])
        if "missing_sd" in column:
            missing.append((empty - column["missing_mean"]) / column["missing_sd"])
    for column, cells in zip(preprocessing["categories"], cells_of, strict=True):
        codes, texts = pd.factorize(as_text(cells))
        place = place_names(texts, column["values"])[codes]
        block = np.zeros((len(table), len(column["values"]) + 1), np.float32)
        block[np.arange(len(table)), place] = 1  # other values, at −1, in the last column
        blocks.append(block if column["rare"] else block[:, :-1])
    numeric = [np.column_stack([*values, *missing]).astype(np.float32)] if values else []
    return torch.from_numpy(np.concatenate([*numeric, *blocks], 1))


def list_unseen(preprocessing: Mapping[str, Any], table: pd.DataFrame, inputs: Tensor) -> pd.Series:
    """For each row what the training part did not have, as ``ward=north; age far off``; empty text where there is none.

    These are categories, and numbers more than ``FAR`` standard deviations from the mean; ``inputs`` as :func:`apply`
    prepared them.
    """
    unseen = pd.Series("", table.index)
    for column, far in zip(preprocessing["numbers"], (inputs.abs() > FAR).numpy().T, strict=False):
        unseen.loc[far] += f"; {column['name']} far off"
    names = [column["name"] for column in preprocessing["categories"]]
    for column, cells in zip(preprocessing["categories"], iterate(table, names), strict=True):
        codes, texts = pd.factorize(as_text(cells))
        new = (place_names(texts, [*column["values"], *column["rare"]]) < 0)[codes]
        if new.any():
            unseen.loc[new] += f"; {column['name']}=" + texts[codes[new]]
    return unseen.str.removeprefix("; ")
