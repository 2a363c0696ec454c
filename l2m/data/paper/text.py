"""Reviews as sequences of word tokens: IMDB."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import tempfile
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from l2m.data import DATASETS, Data, Source, Split
from l2m.data.files import read, read_table, replacing, write_table
from l2m.data.tokens import NLTK, OPENING, Tokenizer, as_nltk, plain
from l2m.errors import UserError, cause, shown

NAMES = ("negative", "positive")
TABLE = "IMDB Dataset.csv"
HUGGING_FACE = "hf://datasets/stanfordnlp/imdb@e6281661ce1c48d982bc483cf8a173c1bbeb5d31/plain_text"
"""Parquet files of the reviews, at the commit that made them."""

LENGTH = 500
"""Tokens of a review (section B.6): what is longer is cut, what is shorter padded at its end."""
MINIMUM = 2
"""A word that is rarer in the training part is unknown, as in the authors' code."""
SPECIAL = ("<pad>", "<unknown>")
"""The vocabulary's first entries; no word looks like them."""
PAD, UNKNOWN = range(2)


class Encoded(NamedTuple):
    """Reviews as tokens, (N, LENGTH) int32 each, and the vocabulary that tokens are indices of."""

    train: NDArray[np.int32]
    test: NDArray[np.int32]
    vocabulary: list[str]


@DATASETS.register("imdb", revision=2)  # the first had other words
def imdb(source: Source, *, task: Literal["classification"] = "classification") -> Data:
    """IMDB (Maas et al., 2011; section B.6): whether a review is negative or positive, from its first 500 tokens.

    The 50 000 reviews are pooled and split 40 000 to 10 000, stratified by label. They come from the archive's
    folder ``aclImdb``, else from the widespread table of reviews and sentiments, else from Hugging Face, and are
    sorted by label and text, so that the same texts give the same split wherever they come from: the order of the
    authors' file is lost. White space around a review is dropped, upper case becomes lower, and tokens are those of
    :func:`l2m.data.tokens.as_nltk`. The vocabulary holds the words that the training part has at least twice, counted
    before the recipe, the most frequent first; 0 pads and 1 is any other word.
    """
    from sklearn.model_selection import train_test_split

    place, unsorted = _reviews(source.folder)
    reviews = sorted(unsorted)
    labels = [label for label, _ in reviews]
    for label, name in enumerate(NAMES):
        if labels.count(label) < 5:  # one of them for the test part
            raise UserError(
                f"{place} has {labels.count(label)} {name} reviews: it must have five at least, put all of them there"
            )
    train, test = train_test_split(reviews, test_size=0.2, random_state=source.data_seed, stratify=labels)
    encoded = _cached(source.folder / "imdb", [text for _, text in train], [text for _, text in test])
    described = {"words": "nltk", "columns": ["review"], "target_column": "sentiment"}

    def split(tokens: NDArray[np.int32], part: Sequence[tuple[int, str]]) -> Split:
        targets = torch.tensor([label for label, _ in part])
        return Split(torch.from_numpy(tokens), targets, targets)

    return Data(
        split(encoded.train, train),
        split(encoded.test, test),
        NAMES,
        classes=len(NAMES),
        preprocessing=described | {"vocabulary": encoded.vocabulary},
        class_names=NAMES,
    )


def _reviews(folder: Path) -> tuple[Path, list[tuple[int, str]]]:
    """The first source there is, and label and text of every review in it."""
    archive, table = folder / "aclImdb", folder / "imdb" / TABLE
    if archive.is_dir():
        return archive, _archive(archive)
    if not table.exists() and (folder / TABLE).exists():
        table = folder / TABLE
    if not table.exists():
        _download(table, archive)
    return table, _table(table)


def _archive(folder: Path) -> list[tuple[int, str]]:
    """The reviews of the archive as its authors publish it: ``{train,test}/{neg,pos}/*.txt``."""
    reviews = []
    for part in ("train", "test"):
        for label, name in enumerate(("neg", "pos")):
            files = list((folder / part / name).glob("*.txt"))
            if not files:
                raise UserError(f"{folder / part / name} holds no reviews: put the whole folder aclImdb there")
            for file in files:
                try:
                    text = read(file).decode().strip()
                except UnicodeDecodeError as error:
                    raise UserError(f"{file} can't be read as UTF-8 text ({cause(error)}): fetch it anew") from error
                if not text:
                    raise UserError(f"{file} is empty: a review needs words, fetch it anew or remove it")
                reviews.append((label, text))
    return reviews


def _table(file: Path) -> list[tuple[int, str]]:
    """The reviews of a CSV file with the columns review and sentiment."""
    table = read_table(file, dtype=str, keep_default_na=False, encoding="utf-8")
    if absent := {"review", "sentiment"} - set(table.columns):
        raise UserError(f"{file} has no column {min(absent)}: it must have review and sentiment, name or add them")
    reviews = []
    for row, (text, sentiment) in enumerate(zip(table["review"].str.strip(), table["sentiment"], strict=True), 1):
        if sentiment not in NAMES:
            raise UserError(
                f"{file} has sentiment={shown(sentiment)} in row {row}: it must be {' or '.join(NAMES)}, mend or drop "
                "the row"
            )
        if not text:
            raise UserError(f"{file} has an empty review in row {row}: a review needs words, mend or drop the row")
        reviews.append((NAMES.index(sentiment), text))
    return reviews


