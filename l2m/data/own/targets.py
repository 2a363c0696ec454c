"""Rows of a person's own data: what is to be learned of each, its group, and the parts they are split into."""

from __future__ import annotations

from collections.abc import Callable
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
from l2m.data.own.columns import LARGEST, numbers, where, words
from l2m.data.validation import held_out
from l2m.errors import UserError, shown
from l2m.schema import Range
from l2m.seeding import generator

TestFraction = Annotated[float, Range(0, 1, above=True, below=True)]

FEW = 20
"""Classes that numbers with a fractional part may be at most."""

Make = Callable[[Tensor], tuple[Tensor, Tensor, dict[str, Any]]]
"""(training rows to fit on, by their number) -> the inputs of all training rows, those of all test rows, and what was
fitted, as plain values."""


@dataclass(frozen=True)
class Answers:
    """What is to be learned of rows, and the groups they are in.

    Attributes:
        targets: (N,) int64 labels, or float64 values in their own unit.
        groups: (N,) int64, 0 to k − 1.
        class_names: None for regression.
        edges: between groups that are bins of the targets.
    """

    targets: NDArray[Any]
    groups: NDArray[np.int64]
    group_names: tuple[str, ...]
    class_names: tuple[str, ...] | None = None
    edges: tuple[float, ...] = ()

    def part(self, index: NDArray[np.int64]) -> Answers:
        """Those of the rows at ``index``."""
        return replace(self, targets=self.targets[index], groups=self.groups[index])


def classified(labels: pd.Series, groups: pd.Series | None, file: Path | str, like: Answers | None = None) -> Answers:
    """Labels of rows and their groups, which are the labels if none are given.

    Args:
        labels, groups: cells (N,); the index says where they stand in ``file``.
        like: the training part's, whose classes and groups these must be.

    Raises:
        UserError: a cell is empty; there is one class only; the labels are measurements; or a class or group is new.
    """
    targets, classes = _coded(labels, file, like.class_names if like else None)
    if like is None:
        _check_classes(targets, classes, labels, file)
    if groups is None:
        return Answers(targets, targets, classes, classes)
    return Answers(targets, *_coded(groups, file, like.group_names if like else None), classes)


def measured(
    values: pd.Series, groups: pd.Series | None, bins: int, file: Path | str, like: Answers | None = None
) -> Answers:
    """Values to be predicted, and groups, which are quantile bins of the values if none are given.

    Raises:
        UserError: a cell is empty, or no finite number; all values are alike; or a group is new.
    """
    targets = numbers(values)
    wrong = np.flatnonzero(~(np.abs(targets) <= LARGEST))
    if len(wrong):
        cell = values.iloc[wrong[0]]
        held = "nothing" if pd.isna(cell) else shown(cell)
        raise UserError(
            f"{file} has {values.name}={held} in {where(values, int(wrong[0]))}: a regression's target must be a "
            "finite number, mend or drop the row, or use dataset.task=classification"
        )
    if like is None and targets.min() == targets.max():
        raise UserError(
            f"{file} has {values.name}={values.iloc[0]} in every row: there is nothing to learn, use another target"
        )
    if groups is not None:
        return Answers(targets, *_coded(groups, file, like.group_names if like else None))
    binned = Answers(targets, np.zeros(len(targets), np.int64), ("all",))
    return in_bins(binned, binned, bins)[0]


def in_bins(train: Answers, test: Answers, bins: int) -> tuple[Answers, Answers]:
    """The same with values for groups: those between the training part's quantiles; fewer where quantiles coincide."""
    edges = np.unique(np.quantile(train.targets, np.arange(1, bins) / bins))
    edges = edges[edges < train.targets.max()]
    told = [f"{edge:.6g}" for edge in edges]
    names = [f"{low} to {high}" for low, high in pairwise(told)]
    names = [f"up to {told[0]}", *names, f"above {told[-1]}"] if told else ["all"]
    first, second = (
        replace(
            each, groups=np.searchsorted(edges, each.targets), group_names=tuple(names), edges=tuple(edges.tolist())
        )
        for each in (train, test)
    )
    return first, second


