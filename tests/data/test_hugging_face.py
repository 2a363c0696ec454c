"""What ``datasets`` reads, from files in their real formats: texts, images, columns, and all that can be wrong."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from mutations import assert_sentence, assert_valid, within
from PIL import Image

from l2m import RunConfig, UserError, compose, train
from l2m.data import Data, load
from l2m.data.own.description import format_description
from l2m.data.own.new_samples import are_images, read_unseen
from l2m.data.tokens import SPECIAL, plain

WORDS = ("the", "film", "was", "good", "bad", "long", "8/10", "it's", "café")


def table(rows: int = 40) -> pd.DataFrame:
    rng = np.random.default_rng(1)
    return pd.DataFrame({
        "text": [f"{' '.join(rng.choice(WORDS, rng.integers(2, 9)))} {row}" for row in range(rows)],
        "label": np.arange(rows) % 4 // 3,
        "length": rng.normal(100, 20, rows),
        "genre": rng.choice(["drama", "comedy"], rows),
    })  # fmt: skip


@cache
def configuration(*overrides: str) -> RunConfig:
    return compose(*overrides, "dataset.path=-")


def loaded(path: Path | str, *overrides: str, kind: str = "") -> Data:
    config = configuration(f"dataset=hugging_face{kind}", *overrides)
    return load(replace(config, dataset=config.dataset | {"path": str(path)}))


def message(path: Path | str, *overrides: str, kind: str = "") -> str:
    with within(20), pytest.raises(UserError) as caught:
        loaded(path, *overrides, kind=kind)
    assert_sentence(str(caught.value), Path(path))
    return str(caught.value)


def written(folder: Path, form: str, frame: pd.DataFrame) -> Path:
    """The rows in one of the forms that people have them in."""
    import datasets

    place = folder / f"reviews.{form}"
    match form:
        case "csv":
            frame.to_csv(place, index=False)
        case "parquet":
            frame.to_parquet(place)
        case "jsonl":
            frame.to_json(place, orient="records", lines=True)
        case "json":
            frame.to_json(place, orient="records")
        case "saved" | "parts":
            features = datasets.Features({
                "text": datasets.Value("string"), "label": datasets.ClassLabel(names=["poor", "great"]),
            })  # fmt: skip
            rows = datasets.Dataset.from_pandas(frame, features=features, preserve_index=False)
            kept = rows if form == "saved" else datasets.DatasetDict({"train": rows, "test": rows.select(range(8))})
            kept.save_to_disk(place)
        case "folder":
            place.mkdir()
            frame.to_csv(place / "train.csv", index=False)
            frame[:8].to_csv(place / "test.csv", index=False)
    return place


@pytest.mark.parametrize("form", ["csv", "parquet", "jsonl", "json", "saved", "parts", "folder"])
def test_texts_in_every_form(tmp_path: Path, form: str) -> None:
    frame = table()[["text", "label"]]
    data = loaded(written(tmp_path, form, frame))
    assert_valid(data)
    names = ("great", "poor") if form in ("saved", "parts") else ("0", "1")
    assert data.class_names == data.group_names == names
    vocabulary = data.preprocessing["vocabulary"]
    has_test = form in ("parts", "folder")
    assert (len(data.train), len(data.test)) == ((40, 8) if has_test else (32, 8))
    if has_test:
        row = [vocabulary[token] for token in data.train.inputs[7] if token]
        counts = Counter(word for text in frame["text"] for word in plain(text))
        expected = [word if counts[word] > 1 else SPECIAL[1] for word in plain(frame["text"][7])]
        assert row == expected
        first = names.index("poor") if "poor" in names else 0
        assert (data.train.targets == first).tolist() == (frame["label"] == 0).tolist()


def test_a_validation_split_is_held_out_or_else_the_test_part(tmp_path: Path) -> None:
    frame = table()
    place = tmp_path / "reviews"
    place.mkdir()
    frame[8:].to_csv(place / "train.csv", index=False)
    frame[:8].to_csv(place / "validation.csv", index=False)
    kinds = (("", "dataset.inputs=[text]"), ("_table", "dataset.inputs=[length,genre]"))
    for kind, inputs in kinds:
        data = loaded(place, inputs, kind=kind)
        assert (len(data.train), len(data.test), data.held_out) == (32, 8, None)
    frame[:4].to_csv(place / "test.csv", index=False)
    for kind, inputs in kinds:
        final, choosing = (loaded(place, inputs, f"validation_fraction={part}", kind=kind) for part in (0, 0.25))
        assert (len(final.train), len(final.test)) == (32, 4)
        assert (len(choosing.train), len(choosing.test)) == (32, 8)
        assert final.held_rows == choosing.held_rows == 8, "a comparison must see it"
        assert choosing.preprocessing == final.preprocessing, "which is fitted on the training rows alone"
        assert torch.equal(choosing.train.inputs, final.train.inputs)
        assert final.description is not None
        assert "  parts       train=32, validation=8, test=4" in list(format_description(final.description))


def test_words_are_counted_before_training(tmp_path: Path) -> None:
    frame = pd.DataFrame({"text": ["good film"] * 4 + ["bad"] * 4, "label": [1] * 4 + [0] * 4})
    other = pd.DataFrame({"text": ["good play", "bad"], "label": [1, 0]})
    place = tmp_path / "reviews"
    place.mkdir()
    frame.to_csv(place / "train.csv", index=False)
    other.to_csv(place / "test.csv", index=False)
    description = loaded(place).description
    assert description is not None
    assert "  words       5 known, 33.3% of the test part's unknown, 25.0% padding" in list(
        format_description(description)
    )
    frame["text"] = [f"word{row // 2}" for row in range(8)]
    frame.to_csv(place / "train.csv", index=False)
    data = loaded(place, "validation_fraction=0.25")
    assert data.description is not None
    assert data.description["words"].startswith("4 known, "), "of the four words two are held out once each"
    assert data.vocabulary_size == 4
    frame["text"] = [f"word{row}" for row in range(8)]
    frame.to_csv(place / "train.csv", index=False)
    with pytest.raises(UserError, match="the vocabulary would be empty, no word occurs 2 times in the 8 training"):
        loaded(place)


def test_chinese_reviews_differ_by_their_signs(tmp_path: Path) -> None:
    """Without blanks between words, whole sentences were words, of which the test part knew none."""
    rng = np.random.default_rng(2)
    texts = ["".join(rng.choice(list("我们看了这部电影" + ("好美" if row % 2 else "坏丑")), 12)) for row in range(60)]
    data = loaded(written(tmp_path, "csv", pd.DataFrame({"text": texts, "label": np.arange(60) % 2})))
    assert data.vocabulary_size == len(SPECIAL) + 12
    assert (data.test.inputs != 1).all()


def test_vocabulary_is_that_of_the_texts_that_are_trained_on(tmp_path: Path) -> None:
    frame = table()[["text", "label"]]
    frame["text"] = [f"{text} word{row} word{row}" for row, text in enumerate(frame["text"])]
    place = written(tmp_path, "parquet", frame)
    for overrides, size in (((), 32), (("validation_fraction=0.25",), 24)):
        data = loaded(place, *overrides)
        words = {word for word in data.preprocessing["vocabulary"] if word.startswith("word")}
        assert len(data.train) == len(words) == size
        rare = [data.preprocessing["vocabulary"].index(word) for word in words]
        assert not torch.isin(data.test.inputs, torch.tensor(rare)).any()


def test_texts_are_cut_joined_and_padded_to_the_longest(tmp_path: Path) -> None:
    place = written(tmp_path, "parquet", table())
    assert loaded(place, "dataset.inputs=[text]", "dataset.length=3").train.inputs.shape[1] == 3
    longest = max(len(plain(f"{text} {genre}")) for text, genre in zip(table()["text"], table()["genre"], strict=True))
    both = loaded(place, "dataset.inputs=[text,genre]")
    assert both.train.inputs.shape[1] == both.test.inputs.shape[1] <= longest


def test_the_longest_text_is_one_that_is_trained_on(tmp_path: Path) -> None:
    """Padding is averaged over: a longer test text would change what is trained."""
    frame = table()[["text", "label"]]
    data = loaded(written(tmp_path, "parquet", frame))
    words = max((data.train.inputs != 0).sum(1).tolist())
    assert data.train.inputs.shape[1] == data.test.inputs.shape[1] == words
    tested = {text for text in frame["text"] if len(plain(text)) > words}
    frame.loc[frame["text"].isin(tested) | (frame.index == 0), "text"] = "good " * 90
    both = loaded(written(tmp_path, "parquet", frame))
    assert both.train.inputs.shape[1] == both.test.inputs.shape[1] == max((both.train.inputs != 0).sum(1).tolist())


def test_columns_are_those_of_a_csv(tmp_path: Path) -> None:
    frame = table()
    place = written(tmp_path, "parquet", frame)
    data = loaded(place, "dataset.ignore=[text]", kind="_table")
    frame.drop(columns="text").to_csv(tmp_path / "same.csv", index=False)
    config = compose("dataset=csv", f"dataset.path={tmp_path / 'same.csv'}", "dataset.target=label")
    same = load(config)
    assert torch.allclose(data.train.inputs, same.train.inputs, atol=1e-5)
    assert torch.equal(data.test.targets, same.test.targets)
    grouped = loaded(place, "dataset.inputs=[length]", "dataset.group=genre", kind="_table")
    assert grouped.group_names == ("comedy", "drama")
    assert grouped.train.inputs.shape[1] == 1


@pytest.mark.parametrize("form", ["folder", "parquet"])
def test_images(tmp_path: Path, form: str) -> None:
    import datasets

    place = tmp_path / "images"
    for label, name in enumerate(("cat", "dog")):
        (place / name).mkdir(parents=True)
        for i in range(6):
            Image.new("RGB", (12, 8), (label, i, 200)).save(place / name / f"{i}.png")
    if form == "parquet":
        rows = datasets.load_dataset(str(place), cache_dir=str(tmp_path / "cache"))["train"]
        rows.to_parquet(str(tmp_path / "images.parquet"))
        place = tmp_path / "images.parquet"
    data = loaded(place, "dataset.resize=16", kind="_images")
    assert data.class_names == ("cat", "dog")
    assert are_images(data, {"name": "hugging_face", "kind": "image"})
    assert data.train.inputs.shape == (10, 3, 16, 16)
    assert data.train.inputs[:, 0, 0, 0].tolist() == data.train.targets.tolist()
    assert {int(each) for split in (data.train, data.test) for each in split.inputs[:, 1, 0, 0]} == set(range(6))


@pytest.mark.parametrize("kind", ["", "_table"])
def test_training(tmp_path: Path, kind: str) -> None:
    place = written(tmp_path, "parquet", table())
    config = compose(
        f"dataset=hugging_face{kind}", f"dataset.path={place}", "dataset.inputs=[text]" if not kind else
        "dataset.ignore=[text]", "epochs=1", "batch_size=8", f"results_dir={tmp_path / 'out'}", "threads=1",
    )  # fmt: skip
    assert train(config).metrics["test_metric"].between(0, 1).all()
    table(48).to_parquet(place)
    with pytest.raises(UserError, match="was trained on other files than"):
        train(config)


def changed(column: str, row: int, value: Any) -> pd.DataFrame:
    frame = table()
    frame[column] = frame[column].astype(object)
    frame.loc[row, column] = value
    return frame


WRONG: dict[str, tuple[pd.DataFrame, tuple[str, ...], str, str]] = {
    "several texts": (table(), (), "", "has the columns text ("),
    "no images": (table(), (), "_images", "name a single column of images with dataset.inputs"),
    "numbers for text": (table(), ("dataset.inputs=[length]",), "", "name columns of text with dataset.inputs"),
    "another label": (table(), ("dataset.label=stars",), "", "has no column stars"),
    "another group": (table(), ("dataset.group=gendre",), "", "has no column gendre (did you mean genre?)"),
    "another input": (table(), ("dataset.inputs=[texts]",), "", "has no column texts (did you mean text?)"),
    "the label for an input": (table(), ("dataset.inputs=[label]",), "_table", "beside the label label"),
    "another split": (table(), ("dataset.test_split=dev",), "", "has no split dev: use one of train"),
    "no label": (changed("label", 7, None), ("dataset.inputs=[text]",), "", "(train) has no label in row 7"),
    "no text": (changed("text", 7, "  "), ("dataset.inputs=[text]",), "", "(train) has no text in row 7"),
    "a lone class": (changed("label", 7, 5), ("dataset.inputs=[text]",), "", "has one row of class 5, in row 7"),
    "texts for categories": (table(), (), "_table", "has a rare text in most rows of text"),
    "measurements": (table(), ("dataset.label=length", "dataset.inputs=[text]"), "", "too many for classes"),
}


@pytest.mark.parametrize("kind", WRONG)
def test_errors_name_row_and_column(tmp_path: Path, kind: str) -> None:
    frame, overrides, what, expected = WRONG[kind]
    assert expected in message(written(tmp_path, "parquet", frame), *overrides, kind=what)


def test_withheld_labels_are_missing(tmp_path: Path) -> None:
    """As −1, in sets of the hub whose test labels are kept back."""
    import datasets

    features = datasets.Features({"text": datasets.Value("string"), "label": datasets.ClassLabel(names=["a", "b"])})
    rows = datasets.Dataset.from_dict({"text": ["x y"] * 6, "label": [0, 1, 0, 1, 0, -1]}, features=features)
    rows.save_to_disk(tmp_path / "kept")
    assert "has no label in row 5" in message(tmp_path / "kept")


def test_new_rows_are_read_as_those_that_were_trained_on(tmp_path: Path) -> None:
    import datasets

    frame = table().assign(flag=["true", "false"] * 20, label=["yes", "no"] * 20)
    place = written(tmp_path, "csv", frame.drop(columns="text"))
    data = loaded(place, kind="_table")
    inputs, rows = read_unseen(place, data, {"name": "hugging_face", "label": "label", "group": None})
    assert "unseen" not in rows
    assert (inputs[:, 1:].sum(1) == 2).all(), "one value of both categories"
    names = datasets.ClassLabel(names=["drama", "comedy"])
    features = {"text": datasets.Value("string"), "genre": names, "label": datasets.ClassLabel(names=["no", "yes"])}
    coded = table()[[*features]].assign(genre=[0, 1] * 20)
    saved = datasets.Dataset.from_pandas(coded, datasets.Features(features), preserve_index=False)
    saved.to_parquet(tmp_path / "coded.parquet")
    for kind, column in (("", "text"), ("_table", "genre")):
        data = loaded(tmp_path / "coded.parquet", f"dataset.inputs=[{column}]", kind=kind)
        choice = {"name": "hugging_face", "label": "label", "group": "genre"}
        inputs, rows = read_unseen(tmp_path / "coded.parquet", data, choice)
        assert set(rows["actual"]) == set(data.labels) == {"no", "yes"}
        assert set(rows["group"]) == {"comedy", "drama"}
        assert "unseen" not in rows
        assert sorted(inputs.tolist()) == sorted([*data.train.inputs.tolist(), *data.test.inputs.tolist()])
        table()[["label"]].to_parquet(tmp_path / "other.parquet")
        with pytest.raises(UserError, match=f"has no column {column}"):
            read_unseen(tmp_path / "other.parquet", data, choice)


def test_splits_that_are_the_same_part_are_refused(tmp_path: Path) -> None:
    import datasets

    rows = datasets.Dataset.from_pandas(table()[["text", "label"]], preserve_index=False)
    datasets.DatasetDict(dict.fromkeys(("train", "validation", "dev", "test"), rows)).save_to_disk(tmp_path / "kept")
    said = "has the splits validation and dev and test, of which two are the same part: name the one to test on with"
    assert said in message(tmp_path / "kept")
    assert loaded(tmp_path / "kept", "dataset.test_split=dev").held_rows == 0
    with pytest.raises(UserError, match=r"dataset\.test_split=train is the split that is trained on: name another"):
        loaded(tmp_path / "kept", "dataset.test_split=train")


def test_lists_in_a_column(tmp_path: Path) -> None:
    frame = table().assign(several=[[1, 2]] * 40)
    place = written(tmp_path, "parquet", frame)
    assert "name columns of single numbers" in message(place, "dataset.inputs=[several]", kind="_table")
    assert "choose a column of single values" in message(place, "dataset.label=several", "dataset.inputs=[text]")


def test_what_is_not_there_or_can_not_be_read(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "noise.parquet").write_bytes(np.random.default_rng(0).bytes(500))
    (tmp_path / "notes.docx").write_text("no data")
    assert "is not there" in message(tmp_path / "nothing.csv")
    assert "cannot be read by datasets" in message(tmp_path / "empty")
    assert "cannot be read by datasets" in message(tmp_path / "noise.parquet")
    assert "is not a file that can be read" in message(tmp_path / "notes.docx")


def test_a_subset_of_what_has_none(tmp_path: Path) -> None:
    for form in ("saved", "parquet"):
        place = written(tmp_path, form, table()[["text", "label"]])
        assert "has no subsets: remove dataset.subset=plain" in message(place, "dataset.subset=plain")