def _download(table: Path, archive: Path) -> None:
    """Fetch the labelled reviews from Hugging Face into ``table``."""
    try:
        from datasets import load_dataset

        files = {part: f"{HUGGING_FACE}/{part}-00000-of-00001.parquet" for part in ("train", "test")}
        with tempfile.TemporaryDirectory() as fresh, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            parts = load_dataset("parquet", data_files=files, cache_dir=fresh)
            rows = pd.concat([parts[part].to_pandas() for part in files])
        sentiments = [dict(enumerate(NAMES))[label] for label in rows["label"]]
    except Exception as error:  # whatever the network, the server or the files say
        raise UserError(
            f"{archive} is not there, nor is {table}: put one of them there, or name the folder that holds it with "
            f"data_dir= (the download failed: {cause(error)})"
        ) from error
    write_table(pd.DataFrame({"review": rows["text"], "sentiment": sentiments}), table)


def _cached(folder: Path, train: list[str], test: list[str]) -> Encoded:
    """:func:`encode`, kept in ``folder`` if that can be written, under a checksum of all it depends on."""
    made_of = json.dumps([NLTK.pattern, OPENING.pattern, LENGTH, MINIMUM, SPECIAL, train, test])
    file = folder / f"tokens-{hashlib.sha256(made_of.encode()).hexdigest()[:16]}.npz"
    try:
        with np.load(io.BytesIO(read(file)), allow_pickle=False) as kept:
            encoded = Encoded(kept["train"], kept["test"], kept["vocabulary"].tobytes().decode().split("\n"))
        if _fits(encoded.train, train, encoded) and _fits(encoded.test, test, encoded):
            return encoded
    except Exception:  # not there, or whatever a damaged file makes its reader say
        pass
    encoded = encode(train, test, tokenizer=as_nltk)
    words = np.frombuffer("\n".join(encoded.vocabulary).encode(), np.uint8)
    with contextlib.suppress(UserError), replacing(file) as part, part.open("wb") as target:
        np.savez_compressed(target, train=encoded.train, test=encoded.test, vocabulary=words)
    return encoded


def _fits(tokens: NDArray[np.int32], texts: list[str], encoded: Encoded) -> bool:
    """Whether these can be the tokens of ``texts``."""
    return (
        tokens.dtype == np.int32
        and tokens.shape == (len(texts), LENGTH)
        and tokens.min() >= 0
        and tokens.max() < len(encoded.vocabulary)
    )


def encode(
    train: Sequence[str],
    test: Sequence[str],
    length: int = LENGTH,
    fitted: Sequence[int] | None = None,
    tokenizer: Tokenizer = plain,
) -> Encoded:
    """Tokens of both parts, ``length`` of a text, by the vocabulary of the first, or of those ``fitted`` in it."""
    numbers: dict[str, int] = {}  # words in the order they are met
    parts = [[_numbered(tokenizer(text), numbers) for text in texts] for texts in (train, test)]
    words = list(numbers)
    counted = parts[0] if fitted is None else [parts[0][i] for i in fitted]
    counts = np.bincount(np.concatenate(counted), minlength=len(words))
    kept = sorted(np.flatnonzero(counts >= MINIMUM), key=lambda number: (-counts[number], words[number]))
    tokens = np.full(len(words), UNKNOWN, np.int32)
    tokens[kept] = np.arange(len(kept)) + len(SPECIAL)

    def rows(part: list[NDArray[np.int32]]) -> NDArray[np.int32]:
        padded = np.full((len(part), length), PAD, np.int32)
        for row, review in zip(padded, part, strict=True):
            row[: len(review)] = tokens[review[:length]]
        return padded

    return Encoded(rows(parts[0]), rows(parts[1]), [*SPECIAL, *(words[number] for number in kept)])


def _numbered(words: Sequence[str], numbers: dict[str, int]) -> NDArray[np.int32]:
    """The words of a text as numbers; those that are new get the next ones."""
    return np.array([numbers.setdefault(word, len(numbers)) for word in words], np.int32)


def apply(preprocessing: Mapping[str, Any], texts: Sequence[str], length: int) -> Tensor:
    """Tokens (N, ``length``) int32 of further texts, by what was fitted: the ``preprocessing`` of a run's data."""
    vocabulary = preprocessing["vocabulary"]
    tokenizer = as_nltk if preprocessing.get("words") == "nltk" else plain
    known = {word: number for number, word in enumerate(vocabulary)}
    rows = np.full((len(texts), length), PAD, np.int32)
    for row, text in zip(rows, texts, strict=True):
        tokens = _numbered(tokenizer(text), known)[:length]  # new words get numbers beyond the vocabulary
        row[: len(tokens)] = np.where(tokens < len(vocabulary), tokens, UNKNOWN)
    return torch.from_numpy(rows)