def parted(
    whole: Answers, labels: pd.Series, fraction: float, data_seed: int, file: Path | str
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Training and test rows, by their number, with the same share of every group, and in it of every class.

    What is alone of its class in its group is trained on.

    Raises:
        UserError: a class has a single row, or a group would have no test row.
    """
    if whole.class_names is not None:
        _check_sizes(whole, labels, file)
    classes = np.zeros_like(whole.groups) if whole.class_names is None else whole.targets
    _, both = np.unique(np.stack([whole.groups, classes]), axis=1, return_inverse=True)
    held = held_out(torch.from_numpy(both.reshape(-1)), fraction, generator(data_seed, "test")).numpy()
    lacking = set(range(len(whole.group_names))) - set(whole.groups[held].tolist())
    if lacking:
        name = shown(whole.group_names[min(lacking)], 60)
        alike = " and of one class" if whole.class_names else ""
        raise UserError(
            f"{file} has no two rows of group {name}{alike}: one to train on and one to test on are needed at least, "
            "add rows, drop the group, or name a file of test rows"
        )
    return np.flatnonzero(~held), np.flatnonzero(held)


def check_test(test: Answers, file: Path | str) -> None:
    """Nothing, if every group has a row to be tested on.

    Raises:
        UserError: one has none.
    """
    sizes = np.bincount(test.groups, minlength=len(test.group_names))
    if not sizes.all():
        name = test.group_names[int(np.flatnonzero(sizes == 0)[0])]
        raise UserError(
            f"{file} has no row of group {shown(name, 60)}, which is trained on: every group needs a row in the test "
            "part, put some there"
        )


def assembled(
    train: Answers,
    test: Answers,
    make: Make,
    index: Tensor | None = None,
    scale: Tensor | None = None,
    shift: Tensor | None = None,
) -> Data:
    """The data set, with inputs, and values to be predicted, scaled as the training rows at ``index`` say, or all.

    ``scale`` and ``shift`` are the splits'.
    """
    index = torch.arange(len(train.groups)) if index is None else index
    trained, tested, preprocessing = make(index)
    mean, sd = 0.0, 1.0
    if train.class_names is None:
        chosen = train.targets[index.numpy()]
        mean, sd = float(chosen.mean()), float(chosen.std()) or 1.0
        preprocessing = preprocessing | {"target": {"mean": mean, "sd": sd}, "group_edges": train.edges}

    def split(inputs: Tensor, answers: Answers) -> Split:
        targets = torch.tensor(answers.targets)
        if answers.class_names is None:
            targets = ((targets - mean) / sd).float()[:, None]
        return Split(inputs, targets, torch.from_numpy(answers.groups), scale, shift)

    classes = None if train.class_names is None else len(train.class_names)
    return Data(
        split(trained, train), split(tested, test), train.group_names, classes, preprocessing,
        class_names=train.class_names, refit=lambda chosen: assembled(train, test, make, chosen, scale, shift),
    )  # fmt: skip


def _coded(
    cells: pd.Series, file: Path | str, known: tuple[str, ...] | None
) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    """Cells as the numbers (N,) of their names, which are sorted: numbers by their value, so that 1 and 1.0 are one."""
    absent = np.flatnonzero(cells.isna().to_numpy(bool))
    if len(absent):
        more = f" and {len(absent) - 1} more" if len(absent) > 1 else ""
        raise UserError(
            f"{file} has no {cells.name} in {where(cells, int(absent[0]))}{more}: every row needs one, mend or drop it"
        )
    values = numbers(cells)
    if np.isfinite(values).all():
        different, codes = np.unique(values, return_inverse=True)
        names = tuple(f"{value:.0f}" if value.is_integer() else repr(value) for value in different.tolist())
    else:
        words_found, codes = np.unique(words(cells).astype(str), return_inverse=True)
        names = tuple(words_found.tolist())
    if known is None:
        return codes.astype(np.int64), names
    new = [name not in known for name in names]
    if any(new):
        place = int(np.flatnonzero(np.array(new)[codes])[0])
        raise UserError(
            f"{file} has {cells.name}={shown(cells.iloc[place], 60)} in {where(cells, place)}, which the training part "
            f"does not have: it must be one of {shown(', '.join(known))}, mend or drop the row"
        )
    return np.array([known.index(name) for name in names])[codes], known


def _check_classes(targets: NDArray[np.int64], classes: tuple[str, ...], labels: pd.Series, file: Path | str) -> None:
    """Nothing, if these are classes to be told apart."""
    if len(classes) == 1:
        raise UserError(
            f"{file} has {labels.name}={shown(classes[0], 60)} in every row: a classification needs two classes, use "
            "another target"
        )
    values = numbers(labels)
    if np.isfinite(values).all():
        fractions = len(classes) > FEW and bool((values % 1 != 0).any())
        if fractions or len(classes) > max(FEW, len(labels) / 5):
            raise UserError(
                f"{file} has {len(classes)} different numbers as {labels.name} in {len(labels)} rows, which are no "
                "classes: use dataset.task=regression, or another target"
            )


def _check_sizes(whole: Answers, labels: pd.Series, file: Path | str) -> None:
    """Nothing, if every class can be split."""
    sizes = np.bincount(whole.targets)
    if not (sizes > 1).all():
        lone = np.flatnonzero(sizes == 1)
        row = int(np.flatnonzero(whole.targets == lone[0])[0])
        name = shown((whole.class_names or ())[int(lone[0])], 60)
        more = f", as have {len(lone) - 1} more classes" if len(lone) > 1 else ""
        raise UserError(
            f"{file} has one row of class {name}, in {where(labels, row)}{more}: one to train on and one to test on "
            "are needed at least, add rows, drop the class, or name a file of test rows"
        )
