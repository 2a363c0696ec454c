"""The paper's tables, with a categorical column for the groups: Wine Quality and California Housing."""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import torch

from l2m.data import DATASETS, Data, Source, Split
from l2m.data.download import downloading
from l2m.data.tables import LARGEST, parse_numbers, read_table, refuse, write_table
from l2m.errors import UserError

WINE_URL = "https://archive.ics.uci.edu/ml/machine-learning-databases/wine-quality/"
WINE_FEATURES = (
    "fixed acidity", "volatile acidity", "citric acid", "residual sugar", "chlorides", "free sulfur dioxide",
    "total sulfur dioxide", "density", "pH", "sulphates", "alcohol",
)  # fmt: skip
HOUSING_OPENML = 43939  # California Housing as in Géron's book, with ocean_proximity
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
    tables = []
    files = {kind: source.folder / "wine_quality" / f"winequality-{kind}.csv" for kind in ("white", "red")}
    for kind, file in files.items():
        table = _read(file, partial(pd.read_csv, WINE_URL + file.name, sep=";"), ";")
        tables.append(_convert(table, (*WINE_FEATURES, "quality"), file).assign(type=kind))
    frame = pd.concat(tables, ignore_index=True)
    types = frame["type"].rename(None)  # not a column of the files
    return _halves(source, frame, types, files, WINE_FEATURES, "quality", 1.0, stratify=True)


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
    rule = f"it must be ISLAND or {', '.join(PROXIMITIES)}, fix or drop the line"
    refuse(~places.isin([*PROXIMITIES, "ISLAND"]).to_numpy(), places, file, rule)
    frame = frame.dropna(subset=[*HOUSING_FEATURES, "median_house_value", "ocean_proximity"])
    frame = frame[frame["ocean_proximity"] != "ISLAND"]
    files, groups = dict.fromkeys(PROXIMITIES, file), frame["ocean_proximity"]
    return _halves(source, frame, groups, files, HOUSING_FEATURES, "median_house_value", 100_000.0)


def _read(file: Path, download: Callable[[], Any], separator: str) -> pd.DataFrame:
    """The table in ``file``, downloaded into it if missing."""
    if not file.exists():
        with downloading(f"{file} is not there: put it there"):
            write_table(download(), file, separator)
    table = read_table(file, sep=separator, skip_blank_lines=False)  # so that line numbers are true
    return table.set_index(pd.RangeIndex(2, len(table) + 2, name="line"))


def _convert(table: pd.DataFrame, columns: tuple[str, ...], file: Path, missing: bool = False) -> pd.DataFrame:
    """The table with these columns as float64, finite in float32, or NaN if values may be ``missing``."""
    absent = [column for column in columns if column not in table]
    if absent:
        raise UserError(f"{file} has no column {absent[0]}: it must have {', '.join(columns)}, {REMEDY}")
    numbers, rule = {}, f"it must be a finite number of at most {LARGEST:.1e}, fix or drop the line"
    for column in columns:
        empty = table[column].isna().to_numpy()
        numbers[column] = parse_numbers(table[column])
        refuse(~(np.abs(numbers[column]) <= LARGEST) & ~(empty & missing), table[column], file, rule)
    return table.assign(**numbers)


def _halves(
    source: Source,
    frame: pd.DataFrame,
    groups: pd.Series,
    files: Mapping[str, Path],
    features: tuple[str, ...],
    target: str,
    unit: float,
    stratify: bool = False,
) -> Data:
    """Training and test half of a table, each with every group; ``files`` are where each group is from, by name.

    Features are standardised by the training half, before any recipe.
    """
    from sklearn.model_selection import train_test_split
    from sklearn.preprocessing import StandardScaler

    names = tuple(files)
    for group, name in enumerate(names):
        if (rows := (groups == name).sum()) < 2:
            raise UserError(
                f"{files[name]} has {rows} whole rows of group {group} ({name}): it must have at least two, {REMEDY}"
            )
    strata = groups.to_numpy(str) if stratify else None
    halves = train_test_split(frame, groups, test_size=0.5, random_state=source.data_seed, stratify=strata)
    for part, half in zip(("training", "test"), halves[2:], strict=True):
        if missing := [name for name in names if name not in set(half)]:
            raise UserError(
                f"{files[missing[0]]} leaves group {names.index(missing[0])} ({missing[0]}) without rows in the {part} "
                f"half: every half needs some, {REMEDY} or use another data_seed"
            )
    inputs = [half[list(features)].to_numpy(float) for half in halves[:2]]
    scaler = StandardScaler().fit(inputs[0])
    train, test = (
        Split(
            torch.from_numpy(scaler.transform(inputs[i])).float(),
            torch.from_numpy(halves[i][[target]].to_numpy(float) / unit).float(),
            torch.from_numpy(pd.Index(names).get_indexer(halves[i + 2])),
        )
        for i in range(2)
    )
    preprocessing = {
        "columns": features, "mean": scaler.mean_.tolist(), "sd": scaler.scale_.tolist(),
        "target_column": target, "target_unit": [unit], "group_column": groups.name,
    }  # fmt: skip
    return Data(train, test, names, classes=None, preprocessing=preprocessing)
