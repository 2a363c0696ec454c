"""Data that the library ``datasets`` reads, from the Hugging Face hub or this machine: ``dataset=hugging_face``."""

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from l2m.data import DATASETS, Data, Source
from l2m.data.images import Fit, decode_image
from l2m.data.own import columns
from l2m.data.own.cells import Decimal, as_text, clean
from l2m.data.own.encoders import load_encoder
from l2m.data.own.features import assemble_features, check_options
from l2m.data.own.image_folder import Augmentation, Side, assemble_images, part_of
from l2m.data.own.storage import Storage, store_images
from l2m.data.own.table_files import typed_as_text
from l2m.data.own.targets import Fields, Make, Part, TestFraction, assemble, assemble_table, join, read_part, split_rows
from l2m.data.tables import locate, refuse
from l2m.data.tokens import LENGTH, PAD, UNKNOWN, encode
from l2m.errors import UserError, cause
from l2m.files import read
from l2m.schema import Range

READERS = {".csv": "csv", ".json": "json", ".jsonl": "json", ".parquet": "parquet", ".arrow": "arrow"}
"""Names in ``datasets`` of the readers of single files, by suffix."""


@DATASETS.register("hugging_face", revision=3)  # the first ignored a split, the second saw the test texts' length
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
    storage: Storage = "memory",
    features: str | None = None,
    weights: str | None = None,
    ignore: tuple[str, ...] = (),
    categorical: tuple[str, ...] = (),
    max_categories: Annotated[int, Range(2, 10_000)] = 20,
    missing: tuple[str, ...] = (),
    numbers: tuple[str, ...] = (),
    decimal: Decimal = "point",
) -> Data:
    """A classification set of text, images or columns of numbers and categories; rows are counted from 0 in errors.

    Text is split by :func:`l2m.data.tokens.plain`, with a vocabulary of the rows that are trained on; images are
    treated as those of ``image_folder``, a table as that of ``csv``.
    The test split is ``test``; without one ``validation``, whatever its name; without both a part of the rows, as in
    ``csv``. With ``test``, ``validation`` is held out as in ``image_folder``. Several columns of text are joined by
    blanks. ``datasets`` calls a ``subset`` the name of a configuration. ``conf/dataset/hugging_face.yaml`` describes
    all options.
    """
    idle = {"kind": kind} if kind == "table" else {}
    check_options(features, weights, resize=resize, augmentation=augmentation, **idle)
    with tempfile.TemporaryDirectory() as fresh:
        splits = _read_splits(path, subset, fresh)
        held_split = None
        if test_split is None:
            others = [name for name in splits if part_of(name) in ("test", "held out") and name != train_split]
            kinds = {part_of(name): name for name in others}
            if len(kinds) < len(others):
                raise UserError(
                    f"{path} has the splits {' and '.join(others)}, of which two are the same part: name the one to "
                    "test on with dataset.test_split"
                )
            test_split = kinds.get("test") or kinds.get("held out")
            held_split = kinds.get("held out") if "test" in kinds else None
        if test_split == train_split:
            raise UserError(f"dataset.test_split={test_split} is the split that is trained on: name another")
        used = [split for split in (train_split, held_split, test_split) if split]
        for split in used:
            if split not in splits:
                raise UserError(f"{path} has no split {split}: use one of {', '.join(splits)}")
        names = _choose_inputs(splits[train_split], kind, inputs, label, group, ignore, path)
        needed = [*names, label, *([group] if group else [])]
        ignored = [name for name in splits[train_split].features if name not in needed]
        columns.check_columns(numbers, names if kind == "table" else [], "dataset.numbers", path)

        signs = dict[str, str]()

        def read_split(split: str, like: Part | None = None) -> Part:
            table, place = _read_table(splits[split], needed, path, decimal), f"{path} ({split})"
            meaning: Any = {"missing": missing, "numbers": numbers, "decimal": decimal, "categorical": categorical}
            rows = clean(table, names, place, **meaning, signs=signs) if kind == "table" else table
            return read_part(rows, place, label, group, like=like)

        whole = read_split(train_split)
        further = {split: read_split(split, whole) for split in used[1:]}
    held = further.get(held_split or "")
    counts = {train_split: len(whole.groups), **{split: len(part.groups) for split, part in further.items()}}
    described: dict[str, Any] = {"parts": counts}
    trained, tested = join(whole, held) if held else whole, further.get(test_split or "")
    divide = partial(split_rows, fraction=test_fraction, data_seed=source.data_seed)
    if kind == "table":
        data = assemble_table(
            trained, tested, divide, names, categorical, max_categories, decimal, ignored, {"signs": signs}
        )
    else:
        parts = train, test = divide(trained, tested)
        if kind == "text" and not features:
            texts = [_read_texts(part.rows, names, part.place) for part in parts]
            data = _assemble_texts(train, test, partial(_tokens, texts[0], texts[1], length, names))
        else:
            samples = [sample for part in parts for sample in _samples(part, names, kind)]
            if features:
                encoder = load_encoder(kind, features, weights, fit, length)
                data = assemble_features(train, test, encoder, samples, storage, source.folder, columns=names)
            else:
                stored = store_images(samples, len(train.groups), resize, fit, storage, source.folder)
                data = assemble_images(train, test, stored, augmentation)
    description = {**(data.description or {}), **described}
    return replace(data, held_rows=counts.get(held_split or "", 0), description=description)


