"""A user's own table in a text file: ``dataset=csv``."""

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

import pandas as pd

from l2m.data import DATASETS, Data, Source
from l2m.data.own import columns
from l2m.data.own.cells import Decimal, clean, with_point
from l2m.data.own.csv_rows import Header, Separator, read_rows
from l2m.data.own.targets import TestFraction, assemble_table, encode, read_part, split_rows
from l2m.data.tables import parse_numbers, refuse
from l2m.data.validation import Units
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
    split_by: str | None = None,
    split_order: str | None = None,
    ignore: tuple[str, ...] = (),
    categorical: tuple[str, ...] = (),
    max_categories: Annotated[int, Range(2, 10_000)] = 20,
    missing: tuple[str, ...] = (),
    numbers: tuple[str, ...] = (),
    separator: Separator = "auto",
    decimal: Decimal = "point",
    encoding: str = "utf-8",
    header: Header = "line",
    names: tuple[str, ...] = (),
) -> Data:
    """A table in text, Excel or Parquet: all columns but the target and the ignored ones are inputs.

    Columns of numbers are standardised, with the median where a value is missing; others are categories. Both are
    fitted on the rows that are trained on, without those that ``validation_fraction`` holds out. So are the mean and
    the standard deviation of a regression's target, which the model predicts in units of them; errors are reported in
    the target's own unit.

    A ``group`` column is an input as well, unless ``ignore`` names it; bins are quantiles of the training targets.
    Without ``test_path``, ``data_seed`` draws the same share of every group, and in it of every class. With
    ``split_order`` a held-out part is a stretch of time. ``conf/dataset/csv.yaml`` describes all options.
    """
    file = Path(path).expanduser()
    written, bins = (separator, encoding, header, names), group_bins if task == "regression" else 0
    table = read_rows(file, *written, decimal=decimal)
    named = {"target": target, "group": group, "split_by": split_by, "split_order": split_order}
    for option, chosen in ({option: [name] for option, name in named.items() if name} | {"ignore": ignore}).items():
        columns.check_columns(chosen, table.columns, f"dataset.{option}", file)
    ignore = (*ignore, *filter(None, (split_by, split_order)))
    inputs = [name for name in map(str, table.columns) if name not in (target, *ignore)]
    if not inputs:
        raise UserError(f"{file} has no column but the target and those in dataset.ignore: use others as inputs")
    may_be_numbers = [*inputs, target] if bins else inputs
    columns.check_columns(numbers, may_be_numbers, "dataset.numbers", file)

    signs = dict[str, str]()
    meaning: Any = {
        "missing": missing, "numbers": numbers, "decimal": decimal, "categorical": categorical, "signs": signs
    }  # fmt: skip
    cleaned = clean(table, may_be_numbers, file, **meaning)
    whole, tested = read_part(cleaned, file, target, group, bins, decimal=decimal), None
    whole = replace(whole, units=_read_units(cleaned, file, split_by, split_order, decimal))
    if test_path:
        place = Path(test_path).expanduser()
        rows = read_rows(place, *written, decimal=decimal)
        columns.require([*inputs, target, *([group] if group else [])], rows, place, f"{file} has")
        if split_by and (both := set(table[split_by]) & set(rows.get(split_by, []))):
            raise UserError(f"{place} has {split_by}={min(both)}, which {file} has too: put all its rows in one file")
        tested = read_part(clean(rows, may_be_numbers, place, **meaning), place, target, group, bins, whole, decimal)
    split = partial(split_rows, fraction=test_fraction, data_seed=source.data_seed, bins=0 if group else bins)
    ignored = [name for name in ignore if name not in (target, group)]
    kept = {"signs": signs, "width": 0 if header == "line" or names else len(table.columns)}
    return assemble_table(whole, tested, split, inputs, categorical, max_categories, decimal, ignored, kept)


def _read_units(rows: pd.DataFrame, place: Path, by: str | None, order: str | None, decimal: Decimal) -> Units | None:
    """What a split must not separate, from the column ``by`` or ``order``; an empty cell is an error."""
    if by and order:
        raise UserError(f"dataset.split_by={by} and dataset.split_order={order} are two ways to split: drop one")
    if by:
        return Units("dataset.split_by", encode(rows[by], place, None)[0], False)
    if not order:
        return None
    texts = rows[order].map(partial(with_point, decimal=decimal), na_action="ignore")
    moments: pd.Series[Any] = pd.Series(parse_numbers(texts))
    if moments.isna().all():
        moments = pd.to_datetime(rows[order], format="ISO8601", errors="coerce", utc=True)
    rule = "dataset.split_order needs a number or a date like 2026-01-31 in every row, fix or drop it"
    refuse(moments.isna().to_numpy(), rows[order], place, rule)
    return Units("dataset.split_order", pd.factorize(moments, sort=True)[0], True)
