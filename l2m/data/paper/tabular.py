"""Tables with a categorical column for the groups: Wine Quality and California Housing."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
import torch

from l2m.data import DATASETS, Data, Source, Split
from l2m.data.files import read_table, write_table
from l2m.errors import UserError, cause, shown

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
FLOAT32 = np.finfo(np.float32)
REMEDY = "put the published table there"
PROXIMITIES = ("<1H OCEAN", "INLAND", "NEAR BAY", "NEAR OCEAN")


@DATASETS.register("wine_quality", revision=2)  # the first stratified by other codes: the same sizes, other wines
def wine_quality(source: Source, *, task: Literal["regression"] = "regression") -> Data:
    """Wine Quality (Cortez et al., 2009; section B.8): the quality of a wine from 11 measurements.

    Groups: white, red. Halves for training and testing, stratified by the names of the types, in whose order the
    split draws: so are the authors' halves, sample by sample. The tables come from UCI, where
    they are kept as two files; OpenML's copies number the quality anew or lack the type.
    """
    tables, files = [], []
    for group, kind in enumerate(("white", "red")):
        file = source.folder / "wine_quality" / f"winequality-{kind}.csv"
        table = _table(file, partial(_semicolons, WINE_URL + file.name), ";")
        tables.append(_numbers(table, (*WINE_FEATURES, "quality"), file).assign(group=group))
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
    frame = _table(
        file, lambda: fetch_openml(data_id=HOUSING_OPENML, as_frame=True, parser="auto", n_retries=1).frame, ","
    )
    frame = _numbers(frame, (*HOUSING_FEATURES, "median_house_value"), file, missing=True)
    if "ocean_proximity" not in frame:
        raise UserError(f"{file} has no column ocean_proximity: put Géron's housing.csv there, which has it")
    given = frame["ocean_proximity"].dropna()
    strange = given[~given.isin([*PROXIMITIES, "ISLAND"])]
    if len(strange):
        raise UserError(
            f"{file} has ocean_proximity={shown(strange.iloc[0])} in line {strange.index[0] + 2}: it must be ISLAND or "
            f"{', '.join(PROXIMITIES)}, mend or drop the line"
        )
    frame = frame.dropna(subset=[*HOUSING_FEATURES, "median_house_value", "ocean_proximity"])
    frame = frame[frame["ocean_proximity"] != "ISLAND"]
    frame = frame.assign(group=frame["ocean_proximity"].map(PROXIMITIES.index).astype(int))
    train, test = _halves(frame, PROXIMITIES, (file,) * len(PROXIMITIES), source, stratify=False)
    return _regression(train, test, HOUSING_FEATURES, "median_house_value", 100_000.0, PROXIMITIES, "ocean_proximity")


def _semicolons(url: str) -> pd.DataFrame:
    return pd.read_csv(url, sep=";")


def _table(file: Path, download: Callable[[], pd.DataFrame], separator: str) -> pd.DataFrame:
    """The table in ``file``, downloaded into it where it is not there."""
    if not file.exists():
        _download(file, download, separator)
    return read_table(file, sep=separator, skip_blank_lines=False)  # so that line numbers are true


def _download(file: Path, download: Callable[[], pd.DataFrame], separator: str) -> None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # scikit-learn warns of every retry
            table = download()
    except Exception as error:  # whatever the network, the server or the parser says
        raise UserError(
            f"{file} is not there: put it there, or name the folder that holds it with data_dir= (the download failed: "
            f"{cause(error)})"
        ) from error
    write_table(table, file, separator)


def _numbers(table: pd.DataFrame, columns: tuple[str, ...], file: Path, missing: bool = False) -> pd.DataFrame:
    """The table with these columns as float64.

    Raises:
        UserError: it lacks one, or one holds something else than numbers, finite in float32, or nothing if that may be.
    """
    absent = [column for column in columns if column not in table]
    if absent:
        raise UserError(f"{file} has no column {absent[0]}: it must have {', '.join(columns)}, {REMEDY}")
    numbers = {}
    for column in columns:
        empty = table[column].isna().to_numpy()
        cells = table[column].astype(str) if table[column].dtype == bool else table[column]
        numbers[column] = pd.to_numeric(cells, errors="coerce").to_numpy(float)
        wrong = np.flatnonzero(~(np.abs(numbers[column]) <= FLOAT32.max) & ~(empty & missing))
        if len(wrong):
            value = "nothing" if empty[wrong[0]] else shown(table[column].iloc[wrong[0]])
            raise UserError(
                f"{file} has {column}={value} in line {wrong[0] + 2}: it must be a finite number of at most "
                f"{FLOAT32.max:.1e}, mend or drop the line"
            )
    return table.assign(**numbers)


def _halves(
    frame: pd.DataFrame, names: tuple[str, ...], files: Sequence[Path], source: Source, stratify: bool
) -> list[pd.DataFrame]:
    """Training and test half, each of which holds every group; ``files`` are where each group comes from."""
    from sklearn.model_selection import train_test_split

    for group, (name, file) in enumerate(zip(names, files, strict=True)):
        if (rows := (frame["group"] == group).sum()) < 2:
            raise UserError(
                f"{file} has {rows} whole rows of group {group} ({name}): it must have two at least, {REMEDY}"
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
