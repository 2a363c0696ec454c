"""A person's own table in a text file: ``dataset=csv``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import pandas as pd

from l2m.data import DATASETS, Data, Source
from l2m.data.own import columns
from l2m.data.own.csv_rows import Decimal, Separator, read_rows
from l2m.data.own.targets import Answers, TestFraction, assembled, check_test, classified, in_bins, measured, parted
from l2m.errors import UserError
from l2m.schema import Range

Categories = Annotated[int, Range(2, 10_000)]


@DATASETS.register("csv")
def csv(
    source: Source,
    *,
    path: str,
    target: str,
    task: Literal["classification", "regression"] = "classification",
    group: str | None = None,
    group_bins: Annotated[int, Range(2, 100)] = 4,
    test_path: str | None = None,
    test_fraction: TestFraction = 0.2,
    ignore: tuple[str, ...] = (),
    categorical: tuple[str, ...] = (),
    max_categories: Categories = 20,
    missing: tuple[str, ...] = (),
    separator: Separator = "auto",
    decimal: Decimal = "point",
) -> Data:
    """A table whose first line names its columns: all but the target and the ignored ones are inputs.

    Columns of numbers are standardised, with the median where a value is missing; others are categories. Both are
    fitted on the rows that are trained on, without those that ``validation_fraction`` holds out. So are the mean and
    the standard deviation of a regression's target, which the model predicts in units of them; errors are told in
    the target's own unit.

    Args:
        path: of the file, from the folder that the command is given in.
        group: a column; it is an input as well, unless ``ignore`` names it. None: the label, or for a regression
            ``group_bins`` quantile bins of the training part's targets.
        test_path: a file of test rows with the same columns. None: ``test_fraction`` of the rows, drawn by
            ``data_seed``, of every group the same share, and in it of every class.
        categorical: columns that hold categories, though they are written as numbers, or of many values.
        max_categories: inputs that a categorical column becomes at most; its rarer values share one.
        missing: cells that mean that a value is missing, beside empty ones and NA.
    """
    file = Path(path).expanduser()
    table = read_rows(file, separator, decimal, missing)
    for option, names in (("target", [target]), ("group", [group] if group else []), ("ignore", ignore)):
        for name in names:
            columns.find(name, table.columns, f"dataset.{option}", file)
    inputs = [name for name in map(str, table.columns) if name not in (target, *ignore)]
    for name in categorical:
        columns.find(name, inputs, "dataset.categorical", file)
    if not inputs:
        raise UserError(f"{file} has no column but the target and those in dataset.ignore: use others as inputs")
    numeric, categories = columns.kinds(table[inputs], categorical, max_categories, file)

    def answers(rows: pd.DataFrame, place: Path, like: Answers | None = None) -> Answers:
        groups = rows[group] if group else None
        if task == "regression":
            return measured(rows[target], groups, group_bins, place, like)
        return classified(rows[target], groups, place, like)

    whole = answers(table, file)
    if test_path:
        place = Path(test_path).expanduser()
        tested = read_rows(place, separator, decimal, missing)
        for name in [*inputs, target, *([group] if group else [])]:
            if name not in tested:
                guess = columns.guess(name, tested.columns)
                raise UserError(f"{place} has no column {name}{guess}, which {file} has: put the same columns there")
        train, test = whole, answers(tested, place, whole)
    else:
        place = file
        kept, held = parted(whole, table[target], test_fraction, source.data_seed, file)
        table, tested = table.iloc[kept], table.iloc[held]
        train, test = whole.part(kept), whole.part(held)
    if task == "regression" and group is None:
        train, test = in_bins(train, test, group_bins)
    check_test(test, place)

    make = columns.fitting(table, tested, numeric, categories, max_categories, (file, place))
    return assembled(train, test, make)


def rows(choice: Mapping[str, Any], file: Path) -> pd.DataFrame:
    """The rows of a further file that is written as that of a run was; ``choice`` is the run's ``config.dataset``.

    Raises:
        UserError: as :func:`l2m.data.own.csv_rows.read_rows`.
    """
    return read_rows(file, choice["separator"], choice["decimal"], choice["missing"])
