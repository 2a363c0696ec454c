"""Texts as tokens: tokenisers for IMDB, as the authors' code, and for any other text; and the vocabulary."""

import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from l2m.errors import UserError

Tokenizer = Callable[[str], list[str]]

LENGTH = 500  # tokens of a review (section B.6): longer ones are cut, shorter ones padded at the end
MINIMUM = 2  # a word that is rarer in the training part is unknown, as in the authors' code
SPECIAL = ("<pad>", "<unknown>")  # the vocabulary's first entries; no word looks like them
PAD, UNKNOWN = range(2)

ALONE = (
    "\u2e80-\u2fdf\u3005\u3007\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"  # Han
    "\u3041-\u312f\u31f0-\u31ff\uff66-\uff9f\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff"  # Kana, Thai, Lao, Burmese, Khmer
)
"""Ranges of scripts without blanks between words, whose signs are words."""


@cache
def _patterns() -> tuple[re.Pattern[str], re.Pattern[str]]:
    """A sign of ``ALONE`` with its marks, and a word; marks stay with their letters, emoji drawn as one are one."""
    points = [point for point in range(0x300, 0x1F000) if unicodedata.category(chr(point))[0] == "M"]
    starts, ends = (sorted(set(points) - {point + step for point in points}) for step in (1, -1))
    marks = "".join(f"{chr(start)}-{chr(end)}" for start, end in zip(starts, ends, strict=True))
    marks += "\u200c\u200d\U0001f3fb-\U0001f3ff\U000e0020-\U000e007f\U000e0100-\U000e01ef"
    letter = rf"[\w{marks}]"
    word = rf"""
        n't\b | '(?:s|m|d|ll|re|ve)\b                # do|n't, it|'s
        | {letter}+?(?=n't\b)                        # what stands before n't
        | {letter}+(?:[-/]{letter}+|[.,]\d+)*        # word, well-known, 8/10, 3.5, 1,000
        | \.{{2,}} | -{{2,}}
        | [\U0001f1e6-\U0001f1ff]{{2}}                # a flag
        | [^\w\s](?:[{marks}]|(?<=\u200d)[^\w\s])*  # any other sign, alone
    """
    return re.compile(rf"[{ALONE}][{marks}]*"), re.compile(word, re.VERBOSE)


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
    """The words of any text, in lower case and Unicode's composed form (NFC).

    A sign that is not a letter or digit is a word, and each sign of ``ALONE``; the HTML tag ``<br />`` is a space.
    """
    alone, word = _patterns()
    composed = unicodedata.normalize("NFC", text.lower()).replace("<br />", " ")
    return word.findall(alone.sub(r" \g<0> ", composed))


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
    """Tokens of both parts, ``length`` of a text, by the vocabulary of the first, or of its texts at ``fitted``.

    Raises:
        UserError: no word is frequent enough for a vocabulary.
    """
    numbers: dict[str, int] = {}  # words in the order they are met
    parts = [[_number(tokenizer(text), numbers) for text in texts] for texts in (train, test)]
    words = list(numbers)
    counted = parts[0] if fitted is None else [parts[0][i] for i in fitted]
    counts = np.bincount(np.concatenate(counted), minlength=len(words))
    kept = sorted(np.flatnonzero(counts >= MINIMUM), key=lambda number: (-counts[number], words[number]))
    if not kept:
        raise UserError(
            f"the vocabulary would be empty, no word occurs {MINIMUM} times in the {len(counted)} training texts: use "
            "more or longer texts, or check that dataset.inputs names the columns of text"
        )
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
