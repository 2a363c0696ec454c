"""New samples, as a trained model takes them: a table, a folder of images, or texts, with what is known of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from PIL import Image
from torch import Tensor

from l2m.data import Data
from l2m.data.files import read, read_table
from l2m.data.own import columns
from l2m.data.own.csv_rows import read_rows
from l2m.data.own.hugging_face import READERS
from l2m.data.own.image_folder import OTHERS, READ
from l2m.data.own.targets import Answers, classified
from l2m.data.paper import formats, text
from l2m.errors import UserError, shown

TEXTS = (".txt",)


def read_unseen(place: Path, data: Data, choice: Mapping[str, Any]) -> tuple[Tensor, pd.DataFrame]:
    """Samples in a file or a folder, and what is known of each.

    Args:
        data: what the model was trained on, as :meth:`l2m.data.Data.like` gives it.
        choice: the run's ``config.dataset``.

    Returns:
        Inputs (N, ...) at rest, as ``data.train.inputs`` are. A row of each (N), whose index says where it is from: its
        ``line``, ``row`` or ``file``. Where they are told, it has its class or value as ``actual``, missing where it
        is not, and its ``group``; where a row has categories that the training part did not have, ``unseen``.

    Raises:
        UserError: the place is not there, holds nothing to be scored, or something that can't be read; or there is no
            kind of file for the data set.
    """
    fitted, shape = data.preprocessing, data.train.inputs.shape[1:]
    if not place.exists():
        raise UserError(f"{place} is not there (looked for it from {Path.cwd()}): name a file or a folder that is")
    if place.suffix in READERS.keys() - {".csv"}:
        raise UserError(f"{place} is no CSV file, as new samples are to be: write it as one")
    if "white" in fitted and shape[1] == shape[2]:
        return _images(place, data, choice.get("fit", choice.get("resize")) == "crop")
    if "vocabulary" in fitted:
        return _texts(place, data, choice)
    if "numbers" in fitted or "columns" in fitted:
        return _table(place, data, choice)
    raise UserError(
        f"dataset={choice['name']} has no kind of file that new samples could be in: score them from Python, with "
        "l2m.load"
    )


def _files(place: Path, suffixes: Sequence[str], what: str) -> list[Path]:
    """The files of a kind in a folder and in those in it, sorted; or the one file that is named.

    Other files are passed over, but for images that can't be read.
    """
    if place.is_file():
        if place.suffix.lower() not in suffixes:
            raise UserError(f"{place} is no {what}, which the model takes: name one, or a folder of them")
        return [place]
    every = sorted(file for file in place.rglob("*") if file.is_file() and not file.name.startswith("."))
    files = [file for file in every if file.suffix.lower() in suffixes]
    other = next((file for file in every if file.suffix.lower() in OTHERS), None)
    if suffixes == READ and other:
        raise UserError(f"{other} is no JPEG or PNG: put it there as one of them, or remove it")
    if not files:
        first = f", but {shown(every[0].relative_to(place), 60)}" if every else ""
        raise UserError(f"{place} holds no {what}{first}: name a folder with files that end in {', '.join(suffixes)}")
    return files


def _by_folder(place: Path, files: Sequence[Path], classes: Sequence[str]) -> pd.DataFrame:
    """The files, and the class of each that lies in a folder of that name."""
    within = [file.relative_to(place) if file != place else Path(file.name) for file in files]
    known = set(classes)
    actual = [next((part for part in each.parts[:-1] if part in known), None) for each in within]
    told = pd.DataFrame(index=pd.Index([each.as_posix() for each in within], name="file"))
    return told.assign(actual=pd.Series(actual, told.index, dtype=object)) if any(actual) else told


def _images(place: Path, data: Data, crop: bool) -> tuple[Tensor, pd.DataFrame]:
    """Images of any size, brought to that of the model as the training set's were."""
    from l2m.data.paper.vision import squares

    files = _files(place, READ, "JPEG or PNG")
    channels, side, _ = data.train.inputs.shape[1:]

    def opened(file: Path) -> Image.Image:
        image = formats.image(file)
        return image.convert("L") if channels == 1 else image

    pixels = squares([partial(opened, file) for file in files], side, "crop" if crop else "stretch")[:, :channels]
    white = data.preprocessing["white"][0]
    if white != 255:
        pixels = np.rint(pixels * (white / 255)).astype(np.uint8)
    return torch.from_numpy(pixels), _by_folder(place, files, data.class_names or data.group_names)


