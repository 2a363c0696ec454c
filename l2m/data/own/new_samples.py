"""New samples for a trained model, from a table, images or texts, with their targets and groups if these have any."""

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
from l2m.data.images import READABLE, list_files, read_image, resize_all, sort_files
from l2m.data.own import columns
from l2m.data.own.cells import as_text, clean
from l2m.data.own.csv_rows import read_rows
from l2m.data.own.description import place_names
from l2m.data.own.features import features_of_unseen
from l2m.data.own.hugging_face import READERS, read_new
from l2m.data.own.table_files import read_parquet
from l2m.data.tables import parse_numbers, read_table, refuse
from l2m.data.tokens import encode_unseen
from l2m.errors import UserError, printable, shown
from l2m.files import read

TEXTS = (".txt",)
WRITTEN = ("separator", "encoding", "header", "names", "decimal")  # options that say how a table is written
CELLS = ("missing", "numbers", "decimal", "categorical")  # options that say what its cells mean


def read_unseen(place: Path, data: Data, choice: Mapping[str, Any]) -> tuple[Tensor, pd.DataFrame]:
    """Read samples from a file or a folder.

    Args:
        data: what the model was trained on, as :meth:`l2m.data.Data.like` gives it.
        choice: the run's ``config.dataset``.

    Returns:
        Inputs (N, ...), stored as ``data.train.inputs`` are. A row for each sample (N), whose index says where it is
        from: its ``line``, ``row`` or ``file``. It has the class or value as ``actual``, missing for some rows,
        the ``group``, and as ``unseen`` the categories that the training part did not have; each only if some have it.

    Raises:
        UserError: the place is not there, holds no samples, or something that cannot be read; or the data set has no
            kind of file for new samples.
    """
    fitted = data.preprocessing
    if not place.exists():
        raise UserError(f"{place} is not there (looked for it from {Path.cwd()}): name a file or a folder that is")
    if place.suffix in READERS.keys() - {".csv", ".parquet"}:
        raise UserError(f"{place} is not a CSV or Parquet file, as new samples must be: save it as one")
    if are_images(data, choice):
        return _read_images(place, data, choice)
    if "features" in fitted or "vocabulary" in fitted:
        return _read_texts(place, data, choice)
    if "numbers" in fitted or "columns" in fitted:
        return _read_rows(place, data, choice)
    raise UserError(
        f"dataset={choice['name']} has no kind of file that new samples could be in: score them from Python, with "
        "l2m.load"
    )


def are_images(data: Data, choice: Mapping[str, Any]) -> bool:
    """Whether new samples are images in a folder; arguments as for :func:`read_unseen`."""
    fitted, shape = data.preprocessing, data.train.inputs.shape[1:]
    if "features" in fitted:
        return bool(choice.get("kind", "image") == "image")
    return "white" in fitted and shape[1] == shape[2]


def _find_files(place: Path, suffixes: Sequence[str], what: str) -> list[Path]:
    """The files of a kind in a folder and its subfolders, sorted; or the single file ``place``."""
    if place.is_file():
        if place.suffix.lower() not in suffixes:
            raise UserError(f"{place} does not end in {', '.join(suffixes)}, as {what} must: name one, or a folder")
        return [place]
    every = list_files(place)
    is_image = suffixes == READABLE
    files = sort_files(every)[0] if is_image else [file for file in every if file.suffix.lower() in suffixes]
    if not files:
        first = f", but {shown(every[0].relative_to(place), 60)}" if every else ""
        raise UserError(f"{place} holds no {what}{first}: name a folder with files that end in {', '.join(suffixes)}")
    return files


def _by_folder(place: Path, files: Sequence[Path], classes: Sequence[str]) -> pd.DataFrame:
    """The files, and the class of each that lies in a folder of that name."""
    paths = [file.relative_to(place) if file != place else Path(file.name) for file in files]
    names = set(classes)
    parts = [map(printable, path.parts[:-1]) for path in paths]
    actual = [next((part for part in each if part in names), None) for each in parts]
    rows = pd.DataFrame(index=pd.Index([path.as_posix() for path in paths], name="file"))
    return rows.assign(actual=pd.Series(actual, rows.index, dtype=object)) if any(actual) else rows


def _read_images(place: Path, data: Data, choice: Mapping[str, Any]) -> tuple[Tensor, pd.DataFrame]:
    """Images of any size, resized as the training set's were, or their features."""
    files = _find_files(place, READABLE, "images")
    rows = _by_folder(place, files, data.class_names or data.group_names)
    if fitted := data.preprocessing.get("features"):
        return features_of_unseen(choice, [partial(read_image, file) for file in files], fitted), rows
    crop = choice.get("fit", choice.get("resize")) == "crop"
    channels, side, _ = data.train.inputs.shape[1:]

    def decode(file: Path) -> Image.Image:
        image = read_image(file)
        return image.convert("L") if channels == 1 else image

    pixels = resize_all([partial(decode, file) for file in files], side, "crop" if crop else "stretch")[:, :channels]
    white = data.preprocessing["white"][0]
    if white != 255:
        pixels = np.rint(pixels * (white / 255)).astype(np.uint8)
    return torch.from_numpy(pixels), rows


