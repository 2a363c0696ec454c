"""A data set as the library ``datasets`` reads it, from the Hugging Face hub or from here: ``dataset=hugging_face``."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from l2m.data import DATASETS, Data, Source
from l2m.data.files import read
from l2m.data.own import columns
from l2m.data.own.image_folder import Augmentation, Fit, Side, of_images
from l2m.data.own.targets import Answers, TestFraction, assembled, check_test, classified, parted
from l2m.data.paper import formats
from l2m.data.paper.formats import Images
from l2m.data.paper.text import LENGTH, encode
from l2m.data.paper.vision import squares
from l2m.errors import UserError, cause
from l2m.schema import Range

READERS = {".csv": "csv", ".json": "json", ".jsonl": "json", ".parquet": "parquet", ".arrow": "arrow"}
"""What reads a single file, by its suffix."""


@DATASETS.register("hugging_face")
def hugging_face(
    source: Source,
    *,
    path: str,
    kind: Literal["text", "image", "table"] = "text",
    task: Literal["classification"] = "classification",
    subset: str | None = None,
    train_split: str = "train",
    test_split: str | None = None,
    test_fraction: TestFraction = 0.2,
    inputs: tuple[str, ...] = (),
    label: str = "label",
    group: str | None = None,
    length: Annotated[int, Range(1, 10_000)] = LENGTH,
    resize: Side = 64,
    fit: Fit = "stretch",
    augmentation: Augmentation = "none",
    ignore: tuple[str, ...] = (),
    categorical: tuple[str, ...] = (),
    max_categories: Annotated[int, Range(2, 10_000)] = 20,
) -> Data:
    """A classification set of text, images or columns of numbers and categories; rows are counted from 0 in errors.

    Text is split by :func:`l2m.data.tokens.plain`, with a vocabulary of the rows that are trained on; images are
    treated as those of ``image_folder``, a table as that of ``csv``.

    Args:
        path: a name on the hub; or a folder or file from here that ``datasets`` can read.
        subset: of a set on the hub that has several, which ``datasets`` calls the name of a configuration.
        test_split: None is ``test`` if there is one, else ``test_fraction`` of the rows, as in ``csv``.
        inputs: columns: of text, which are joined by blanks; of images, one; of a table. None given: the only one of
            text or of images; all but the label of a table.
        group: a column. None: the label.
        ignore: columns that are no inputs, if ``inputs`` does not name those that are.
        length: tokens of a text at most; what is longer is cut.
    """
    with tempfile.TemporaryDirectory() as fresh:
        splits = _splits(path, subset, fresh)
        train = _rows(splits, train_split, path)
        has_test = test_split or ("test" if "test" in splits and train_split != "test" else None)
        test = _rows(splits, has_test, path) if has_test else None
        names = _inputs(train, kind, inputs, label, group, ignore, path)
        tables = [
            _table(each, [*names, label, *([group] if group else [])], path)
            for each in (train, test)
            if each is not None
        ]
    places = [f"{path} ({split})" for split in (train_split, has_test) if split]

    def answers(i: int, like: Answers | None = None) -> Answers:
        return classified(tables[i][label], tables[i][group] if group else None, places[i], like)

    whole = answers(0)
    if has_test:
        first, second = whole, answers(1, whole)
        rows, tested = tables
    else:
        kept, held = parted(whole, tables[0][label], test_fraction, source.data_seed, places[0])
        first, second = whole.part(kept), whole.part(held)
        rows, tested = tables[0].iloc[kept], tables[0].iloc[held]
        places *= 2
    check_test(second, places[1])
    if kind == "image":
        images = [
            _images(each[names[0]], resize, fit, place) for each, place in zip((rows, tested), places, strict=True)
        ]
        return of_images((first, images[0]), (second, images[1]), augmentation)
    if kind == "text":
        texts = [_texts(each, names, place) for each, place in zip((rows, tested), places, strict=True)]
        return assembled(first, second, partial(_tokens, texts[0], texts[1], length, names))
    for name in categorical:
        columns.find(name, names, "dataset.categorical", path)
    numeric, categories = columns.kinds(tables[0][names], categorical, max_categories, places[0])
    make = columns.fitting(rows, tested, numeric, categories, max_categories, (places[0], places[1]))
    return assembled(first, second, make)


def _splits(path: str, subset: str | None, fresh: str) -> Mapping[str, Any]:
    """The splits of what ``path`` names; files from here are read anew, by way of the folder ``fresh``."""
    import datasets

    place = Path(path).expanduser()
    here = place.suffix in READERS or path.startswith(("/", ".", "~")) or path.count("/") > 1
    if not place.exists() and (here or (path.count("/") and place.parent.exists())):
        raise UserError(f"{path} is not there (looked for it from {Path.cwd()}): name a folder or a file that is")
    if place.is_file() and place.suffix not in READERS:
        raise UserError(f"{path} is no file that can be read: use one of {', '.join(READERS)}, or a folder")
    saved = any((place / name).exists() for name in ("dataset_dict.json", "state.json"))
    if subset and (saved or place.is_file()):
        raise UserError(f"{path} is a single set and has no subsets: remove dataset.subset={subset}")
    shown_before = datasets.utils.logging.is_progress_bar_enabled()
    datasets.disable_progress_bars()
    try:
        if place.is_file():
            found = datasets.load_dataset(READERS[place.suffix], data_files=str(place.resolve()), cache_dir=fresh)
        elif saved:
            found = datasets.load_from_disk(str(place))
        elif place.is_dir():
            found = datasets.load_dataset(str(place.resolve()), subset, cache_dir=fresh)
        else:
            found = datasets.load_dataset(path, subset)
    except Exception as error:  # whatever the network, the hub or the reader of a format says
        what = "can't be read by datasets" if place.exists() else "is not here, and can't be had from the hub"
        raise UserError(
            f"{path} {what} ({cause(error)}): name a set of the hub, or a folder or file from here that datasets reads"
        ) from error
    finally:
        if shown_before:
            datasets.enable_progress_bars()
    return found if isinstance(found, Mapping) else {"train": found}


def _rows(splits: Mapping[str, Any], name: str, path: str) -> Any:
    if name not in splits:
        raise UserError(f"{path} has no split {name}: use one of {', '.join(splits)}")
    return splits[name]


def _inputs(
    rows: Any, kind: str, asked: Sequence[str], label: str, group: str | None, ignore: Sequence[str], path: str
) -> list[str]:
    """The names of the columns that inputs are made of."""
    import datasets

    found = list(rows.features)
    for option, names in (
        ("label", [label]), ("group", [group] if group else []), ("inputs", asked), ("ignore", ignore),
    ):  # fmt: skip
        for name in names:
            columns.find(name, found, f"dataset.{option}", path)
    others = list(asked) or [name for name in found if name not in (label, *ignore)]

    def suits(feature: Any) -> bool:
        if kind == "table":
            return isinstance(feature, (datasets.Value, datasets.ClassLabel))
        if kind == "image":
            return isinstance(feature, datasets.Image)
        return _kind(feature) in ("string", "large_string")

    suit = [name for name in others if suits(rows.features[name])]
    if kind != "table" and not asked and group in suit and len(suit) > 1:
        suit.remove(str(group))
    told = "a single column" if kind == "image" or (kind == "text" and not asked) else "columns"
    if label in asked or (asked and suit != others) or not suit or (told == "a single column" and len(suit) > 1):
        of = {"text": "text", "image": "images", "table": "single numbers and categories"}[kind]
        are = ", ".join(f"{name} ({_kind(rows.features[name])})" for name in found if name != label)
        raise UserError(
            f"{path} has the columns {are} beside the label {label}: name {told} of {of} with dataset.inputs, or take "
            "dataset=hugging_face for text, hugging_face_images or hugging_face_table"
        )
    return suit


def _kind(feature: Any) -> str:
    return str(getattr(feature, "dtype", None) or type(feature).__name__)


def _table(rows: Any, names: Sequence[str], path: str) -> pd.DataFrame:
    """The named columns, classes by their names, images as they are stored; text without surrounding blanks."""
    import datasets

    for name in names:
        columns.find(name, rows.features, "names as in the training split, not", path)
    rows = rows.select_columns(list(dict.fromkeys(names)))
    table = {}
    for name, feature in rows.features.items():
        if isinstance(feature, datasets.Image):
            cells = pd.Series(list(rows.cast_column(name, datasets.Image(decode=False))[name]), dtype=object)
        else:
            cells = rows.select_columns([name]).to_pandas()[name]
        if isinstance(feature, datasets.ClassLabel):
            known = cells.notna() & (cells >= 0)  # −1 is how sets on the hub say that a label is not told
            cells = cells.where(known).map(dict(enumerate(feature.names))).astype("str")
        elif not isinstance(feature, (datasets.Value, datasets.Image)):
            raise UserError(f"{path} has a {_kind(feature)} in column {name}: choose a column of single values")
        elif pd.api.types.is_string_dtype(cells) or pd.api.types.is_datetime64_any_dtype(cells):
            cells = cells.astype("str").str.strip()
            cells = cells.mask(cells == "")
        table[name] = cells
    return pd.DataFrame(table).rename_axis(index="row")


def _texts(rows: pd.DataFrame, names: Sequence[str], place: str) -> list[str]:
    empty = np.flatnonzero(rows[list(names)].isna().all(axis=1).to_numpy(bool))
    if len(empty):
        raise UserError(f"{place} has no text in {columns.where(rows[names[0]], int(empty[0]))}: mend or drop the row")
    return [" ".join(each) for each in zip(*(columns.words(rows[name]) for name in names), strict=True)]


def _tokens(
    train: list[str], test: list[str], length: int, names: list[str], index: Tensor
) -> tuple[Tensor, Tensor, dict[str, Any]]:
    """Tokens (N, L) of both parts, by the vocabulary of the training texts at ``index``; L is that of the longest."""
    encoded = encode(train, test, length, index.tolist())
    longest = max(1, *(int(np.count_nonzero(part, axis=1).max(initial=0)) for part in encoded[:2]))
    inputs = [torch.from_numpy(np.ascontiguousarray(part[:, :longest])) for part in encoded[:2]]
    return inputs[0], inputs[1], {"vocabulary": encoded.vocabulary, "columns": names}


def _images(cells: pd.Series, side: int, fit: Fit, place: str) -> Images:
    """Images (N, 3, side, side) of what is stored: the bytes of a JPEG or PNG, or where they are."""

    def opened(i: int) -> Any:
        stored, where = cells.iloc[i], f"{place}, {columns.where(cells, i)}"
        if stored is None or not (stored["bytes"] or stored["path"]):
            raise UserError(f"{where} has no image: put one there, or drop the row")
        return formats.decoded(stored["bytes"] or read(Path(stored["path"])), where)

    return squares([partial(opened, i) for i in range(len(cells))], side, fit)
