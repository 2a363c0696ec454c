"""A user's own table in a text file: ``dataset=csv``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from l2m.data import DATASETS, Data, Source
from l2m.data.own import columns
from l2m.data.own.csv_rows import Decimal, Separator, read_rows
from l2m.data.own.targets import TestFraction, assemble_table, read_part, split_rows
from l2m.errors import UserError
from l2m.schema import Range


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
    max_categories: Annotated[int, Range(2, 10_000)] = 20,
    missing: tuple[str, ...] = (),
    separator: Separator = "auto",
    decimal: Decimal = "point",
) -> Data:
    """A table whose first line names its columns: all but the target and the ignored ones are inputs.

    Columns of numbers are standardised, with the median where a value is missing; others are categories. Both are
    fitted on the rows that are trained on, without those that ``validation_fraction`` holds out. So are the mean and
    the standard deviation of a regression's target, which the model predicts in units of them; errors are reported in
    the target's own unit.

    Args:
        path: of the file, relative to the folder that the command is run in.
        group: a column; it is an input as well, unless ``ignore`` names it. None: the label, or for a regression
            ``group_bins`` quantile bins of the training part's targets.
        test_path: a file of test rows with the same columns. None: ``test_fraction`` of the rows, drawn by
            ``data_seed``, the same share of every group, and in it of every class.
        categorical: columns that hold categories, though they are written as numbers, or have many values.
        max_categories: inputs that a categorical column becomes at most; its rarer values share one.
        missing: cells that mean that a value is missing, besides empty ones and NA.
    """
    file = Path(path).expanduser()
    table = read_rows(file, separator, decimal, missing)
    for option, names in (("target", [target]), ("group", [group] if group else []), ("ignore", ignore)):
        columns.check_columns(names, table.columns, f"dataset.{option}", file)
    inputs = [name for name in map(str, table.columns) if name not in (target, *ignore)]
    if not inputs:
        raise UserError(f"{file} has no column but the target and those in dataset.ignore: use others as inputs")
    bins = group_bins if task == "regression" else 0
    whole, tested = read_part(table, file, target, group, bins), None
    if test_path:
        place = Path(test_path).expanduser()
        rows = read_rows(place, separator, decimal, missing)
        columns.require([*inputs, target, *([group] if group else [])], rows, place, f"{file} has")
        tested = read_part(rows, place, target, group, bins, whole)
    train, test = split_rows(whole, tested, test_fraction, source.data_seed, 0 if group else bins)
    return assemble_table(train, test, whole, inputs, categorical, max_categories)