def _assemble_texts(train: Part, test: Part, make: Make, index: Tensor | None = None) -> Data:
    """The data set, described by its vocabulary's size, the share of the test part that it lacks, and of padding."""
    data = assemble(train, test, make, index=index)
    trained, tested = data.train.inputs, data.test.inputs
    tokens, every = torch.count_nonzero(tested != PAD).item(), trained.numel() + tested.numel()
    padded = 1 - (torch.count_nonzero(trained != PAD).item() + tokens) / every
    unknown = torch.count_nonzero(tested == UNKNOWN).item() / max(tokens, 1)
    words = f"{data.vocabulary_size} known, {unknown:.1%} of the test part's unknown, {padded:.1%} padding"
    description = {**(data.description or {}), "words": words}
    return replace(data, description=description, refit=partial(_assemble_texts, train, test, make))


def _read_splits(path: str, subset: str | None, fresh: str) -> Mapping[str, Any]:
    """The splits of the set ``path``; files on this machine are read anew, by way of the folder ``fresh``."""
    import datasets

    place = Path(path).expanduser()
    here = place.suffix in READERS or path.startswith(("/", ".", "~")) or path.count("/") > 1
    if not place.exists() and (here or (path.count("/") and place.parent.exists())):
        raise UserError(f"{path} is not there (looked for it from {Path.cwd()}): name a folder or a file that is")
    if place.is_file() and place.suffix not in READERS:
        raise UserError(f"{path} is not a file that can be read: use one of {', '.join(READERS)}, or a folder")
    saved = any((place / name).exists() for name in ("dataset_dict.json", "state.json"))
    if subset and (saved or place.is_file()):
        raise UserError(f"{path} is a single set and has no subsets: remove dataset.subset={subset}")
    shows_progress = datasets.utils.logging.is_progress_bar_enabled()
    datasets.disable_progress_bars()
    try:
        if place.is_file():
            splits = datasets.load_dataset(READERS[place.suffix], data_files=str(place.resolve()), cache_dir=fresh)
        elif saved:
            splits = datasets.load_from_disk(str(place))
        elif place.is_dir():
            splits = datasets.load_dataset(str(place.resolve()), subset, cache_dir=fresh)
        else:
            splits = datasets.load_dataset(path, subset)
    except Exception as error:  # whatever the network, the hub or the reader of a format says
        what = "cannot be read by datasets" if place.exists() else "is not here, and cannot be downloaded from the hub"
        raise UserError(
            f"{path} {what} ({cause(error)}): name a set of the hub, or a folder or file here that datasets can read"
        ) from error
    finally:
        if shows_progress:
            datasets.enable_progress_bars()
    return splits if isinstance(splits, Mapping) else {"train": splits}


def _choose_inputs(
    rows: Any, kind: str, asked: Sequence[str], label: str, group: str | None, ignore: Sequence[str], path: str
) -> list[str]:
    """The names of the columns to make inputs from."""
    import datasets

    features = list(rows.features)
    for option, names in (
        ("label", [label]), ("group", [group] if group else []), ("inputs", asked), ("ignore", ignore),
    ):  # fmt: skip
        columns.check_columns(names, features, f"dataset.{option}", path)
    candidates = list(asked) or [name for name in features if name not in (label, *ignore)]
    if kind == "text":
        suitable = [name for name in candidates if _kind(rows.features[name]) in ("string", "large_string")]
    else:
        types = (datasets.Value, datasets.ClassLabel) if kind == "table" else datasets.Image
        suitable = [name for name in candidates if isinstance(rows.features[name], types)]
    if kind != "table" and not asked and group in suitable and len(suitable) > 1:
        suitable.remove(str(group))
    single = kind == "image" or (kind == "text" and not asked)
    if label in asked or (asked and suitable != candidates) or not suitable or (single and len(suitable) > 1):
        of = {"text": "text", "image": "images", "table": "single numbers and categories"}[kind]
        are = ", ".join(f"{name} ({_kind(rows.features[name])})" for name in features if name != label)
        raise UserError(
            f"{path} has the columns {are} beside the label {label}: name {'a single column' if single else 'columns'} "
            f"of {of} with dataset.inputs, or use dataset=hugging_face for text, hugging_face_images or "
            "hugging_face_table"
        )
    return suitable


