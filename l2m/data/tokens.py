"""Texts as tokens: tokenisers for IMDB, as the authors' code, and for any other text; and the vocabulary."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Tokenizer = Callable[[str], list[str]]

LENGTH = 500
"""Tokens of a review (section B.6): longer ones are cut, shorter ones padded at the end."""
MINIMUM = 2
"""A word that is rarer in the training part is unknown, as in the authors' code."""
SPECIAL = ("<pad>", "<unknown>")
"""The vocabulary's first entries; no word looks like them."""
PAD, UNKNOWN = range(2)

PLAIN = re.compile(
    r"""
    n't\b | '(?:s|m|d|ll|re|ve)\b  # do|n't, it|'s
    | \w+?(?=n't\b)                # what stands before n't
    | \w+(?:[-/]\w+|[.,]\d+)*      # word, well-known, 8/10, 3.5, 1,000
    | \.{2,} | -{2,}
    | [^\w\s]                      # any other sign, alone
    """,
    re.VERBOSE,
)

OPENING = re.compile(r'(?:(?<=[\s(\[{<])|^)"')
"""A quotation mark that opens: nltk makes it two backquotes, and any other two apostrophes."""

NLTK = re.compile(
    r"""
    n't\b | '(?:s|m|d|ll|re|ve)\b
    | \w+?(?=n't\b) | can(?=not\b) | (?:gon|wan)(?=na\b) | got(?=ta\b)
    | (?:mr|mrs|ms|dr|jr|sr|st|vs|\w|(?:\w\.)+\w)\.(?=\s+\S)  # abbreviations, as Mr. and U.S.
    | (?: [^\s"«“‘„`»”’;@\#$%&*?!<>()\[\]{}‒-―:,.'-]          # other signs stay inside a word, and of these
        | -(?!-) | [:,](?=\d)                                 # a hyphen, 1,000 and 7:30,
        | (?<=\w)'(?=\w)(?!(?:s|m|d|ll|re|ve)\b)              # o'clock,
        | \.(?!\.|[\])}>'»”’]*(?:\s|$)) )+                    # and a full stop before anything but a space
    | `` | '' | \.{2,} | --
    | \S
    """,
    re.VERBOSE,
)


def plain(text: str) -> list[str]:
    """The words of any text, in lower case; every sign is a word, and the HTML tag ``<br />`` a space."""
    return PLAIN.findall(text.lower().replace("<br />", " "))


def as_nltk(text: str) -> list[str]:
    """The words of a review in lower case, as nltk's ``word_tokenize`` splits it; ``<br />`` is four.

    nltk splits sentences first, by a model that must be downloaded, and takes the full stop off the end of each. Here
    any before a space is taken off, except after abbreviations: of 10 000 reviews 99.9 % of the words are the same.
    """
    return NLTK.findall(OPENING.sub("``", text.lower()).replace('"', "''"))


class Encoded(NamedTuple):
    """Texts as tokens, (N, length) int32 each, and the vocabulary that tokens are indices of."""

    train: NDArray[np.int32]
    test: NDArray[np.int32]
    vocabulary: list[str]


def encode(
    train: Sequence[str],
    test: Sequence[str],
    length: int = LENGTH,
    fitted: Sequence[int] | None = None,
    tokenizer: Tokenizer = plain,
) -> Encoded:
    """Tokens of both parts, ``length`` of a text, by the vocabulary of the first, or of its texts at ``fitted``."""
    numbers: dict[str, int] = {}  # words in the order they are met
    parts = [[_number(tokenizer(text), numbers) for text in texts] for texts in (train, test)]
    words = list(numbers)
    counted = parts[0] if fitted is None else [parts[0][i] for i in fitted]
    counts = np.bincount(np.concatenate(counted), minlength=len(words))
    kept = sorted(np.flatnonzero(counts >= MINIMUM), key=lambda number: (-counts[number], words[number]))
    tokens = np.full(len(words), UNKNOWN, np.int32)
    tokens[kept] = np.arange(len(kept)) + len(SPECIAL)
    padded = [_pad((tokens[text[:length]] for text in part), len(part), length) for part in parts]
    return Encoded(padded[0], padded[1], [*SPECIAL, *(words[number] for number in kept)])


def encode_unseen(preprocessing: Mapping[str, Any], texts: Sequence[str], length: int) -> Tensor:
    """Tokens (N, ``length``) int32 of further texts, by the ``preprocessing`` of a run's data."""
    tokenizer = as_nltk if preprocessing.get("words") == "nltk" else plain
    size = len(preprocessing["vocabulary"])
    numbers = {word: number for number, word in enumerate(preprocessing["vocabulary"])}
    rows = (_number(tokenizer(text), numbers)[:length] for text in texts)  # new words get numbers from ``size`` on
    return torch.from_numpy(_pad((np.where(row < size, row, UNKNOWN) for row in rows), len(texts), length))


def _number(words: Sequence[str], numbers: dict[str, int]) -> NDArray[np.int32]:
    """The words of a text as numbers; new words get the next ones."""
    return np.array([numbers.setdefault(word, len(numbers)) for word in words], np.int32)


def _pad(texts: Iterable[NDArray[np.int32]], count: int, length: int) -> NDArray[np.int32]:
    """(``count``, ``length``)."""
    padded = np.full((count, length), PAD, np.int32)
    for row, text in zip(padded, texts, strict=True):
        row[: len(text)] = text
    return padded