def _texts(place: Path, data: Data, choice: Mapping[str, Any]) -> tuple[Tensor, pd.DataFrame]:
    """Texts in files of their own, or in the columns of a table."""
    fitted = data.preprocessing
    if place.is_dir() or place.suffix.lower() in TEXTS:
        files = _files(place, TEXTS, "text files")
        texts, told = [_decoded(file) for file in files], _by_folder(place, files, data.class_names or ())
    else:
        table = read_table(place, dtype=str, keep_default_na=False, encoding="utf-8")
        table.index = pd.RangeIndex(1, len(table) + 1, name="row")
        table = table.map(str.strip)
        parts = [table[columns.find(name, table.columns, "a column of text", place)] for name in fitted["columns"]]
        texts, told = [" ".join(each).strip() for each in zip(*parts, strict=True)], _known(table, data, choice, place)
    for where, each in zip(told.index, texts, strict=True):
        if not each:
            raise UserError(f"{place} has no text in {told.index.name} {where}: mend or drop it")
    return text.apply(fitted, texts, data.train.inputs.shape[1]), told


def _decoded(file: Path) -> str:
    try:
        return read(file).decode("utf-8-sig").strip()
    except UnicodeDecodeError as error:
        raise UserError(f"{file} is no UTF-8 text from byte {error.start} on: put it there in UTF-8") from error


def _table(place: Path, data: Data, choice: Mapping[str, Any]) -> tuple[Tensor, pd.DataFrame]:
    """The rows of a table, prepared as those were that the model was trained on."""
    if place.is_dir():
        raise UserError(f"{place} is a folder, and the model takes the rows of a table: name a CSV file")
    rows = read_rows(place, *(choice.get(key, other) for key, other in WRITTEN.items()))
    fitted = data.preprocessing
    if "columns" in fitted:  # a published table: no cell of it is missing
        fitted = {"categories": [], "numbers": [
            {"name": name, "median": mean, "mean": mean, "sd": sd}
            for name, mean, sd in zip(fitted["columns"], fitted["mean"], fitted["sd"], strict=True)
        ]}  # fmt: skip
    inputs = columns.apply(fitted, rows, place)
    for name in data.preprocessing.get("columns", ()):
        absent = np.flatnonzero(rows[name].isna())
        if len(absent):
            raise UserError(
                f"{place} has no {name} in {columns.where(rows[name], int(absent[0]))}: mend or drop the row, "
                f"dataset={choice['name']} has no rule for what is missing"
            )
    told, unseen = _known(rows, data, choice, place), columns.unseen(fitted, rows)
    return inputs, told.assign(unseen=unseen) if unseen.any() else told


WRITTEN: dict[str, Any] = {"separator": "auto", "decimal": "point", "missing": ()}
"""How a table is written, where the data set has no such options."""


def _known(rows: pd.DataFrame, data: Data, choice: Mapping[str, Any], place: Path) -> pd.DataFrame:
    """What a table's columns tell of its rows beside the inputs: target and group, where it has them."""
    target = choice.get("target") or choice.get("label") or data.preprocessing.get("target_column")
    group = choice.get("group") or data.preprocessing.get("group_column")
    told = pd.DataFrame(index=rows.index)
    if target in rows and (given := rows[target].replace("", None).dropna()).size:
        told["actual"] = _labels(given, data, place) if data.classes else _values(given, place)
    if group in rows:
        told["group"] = rows[group].replace("", None)
    elif (edges := data.preprocessing.get("group_edges")) and "actual" in told:
        bins = pd.Series(np.array(data.group_names, object)[np.searchsorted(edges, told["actual"])], told.index)
        told["group"] = bins.where(told["actual"].notna())
    return told


def _labels(given: pd.Series, data: Data, place: Path) -> pd.Series:
    """The names of the classes of labelled rows."""
    nothing = np.zeros(0, np.int64)
    codes = classified(given, None, place, Answers(nothing, nothing, data.labels, data.labels)).targets
    return pd.Series(np.array(data.labels, object)[codes], given.index)


def _values(given: pd.Series, place: Path) -> pd.Series:
    """The values of rows where they are told."""
    values = columns.numbers(given)
    wrong = np.flatnonzero(~np.isfinite(values))
    if len(wrong):
        raise UserError(
            f"{place} has {given.name}={shown(given.iloc[wrong[0]])} in {columns.where(given, int(wrong[0]))}: the "
            "model predicts numbers, mend the cell or leave it empty"
        )
    return pd.Series(values, given.index)
