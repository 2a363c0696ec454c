"""Columns of a table as numbers: what scikit-learn's transformers fit, kept as plain values, and its like for new rows.

Numbers get the median where they are missing, and a column more that says so where the training part lacks some; all
are standardised. Categories become a column a value; those that are rare share one, and what is missing is a value.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from l2m.errors import UserError, shown

LARGEST = float(np.finfo(np.float32).max)

MOSTLY = 0.9
"""A column in which this share of the cells is numbers was meant to hold numbers."""

FEW = 20
"""Categories that a column may have, whatever share of the rows the rest of them make: few are meant to be joined."""

ABSENT = ""
"""The category of what is missing; no cell is empty text."""


def numbers(cells: pd.Series) -> NDArray[np.float64]:
    """Cells (N,) as numbers; NaN where there is none."""
    plain = cells.astype("str") if cells.dtype == bool else cells
    return pd.to_numeric(plain, errors="coerce").to_numpy(np.float64, na_value=np.nan)


def words(cells: pd.Series) -> NDArray[np.object_]:
    """Cells (N,) as text; ``ABSENT`` where there is none."""
    missing = cells.isna().to_numpy(bool)
    return np.where(missing, ABSENT, cells.astype("str").to_numpy(object)).astype(object)


def quoted(names: Iterable[str]) -> str:
    """``["a","b"]``: names as a list on the command line."""
    return "[" + ",".join(f'"{name}"' for name in names) + "]"


def where(cells: pd.Series, place: int) -> str:
    """``line 7``: where the cell at a place stands, as the index counts and calls it."""
    return f"{cells.index.name or 'row'} {cells.index[place]}"


def find(name: str, columns: Iterable[str], option: str, file: Path | str) -> str:
    """``name``, if it is one of the columns, which ``option`` must be.

    Raises:
        UserError: it is not; names the column that was meant.
    """
    known = list(map(str, columns))
    if name not in known:
        doubt = ", if they are" if np.isfinite(numbers(pd.Series(known, dtype="str"))).any() else ""
        raise UserError(
            f"{file} has no column {name}{guess(name, known)}: choose {option} from those it names, "
            f"{shown(', '.join(known))}{doubt}"
        )
    return name


def guess(name: str, columns: Iterable[str]) -> str:
    """`` (did you mean age?)``, or nothing if no column is like ``name``."""
    known = list(map(str, columns))
    near = get_close_matches(name, known, 1, 0.5) or [c for c in known if c.lower() == name.lower()]
    return f" (did you mean {near[0]}?)" if near else ""


def kinds(table: pd.DataFrame, categorical: Sequence[str], most: int, file: Path | str) -> tuple[list[str], list[str]]:
    """The names of columns that hold numbers, and of those that hold categories, all of ``categorical`` among them.

    A column without any value counts as numbers.

    Raises:
        UserError: a column holds numbers and a few cells of something else, numbers that are not finite in float32, or
            text that is no category: of more than ``most`` values, and in every other row a new one, or one that is
            too rare for an input of its own, if there are more than ``FEW``.
    """
    found: tuple[list[str], list[str]] = ([], [])
    texts = []
    for name in map(str, table.columns):
        cells = table[name]
        given = cells.notna().to_numpy(bool)
        values = numbers(cells)
        other = given & np.isnan(values)
        found[name in categorical or bool(other.any())].append(name)
        if name in categorical:
            continue
        if other.any():
            _refuse_typing_errors(cells, other, given, file)
            counts = cells.value_counts()
            rare = counts.iloc[max(most, FEW) - 1 :].sum()
            if len(counts) > most and max(len(counts), rare) > given.sum() / 2:
                texts.append(name)
        beyond = np.flatnonzero(np.abs(values) > LARGEST)
        if len(beyond):
            raise UserError(
                f"{file} has {name}={shown(cells.iloc[beyond[0]])} in {where(cells, int(beyond[0]))}: numbers must be "
                f"finite, of at most {LARGEST:.1e}, mend the cell or leave it empty"
            )
    if texts:
        raise UserError(
            f"{file} has a rare text in most rows of {shown(', '.join(texts))}: that is no category to learn from, "
            f"use 'dataset.ignore={quoted(texts)}' to leave it out, or dataset.categorical if it is one"
        )
    return found


def _refuse_typing_errors(
    cells: pd.Series, other: NDArray[np.bool_], given: NDArray[np.bool_], file: Path | str
) -> None:
    """Nothing, if cells that are no numbers, ``other``, are a large part of the ``given`` ones."""
    if other.sum() > (1 - MOSTLY) * given.sum():
        decimal = cells[given].astype("str").str.fullmatch(r"[+-]?\d*[.,]?\d+").mean()
        if decimal > MOSTLY:
            first = int(np.flatnonzero(other)[0])
            raise UserError(
                f"{file} has {cells.name}={cells.iloc[first]} in {where(cells, first)}, a number with a comma: use "
                "dataset.decimal=comma if it is a decimal one, take it out if it groups thousands, or name the column "
                "in dataset.categorical"
            )
        return
    first = int(np.flatnonzero(other)[0])
    value = shown(cells.iloc[first], 60)
    rest = f" and {other.sum() - 1} more cells of this kind" if other.sum() > 1 else ""
    raise UserError(
        f"{file} has {cells.name}={value} in {where(cells, first)}{rest}, beside {given.sum() - other.sum()} numbers: "
        f"mend the cell or leave it empty, use 'dataset.missing=[\"{value}\"]' if it means that the value is "
        f"missing, or 'dataset.categorical=[\"{cells.name}\"]' if the column holds categories"
    )


def fit(table: pd.DataFrame, numeric: Sequence[str], categorical: Sequence[str], most: int) -> dict[str, Any]:
    """What :func:`apply` needs, fitted on these rows: plain numbers and text, by the names of the columns.

    Args:
        most: columns at most that a categorical one becomes; its rarer values share the last.
    """
    transformer = sklearn_transformer(numeric, categorical, most).fit(cells(table, numeric, categorical))
    plain: dict[str, Any] = {"numbers": [], "categories": []}
    if numeric:
        imputer, scaler = (step for _, step in transformer.named_transformers_["numbers"].steps)
        lacking = imputer.indicator_.features_.tolist()
        for i, name in enumerate(numeric):
            column = {"name": name, "median": imputer.statistics_[i], "mean": scaler.mean_[i], "sd": scaler.scale_[i]}
            if i in lacking:
                of = len(numeric) + lacking.index(i)
                column |= {"missing_mean": scaler.mean_[of], "missing_sd": scaler.scale_[of]}
            plain["numbers"].append({key: value if key == "name" else float(value) for key, value in column.items()})
    if categorical:
        encoder = transformer.named_transformers_["categories"]
        for name, values, rare in zip(categorical, encoder.categories_, encoder.infrequent_categories_, strict=True):
            shared = [] if rare is None else [str(value) for value in rare]
            common = [str(value) for value in values if value not in shared]
            plain["categories"].append({"name": name, "values": common, "rare": shared})
    return plain


def fitting(
    train: pd.DataFrame,
    test: pd.DataFrame,
    numeric: Sequence[str],
    categorical: Sequence[str],
    most: int,
    files: tuple[Path | str, Path | str],
) -> Callable[[Tensor], tuple[Tensor, Tensor, dict[str, Any]]]:
    """What fits on some of the training rows, and makes the inputs of all rows; ``files`` are where both are from."""

    def make(index: Tensor) -> tuple[Tensor, Tensor, dict[str, Any]]:
        fitted = fit(train.iloc[index.numpy()], numeric, categorical, most)
        return apply(fitted, train, files[0]), apply(fitted, test, files[1]), fitted

    return make


def sklearn_transformer(numeric: Sequence[str], categorical: Sequence[str], most: int) -> Any:
    """scikit-learn's transformer, not fitted, of what :func:`cells` gives."""
    from sklearn.compose import ColumnTransformer
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    impute = SimpleImputer(strategy="median", add_indicator=True, keep_empty_features=True)
    encode = OneHotEncoder(handle_unknown="infrequent_if_exist", max_categories=most, sparse_output=False)
    return ColumnTransformer([
        ("numbers", make_pipeline(impute, StandardScaler()), list(numeric)),
        ("categories", encode, list(categorical)),
    ])  # fmt: skip


