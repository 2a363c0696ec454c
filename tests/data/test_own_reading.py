"""A person's table is read as they mean it, or refused with what reads it: marks, codes, notations, kinds of files."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import re
import sys
import time
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from commands import opened
from mutations import assert_sentence

import l2m.compare
import l2m.predict
import l2m.run
from l2m import RunConfig, UserError, compose
from l2m.comparison import runner
from l2m.data import Data, load
from l2m.data.own.description import find_alike, format_description
from l2m.data.own.new_samples import read_unseen
from l2m.data.own.targets import place_names
from l2m.sweeps import launching
from l2m.sweeps.launchers import Launcher, Outcome, train_and_report

ROWS = 40
CITIES = ("Aachen", "Bonn", "Köln", "")


def write(file: Path, column: Sequence[object], name: str = "lab", label: Callable[[int], str] | None = None) -> Path:
    """A table of three columns: one given, ages and the outcome, of which a fifth are ill."""
    label = label or (lambda row: "well" if row % 5 else "ill")
    cells = [f'"{column[row % len(column)]}",{20 + row},{label(row)}' for row in range(ROWS)]
    file.write_text("\n".join([f"{name},age,outcome", *cells]) + "\n", "utf-8")
    return file


def loaded(file: Path, *overrides: str) -> Data:
    return load(compose("dataset=csv", f"dataset.path={file}", "dataset.target=outcome", *overrides))


def refused(file: Path, *overrides: str) -> str:
    with pytest.raises(UserError) as caught:
        loaded(file, *overrides)
    assert_sentence(str(caught.value), file)
    return str(caught.value)


def described(data: Data) -> dict[str, object]:
    assert data.description
    return dict(data.description)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "table.csv"


# Marks


@pytest.mark.parametrize("mark", ["-999", "-999.0", "-9.99e2"])
def test_marks_that_are_numbers_are_compared_as_numbers(file: Path, mark: str) -> None:
    write(file, ["3.5", "-999.0", "2.5", "-999", "4.5", "-9.990E+02"])
    data = loaded(file, f"dataset.missing=[{mark}]")
    assert described(data)["missing"] == {"lab": 20}
    assert data.preprocessing["numbers"][0]["median"] in (2.5, 3.5)


def test_marks_are_not_numbers_in_codes(file: Path) -> None:
    write(file, ["0999", "999", "5"])
    missing = ("dataset.missing=[999]", "dataset.categorical=[lab]")
    assert described(loaded(file, *missing))["missing"] == {"lab": 13}
    assert described(loaded(file, missing[0]))["missing"] == {"lab": 27}


def test_marks_in_a_table_with_decimal_commas(file: Path) -> None:
    write(file, ["-9,5", "3,5", "2,5"])
    data = loaded(file, "dataset.missing=['-9,50']", "dataset.decimal=comma")
    assert described(data)["missing"] == {"lab": 14}


# Labels, groups and codes


def test_codes_stay_as_the_file_has_them(file: Path) -> None:
    accounts = ["90071992547409920", "90071992547409921"]
    write(file, accounts, label=lambda row: "007" if row % 5 else "7.50")
    data = loaded(file, "dataset.group=lab", "dataset.ignore=[lab]")
    assert data.group_names == tuple(accounts)
    assert data.class_names == ("007", "7.50"), "sorted by value, and neither is 7 or 7.5"


def test_test_rows_may_write_a_number_in_another_way(file: Path, tmp_path: Path) -> None:
    """pandas writes whole numbers as 1.0 where one of them is missing."""
    write(file, [1, 2, 3], label=lambda row: str(row % 2))
    test = write(tmp_path / "test.csv", [1, 2, 3], label=lambda row: f"{row % 2}.0")
    data = loaded(file, f"dataset.test_path={test}")
    assert data.class_names == ("0", "1")
    assert data.test.targets.tolist() == [0, 1] * (ROWS // 2)
    write(file, [1, 2, 3], label=lambda row: ["1", "1.0"][row % 2])
    write(test, [1, 2, 3], label=lambda row: ["1", "1.00"][row % 2])
    with pytest.raises(UserError, match=r"has outcome=1\.00 in line 3, which the training part does not have"):
        loaded(file, f"dataset.test_path={test}")


def test_names_that_are_alike_are_one_line_of_warning(file: Path) -> None:
    data = loaded(write(file, [1, 2], label=lambda row: ("Yes", "yes", "YES", "no")[row % 4]))
    assert data.class_names == ("YES", "Yes", "no", "yes"), "none are merged"
    warnings = [line for line in format_description(described(data)) if "warning" in line]
    assert warnings == ["  warning     fix the file if these are one: YES, Yes, yes"]
    assert find_alike(["1", "1.0", "01", "a", "A", "b"]) == [["1", "1.0", "01"], ["a", "A"]]
    assert find_alike(["90071992547409920", "90071992547409921", "1_0", "10"]) == []
    assert find_alike(["caf\u00e9", "cafe\u0301", "cafe"]) == [["caf\u00e9", "cafe\u0301"]]


def test_all_names_that_are_alike_are_listed(file: Path) -> None:
    data = loaded(write(file, [1, 2], label=lambda row: ("Yes", "yes", "NO", "no")[row % 4]))
    assert "  warning     fix the file if these are one: NO, no; Yes, yes" in [*format_description(described(data))]


def test_labels_of_any_type_in_parquet_and_hugging_face(tmp_path: Path) -> None:
    big = [90071992547409920, 90071992547409921]
    frame = pd.DataFrame({
        "code": pd.array([*big, None] * 20, "Int64"), "age": range(60), "share": [0.25, 1.0] * 30,
        "outcome": [7, 8] * 30,
    })  # fmt: skip
    frame.to_parquet(tmp_path / "table.parquet")
    own = loaded(tmp_path / "table.parquet", "dataset.categorical=[code]")
    theirs = load(
        compose(
            "dataset=hugging_face_table", f"dataset.path={tmp_path / 'table.parquet'}", "dataset.label=outcome",
            "dataset.categorical=[code]",
        )
    )  # fmt: skip
    for data in (own, theirs):
        assert data.class_names == ("7", "8")
        assert data.preprocessing["categories"][0]["values"] == ["", *map(str, big)]
        assert described(data)["missing"] == {"code": 20}
    assert torch.equal(own.train.inputs, theirs.train.inputs)
    frame.drop(columns="age").set_index("outcome").to_parquet(tmp_path / "table.parquet")
    assert loaded(tmp_path / "table.parquet", "dataset.categorical=[code]").class_names == ("7", "8"), "its index"


# Columns that are mostly numbers

NOTATIONS = {
    "marks": (["50.1", "?", "48.2", "71.9"], "has lab=? in line 3 and 9 more cells of this kind (25% of the column), "
              "beside 30 numbers: fix the cell or leave it empty, use 'dataset.missing=[\"?\"]' if"),
    "a third of marks": (["1", ".", "2"], "'dataset.missing=[\".\"]' if it means that the value is missing"),
    "most are marks": (["1", "2", "unknown", "unknown", "unknown"], "'dataset.missing=[\"unknown\"]' if"),
    "several marks": (["1", "2", "3", "?", "4", "."], "'dataset.missing=[\"?\",\".\"]' if"),
    "a last category": (["0", "1", "2", "3+"], "or 'dataset.categorical=[\"lab\"]' if the column holds categories"),
    "percent": (["83.70%", "5.00%"], "has lab=83.70% in line 2 and 39 more cells of this kind (100% of the column), a "
                "number with a percent sign: use 'dataset.numbers=[\"lab\"]' to read it as 83.70, or"),
    "currency": (["$84,835.00 ", "$1,200.50 "], "a currency sign: use 'dataset.numbers=[\"lab\"]' to read it as 84835"),
    "thousands": (["84,835.00", "12"], "a number with thousands separators or other signs: use "
                  "'dataset.numbers=[\"lab\"]' to read it as 84835.00, or"),
    "apostrophes": (["84'835", "12"], "thousands separators or other signs: use 'dataset.numbers=[\"lab\"]' to read it "
                    "as 84835, or"),
    "another minus": (["−12.5", "12"], "or other signs: use 'dataset.numbers=[\"lab\"]' to read it as -12.5, or"),
    "other digits": (["１２", "١٣"], "or other signs: use 'dataset.numbers=[\"lab\"]' to read it as 12, or"),
    "a comma": (["84,835", "12"], "a number with a comma: use dataset.decimal=comma if it is a decimal comma, "
                "'dataset.numbers=[\"lab\"]' if it separates thousands"),
    "a decimal comma": (["84,85", "12"], "a number with a comma: use dataset.decimal=comma, or"),
    "both commas": (["1.284,85 €", "12,00 €"], "use 'dataset.numbers=[\"lab\"]' with dataset.decimal=comma, or"),
    "percent and marks": (["5%", "?", "7%"], "has lab=5% in line 2 and "),
}  # fmt: skip


@pytest.mark.parametrize("kind", NOTATIONS)
def test_columns_that_are_mostly_numbers_are_never_silently_categories(file: Path, kind: str) -> None:
    cells, expected = NOTATIONS[kind]
    assert expected in refused(write(file, cells))
    assert described(loaded(file, "dataset.categorical=[lab]"))["categories"] == {"lab": len(set(cells))}


def test_columns_that_are_mostly_text_are_categories(file: Path) -> None:
    for cells in (["a", "a", "b", "1"], ["a", "b", "5%"]):
        assert described(loaded(write(file, cells)))["categories"] == {"lab": len(set(cells))}


READ = {
    "percent": (["83.70%", "-5 %", "0"], (), [83.7, -5.0, 0.0]),
    "currency": (["$84,835.00 ", "-$1,200.50", "12"], (), [84835.0, -1200.5, 12.0]),
    "thousands": (["1,284,835", "1'000", "2 500.5"], (), [1284835.0, 1000.0, 2500.5]),
    "decimal commas": (["1.284,85 €", "€ 12", "1,5 €"], ("dataset.decimal=comma",), [1284.85, 12.0, 1.5]),
    "points of thousands": (["1.284", "2.000"], ("dataset.decimal=comma",), [1284.0, 2000.0]),
    "marks": (["5%", "?", "7%"], ("dataset.missing=['?']",), [5.0, 7.0]),
    "other digits": (["１２.5", "١٣", "−7"], (), [12.5, 13.0, -7.0]),
}


@pytest.mark.parametrize("kind", READ)
def test_numbers_in_another_notation_are_read_by_name(file: Path, kind: str) -> None:
    cells, overrides, values = READ[kind]
    data = loaded(write(file, cells), "dataset.numbers=[lab]", *overrides)
    column = data.preprocessing["numbers"][0]
    stored = data.train.inputs[:, 0].double() * column["sd"] + column["mean"]
    found = sorted({round(value, 2) for value in stored.tolist()})
    assert set(map(str, values)) <= {str(round(value, 2)) for value in found} | {str(column["median"])}
    assert len(found) <= len(values) + 1


UNREADABLE = {
    "text": (["5%", "much"], (), "has lab=much in line 3 and", "which is not a number: fix the cell or leave it empty"),
    "shares beside percent": (["83.7%", "5%", "0.84"], (), "has lab=0.84 in line 4, where most have %: ", "same unit"),
    "two currencies": (["$5", "$6", "€7"], (), "has lab=€7 in line 4, where most have $: ", "same unit"),
    "a point beside decimal commas": (
        ["1.284", "3,5"], ("dataset.decimal=comma",), "has lab=1.284 in line 2, a number with a point",
        "train with 'dataset.numbers=[\"lab\"]' if it separates thousands",
    ),
    "a category too": (
        ["5%"], ("dataset.numbers=[lab]", "dataset.categorical=[lab]"), "in dataset.categorical: name it in one",
    ),
    "a column that is not there": (["5%"], (), "has no column lag (did you mean lab?): choose dataset.numbers", "lab"),
}  # fmt: skip


@pytest.mark.parametrize("kind", UNREADABLE)
def test_what_is_no_number_in_such_a_column_is_refused(file: Path, kind: str) -> None:
    cells, overrides, *expected = UNREADABLE[kind]
    named = "lag" if "not there" in kind else "lab"
    said = refused(write(file, cells), *(overrides or (f"dataset.numbers=[{named}]",)))
    for part in expected:
        assert part.replace(" and", "") in said


@pytest.mark.parametrize(
    ("trained", "new", "said"),
    [("60.5%", "0.6", "has lab=0.6 in line 3, where the training part has %: "),
     ("$5", "€5", "the training part has $: "), ("0.5", "50%", "the training part has no sign: "),
     ("$5", "5", ""), ("60.5%", "0", ""), ("60.5%", "", "")],
)  # fmt: skip
def test_the_unit_of_new_rows_is_that_of_the_training_part(
    file: Path, tmp_path: Path, trained: str, new: str, said: str
) -> None:
    write(file, [trained, "0", ""])
    other = write(tmp_path / "new.csv", ["", new])
    data = loaded(file, "dataset.numbers=[lab]")
    choice = {"name": "csv", "target": "outcome", "numbers": ["lab"]}
    for read in (lambda: read_unseen(other, data, choice),
                 lambda: loaded(file, "dataset.numbers=[lab]", f"dataset.test_path={other}")):  # fmt: skip
        with pytest.raises(UserError, match=re.escape(said)) if said else nullcontext():
            read()


NO_CATEGORIES = {
    "few dates": ([f"2026-01-0{day}" for day in range(1, 8)], "has a date in most rows of lab: it is not a category"),
    "dates with times": (["2026-01-31T10:00", "2026-02-01T11:30", "unknown"], "has a date in most rows of lab"),
    "dates with points": (["31.1.2026", "1.2.2026"], "has a date in most rows of lab"),
    "dates with slashes": (["1/31/26", "2/1/26"], "has a date in most rows of lab"),
    "units": ([f"{row}.5 kg" for row in range(ROWS)], "leave it out, write the numbers alone if they have a unit, "),
    "currencies": ([f"USD {row}" for row in range(ROWS)], "write the numbers alone if they have a unit, "),
    "names": ([f"P-{row}" for row in range(ROWS)], "'dataset.ignore=[\"lab\"]' to leave it out, dataset.cat"),
}  # fmt: skip


@pytest.mark.parametrize("kind", NO_CATEGORIES)
def test_dates_and_rare_texts_are_no_categories(file: Path, kind: str) -> None:
    cells, expected = NO_CATEGORIES[kind]
    assert expected in refused(write(file, cells))
    assert described(loaded(file, "dataset.categorical=[lab]"))["categories"] == {"lab": len(set(cells))}


def test_what_only_looks_like_a_date_may_be_a_category(file: Path) -> None:
    for cells in (["1/2", "1/4", "3/4"], ["2026-01", "2026-02"], ["192.168.0.1", "10.0.0.1"], ["1.2.3", "1.2.4"]):
        assert described(loaded(write(file, cells)))["categories"] == {"lab": len(cells)}


def test_a_target_in_another_notation_names_the_option(file: Path) -> None:
    write(file, [1, 2, 3], label=lambda row: f"${row}.00")
    assert "use 'dataset.numbers=[\"outcome\"]' to read it as 0.00, or" in refused(file, "dataset.task=regression")
    data = loaded(file, "dataset.task=regression", "dataset.numbers=[outcome]")
    assert described(data)["target"] == {"from": 0.0, "to": 39.0, "mean": 19.5}


# Kinds of files

TABLE = "\n".join(
    ["age,income,city,outcome", *(f"{20 + i},{i * 7.5:.2f},{CITIES[i % 4]},{'ill' if i % 5 == 0 else 'well'}"
                                  for i in range(ROWS))]
) + "\n"  # fmt: skip


def zipped(name: str, *more: str) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for member in (name, *more):
            archive.writestr(member, TABLE)
    return content.getvalue()


def parquet() -> bytes:
    content = io.BytesIO()
    pd.read_csv(io.StringIO(TABLE)).to_parquet(content)
    return content.getvalue()


NO_HEADER = TABLE.partition("\n")[2].encode()
NAMES = "dataset.names=[age,income,city,outcome]"
KINDS: dict[str, tuple[str, bytes, tuple[str, ...]]] = {
    "gzip": ("t.csv.gz", gzip.compress(TABLE.encode()), ()),
    "bzip2": ("t.csv.bz2", bz2.compress(TABLE.encode()), ()),
    "xz": ("t.csv.xz", lzma.compress(TABLE.encode()), ()),
    "zip": ("t.zip", zipped("t.csv", "__MACOSX/t.csv"), ()),
    "Parquet": ("t.parquet", parquet(), ()),
    "a table in gzip in zip": ("t.GZ", gzip.compress(TABLE.encode()), ()),
    "Latin-1": ("t.csv", TABLE.encode("latin1"), ("dataset.encoding=latin1",)),
    "UTF-16": ("t.csv", TABLE.encode("utf-16"), ("dataset.encoding=utf-16",)),
    "no header": ("t.csv", NO_HEADER, ("dataset.header=none", NAMES)),
    "one row at least": ("t.tsv", NO_HEADER.replace(b",", b"\t"), ("dataset.header=none", NAMES)),
}


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> Data:
    file = tmp_path_factory.mktemp("plain") / "t.csv"
    file.write_text(TABLE, "utf-8")
    return loaded(file)


@pytest.mark.parametrize("kind", KINDS)
def test_one_table_in_files_of_many_kinds(tmp_path: Path, expected: Data, kind: str) -> None:
    name, content, overrides = KINDS[kind]
    (tmp_path / name).write_bytes(content)
    data = loaded(tmp_path / name, *overrides)
    assert torch.equal(data.train.inputs, expected.train.inputs)
    assert torch.equal(data.test.targets, expected.test.targets)
    assert data.preprocessing == expected.preprocessing


def test_bytes_and_rare_types_in_parquet(tmp_path: Path) -> None:
    table = pa.table({
        "lab": pa.array([1.5, 2.5] * 20), "hash": pa.array([b"a\xff", b"b", None, b"c"] * 10),
        "ward": pa.array(["east", "west", None, "east"] * 10, pa.string_view()), "outcome": ["ill", "well"] * 20,
    })  # fmt: skip
    pq.write_table(table, tmp_path / "t.parquet")
    data = loaded(tmp_path / "t.parquet")
    values = {column["name"]: column["values"] for column in data.preprocessing["categories"]}
    assert values == {"hash": ["", "a\\xff", "b", "c"], "ward": ["", "east", "west"]}


def test_a_column_may_be_called_as_kinds_of_files_begin(file: Path) -> None:
    for name in ("PAR1", "BZh", "SQLite", "Rar!", "ARROW1"):
        assert described(loaded(write(file, [1, 2], name)))["numbers"] == [name, "age"]


def test_codes_may_look_like_a_huge_number(file: Path) -> None:
    data = loaded(write(file, ["ab12", "cd34", "12e999"]))
    assert data.preprocessing["categories"][0]["values"] == ["12e999", "ab12", "cd34"]


def test_columns_without_names_are_numbered(file: Path) -> None:
    file.write_bytes(NO_HEADER)
    data = load(compose("dataset=csv", f"dataset.path={file}", "dataset.target=4", "dataset.header=none"))
    assert described(data)["numbers"] == ["1", "2"]
    assert len(data.train) + len(data.test) == ROWS


@pytest.mark.parametrize("sign", [";", "\t", "|"])
def test_a_decimal_comma_is_no_separator(file: Path, sign: str) -> None:
    file.write_text("".join(sign.join((f"{row},5", f"{row % 7},25", "AB"[row % 2])) + "\n" for row in range(40)))
    words = ("dataset.header=none", "dataset.decimal=comma", "dataset.target=3")
    data = load(compose("dataset=csv", f"dataset.path={file}", *words))
    assert (described(data)["numbers"], data.labels) == (["1", "2"], ("A", "B"))


BOOK = zipped("xl/workbook.xml")
OTHERS: dict[str, tuple[str, bytes, tuple[str, ...], str]] = {
    "gzip": ("t.csv", gzip.compress(TABLE.encode()), (), "is a gzip file, and its name says text: name it t.csv.gz"),
    "Excel": ("t.csv", BOOK, (), "is an Excel file, and its name says text: name it t.xlsx"),
    "Parquet": ("t.csv", parquet(), (), "is a Parquet file, and its name says text: name it t.parquet"),
    "PDF": ("t.csv", b"%PDF-1.7\n", (), "is a PDF file, and its name says text: save its table as CSV, Parquet or"),
    "zip": ("t.csv", zipped("t.csv"), (), "is a zip file, and its name says text: name it t.csv.zip"),
    "a page": ("t.csv", b"\n<!DOCTYPE html>\n<html>", (), "is an HTML file, and its name says text: save its table"),
    "text": ("t.gz", TABLE.encode(), (), "is a text file, and its name says gzip: put a whole gzip file there"),
    "a page in zip": ("t.zip", zipped("t.xlsx"), (),
        "holds t.xlsx, which is a text file, and its name says Excel: put"),
    "two files": ("t.zip", zipped("a.csv", "b.csv"), (), "does not hold exactly one file: put the table alone there"),
    "half of gzip": ("t.csv.gz", gzip.compress(TABLE.encode())[:99], (), "cannot be unpacked (EOFError"),
    "half of Parquet": ("t.parquet", parquet()[:999], (), "cannot be read as Parquet"),
    "Parquet without rows": ("t.parquet", b"", (), "is a text file, and its name says Parquet: put a whole Parquet"),
    "an unknown encoding": ("t.csv", TABLE.encode(), ("dataset.encoding=klingon",), "dataset.encoding=klingon is not"),
    "another encoding": ("t.csv", TABLE.encode("latin1"), (), "or train with dataset.encoding=cp1252 or another"),
    "UTF-16": ("t.csv", TABLE.encode("utf-16"), (), "or train with dataset.encoding=utf-16 or another"),
    "UTF-16 without a mark": ("t.csv", TABLE.encode("utf-16-le"), (), "or train with dataset.encoding=utf-16-le or"),
    "zeros": ("t.csv", TABLE.encode().replace(b"ill", b"\0ll"), (), "has a zero byte in line 2, as text never has"),
    "a title": ("t.csv", b"Patients of 2026,,\n" + TABLE.encode(), (),
        "has no name for column 2 in its first line, Patients of 2026, ,: put one there, or remove the line if"),
    "names beside a header": ("t.csv", TABLE.encode(), (NAMES,), "needs dataset.header=none: use both, or neither"),
    "too few names": ("t.csv", NO_HEADER, ("dataset.header=none", "dataset.names=[age,outcome]"),
                      "has 4 cells in line 1, and dataset.names has 2 columns"),
    "a name twice": ("t.csv", NO_HEADER, ("dataset.header=none", "dataset.names=[a,a,b,outcome]"),
        "dataset.names has a twice: "),
    "numbers without a header": ("t.csv", b"1,2\n3,4\n", (), "or train with dataset.header=none"),
    "a short footer": ("t.csv", TABLE.encode() + b"Total, , 1234\n\n", (),
        "has a footer from line 42 on, Total, , 1234"),
    "notes": ("t.csv", TABLE.encode() + b"\nSource: us\nPage,1\n", (),
        "has a footer from line 43 on, Source: us: remove"),
    "a whole footer": ("t.csv", TABLE.encode() + b"Total,1234,,\n", (), "has a footer from line 42 on, Total, 1234, ,"),
    "two footers": ("t.csv", TABLE.encode() + b"Total,1234,,\nSource: us,,,\n", (),
        "has a footer from line 42 on, Total, 1234, ,"),
    "a footer of text": ("t.csv", TABLE.encode() + b"all,,,well\n", (), "age=all in line 42, perhaps a footer, beside"),
    "a short line": ("t.csv", TABLE.encode() + b"1,2\n1,2,,ill\n", (), "has 2 cells in line 42, and its first line"),
}  # fmt: skip


@pytest.mark.parametrize("kind", OTHERS)
def test_files_of_another_kind_are_named(tmp_path: Path, kind: str) -> None:
    name, content, overrides, said = OTHERS[kind]
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError) as caught:
        loaded(tmp_path / name, *overrides)
    assert said in str(caught.value)
    assert_sentence(str(caught.value), *([Path("dataset.")] if "dataset." in said else []), tmp_path / name)


def test_excel_without_its_package_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openpyxl", None)
    (tmp_path / "t.xlsx").write_bytes(BOOK)
    with pytest.raises(UserError, match=r"t\.xlsx needs openpyxl: pip install 'learn2mix\[excel\]', or"):
        loaded(tmp_path / "t.xlsx")


@pytest.mark.extras
@pytest.mark.parametrize("words", [(), ("dataset.numbers=[price]",)])
def test_a_decimal_comma_is_for_text_and_not_for_numbers(tmp_path: Path, words: Sequence[str]) -> None:
    prices = [123.456, 12.5, -7.125, 1234.5, 99.125]
    frame = pd.DataFrame({"price": prices * 8, "rate": ["0,5", "1,25"] * 20, "outcome": ["ill", "well"] * 20})
    frame.astype("str").replace(r"\.", ",", regex=True).to_csv(tmp_path / "t.csv", sep=";", index=False)
    frame.to_parquet(tmp_path / "t.parquet")
    frame.to_excel(tmp_path / "t.xlsx", index=False)
    data = loaded(tmp_path / "t.csv", "dataset.decimal=comma", *words)
    assert data.preprocessing["numbers"][0]["mean"] < 400
    choice = {"name": "csv", "target": "outcome", "decimal": "comma", "numbers": ["price"] * len(words)}
    same = load(compose("dataset=hugging_face_table", f"dataset.path={tmp_path / 't.parquet'}", "dataset.label=outcome",
                        "dataset.decimal=comma", *words))  # fmt: skip
    assert torch.equal(same.train.inputs, data.train.inputs)
    for name in ("t.parquet", "t.xlsx"):
        same = loaded(tmp_path / name, "dataset.decimal=comma", *words)
        assert torch.equal(same.train.inputs, data.train.inputs)
        inputs = [read_unseen(tmp_path / each, data, choice)[0] for each in (name, "t.csv")]
        assert torch.equal(*inputs)


@pytest.mark.extras
def test_a_sheet_is_read_as_its_text_is(tmp_path: Path, expected: Data) -> None:
    file = tmp_path / "t.xlsx"
    frame = pd.read_csv(io.StringIO(TABLE))
    with pd.ExcelWriter(file) as book:
        frame.to_excel(book, index=False)
        pd.DataFrame().to_excel(book, sheet_name="empty", index=False)
    assert torch.equal(loaded(file).train.inputs, expected.train.inputs)
    frame["outcome"] = ["007", "8"] * 20
    frame["age"] = ["old" if row == 3 else row for row in range(ROWS)]
    frame.to_excel(file, index=False)
    with pytest.raises(UserError, match=r"t\.xlsx has age=old in line 5, beside 39 numbers"):
        loaded(file)
    assert loaded(file, "dataset.ignore=[age]").class_names == ("007", "8")
    frame["age"] = ["#DIV/0!" if row % 4 == 0 else row for row in range(ROWS)]
    frame.to_excel(file, index=False)
    assert described(loaded(file))["missing"] == {"age": 10, "city": 10}, "errors are empty cells"
    with pd.ExcelWriter(file) as book:
        frame.to_excel(book, index=False)
        frame.to_excel(book, sheet_name="more", index=False)
    with pytest.raises(UserError, match=r"has 2 sheets with cells, Sheet1, more: save the one with the table"):
        loaded(file)


# What is printed

RUN = ("dataset.target=outcome", "epochs=1", "batch_size=8", "results_dir=out", "device=cpu")
PRINTED = """\
t.csv: 40 samples, 8 of them to test on
  numbers     1: age
  categories  1: city (3 values)
  ignored     1: income
  missing     10 cells: city=10
  classes     2: well=32 (80.0%), ill=8