def _read_texts(place: Path, data: Data, choice: Mapping[str, Any]) -> tuple[Tensor, pd.DataFrame]:
    """Texts in files of their own, or in the columns of a table."""
    fitted = data.preprocessing
    if place.is_dir() or place.suffix.lower() in TEXTS:
        files = _find_files(place, TEXTS, "text files")
        texts, rows = [_read_text(file) for file in files], _by_folder(place, files, data.class_names or ())
    else:
        if place.suffix == ".parquet" and choice["name"] == "hugging_face":
            others = (choice["label"], choice["group"])
            table = read_new(place, fitted["columns"], others, "point").fillna("")
        elif place.suffix == ".parquet":
            table = read_parquet(bytes(read(place)), place).fillna("")
        else:
            table = read_table(place, dtype=str, keep_default_na=False, encoding="utf-8").map(str.strip)
            table.index = pd.RangeIndex(1, len(table) + 1, name="row")
        if table.empty:
            raise UserError(f"{place} has no rows: put a table with some there")
        columns.check_columns(fitted["columns"], table.columns, "a column of text", place)
        texts = [" ".join(row).strip() for row in table[list(fitted["columns"])].itertuples(index=False)]
        rows = _read_targets(table, data, choice, place)
    for where, text in zip(rows.index, texts, strict=True):
        if not text:
            raise UserError(f"{place} has no text in {rows.index.name} {where}: fix or drop it")
    if "features" in fitted:
        return features_of_unseen(choice, texts, fitted["features"]), rows
    return encode_unseen(fitted, texts, data.train.inputs.shape[1]), rows


def _read_text(file: Path) -> str:
    try:
        return read(file).decode("utf-8-sig").strip()
    except UnicodeDecodeError as error:
        raise UserError(f"{file} is not UTF-8 text from byte {error.start} on: save it in UTF-8") from error


def _read_rows(place: Path, data: Data, choice: Mapping[str, Any]) -> tuple[Tensor, pd.DataFrame]:
    """The rows of a table, prepared as those that the model was trained on."""
    if place.is_dir():
        raise UserError(f"{place} is a folder, but the model takes the rows of a table: name its file")
    fitted = data.preprocessing
    names = {*fitted.get("columns", ())}
    names |= {column["name"] for column in (*fitted.get("numbers", ()), *fitted.get("categories", ()))}
    if place.suffix == ".parquet" and choice["name"] == "hugging_face":
        table = read_new(place, sorted(names), (choice["label"], choice["group"]), choice.get("decimal", "point"))
    else:
        table = read_rows(
            place, **{key: choice[key] for key in WRITTEN if key in choice}, may_be_single=len(names) == 1
        )
    if len(table.columns) != fitted.get("width", len(table.columns)):
        raise UserError(
            f"{place} has {len(table.columns)} columns, but the model knows those of its training file, which had "
            f"{fitted['width']}, by their place: put the missing ones there, empty where nothing is known"
        )
    if "columns" in fitted:  # a published table: no cell of it is missing
        fitted = {"categories": [], "numbers": [
            {"name": name, "median": mean, "mean": mean, "sd": sd}
            for name, mean, sd in zip(fitted["columns"], fitted["mean"], fitted["sd"], strict=True)
        ]}  # fmt: skip
    names |= set() if data.classes else {choice.get("target")}
    options = {key: choice[key] for key in CELLS if key in choice}
    table = clean(table, names, place, **options, signs=dict(data.preprocessing.get("signs", {})))
    inputs = columns.apply(fitted, table, place)
    for name in data.preprocessing.get("columns", ()):
        rule = f"fix or drop the row, dataset={choice['name']} has no rule for missing values"
        refuse(table[name].isna().to_numpy(bool), table[name], place, rule)
    rows, unseen = _read_targets(table, data, choice, place), columns.list_unseen(fitted, table, inputs)
    return inputs, rows.assign(unseen=unseen) if unseen.any() else rows


def _read_targets(table: pd.DataFrame, data: Data, choice: Mapping[str, Any], place: Path) -> pd.DataFrame:
    """The targets and groups of a table's rows, if it has them."""
    target = choice.get("target") or choice.get("label") or data.preprocessing.get("target_column")
    group = choice.get("group") or data.preprocessing.get("group_column")
    rows = pd.DataFrame(index=table.index)
    if target in table and (cells := table[target].replace("", None).dropna()).size:
        rows["actual"] = _read_actual(cells, data, place)
    if group in table:
        rows["group"] = table[group].replace("", None).map(printable, na_action="ignore")
    elif (edges := data.preprocessing.get("group_edges")) and "actual" in rows:
        bins = pd.Series(np.array(data.group_names, object)[np.searchsorted(edges, rows["actual"])], rows.index)
        rows["group"] = bins.where(rows["actual"].notna())
    return rows


def _read_actual(cells: pd.Series, data: Data, place: Path) -> pd.Series:
    """The names of the classes of rows, as the file has them if the model does not know them; or values."""
    if data.classes:
        codes, own = pd.factorize(as_text(cells))
        places = place_names(own, data.labels)
        names = [data.labels[i] if i >= 0 else name for i, name in zip(places, own, strict=True)]
        return pd.Series(np.array(names, object)[codes], cells.index)
    values = parse_numbers(cells)
    rule = "the model predicts numbers, fix the cell or leave it empty"
    refuse(~np.isfinite(values), cells, place, rule)
    return pd.Series(values, cells.index)