def cells(table: pd.DataFrame, numeric: Sequence[str], categorical: Sequence[str]) -> pd.DataFrame:
    """The table's columns as float64, or as text."""
    columns: dict[str, Any] = {name: numbers(table[name]) for name in numeric}
    return pd.DataFrame(columns | {name: words(table[name]) for name in categorical})


def apply(preprocessing: Mapping[str, Any], table: pd.DataFrame, file: Path | str = "the table") -> Tensor:
    """The inputs (N, d) float32 of rows, as those were made that the model was trained on.

    In this order: numbers, standardised; for each that the training part lacked somewhere, whether it is missing,
    standardised as well; for each categorical column one of 0 and 1 for each of its values, and for the rare ones
    together. A value that the training part did not have counts as rare, or is 0 everywhere.

    Args:
        preprocessing: what :func:`fit` gave, or the ``preprocessing`` of a run's data.
        table: has its columns, in whatever order, as text or numbers; the index says where a row is from.
        file: where the table is from.

    Raises:
        UserError: a column is not there, or has a cell that is no finite number where the training part had numbers.
    """
    for column in (*preprocessing["numbers"], *preprocessing["categories"]):
        if column["name"] not in table:
            raise UserError(
                f"{file} has no column {column['name']}{guess(column['name'], table.columns)}, which the model was "
                "trained with: put the same columns there"
            )
    values, missing, blocks = [], [], []
    for column in preprocessing["numbers"]:
        of = table[column["name"]]
        value = numbers(of)
        absent = np.isnan(value)
        wrong = np.flatnonzero((absent & of.notna().to_numpy(bool)) | (np.abs(value) > LARGEST))
        if len(wrong):
            raise UserError(
                f"{file} has {column['name']}={shown(of.iloc[wrong[0]])} in {where(of, int(wrong[0]))}, where the "
                "training part has finite numbers: mend the cell or leave it empty, with the decimal sign of the table "
                "that was trained on"
            )
        values.append((np.where(absent, column["median"], value) - column["mean"]) / column["sd"])
        if "missing_sd" in column:
            missing.append((absent - column["missing_mean"]) / column["missing_sd"])
    for column in preprocessing["categories"]:
        place = pd.Index(column["values"], dtype=object).get_indexer(pd.Index(words(table[column["name"]])))
        width = len(column["values"]) + bool(column["rare"])
        block = np.zeros((len(table), width), np.float32)
        known = place >= 0
        block[known, place[known]] = 1
        if column["rare"]:
            block[~known, -1] = 1
        blocks.append(block)
    numeric = [np.column_stack([*values, *missing]).astype(np.float32)] if values else []
    return torch.from_numpy(np.concatenate([*numeric, *blocks], 1))


def unseen(preprocessing: Mapping[str, Any], table: pd.DataFrame) -> pd.Series:
    """For each row the categories that the training part did not have, as ``ward=north``; empty text where none is."""
    told = pd.Series("", table.index)
    for column in preprocessing["categories"]:
        found = pd.Series(words(table[column["name"]]), table.index)
        new = ~found.isin([*column["values"], *column["rare"]])
        told.loc[new] += f" {column['name']}=" + found[new]
    return told.str.strip()
