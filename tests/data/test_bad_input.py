"""A data set loads and is valid, or one sentence says which file is wrong, where, and what to do."""

from __future__ import annotations

import gzip
import io
import pickle
import resource
import struct
import tempfile
import tracemalloc
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from commands import opened
from conftest import WORDNET, idx
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from made_up import write as write_record
from mutations import (
    ABSENT,
    CHANGES,
    SORTS,
    Change,
    assert_sentence,
    assert_valid,
    damage,
    each_sort,
    linked,
    publish,
    put,
    within,
)  # fmt: skip
from PIL import Image

from l2m import RunConfig, UserError, compose, run
from l2m.data import Data, download, load
from l2m.data.paper import tabular, text, vision
from l2m.data.paper.tabular import HOUSING_FEATURES, WINE_FEATURES

RAW, CIFAR10, CIFAR100 = "MNIST/raw", "cifar-10-batches-py", "cifar-100-python"
PHOTOGRAPH = f"imagenette2-320/train/{WORDNET[3]}/{WORDNET[3]}_0.JPEG"
RED, WHITE = (f"wine_quality/winequality-{kind}.csv" for kind in ("red", "white"))
HOUSING, TABLE = "california_housing/housing.csv", "imdb/IMDB Dataset.csv"
REVIEW = "aclImdb/train/pos/0_0.txt"
PACKED = f"{RAW}/train-labels-idx1-ubyte.gz"

FILES = {
    f"{RAW}/train-images-idx3-ubyte": "mnist", f"{RAW}/t10k-labels-idx1-ubyte": "mnist", PACKED: "mnist",
    f"{CIFAR10}/data_batch_2": "cifar10", f"{CIFAR10}/batches.meta": "cifar10", f"{CIFAR100}/test": "cifar100",
    PHOTOGRAPH: "imagenette", RED: "wine_quality", HOUSING: "california_housing", REVIEW: "imdb", TABLE: "imdb",
}  # fmt: skip
"""A file of each format, and its data set."""