def _kind(feature: Any) -> str:
    return str(getattr(feature, "dtype", None) or type(feature).__name__)


def read_new(file: Path, needed: Sequence[str], others: Sequence[str | None], decimal: Decimal) -> pd.DataFrame:
    """The columns ``needed`` of a Parquet file, and those of ``others`` that it has, as they are trained on."""
    with tempfile.TemporaryDirectory() as fresh:
        rows = _read_splits(str(file), None, fresh)["train"]
        return _read_table(
            rows, [*needed, *(name for name in others if name and name in rows.features)], str(file), decimal
        )


def _read_table(rows: Any, names: Sequence[str], path: str, decimal: Decimal) -> pd.DataFrame:
    """The named columns: classes by name, images as stored, others as text without surrounding blanks."""
    import datasets

    if rows.info.builder_name == "csv":  # whose numbers are guesses
        decimal = "point"

    columns.check_columns(names, rows.features, "the columns of the training split", path)
    rows = rows.select_columns(list(dict.fromkeys(names)))
    table = {}
    for name, feature in rows.features.items():
        if isinstance(feature, datasets.Image):
            table[name] = pd.Series(list(rows.cast_column(name, datasets.Image(decode=False))[name]), dtype=object)
            continue
        if not isinstance(feature, (datasets.Value, datasets.ClassLabel)):
            raise UserError(f"{path} has a {_kind(feature)} in column {name}: choose a column of single values")
        columns_read = rows.select_columns([name]).with_format("arrow")[:].to_pandas(types_mapper=pd.ArrowDtype)
        table[name] = typed_as_text(columns_read, decimal)[name]
        if isinstance(feature, datasets.ClassLabel):  # sets on the hub have −1 where a label is withheld
            table[name] = table[name].map({str(i): each for i, each in enumerate(feature.names)})
    return pd.DataFrame(table).rename_axis(index="row")


def _read_texts(rows: pd.DataFrame, names: Sequence[str], place: Path | str) -> list[str]:
    empty = rows[list(names)].isna().all(axis=1).to_numpy(bool)
    refuse(empty, rows[names[0]].rename("text"), place, "fix or drop the row")
    return [" ".join(each) for each in zip(*(as_text(rows[name]) for name in names), strict=True)]


def _tokens(
    train: list[str], test: list[str], length: int, names: list[str], index: Tensor
) -> tuple[Fields, Fields, dict[str, Any]]:
    """Tokens (N, L) of both parts, by the vocabulary of the training texts at ``index``; the longest of these has L."""
    encoded = encode(train, test, length, index.tolist())
    longest = max(1, int(np.count_nonzero(encoded.train[index.numpy()], axis=1).max(initial=0)))
    train_inputs, test_inputs = (
        {"inputs": torch.from_numpy(np.ascontiguousarray(part[:, :longest]))} for part in encoded[:2]
    )
    return train_inputs, test_inputs, {"vocabulary": encoded.vocabulary, "columns": names}


def _samples(part: Part, names: Sequence[str], kind: str) -> list[tuple[Any, str]]:
    """Texts, or functions that read images, each with the SHA-256 of its content."""
    if kind == "text":
        return [(text, sha256(text.encode()).hexdigest()) for text in _read_texts(part.rows, names, part.place)]
    contents = [partial(_image_content, part.rows[names[0]], part.place, i) for i in range(len(part.groups))]
    return [(lambda read=read: decode_image(*read()), sha256(read()[0]).hexdigest()) for read in contents]


def _image_content(cells: pd.Series, place: Path | str, i: int) -> tuple[bytes | bytearray, str]:
    """What a cell holds, as bytes or as a path, and what errors call it."""
    stored, where = cells.iloc[i], f"{place}, {locate(cells.index, i)}"
    if stored is None or not (stored["bytes"] or stored["path"]):
        raise UserError(f"{where} has no image: put one there, or drop the row")
    return stored["bytes"] or read(Path(stored["path"])), where