"""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("t.csv").write_text(TABLE, "utf-8")
    return tmp_path


def test_a_run_prints_what_the_table_was_read_as_and_keeps_it(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run, predict = (opened(module, monkeypatch, capsys) for module in (l2m.run, l2m.predict))
    words = ("dataset=csv", "dataset.path=t.csv", *RUN, "dataset.ignore=[income]")
    first = run(*words)
    assert (first.status, first.err) == (0, "")
    assert first.out.startswith(PRINTED)
    (kept,) = here.glob("out/runs/csv/*/*/data.json")
    content = kept.read_bytes()
    assert json.loads(content)["classes"] == {"ill": 8, "well": 32}
    again = run(*words)
    assert "done before" in again.out
    assert PRINTED not in again.out, "nothing is read"
    assert run(*words, "force=true").out.startswith(PRINTED)
    assert kept.read_bytes() == content
    for name, data in (("new.csv.gz", KINDS["gzip"][1]), ("new.parquet", KINDS["Parquet"][1])):
        Path(name).write_bytes(data)
        assert predict(f"run={kept.parent}", f"data={name}", f"output={name}.scores").status == 0
    text, typed = (pd.read_csv(f"{name}.scores") for name in ("new.csv.gz", "new.parquet"))
    pd.testing.assert_frame_equal(text.drop(columns="line"), typed.drop(columns="row"))
    Path("new.csv").write_bytes(KINDS["gzip"][1])
    assert "error: new.csv is a gzip file, and its name says text" in predict(f"run={kept.parent}", "data=new.csv").err


class InThisProcess(Launcher):
    """Trains one run after the other, without the seconds that other processes take to start."""

    def capacity(self, configs: Sequence[RunConfig]) -> int:
        return 1

    def submit(self, configs: Sequence[RunConfig]) -> None:
        self.configs = configs

    def outcomes(self) -> Iterator[tuple[int, Outcome]]:
        return enumerate(map(train_and_report, self.configs))

    def cancel(self) -> None:
        """A test is not stopped."""


def test_a_sweep_and_a_comparison_print_it_once(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for module in (launching, runner):
        monkeypatch.setattr(module, "choose_launcher", lambda _: InThisProcess())
    words = ("dataset=csv", "dataset.path=t.csv", *RUN, "dataset.ignore=[income]")
    swept = opened(l2m.run, monkeypatch, capsys)("-m", *words, "seed=0,1", "strategy=classical")
    assert (swept.status, swept.out.count(PRINTED)) == (0, 1)
    few = ("seeds=2", "choice_seeds=1", "learning_rates=[1e-3]", "mixing_rates=[0.1]", "strategies=[learn2mix]")
    compared = opened(l2m.compare, monkeypatch, capsys)(*words, *few)
    assert (compared.status, compared.out.count(PRINTED)) == (0, 1)


def test_columns_in_doubt_are_one_line_of_warning_each(file: Path) -> None:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"failed": rng.permutation(np.arange(200) % 4 == 0)})
    ill = frame["failed"]
    frame["id"] = rng.permutation(200) + 7000
    frame["count"] = rng.poisson(1000, 200)
    frame["cause"] = np.where(ill & (frame.index % 3 > 0), "heat", "none")
    frame["flag"] = (ill & (frame.index % 2 > 0)).astype(int)
    frame["state"], frame["empty"] = "on", None
    frame["asked"] = np.where(rng.random(200) < 0.5, "yes", None)  # an empty cell is a value too
    frame["sex"] = rng.choice(["Male", "male", "female"], 200)
    frame["mild"] = np.where(ill, rng.choice(["a", "b"], 200), "a")  # all of b failed, and most of a did not
    frame.rename(columns={"failed": "outcome"}).to_csv(file, index=False)
    doubts = described(loaded(file))["doubts"]
    heat, flags, mild = (frame["cause"] == "heat").sum(), frame["flag"].sum(), (frame["mild"] == "b").sum()
    assert doubts == [
        f"all {flags} rows with flag=1 are of class True: is flag known beforehand?",
        f"all {heat} rows with cause=heat are of class True: is cause known beforehand?",
        f"all {mild} rows with mild=b are of class True: is mild known beforehand?",
        "id has a different whole number in each row: add dataset.ignore=[id] if it only names rows",
        "no two values, so nothing to learn from: empty, state",
        "fix the file if these are one sex: Male, male",
    ]
    printed = [line for line in format_description(described(loaded(file))) if line.startswith("  warning")]
    assert len(printed) == 4
    assert printed[-1] == "  warning     3 more are in data.json of a run's directory"
    rare = loaded(file, "dataset.ignore=[id,cause,flag,mild,state,empty,sex,asked]")
    assert "doubts" not in described(rare)


def test_a_column_that_gives_a_regressions_target_is_in_doubt(file: Path) -> None:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"age": rng.normal(50, 10, 100), "lab": rng.normal(0, 1, 100)})
    frame.assign(outcome=frame["age"] * 3, noisy=3 * frame["age"] + frame["lab"] / 9).to_csv(file, index=False)
    doubts = described(loaded(file, "dataset.task=regression"))["doubts"]
    assert doubts == ["age gives the target exactly: is it known beforehand?"]


def test_it_is_short_however_wide_the_table_is(file: Path) -> None:
    names = [f"a column with the number {i}" for i in range(90)]
    rows = [",".join([*("" if (i + row) % 9 == 0 else str(i * row) for i in range(90)), f"class {row % 8}"])
            for row in range(80)]  # fmt: skip
    file.write_text("\n".join([",".join([*names, "outcome"]), *rows]))
    printed = list(format_description(described(loaded(file))))
    assert len(printed) <= 8
    lines = "\n".join(printed).splitlines()
    assert len(lines) <= 16
    assert max(map(len, lines)) < 80
    assert printed[1].startswith("  numbers     90: a column with the number 0, ")
    assert len(described(loaded(file))["numbers"]) == 90  # type: ignore[arg-type]


# predict, and compare


def test_codes_and_unknown_answers_in_predictions(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write(Path("t.csv"), ["$1,200", "$900"], label=lambda row: "012" if row % 5 else "007")
    records = l2m.train(compose("dataset=csv", "dataset.path=t.csv", "dataset.numbers=[lab]", *RUN))
    assert set(records.groups["name"]) == {"007", "012"}
    write(Path("new.csv"), ["$1,300", "$950.50"], label=lambda row: ["012", "7", "", "none"][row % 4])
    scored = opened(l2m.predict, monkeypatch, capsys)(f"run={records.path}", "data=new.csv")
    assert (scored.status, scored.err) == (0, "")
    assert "answers that are not a class of the model, not counted below: 10\n" in scored.out
    assert ["none", "10"] in [line.split() for line in scored.out.splitlines()]
    assert " over the 20 samples with a known answer" in scored.out
    table = pd.read_csv("predictions.csv", dtype=str)
    assert len(table) == ROWS
    assert set(table["predicted"]) <= {"007", "012"}
    assert table["actual"].fillna("").tolist()[:4] == ["012", "007", "", "none"], "7 is the class 007"
    write(Path("new.csv"), ["$1,300"], label=lambda row: "none")
    scored = opened(l2m.predict, monkeypatch, capsys)(f"run={records.path}", "data=new.csv", "output=none.csv")
    assert scored.status == 0
    assert "accuracy" not in scored.out


def test_columns_without_names_are_known_by_their_place(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [f"{'yn'[row % 2]},{row % 7},{row % 5}" for row in range(60)]
    Path("t.csv").write_text("\n".join(rows))
    words = ("dataset=csv", "dataset.path=t.csv", "dataset.header=none", "dataset.target=1", "epochs=1")
    records = l2m.train(compose(*words, "device=cpu", "batch_size=10"))
    Path("new.csv").write_text("\n".join(row[2:] for row in rows))
    score = opened(l2m.predict, monkeypatch, capsys)
    assert "new.csv has 2 columns, but the model knows those of its training file, which had 3, by their place" in (
        score(f"run={records.path}", "data=new.csv").err
    )
    Path("new.csv").write_text("\n".join(row[1:] for row in rows))
    assert score(f"run={records.path}", "data=new.csv").status == 0


def test_a_comparison_gives_advice_that_it_takes(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(runner, "choose_launcher", lambda _: InThisProcess())
    compare = opened(l2m.compare, monkeypatch, capsys)
    write(Path("t.csv"), [1, 2, 3], label=lambda row: "rare" if row in (4, 9) else "well" if row % 5 else "ill")
    few = ("seeds=2", "choice_seeds=1", "learning_rates=[1e-3]", "mixing_rates=[0.1]")
    words = ("dataset=csv", "dataset.path=t.csv", *RUN, *few)
    said = compare(*words, "strategies=[learn2mix]")
    assert "every group needs two, add some or drop the group; python -m l2m.run can hold none out" in said.err
    write(Path("t.csv"), ["a", "b"])
    said = compare(*words, "strategies=[learn2mix,smote]", "dataset.group=lab", "choose=false", "opponents=[]")
    line = next(line for line in said.out.splitlines() if "left out" in line)
    assert line == "smote is left out: strategy=smote needs groups that are the classes, the labels of new samples"


def test_thousands_of_groups_are_matched_in_one_pass() -> None:
    names = [f"{i:05d}" for i in range(3000)]
    began = time.process_time()
    assert place_names(names, names).tolist() == list(range(3000))
    assert time.process_time() - began < 5, "19 s when every name was compared with every other"
    assert place_names(["1.0", "7", "x", "07"], ("1", "2", "7", "07")).tolist() == [0, 2, -1, 3]


def test_wide_tables_are_read_as_narrow_ones_and_in_seconds(tmp_path: Path) -> None:
    """A column has the same inputs beside thousands of others, and takes a fraction of a millisecond; it took five."""
    rng, columns = np.random.default_rng(0), 3000
    cells = rng.normal(size=(60, columns)).round(3).astype("U9")
    cells[rng.random(cells.shape) < 0.05] = "-9"
    cells[:, 1], cells[:, 2], label = (
        rng.choice(["a", " b", "é"], 60),
        rng.choice(["u", "x", ""], 60),
        ["p", "q", "r"] * 20,
    )
    inputs = {}
    for width in (3, columns):
        rows = [[f"x{i}" for i in range(width)], *cells[:, :width].tolist()]
        lines = [",".join([*row, last]) for row, last in zip(rows, ["y", *label], strict=True)]
        (tmp_path / f"{width}.csv").write_text("\n".join(lines))
        began = time.process_time()
        data = loaded(tmp_path / f"{width}.csv", "dataset.target=y", "dataset.missing=[-9]", "batch_size=5")
        seconds = time.process_time() - began
        assert [len(column["values"]) for column in data.preprocessing["categories"]] == [3, 3]
        inputs[width] = [data.train.inputs[:, 0], data.train.inputs[:, -5:]]
    assert all(torch.equal(*pair) for pair in zip(*inputs.values(), strict=True))
    assert seconds < 6