@pytest.fixture(scope="module")
def whole(tiny_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Each data set in its own folder; MNIST's labels are packed, the reviews are both a table and files."""
    place = tmp_path_factory.mktemp("whole")
    for dataset, tops in TOPS.items():
        for top in tops:
            linked(tiny_data / top, place / dataset / top)
    plain = (place / "mnist" / PACKED).with_suffix("")
    put(place / "mnist" / PACKED, gzip.compress(plain.read_bytes()))
    plain.unlink()
    for file in (place / "imagenette").rglob("*.JPEG"):
        if not file.stem.endswith("_0"):
            file.unlink()
    first = next((place / "imdb" / "aclImdb" / "train" / "pos").iterdir())
    first.rename(place / "imdb" / REVIEW)
    rows = [("a film that I saw", name) for name in text.NAMES] * 20
    (place / "reviews" / "imdb").mkdir(parents=True)
    pd.DataFrame(rows, columns=["review", "sentiment"]).to_csv(place / "reviews" / TABLE, index=False)
    return place


TOPS = {
    "mnist": ["MNIST"], "cifar10": [CIFAR10], "cifar100": [CIFAR100], "imagenette": ["imagenette2-320"],
    "wine_quality": ["wine_quality"], "california_housing": ["california_housing"], "imdb": ["aclImdb"],
}  # fmt: skip


@pytest.fixture(autouse=True)
def _no_download(monkeypatch: pytest.MonkeyPatch) -> None:
    """Expect twenty photographs; downloads fail at once, where libraries would retry for seconds."""

    def fail(*_: object, **__: object) -> None:
        raise OSError("there is no network")

    monkeypatch.setattr(vision, "IMAGENETTE_SIZES", {"train": 10, "val": 10})
    monkeypatch.setattr("sklearn.datasets.fetch_openml", fail)


@cache
def configuration(dataset: str) -> RunConfig:
    return compose(f"dataset={dataset}", "imbalance=none")


def outcome(dataset: str, folder: Path) -> Data | str:
    """The data set in a folder, or the error message; no other error, no warning, no waiting."""
    with within(10):
        try:
            return load(replace(configuration(dataset), data_dir=str(folder)))
        except UserError as error:
            return str(error)


def message(dataset: str, folder: Path) -> str:
    result = outcome(dataset, folder)
    assert isinstance(result, str), "it loaded"
    return result


def copy_of(whole: Path, name: str, folder: Path) -> Path:
    """A copy of the file's data set."""
    return linked(whole / ("reviews" if name == TABLE else FILES[name]), folder)


@pytest.mark.parametrize("name", FILES)
def test_whole_files_load(whole: Path, tmp_path: Path, name: str) -> None:
    data = outcome(FILES[name], copy_of(whole, name, tmp_path / "data"))
    assert isinstance(data, Data), data
    assert_valid(data)


@pytest.mark.parametrize(("name", "kind"), each_sort([*FILES]))
def test_damage_to_a_file(whole: Path, tmp_path: Path, name: str, kind: str) -> None:
    folder = copy_of(whole, name, tmp_path / "data")
    file = folder / name
    damage(file, kind)
    result = outcome(FILES[name], folder)
    if isinstance(result, Data):
        assert_valid(result)
        assert not name.startswith((CIFAR10, CIFAR100)), "an altered batch is not the published one"
    else:
        others = [folder] if kind in ABSENT else [file.with_suffix("")] if name == PACKED else []
        assert_sentence(result, file, *others)


EDITS = st.lists(st.tuples(st.floats(0, 1), st.binary(max_size=8), st.integers(0, 8)), min_size=1, max_size=4)


@pytest.mark.parametrize("name", FILES)
@settings(max_examples=12, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(edits=EDITS, end=st.floats(0.1, 1.5))
def test_any_edit_of_a_file(whole: Path, name: str, edits: list[tuple[float, bytes, int]], end: float) -> None:
    """Replace pieces of a file by longer or shorter ones, and cut off its end in a third of the cases."""
    with tempfile.TemporaryDirectory() as place:
        folder = copy_of(whole, name, Path(place) / "data")
        content = (folder / name).read_bytes()
        for at, piece, removed in edits:
            start = int(at * len(content))
            content = content[:start] + piece + content[start + removed :]
        put(folder / name, content[: int(end * len(content))])
        result = outcome(FILES[name], folder)
        if isinstance(result, Data):
            assert_valid(result)
        else:
            assert_sentence(result, folder / name)


# Values that a format can hold


def sizes(*numbers: int) -> Change:
    """Write these numbers of images, rows and columns into the header of an idx file."""
    return lambda b: b[:4] + struct.pack(f">{len(numbers)}I", *numbers) + b[4 + 4 * len(numbers) :]


IDX = {
    "another type": (lambda b: b[:2] + b"\x0d" + b[3:], "begins with the bytes 00 00 0d 03"),
    "255 dimensions": (lambda b: b[:3] + b"\xff" + b[4:], "begins with the bytes 00 00 08 ff"),
    "half a header": (lambda b: b[:10], "begins with the bytes 00 00 08 03 00 00 00 78 00 00: they must be"),
    "a header alone": (lambda b: b[:16], "ends after 16 bytes: the 120 images that byte 4 says end after 94096"),
    "no images": (lambda b: idx(np.zeros((0, 28, 28), np.uint8)), "the training set has 0 images, but 120 labels"),
    "an image less": (sizes(119), "ends after 94096 bytes: the 119 images that byte 4 says end after 93312"),
    "smaller images": (sizes(120, 14, 56), "byte 8 that its images have 14×56 pixels: it must be 28×28"),
    "2^32 images": (sizes(2**32 - 1), "that byte 4 says end after 3367254359296"),
    "2^96 pixels": (sizes(*[2**32 - 1] * 3), "byte 8 that its images have 4294967295×4294967295 pixels"),
}


@pytest.mark.parametrize("kind", IDX)
def test_idx_file_of_other_images(whole: Path, tmp_path: Path, kind: str) -> None:
    change, expected = IDX[kind]
    folder = linked(whole / "mnist", tmp_path / "data")
    file = folder / RAW / "train-images-idx3-ubyte"
    put(file, change(file.read_bytes()))
    tracemalloc.start()
    result = message("mnist", folder)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert expected in result
    assert_sentence(result, file, folder / PACKED)
    assert peak < 10_000_000, "no memory is reserved for the size in the header"


@pytest.mark.parametrize(("part", "label"), [("train", 10), ("train", 255), ("t10k", 128)])
def test_label_out_of_range_is_reported_with_its_byte(whole: Path, tmp_path: Path, part: str, label: int) -> None:
    folder = linked(whole / "mnist", tmp_path / "data")
    file = folder / RAW / f"{part}-labels-idx1-ubyte"
    labels = bytearray(file.read_bytes() if file.exists() else gzip.decompress((folder / PACKED).read_bytes()))
    labels[13] = label
    put(file, bytes(labels))
    result = message("mnist", folder)
    assert f"has the label {label} in byte 13: it must be 0 to 9" in result
    assert_sentence(result, file)


CIFAR: dict[str, tuple[Callable[[dict[str, Any]], Any], str]] = {
    "a list": (lambda b: [b], "holds a list, not the dictionary"),
    "nothing": (lambda b: {}, "has no rows of 3072 uint8 pixels"),
    "fewer pixels": (lambda b: b | {"data": b["data"][:, :3000]}, "has no rows of 3072 uint8 pixels"),
    "pixels in a line": (lambda b: b | {"data": b["data"].ravel()}, "has no rows of 3072 uint8 pixels"),
    "pixels of 8 bytes": (lambda b: b | {"data": b["data"].astype(np.int64)}, "has no rows of 3072 uint8 pixels"),
    "pixels as objects": (lambda b: b | {"data": b["data"].astype(object)}, "has no rows of 3072 uint8 pixels"),
    "half of the rows": (lambda b: b | {"data": b["data"][::2]}, "has no list of 12 labels"),
    "no labels": (lambda b: {"data": b["data"]}, "has no list of 24 labels"),
    "labels in an array": (lambda b: b | {"labels": np.array(b["labels"])}, "has no list of 24 labels"),
    "label 10": (lambda b: b | {"labels": [*b["labels"][:-1], 10]}, "has the label 10 in row 23: it must be 0 to 9"),
    "label -1": (lambda b: b | {"labels": [-1, *b["labels"][1:]]}, "has the label -1 in row 0"),
    "label 0.5": (lambda b: b | {"labels": [0.5, *b["labels"][1:]]}, "has the label 0.5 in row 0"),
    "label of text": (lambda b: b | {"labels": ["0", *b["labels"][1:]]}, "has the label '0' in row 0"),
    "one class": (lambda b: b | {"labels": [3] * 24}, "put the published file there"),
}


@pytest.mark.parametrize("kind", CIFAR)
def test_batch_of_another_layout(whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    change, expected = CIFAR[kind]
    folder = linked(whole / "cifar10", tmp_path / "data")
    file = folder / CIFAR10 / "data_batch_2"
    put(file, pickle.dumps(change(pickle.loads(file.read_bytes())), protocol=2))
    result = message("cifar10", folder)
    assert expected in result or kind == "one class"
    assert "MD5 sum" in result
    assert_sentence(result, file)
    publish(monkeypatch, file)
    result = outcome("cifar10", folder)
    if isinstance(result, Data):
        assert kind == "one class"
        assert_valid(result)
    else:
        assert expected in result
        assert_sentence(result, file)


def encoded(image: Image.Image, kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def png(width: int, height: int) -> bytes:
    """A PNG whose header promises that many grey pixels, and which has none."""
    chunks = [(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)), (b"IDAT", b""), (b"IEND", b"")]
    framed = [struct.pack(">I", len(d)) + t + d + struct.pack(">I", zlib.crc32(t + d)) for t, d in chunks]
    return b"\x89PNG\r\n\x1a\n" + b"".join(framed)


GREY = Image.new("L", (60, 40), 90)
PHOTOGRAPHS = {
    "an EPS": encoded(GREY, "EPS"), "an ICO": encoded(GREY, "ICO"),
    "no pixels": png(60, 40), "no width": png(0, 40), "10^8 pixels": png(10_000, 10_000),
    "2^62 pixels": png(2**31 - 1, 2**31 - 1), "a thread": encoded(Image.new("L", (1, 20_000)), "PNG"),
    "a ribbon": encoded(Image.new("L", (2000, 20)), "JPEG"),
    "half of a JPEG": encoded(GREY.resize((900, 600)), "JPEG")[:1500],
}  # fmt: skip


@pytest.mark.parametrize("kind", PHOTOGRAPHS)
def test_unreadable_photograph(whole: Path, tmp_path: Path, kind: str) -> None:
    folder = linked(whole / "imagenette", tmp_path / "data")
    put(folder / PHOTOGRAPH, PHOTOGRAPHS[kind])
    result = message("imagenette", folder)
    assert "cannot be read as an image" in result
    assert_sentence(result, folder / PHOTOGRAPH)


def test_photograph_with_odd_metadata_is_read_without_a_warning(whole: Path, tmp_path: Path) -> None:
    """Pillow warns of a palette with transparency, and of truncated metadata."""
    folder = linked(whole / "imagenette", tmp_path / "data")
    palette = Image.new("P", (60, 40))
    put(folder / PHOTOGRAPH, encoded(palette, "PNG", transparency=bytes(range(3))))
    exif = b"Exif\0\0II*\0\x08\0\0\0\xff\xff"
    put(folder / PHOTOGRAPH.replace(WORDNET[3], WORDNET[5]), encoded(GREY, "JPEG", exif=exif))
    data = outcome("imagenette", folder)
    assert isinstance(data, Data), data


# Tables

CELLS = {
    (RED, 3): ["abc", "-inf", "1e39", "1,5", "\x1b[31m7", "2020-01-01"],
    (HOUSING, 5): ["abc", "inf", "1e999", "-1e300", "0x10", "1 2", "True", "½", "1_0", "9" * 400, "1+2j"],
    (HOUSING, 9): ["abc", "nan", "1", "x" * 5000, "<script>"],
}
"""Wrong values by file and column; the last column holds names."""


@pytest.mark.parametrize(
    ("name", "column", "value"), [(*place, value) for place, values in CELLS.items() for value in values]
)
def test_wrong_value_in_a_cell(whole: Path, tmp_path: Path, name: str, column: int, value: str) -> None:
    folder, separator = copy_of(whole, name, tmp_path / "data"), ";" if name == RED else ","
    lines = (folder / name).read_text().splitlines()
    cells = lines[40].split(separator)
    cells[column] = f'"{value}"'
    lines[40] = separator.join(cells)
    put(folder / name, "\n".join(lines).encode())
    result = outcome(FILES[name], folder)
    if isinstance(result, Data):
        assert name == HOUSING
        assert value == "nan", "only a missing value drops its row"
        return
    header = (*WINE_FEATURES, "quality") if name == RED else (*HOUSING_FEATURES, "", "ocean_proximity")
    assert f" has {header[column]}=" in result
    assert " in line 41: it must be " in result
    assert_sentence(result, folder / name)


def lines(first: int, last: int) -> Change:
    """Keep the header and these lines, counted from 1."""
    return lambda b: b"\n".join([b.split(b"\n")[0], *b.split(b"\n")[first - 1 : last]])


SHAPES = {
    "a header alone": (lines(1, 0), "has 0 whole rows"),
    "one row": (lines(2, 2), "whole rows"),
    "no header": (lambda b: b.partition(b"\n")[2], "has no column"),
    "a column less": (lambda b: b"\n".join(line.partition(s(b))[2] for line in b.split(b"\n")), "has no column"),
    "a separator too many": (lambda b: b.replace(b"\n", s(b) + b"\n").replace(s(b) + b"\n", b"\n", 1), "more fields"),
    "a row of nothing": (lambda b: b.replace(b"\n", b"\n\n", 2), ""),
    "an open quote": (lambda b: b + b'"7', ""),
    "a byte that is no text": (lambda b: b + b"\xe9", "UnicodeDecodeError"),
    "a NUL": (lambda b: b.replace(b"\n", b"\n\0", 3), ""),
    "another separator": (lambda b: b.replace(s(b), b"\t"), "has no column"),
    "the header twice": (lambda b: b.split(b"\n")[0] + b"\n" + b, " in line 2: it must be"),
    "blanks alone": (lambda b: b" \n \n \n", "has no column"),
    "10 000 columns": (lambda b: s(b) * 10_000 + b"\n" + b, ""),
}


def s(content: bytes) -> bytes:
    """The separator of the cells."""
    return b";" if b";" in content else b","


FEW_SHAPES = ("a header alone", "no header", "a separator too many", "an open quote", "another separator")


@pytest.mark.parametrize(
    ("name", "kind"),
    [*((RED, kind) for kind in SHAPES), *((HOUSING, kind) for kind in FEW_SHAPES), (WHITE, "one row")],
)
def test_table_of_another_shape(whole: Path, tmp_path: Path, name: str, kind: str) -> None:
    change, expected = SHAPES[kind]
    folder = copy_of(whole, name if name != WHITE else RED, tmp_path / "data")
    put(folder / name, change((folder / name).read_bytes()))
    result = outcome("wine_quality" if "wine" in name else "california_housing", folder)
    if isinstance(result, Data):
        assert not expected
        assert_valid(result)
    else:
        assert expected in result
        assert_sentence(result, folder / name)


@settings(max_examples=25, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(cell=st.text(max_size=20), row=st.integers(1, 100), column=st.integers(0, 9))
def test_any_text_in_a_table(whole: Path, cell: str, row: int, column: int) -> None:
    with tempfile.TemporaryDirectory() as place:
        folder = copy_of(whole, HOUSING, Path(place) / "data")
        table = [line.split(",") for line in (folder / HOUSING).read_text().splitlines()]
        table[row][column] = cell
        put(folder / HOUSING, "\n".join(",".join(line) for line in table).encode("utf-8", "surrogatepass"))
        result = outcome("california_housing", folder)
        if isinstance(result, Data):
            assert_valid(result)
        else:
            assert_sentence(result, folder / HOUSING)


def test_text_far_down_a_long_table_is_reported_without_a_warning(whole: Path, tmp_path: Path) -> None:
    """pandas reads long tables in pieces, and warns where their types differ."""
    folder = copy_of(whole, HOUSING, tmp_path / "data")
    header, *rows = (folder / HOUSING).read_text().splitlines()
    many = [*(rows * 60), "x" + rows[0]]
    put(folder / HOUSING, "\n".join([header, *many]).encode())
    expected = f"has longitude=x{rows[0].partition(',')[0]} in line {len(many) + 1}"
    assert expected in message("california_housing", folder)


# Reviews

REVIEWS = {
    "empty": (b"", "is empty"),
    "blanks": (" \n\u00a0\u2003".encode(), "is empty"),
    "Latin-1": ("Un café".encode("latin1"), "cannot be read as UTF-8"),
    "a surrogate": (b"\xed\xa0\x80", "cannot be read as UTF-8"),
    "UTF-16": ("a film".encode("utf-16"), "cannot be read as UTF-8"),
    "a NUL": (b"a\0film", ""),
    "only a line break": (b"<br />", ""),
    "one long word": (b"n" * 300_000, ""),
    "dots": (b"." * 300_000 + b"'" * 300_000, ""),
}


@pytest.mark.parametrize("kind", REVIEWS)
def test_review_of_another_kind(whole: Path, tmp_path: Path, kind: str) -> None:
    content, expected = REVIEWS[kind]
    folder = copy_of(whole, REVIEW, tmp_path / "data")
    put(folder / REVIEW, content)
    result = outcome("imdb", folder)
    if isinstance(result, Data):
        assert not expected
        assert_valid(result)
    else:
        assert expected
        assert expected in result
        assert_sentence(result, folder / REVIEW)


@pytest.mark.parametrize("sentiment", ["", "Positive", "1", "positive ", "x" * 9000, "\x1b[2J\n"])
def test_unknown_sentiment(whole: Path, tmp_path: Path, sentiment: str) -> None:
    folder = copy_of(whole, TABLE, tmp_path / "data")
    table = pd.read_csv(folder / TABLE)
    table.loc[6, "sentiment"] = sentiment
    put(folder / TABLE, table.to_csv(index=False).encode())
    result = message("imdb", folder)
    assert " in row 7: it must be negative or positive" in result
    assert_sentence(result, folder / TABLE)


# Tokens kept in data/


@pytest.mark.parametrize("kind", [*SORTS, "a byte less", "middle byte flipped", "a device"])
def test_damaged_tokens_are_replaced(whole: Path, tmp_path: Path, kind: str) -> None:
    folder = linked(whole / "imdb", tmp_path / "data")
    first = outcome("imdb", folder)
    kept = next((folder / "imdb").iterdir())
    damage(kept, kind)
    linked(folder, tmp_path / "again") if kind in CHANGES else folder.rename(tmp_path / "again")
    again = outcome("imdb", tmp_path / "again")
    assert isinstance(first, Data)
    assert isinstance(again, Data), again
    assert again.train.inputs.equal(first.train.inputs)
    assert again.preprocessing == first.preprocessing


@contextmanager
def small_files_only() -> Iterator[None]:
    """Limit files to 200 bytes, as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (200, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_download_to_a_full_disk_leaves_nothing(whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tabular, "WINE_URL", (whole / "wine_quality" / "wine_quality").as_uri() + "/")
    with small_files_only():
        result = message("wine_quality", tmp_path)
    assert "winequality-white.csv cannot be written (File too large): make room there" in result
    assert_sentence(result, tmp_path / WHITE)
    with (
        small_files_only(),
        pytest.raises(UserError, match=r"cifar-10-batches-py/.* cannot be written \(File too large"),
    ):
        download.copy_missing(whole / "cifar10", tmp_path / "copied")
    left = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert [path.name for path in left if path.stat().st_size >= 200 or ".part" in path.name] == []


def test_tokens_are_not_kept_on_a_full_disk(whole: Path, tmp_path: Path) -> None:
    folder = linked(whole / "imdb", tmp_path / "data")
    with small_files_only():
        data = outcome("imdb", folder)
    assert isinstance(data, Data)
    assert not list((folder / "imdb").iterdir())


def test_download_into_a_file_is_an_error(whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tabular, "WINE_URL", (whole / "wine_quality" / "wine_quality").as_uri() + "/")
    (tmp_path / "data").write_text("in the way")
    result = message("wine_quality", tmp_path / "data")
    assert "cannot be written (Not a directory)" in result
    assert_sentence(result, tmp_path / "data")
    assert (tmp_path / "data").read_text() == "in the way"


# The command line


@pytest.mark.parametrize(("name", "change"), [(f"{RAW}/train-images-idx3-ubyte", CHANGES["a third"]),
                                              (RED, lambda b: b.replace(b";", b";inf", 20))])  # fmt: skip
def test_command_ends_in_one_line_and_leaves_records_alone(
    whole: Path, tmp_path: Path, name: str, change: Change,
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    folder, results = copy_of(whole, name, tmp_path / "data"), tmp_path / "results"
    put(folder / name, change((folder / name).read_bytes()))
    write_record(results, configuration("digits"), lambda epoch: 0.5)
    before = {path: path.read_bytes() for path in results.rglob("*") if path.is_file()}
    assert len(before) == 5
    monkeypatch.chdir(tmp_path)
    command = opened(run, monkeypatch, capsys)
    ended = command(f"dataset={FILES[name]}", f"data_dir={folder}", f"results_dir={results}")
    assert ended.status == 1
    (line,) = ended.err.splitlines()
    assert line.startswith("error: ")
    assert ended.out == ""
    assert_sentence(line, folder / name)
    assert {path: path.read_bytes() for path in results.rglob("*") if path.is_file()} == before
