"""The paper's texts: IMDB's reviews as sequences of tokens."""

import contextlib
import hashlib
import io
import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from l2m.data import DATASETS, Data, Source, Split
from l2m.data.download import downloading
from l2m.data.tables import read_table, refuse, write_table
from l2m.data.tokens import LENGTH, MINIMUM, NLTK, OPENING, SPECIAL, Encoded, as_nltk, encode
from l2m.errors import UserError, cause
from l2m.files import read, replacing

NAMES = ("negative", "positive")
TABLE = "IMDB Dataset.csv"
HUGGING_FACE = "hf://datasets/stanfordnlp/imdb@e6281661ce1c48d982bc483cf8a173c1bbeb5d31/plain_text"
"""Parquet files of the reviews, at the commit that made them."""


@DATASETS.register("imdb", revision=2)  # the first had other words
def imdb(source: Source, *, task: Literal["classification"] = "classification") -> Data:
    """IMDB (Maas et al., 2011; section B.6): whether a review is negative or positive, from its first 500 tokens.

    The 50 000 reviews are pooled and split 40 000 to 10 000, stratified by label. They come from the archive's
    folder ``aclImdb``, else from the widespread table of reviews and sentiments, else from Hugging Face, and are
    sorted by label and text, so that the same texts give the same split from any source: the order of the authors' file
    is lost. Reviews are stripped, in lower case, and split by :func:`l2m.data.tokens.as_nltk`. The vocabulary holds the
    words that the training part has at least twice, counted before the recipe, the most frequent first; 0 pads and 1 is
    any other word.
    """
    from sklearn.model_selection import train_test_split

    place, unsorted = _read_reviews(source.folder)
    reviews = sorted(unsorted)
    labels = [label for label, _ in reviews]
    for label, name in enumerate(NAMES):
        if labels.count(label) < 5:  # one of them for the test part
            raise UserError(
                f"{place} has {labels.count(label)} {name} reviews: it must have at least five, put all of them there"
            )
    train, test = train_test_split(reviews, test_size=0.2, random_state=source.data_seed, stratify=labels)
    encoded = _cached(source.folder / "imdb", [text for _, text in train], [text for _, text in test])

    def split(tokens: NDArray[np.int32], part: Sequence[tuple[int, str]]) -> Split:
        targets = torch.tensor([label for label, _ in part])
        return Split(torch.from_numpy(tokens), targets, targets)

    preprocessing = {
        "words": "nltk", "columns": ["review"], "target_column": "sentiment", "vocabulary": encoded.vocabulary,
    }  # fmt: skip
    return Data(
        split(encoded.train, train), split(encoded.test, test), NAMES, len(NAMES), preprocessing, class_names=NAMES
    )


def _read_reviews(folder: Path) -> tuple[Path, list[tuple[int, str]]]:
    """The first source that exists, and label and text of every review in it."""
    archive, table = folder / "aclImdb", folder / "imdb" / TABLE
    if archive.is_dir():
        return archive, _read_archive(archive)
    if not table.exists() and (folder / TABLE).exists():
        table = folder / TABLE
    if not table.exists():
        _download(table, archive)
    return table, _read_table(table)


def _read_archive(folder: Path) -> list[tuple[int, str]]:
    """The reviews of the published archive: ``{train,test}/{neg,pos}/*.txt``."""
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
                    raise UserError(
                        f"{file} cannot be read as UTF-8 text ({cause(error)}): download it anew"
                    ) from error
                if not text:
                    raise UserError(f"{file} is empty: a review needs words, download it anew or remove it")
                reviews.append((label, text))
    return reviews


def _read_table(file: Path) -> list[tuple[int, str]]:
    table = read_table(file, dtype=str, keep_default_na=False, encoding="utf-8")
    if absent := {"review", "sentiment"} - set(table.columns):
        raise UserError(f"{file} has no column {min(absent)}: it must have review and sentiment, name or add them")
    table.index = pd.RangeIndex(1, len(table) + 1, name="row")
    sentiments, texts = table["sentiment"], table["review"].str.strip().replace("", None)
    refuse(
        ~sentiments.isin(NAMES).to_numpy(), sentiments, file, f"it must be {' or '.join(NAMES)}, fix or drop the row"
    )
    refuse(texts.isna().to_numpy(), texts, file, "a review needs words, fix or drop the row")
    return list(zip(map(NAMES.index, sentiments), texts, strict=True))


def _download(table: Path, archive: Path) -> None:
    with downloading(f"{archive} is not there, nor is {table}: put one of them there"):
        from datasets import load_dataset

        files = {part: f"{HUGGING_FACE}/{part}-00000-of-00001.parquet" for part in ("train", "test")}
        with tempfile.TemporaryDirectory() as fresh:
            parts = load_dataset("parquet", data_files=files, cache_dir=fresh)
            rows = pd.concat([parts[part].to_pandas() for part in files])
        sentiments = [dict(enumerate(NAMES))[label] for label in rows["label"]]
        write_table(pd.DataFrame({"review": rows["text"], "sentiment": sentiments}), table)


def _cached(folder: Path, train: list[str], test: list[str]) -> Encoded:
    """:func:`encode`, cached in ``folder`` if that can be written, under a checksum of all it depends on."""
    made_of = json.dumps([NLTK.pattern, OPENING.pattern, LENGTH, MINIMUM, SPECIAL, train, test])
    file = folder / f"tokens-{hashlib.sha256(made_of.encode()).hexdigest()[:16]}.npz"
    try:
        with np.load(io.BytesIO(read(file)), allow_pickle=False) as cache:
            return Encoded(cache["train"], cache["test"], cache["vocabulary"].tobytes().decode().split("\n"))
    except Exception:  # not there, or whatever a damaged file raises
        pass
    encoded = encode(train, test, tokenizer=as_nltk)
    words = np.frombuffer("\n".join(encoded.vocabulary).encode(), np.uint8)
    with contextlib.suppress(OSError), replacing(file) as part, part.open("wb") as target:
        np.savez_compressed(target, train=encoded.train, test=encoded.test, vocabulary=words)
    return encoded
