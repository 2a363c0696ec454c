"""The paper's tables, with a categorical column for the groups: Wine Quality and California Housing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import torch

from l2m.data import DATASETS, Data, Source, Split
from l2m.data.download import downloading
from l2m.data.tables import LARGEST, parse_numbers, read_table, write_table
from l2m.errors import UserError, shown

WINE_URL = "https://archive.ics.uci.edu/ml/machine-learning-databases/wine-quality/"
WINE_FEATURES = (
    "fixed acidity", "volatile acidity", "citric acid", "residual sugar", "chlorides", "free sulfur dioxide",
    "total sulfur dioxide", "density", "pH", "sulphates", "alcohol",
)  # fmt: skip
HOUSING_OPENML = 43939
"""California Housing as in Géron's book, with ocean_proximity."""
HOUSING_FEATURES = (
    "longitude", "latitude", "housing_median_age", "total_rooms", "total_bedrooms", "population", "households",
    "median_income",
)  # fmt: skip
REMEDY = "put the published table there"
PROXIMITIES = ("<1H OCEAN", "INLAND", "NEAR BAY", "NEAR OCEAN")


@DATASETS.register("wine_quality", revision=2)  # the first stratified by other codes: the same sizes, other wines
def wine_quality(source: Source, *, task: Literal["regression"] = "regression") -> Data:
    """Wine Quality (Cortez et al., 2009; section B.8): the quality of a wine from 11 measurements.

    Groups: white, red. Halves for training and testing, stratified by the names of the types, whose order decides the
    draws: the authors' halves are the same, sample by sample. The tables come from UCI, where they are two files;
    OpenML's copies have other quality numbers or lack the type.
    """
    tables, files = [], []
    for group, kind in enumerate(("white", "red")):
        file = source.folder / "wine_quality" / f"winequality-{kind}.csv"
        table = _read(file, partial(pd.read_csv, WINE_URL + file.name, sep=";"), ";")
        tables.append(_convert(table, (*WINE_FEATURES, "quality"), file).assign(group=group))
        files.append(file)
    frame = pd.concat(tables, ignore_index=True)
    train, test = _halves(frame, ("white", "red"), files, source, stratify=True)
    return _regression(train, test, WINE_FEATURES, "quality", 1.0, ("white", "red"))


@DATASETS.register("california_housing")
def california_housing(source: Source, *, task: Literal["regression"] = "regression") -> Data:
    """California Housing with ``ocean_proximity`` (Géron, 2022; section B.9): house values, in 100 000 $.

    Groups: <1H OCEAN, INLAND, NEAR BAY, NEAR OCEAN. Rows with missing values are dropped, then the five of
    ISLAND; halves for training and testing.
    """
    from sklearn.datasets import fetch_openml

    file = source.folder / "california_housing" / "housing.csv"
    frame = _read(
        file, lambda: fetch_openml(data_id=HOUSING_OPENML, as_frame=True, parser="auto", n_retries=1).frame, ","
    )
    frame = _convert(frame, (*HOUSING_FEATURES, "median_house_value"), file, missing=True)
    if "ocean_proximity" not in frame:
        raise UserError(f"{file} has no column ocean_proximity: put Géron's housing.csv there, which has it")
    places = frame["ocean_proximity"].dropna()
    wrong = places[~places.isin([*PROXIMITIES, "ISLAND"])]
    if len(wrong):
        raise UserError(
            f"{file} has ocean_proximity={shown(wrong.iloc[0])} in line {wrong.index[0] + 2}: it must be ISLAND or "
            f"{', '.join(PROXIMITIES)}, fix or drop the line"
        )
    frame = frame.dropna(subset=[*HOUSING_FEATURES, "median_house_value", "ocean_proximity"])
    frame = frame[frame["ocean_proximity"] != "ISLAND"]
    frame = frame.assign(group=frame["ocean_proximity"].map(PROXIMITIES.index).astype(int))
    train, test = _halves(frame, PROXIMITIES, (file,) * len(PROXIMITIES), source, stratify=False)
    return _regression(train, test, HOUSING_FEATURES, "median_house_value", 100_000.0, PROXIMITIES, "ocean_proximity")


def _read(file: Path, download: Callable[[], Any], separator: str) -> pd.DataFrame:
    """The table in ``file``, downloaded into it if missing."""
    if not file.exists():
        with downloading(f"{file} is not there: put it there"):
            write_table(download(), file, separator)
    return read_table(file, sep=separator, skip_blank_lines=False)  # so that line numbers are true


def _convert(table: pd.DataFrame, columns: tuple[str, ...], file: Path, missing: bool = False) -> pd.DataFrame:
    """The table with these columns as float64, finite in float32, or NaN if values may be ``missing``."""
    absent = [column for column in columns if column not in table]
    if absent:
        raise UserError(f"{file} has no column {absent[0]}: it must have {', '.join(columns)}, {REMEDY}")
    numbers = {}
    for column in columns:
        empty = table[column].isna().to_numpy()
        numbers[column] = parse_numbers(table[column])
        wrong = np.flatnonzero(~(np.abs(numbers[column]) <= LARGEST) & ~(empty & missing))
        if len(wrong):
            value = "nothing" if empty[wrong[0]] else shown(table[column].iloc[wrong[0]])
            raise UserError(
                f"{file} has {column}={value} in line {wrong[0] + 2}: it must be a finite number of at most "
                f"{LARGEST:.1e}, fix or drop the line"
            )
    return table.assign(**numbers)


def _halves(
    frame: pd.DataFrame, names: tuple[str, ...], files: Sequence[Path], source: Source, stratify: bool
) -> list[pd.DataFrame]:
    """Training and test half, each with every group; ``files`` are the sources of the groups."""
    from sklearn.model_selection import train_test_split

    for group, (name, file) in enumerate(zip(names, files, strict=True)):
        if (rows := (frame["group"] == group).sum()) < 2:
            raise UserError(
                f"{file} has {rows} whole rows of group {group} ({name}): it must have at least two, {REMEDY}"
            )
    strata = np.array(names)[frame["group"]] if stratify else None
    halves: list[pd.DataFrame] = train_test_split(frame, test_size=0.5, random_state=source.data_seed, stratify=strata)
    for part, half in zip(("training", "test"), halves, strict=True):
        if missing := set(range(len(names))) - set(half["group"]):
            group = min(missing)
            raise UserError(
                f"{files[group]} leaves group {group} ({names[group]}) without rows in the {part} half: every half "
                f"needs some, {REMEDY} or use another data_seed"
            )
    return halves


def _regression(
    train: pd.DataFrame,
    test: pd.DataFrame,
    features: tuple[str, ...],
    target: str,
    unit: float,
    names: tuple[str, ...],
    group: str | None = None,
) -> Data:
    """Standardised features; the scaler is fitted on the training half, before any recipe."""
    from sklearn.preprocessing import StandardScaler

    scaler = StandardScaler().fit(train[list(features)].to_numpy(float))

    def split(frame: pd.DataFrame) -> Split:
        return Split(
            torch.from_numpy(scaler.transform(frame[list(features)].to_numpy(float))).float(),
            torch.from_numpy(frame[[target]].to_numpy(float) / unit).float(),
            torch.tensor(frame["group"].to_numpy(np.int64)),
        )

    preprocessing = {
        "columns": features, "mean": scaler.mean_.tolist(), "sd": scaler.scale_.tolist(),
        "target_column": target, "target_unit": [unit], "group_column": group,
    }  # fmt: skip
    return Data(split(train), split(test), names, classes=None, preprocessing=preprocessing)
