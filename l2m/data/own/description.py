"""What a user's data were read as, in plain values for a file and in a few lines to print before training."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from itertools import compress
from textwrap import fill
from typing import Any
from unicodedata import normalize

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from l2m.errors import shown

WIDTH = 79
HEADING = 14  # characters before the text of a line
MOST_LINES = 3  # of a text, and warnings

FEW_VALUES = 50  # different values, at most, of a column whose classes are counted
CHANCE = 1e-6  # of rows that all have the same class: a value that is less probable makes a doubt


def number_value(text: str) -> Decimal | None:
    """The exact value of a number written as text; None if it is not one."""
    return Decimal(text) if re.fullmatch(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,3})?", text, re.ASCII) else None


def place_names(own: Iterable[str], names: Sequence[str]) -> NDArray[np.int64]:
    """The indices (n,) in ``names`` of n others: of the same text, or the only one of the same value; or −1.

    Values are numbers, and true and false in any capitals: some readers of files write True for true.
    """

    def value(name: str) -> Decimal | str | None:
        return name.casefold() if name.casefold() in ("true", "false") else number_value(name)

    by_text = {name: i for i, name in enumerate(names)}
    by_value: dict[object, int] = {None: -1}  # no value, or the same as another name's
    for name, i in by_text.items():
        by_value[value(name)] = -1 if value(name) in by_value else i
    return np.array([by_text.get(name, by_value.get(value(name), -1)) for name in own], np.int64)


def find_alike(names: Sequence[str]) -> list[list[str]]:
    """Names that are the same number, or differ in capitals or in how accents are encoded alone, together."""
    alike: dict[object, list[str]] = {}
    for name in names:
        value = number_value(name)
        alike.setdefault(normalize("NFC", name).casefold() if value is None else value, []).append(name)
    return [together for together in alike.values() if len(together) > 1]


def find_doubts(
    rows: pd.DataFrame, numeric: Sequence[str], targets: NDArray[Any], classes: Sequence[str] | None
) -> list[str]:
    """Sentences on columns that look like the answer, a name of the row, or a mistake; each may be all right.

    Args:
        rows: N rows of inputs, the columns ``numeric`` first and as numbers.
        targets: (N,) the numbers of the ``classes``, or values if these are None.
    """
    numbers = rows[list(numeric)].to_numpy(np.float64)
    spans = np.fmax.reduce(numbers) - np.fmin.reduce(numbers)  # NaN without any value
    is_whole = (numbers == np.rint(numbers)).all(0)
    others = list(map(str, rows))[len(numeric) :]
    doubts: list[str] = []
    if classes:
        shares = np.bincount(targets, minlength=len(classes)) / len(targets)
        for name in (*compress(numeric, is_whole & (spans < FEW_VALUES)), *others):
            doubts += _find_telling(rows[name], targets, classes, shares)
    else:
        centred, values = numbers - numbers.mean(0), targets - targets.mean()
        with np.errstate(all="ignore"):
            correlation = centred.T @ values / np.sqrt((centred**2).sum(0) * (values**2).sum())
        names = compress(numeric, abs(correlation) > 1 - CHANCE)
        doubts += [f"{name} gives the target exactly: is it known beforehand?" for name in names]
    for place in np.flatnonzero(is_whole & (spans >= max(len(rows), FEW_VALUES) - 1)).tolist():
        if len(np.unique(numbers[:, place])) == len(rows):
            name = numeric[place]
            is_plain = name.isascii() and name.isidentifier()
            option = f"dataset.ignore=[{name}]" if is_plain else f"\"dataset.ignore=['{name}']\""
            doubts.append(f"{name} has a different whole number in each row: add {option} if it only names rows")
    is_constant = np.isnan(spans) | (np.ptp(numbers, axis=0) == 0)  # an empty cell beside a number differs from it
    constant = [*compress(numeric, is_constant), *(name for name in others if rows[name].nunique(dropna=False) < 2)]
    if constant:
        doubts.append(f"no two values, so nothing to learn from: {', '.join(constant)}")
    for name in others:
        for alike in find_alike(sorted(rows[name].dropna().unique())):
            doubts.append(f"fix the file if these are one {name}: {', '.join(alike)}")
    return doubts


def _find_telling(
    cells: pd.Series, targets: NDArray[Any], classes: Sequence[str], shares: NDArray[np.float64]
) -> Iterator[str]:
    """The commonest value of a column whose rows are all of one class, if that is no majority and can't be chance."""
    codes, values = pd.factorize(cells)
    if len(values) > FEW_VALUES:
        return
    counts = np.zeros((len(values), len(classes)), int)
    np.add.at(counts, (codes[codes >= 0], targets[codes >= 0]), 1)
    sizes, usual = counts.sum(1), counts.argmax(1)
    is_telling = (counts.max(1) == sizes) & (shares[usual] <= 0.5) & (shares[usual] ** sizes < CHANCE)
    if is_telling.any():
        i = int(np.where(is_telling, sizes, 0).argmax())
        value = f"{values[i]:g}" if isinstance(values[i], float) else values[i]
        where = f"all {sizes[i]} rows with {cells.name}={value}"
        yield f"{where} are of class {classes[usual[i]]}: is {cells.name} known beforehand?"


def format_description(description: Mapping[str, Any]) -> Iterator[str]:
    """Texts of at most ``MOST_LINES`` lines on what :func:`l2m.data.own.targets.assemble` describes."""
    samples, tested = description["samples"], description["test_samples"]
    yield shown(f"{description['place']}: {samples} samples, {tested} of them to test on", WIDTH - 1)
    for kind in ("parts", "skipped"):
        if counts := description.get(kind):
            yield _line(kind, ", ".join(f"{name}={count}" for name, count in counts.items()))
    for kind in ("words", "features"):
        if text := description.get(kind):
            yield _line(kind, text)
    for kind in ("numbers", "categories", "ignored"):
        if names := description.get(kind):
            if kind == "categories":
                names = [f"{name} ({count} value{'s' * (count != 1)})" for name, count in names.items()]
            yield _line(kind, f"{len(names)}: {', '.join(names)}")
    if missing := description.get("missing"):
        columns = ", ".join(f"{name}={count}" for name, count in missing.items())
        yield _line("missing", f"{sum(missing.values())} cells: {columns}")
    for kind in ("classes", "groups"):
        if counts := description.get(kind):
            names = sorted(counts, key=lambda name: -counts[name])
            shares = [f"{names[0]}={counts[names[0]]} ({counts[names[0]] / samples:.1%})"]
            shares += [f"{name}={counts[name]}" for name in names[1:]]
            yield _line(kind, f"{len(names)}: {', '.join(shares)}")
    if target := description.get("target"):
        yield _line("target", "from {from:.5g} to {to:.5g}, mean {mean:.5g}".format(**target))
    if alike := description.get("alike"):
        yield _line("warning", f"fix the file if these are one: {'; '.join(map(', '.join, alike))}")
    doubts = description.get("doubts", ())
    for doubt in doubts[:MOST_LINES]:
        yield _line("warning", doubt)
    if doubts[MOST_LINES:]:
        yield _line("warning", f"{len(doubts) - MOST_LINES} more are in data.json of a run's directory")


def _line(heading: str, text: str) -> str:
    first, later = f"  {heading:{HEADING - 2}}", " " * HEADING
    return fill(shown(text, 10 * WIDTH), WIDTH, initial_indent=first, subsequent_indent=later, max_lines=MOST_LINES,
                placeholder=" …")  # fmt: skip
