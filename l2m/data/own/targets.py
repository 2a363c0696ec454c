"""Rows of a user's own data with targets and groups: read, split into two parts, and assembled to a data set."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from l2m.data import Data, Split
from l2m.data.own import columns
from l2m.data.own.cells import Decimal, as_text, parse_formatted
from l2m.data.own.description import find_alike, find_doubts, number_value, place_names
from l2m.data.tables import LARGEST, locate, parse_numbers, refuse
from l2m.data.validation import Units, check_sides, held_out
from l2m.errors import UserError, printable, shown
from l2m.schema import Range
from l2m.seeding import generator

TestFraction = Annotated[float, Range(0, 1, above=True, below=True)]

MOST_NUMBERS = 20  # that can be classes, whatever the number of rows

Fields = dict[str, Tensor]
"""What a :class:`Split` has beside targets and groups: the inputs, and how they are scaled and lie in a file, if so."""

Make = Callable[[Tensor], tuple[Fields, Fields, dict[str, Any]]]
"""(indices of the training rows to fit on) -> both splits, and what was fitted, as plain values."""


@dataclass(frozen=True)
class Part:
    """N rows with their targets and groups."""

    rows: pd.DataFrame  # the index says where each is from
    place: Path | str  # the file or folder that errors name
    targets: NDArray[Any]  # (N,) int64 labels, or float64 values in their own unit
    groups: NDArray[np.int64]  # (N,) int64, 0 to k − 1
    group_names: tuple[str, ...]
    class_names: tuple[str, ...] | None = None  # None for regression
    edges: tuple[float, ...] = ()  # between groups that are bins of the targets
    units: Units | None = None  # what a split must not separate

    def select(self, kept: NDArray[np.bool_]) -> Part:
        """The rows (N,) that are ``kept``."""
        units = self.units and self.units.select(kept)
        return replace(self, rows=self.rows[kept], targets=self.targets[kept], groups=self.groups[kept], units=units)


def read_part(
    rows: pd.DataFrame,
    place: Path | str,
    target: str,
    group: str | None,
    bins: int = 0,
    like: Part | None = None,
    decimal: Decimal = "point",
) -> Part:
    """Rows with the targets and groups in two of their columns.

    Args:
        group: None: groups are the classes, or the bins of a regression.
        bins: quantile bins of a regression's targets; 0 for a classification.
        like: the training part, whose classes and groups these must be.
        decimal: the sign that the numbers were read with.

    Raises:
        UserError: a cell is empty, or a regression's target not a finite number; all targets are equal; labels are
            measurements; or a class or group is new.
    """
    cells = rows[target]
    numbers = parse_numbers(cells)
    targets: NDArray[Any] = numbers
    classes = None
    if bins:
        wrong = ~(np.abs(targets) <= LARGEST)
        texts = cells[wrong].dropna().astype("str")
        formatted = [text for text in texts if parse_formatted(text, "point") or parse_formatted(text, "comma")]
        use = f"use {columns.describe_notation(formatted[0], target, decimal)[1]}, or " if formatted else "or use "
        rule = f"a regression's target must be a finite number, fix or drop the row, {use}dataset.task=classification"
        refuse(wrong, cells, place, rule)
    else:
        targets, classes = encode(cells, place, like.class_names if like else None)
    if like is None and targets.min() == targets.max():
        value = shown(cells.iloc[0], 60)
        raise UserError(f"{place} has {target}={value} in every row: there is nothing to learn, use another target")
    if like is None and classes and np.isfinite(numbers).all():
        most = MOST_NUMBERS if (numbers % 1 != 0).any() else max(MOST_NUMBERS, len(cells) / 5)
        if len(classes) > most:
            raise UserError(
                f"{place} has {len(classes)} different numbers as {target} in {len(cells)} rows, too many for classes: "
                "use dataset.task=regression, or another target"
            )
    if group:
        return Part(rows, place, targets, *encode(rows[group], place, like.group_names if like else None), classes)
    if classes:
        return Part(rows, place, targets, targets, classes, classes)
    return _bin(Part(rows, place, targets, np.zeros(len(rows), np.int64), ("all",)), _edges(targets, bins))


def encode(
    cells: pd.Series, file: Path | str, names: tuple[str, ...] | None
) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    """Cells as indices (N,) of ``names``; None: their own, as the file has them, sorted, numbers by value.

    Raises a UserError if a cell is empty, or not one of ``names``.
    """
    empty = (cells.isna() | cells.eq("")).to_numpy(bool)
    more = f" and {empty.sum() - 1} more" if empty.sum() > 1 else ""
    refuse(empty, cells, file, "every row needs one, fix or drop it", more)
    codes, texts = pd.factorize(as_text(cells))
    alike, own = pd.factorize(np.array([printable(text) for text in texts], dtype=object), sort=True)
    codes = alike[codes]
    if names is None:
        values = [number_value(name) for name in own]
        names = tuple(own if None in values else [name for _, name in sorted(zip(values, own, strict=True))])
    places = place_names(own, names)[codes]
    rule = f"it must be one of {shown(', '.join(names))}, fix or drop the row"
    refuse(places < 0, cells, file, rule, ", which the training part does not have")
    return places, names


def _edges(targets: NDArray[np.float64], bins: int) -> NDArray[np.float64]:
    """Quantiles between ``bins`` groups; fewer where no target is between two, or above the last."""
    edges = np.unique(np.quantile(targets, np.arange(1, bins) / bins))
    up_to = np.searchsorted(np.sort(targets), edges, side="right")
    return np.asarray(edges[(np.diff(up_to, prepend=0) > 0) & (up_to < len(targets))])


def _bin(part: Part, edges: NDArray[np.float64]) -> Part:
    """The part with the bins between ``edges`` as groups."""
    all_digits = ([f"{edge:.{digits}g}" for edge in edges] for digits in range(6, 18))
    texts = next(texts for texts in all_digits if len(set(texts)) == len(edges))
    between = [f"{low} to {high}" for low, high in pairwise(texts)]
    names = (f"up to {texts[0]}", *between, f"above {texts[-1]}") if texts else ("all",)
    return replace(part, groups=np.searchsorted(edges, part.targets), group_names=names, edges=tuple(edges.tolist()))


def join(train: Part, held: Part) -> Part:
    """Both parts, with the same classes and groups, as one: the held-out rows come last."""
    targets, groups = np.append(train.targets, held.targets), np.append(train.groups, held.groups)
    return replace(train, rows=pd.concat([train.rows, held.rows]), targets=targets, groups=groups)


def split_rows(whole: Part, test: Part | None, fraction: float, data_seed: int, bins: int = 0) -> tuple[Part, Part]:
    """The training and the test part: ``whole`` and ``test``, or without a test part, ``whole`` split in two.

    Then the test part has the same share of every group, and in it of every class. A row that is alone of its class in
    its group is trained on. With ``bins``, groups are so many bins between the quantiles of the training targets.

    Raises:
        UserError: a class has a single row, or a group has no test row.
    """
    train = whole
    if test is None:
        held = _draw_test(whole, fraction, data_seed)
        train, test = whole.select(~held), whole.select(held)
    if bins:
        edges = _edges(train.targets, bins)
        train, test = _bin(train, edges), _bin(test, edges)
    sizes = np.bincount(test.groups, minlength=len(test.group_names))
    if not sizes.all():
        remedy = "put some there" + ", or name a column of groups with dataset.group" * bool(bins)
        raise UserError(
            f"{test.place} has no row of group {shown(test.group_names[sizes.argmin()], 60)}, which is trained on: "
            f"every group needs a row in the test part, {remedy}"
        )
    return train, test


def _draw_test(whole: Part, fraction: float, data_seed: int) -> NDArray[np.bool_]:
    """Which rows (N,) are tested on."""
    remedy = "one to train on and one to test on are needed at least, add rows, drop the"
    if whole.class_names:
        lone = np.flatnonzero(np.bincount(whole.targets) == 1)
        if len(lone):
            where = locate(whole.rows.index, np.flatnonzero(whole.targets == lone[0])[0])
            more = f", as have {len(lone) - 1} more classes" if len(lone) > 1 else ""
            raise UserError(
                f"{whole.place} has one row of class {shown(whole.class_names[lone[0]], 60)}, in {where}{more}: "
                f"{remedy} class, or name a file of test rows"
            )
    classes = whole.targets if whole.class_names else np.zeros_like(whole.groups)
    _, both = np.unique(np.stack([whole.groups, classes]), axis=1, return_inverse=True)
    drawn = held_out(torch.from_numpy(both.reshape(-1)), fraction, generator(data_seed, "test"), units=whole.units)
    split = f"test_fraction={fraction:g}"
    if whole.units and drawn.all():
        why = f"because of {whole.units.option}"
        raise UserError(f"{split} leaves no row to train on, {why}: test on another share, or drop the option")
    if whole.units and not whole.edges:  # bins are made anew, of the training targets
        check_sides(drawn, torch.from_numpy(whole.groups), whole.group_names, "group", split, whole.units)
    if whole.class_names:
        check_sides(drawn, torch.from_numpy(whole.targets), whole.class_names, "class", split, whole.units)
    held = drawn.numpy()
    tested = np.bincount(whole.groups[held], minlength=len(whole.group_names))
    if not (whole.edges or tested.all()):
        alike = " and of one class" if whole.class_names else ""
        raise UserError(
            f"{whole.place} has no two rows of group {shown(whole.group_names[tested.argmin()], 60)}{alike}: {remedy} "
            "group, or name a file of test rows"
        )
    return held


def assemble_table(
    whole: Part,
    tested: Part | None,
    split: Callable[[Part, Part | None], tuple[Part, Part]],
    inputs: Sequence[str],
    categorical: Sequence[str],
    most: int,
    decimal: Decimal,
    ignored: Sequence[str],
    kept: Mapping[str, Any],
) -> Data:
    """The data set of the columns ``inputs`` of a table, whose kinds are those in ``whole``; ``ignored`` are not read.

    ``split`` makes the training and the test part of ``whole`` and ``tested``, as :func:`split_rows` does. Of ``kept``
    join the preprocessing the ``signs`` of numbers and the ``width`` of a file that does not name its columns, if any.

    Raises:
        UserError: as for :func:`l2m.data.own.columns.find_kinds` and :func:`split_rows`, or one of ``categorical`` is
            not an input.
    """
    columns.check_columns(categorical, inputs, "dataset.categorical", whole.place)
    numeric, other, rows = columns.find_kinds(whole.rows[list(inputs)], categorical, most, whole.place, decimal)
    train, test = split(replace(whole, rows=rows), tested)
    missing = rows.isna().sum()
    described: dict[str, Any] = {"numbers": numeric, "categories": rows[other].nunique().to_dict()}
    described |= {"ignored": list(ignored), "missing": missing[missing > 0].to_dict()}
    if doubts := find_doubts(rows, numeric, whole.targets, whole.class_names):
        described["doubts"] = doubts

    def make(index: Tensor) -> tuple[Fields, Fields, dict[str, Any]]:
        fitted = columns.fit(train.rows.iloc[index.numpy()], numeric, other, most)
        fitted |= {name: value for name, value in kept.items() if value}
        trained, tested = ({"inputs": columns.apply(fitted, part.rows, part.place)} for part in (train, test))
        return trained, tested, fitted

    return assemble(train, test, make, described=described)


def assemble(
    train: Part, test: Part, make: Make, described: Mapping[str, Any] | None = None, index: Tensor | None = None
) -> Data:
    """The data set, with inputs and values to predict fitted on the training rows at ``index``, by default all.

    ``described`` is what inputs were read as.
    """
    index = torch.arange(len(train.groups)) if index is None else index
    trained, tested, preprocessing = make(index)
    mean, sd = 0.0, 1.0
    if train.class_names is None:
        chosen = train.targets[index.numpy()]
        mean, sd = float(chosen.mean()), float(chosen.std()) or 1.0
        preprocessing = preprocessing | {"target": {"mean": mean, "sd": sd}, "group_edges": train.edges}

    def split(part: Part, fields: Fields) -> Split:
        targets = torch.tensor(part.targets)
        if part.class_names is None:
            targets = ((targets - mean) / sd).float()[:, None]
        return Split(targets=targets, groups=torch.from_numpy(part.groups), **fields)

    classes = len(train.class_names) if train.class_names else None
    return Data(
        split(train, trained), split(test, tested), train.group_names, classes, preprocessing,
        class_names=train.class_names, refit=lambda chosen: assemble(train, test, make, described, chosen),
        units=train.units, tested_units=test.units, description=_describe(train, test, described or {}),
    )  # fmt: skip


def _describe(train: Part, test: Part, columns: Mapping[str, Any]) -> dict[str, Any]:
    targets, groups = (np.concatenate(both) for both in ((train.targets, test.targets), (train.groups, test.groups)))
    described = {"place": str(train.place), "samples": len(groups), "test_samples": len(test.groups), **columns}
    counted = {"classes": (train.class_names or (), targets), "groups": (train.group_names, groups)}
    if train.class_names is None:
        described["target"] = {"from": float(targets.min()), "to": float(targets.max()), "mean": float(targets.mean())}
    if train.class_names == train.group_names or train.edges:
        del counted["groups"]
    for kind, (names, codes) in counted.items():
        if names:
            counts = np.bincount(codes.astype(int), minlength=len(names))
            described[kind] = dict(zip(names, counts.tolist(), strict=True))
    return described | {"alike": [same for names, _ in counted.values() for same in find_alike(names)]}
