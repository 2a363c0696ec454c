"""Tables, folders and names that are rare and valid: they are read, or refused in a sentence."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from commands import opened
from PIL import Image

from l2m import RunConfig, UserError, compose, predict, train
from l2m.data import Data, load
from l2m.data.fingerprint import fingerprint
from l2m.evaluation.decisions import decide
from l2m.records import Records

RNG = np.random.default_rng(4)


def frame(**columns: Sequence[object]) -> pd.DataFrame:
    """40 rows of two classes."""
    return pd.DataFrame({"x": RNG.normal(size=40), **columns, "y": ["no", "yes"] * 20})


def config(file: Path, *words: str) -> RunConfig:
    return compose(
        "dataset=csv", f"dataset.path={file}", "dataset.target=y", "epochs=1", "batch_size=8", "device=cpu",
        f"results_dir={file.parent / 'results'}", *words,
    )  # fmt: skip


def loaded(table: pd.DataFrame, file: Path, *words: str) -> Data:
    table.to_csv(file, index=False)
    return load(config(file, *words))


Score = Callable[[Records, Path], "pd.DataFrame | str"]


@pytest.fixture
def score(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Score:
    """Scores samples with a trained run: the table of predictions, or what is reported."""
    monkeypatch.chdir(tmp_path)
    command = opened(predict, monkeypatch, capsys)

    def scores(run: Records, samples: Path) -> pd.DataFrame | str:
        result = command(f"run={run.path}", f"data={samples}", "force=true")
        return result.err if result.status else pd.read_csv("predictions.csv")

    return scores


def test_codes_with_a_decimal_point_are_those_without(tmp_path: Path, score: Score) -> None:
    """As pandas writes a column of whole numbers in which one is missing."""
    codes = np.arange(40) % 3
    gaps = pd.Series(codes, dtype=float).mask(np.arange(40) == 5)
    frame(k=gaps).to_csv(tmp_path / "test.csv", index=False)
    words = ("dataset.categorical=[k]", f"dataset.test_path={tmp_path / 'test.csv'}")
    data = loaded(frame(k=codes), tmp_path / "train.csv", *words)
    assert data.test.inputs[:, 1:].sum(0).tolist() == [14, 13, 12]
    run = train(config(tmp_path / "train.csv", *words))
    scores = score(run, tmp_path / "test.csv")
    assert isinstance(scores, pd.DataFrame)
    assert scores["unseen"].dropna().tolist() == ["k="]


def test_files_that_are_not_read_do_not_change_a_data_set(tmp_path: Path) -> None:
    for name in ("cat", "dog"):
        (tmp_path / "pets" / name).mkdir(parents=True)
        for i in range(6):
            Image.new("RGB", (8, 8), (10 * i, 20, 30)).save(tmp_path / "pets" / name / f"{i}.png")
    words = ("dataset=image_folder", f"dataset.path={tmp_path / 'pets'}", "dataset.resize=8", "model=mlp", "epochs=1",
             "batch_size=4", "device=cpu", f"results_dir={tmp_path}")  # fmt: skip
    first = train(compose(*words))
    (tmp_path / "pets" / ".DS_Store").write_bytes(b"1")
    (tmp_path / "pets" / "readme.txt").write_text("of mine")
    assert train(compose(*words)).info == first.info
    (tmp_path / "pets" / "cat" / "0.png").unlink()
    with pytest.raises(UserError, match="was trained on other files"):
        train(compose(*words))


def test_the_network_and_the_weights_of_features_belong_to_a_data_set(tmp_path: Path) -> None:
    for name in ("pets/cat.png", "network/config.json", "network.pt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("before")
    chosen = {"name": "image_folder", "path": str(tmp_path / "pets"), "features": str(tmp_path / "network"),
              "weights": str(tmp_path / "network.pt")}  # fmt: skip
    seen = [fingerprint(chosen, tmp_path)]
    for name in ("pets/cat.png", "network/config.json", "network.pt"):
        (tmp_path / name).write_text("after")
        seen.append(fingerprint(chosen, tmp_path))
    assert len(set(seen)) == 4


@pytest.mark.parametrize("gone", ["train.csv", "test.csv"])
def test_a_run_stays_done_without_one_of_its_files(gone: str, tmp_path: Path) -> None:
    for name in ("train.csv", "test.csv"):
        frame().to_csv(tmp_path / name, index=False)
    this = config(tmp_path / "train.csv", f"dataset.test_path={tmp_path / 'test.csv'}")
    first = train(this)
    (tmp_path / gone).unlink()
    assert train(this).info == first.info


def test_a_class_whose_folder_has_no_valid_name_is_trained(tmp_path: Path) -> None:
    folder = os.fsencode(tmp_path) + b"/img"
    for name in (b"K\xe4se", b"Brot"):
        os.makedirs(folder + b"/" + name)
        for i in range(5):
            Image.new("RGB", (8, 8), (40 * i, 20, 30)).save(os.fsdecode(folder + b"/" + name + b"/%d.png" % i))
    records: Records = train(compose(
        "dataset=image_folder", f"dataset.path={tmp_path / 'img'}", "dataset.resize=8", "model=mlp", "epochs=1",
        "batch_size=4", "device=cpu", f"results_dir={tmp_path}",
    ))  # fmt: skip
    assert records.groups["name"].nunique() == 2
    assert "Brot" in (records.path / "data.json").read_text()


@pytest.mark.parametrize("index", [["id"], ["id", "other"]])
def test_an_index_that_is_also_a_column_is_read_once(index: list[str], tmp_path: Path) -> None:
    table = frame(id=range(40), other=range(40)).set_index(index, drop=False)
    table.rename_axis(index={"other": None}).to_parquet(tmp_path / "t.parquet")
    data = load(config(tmp_path / "t.parquet", "dataset.ignore=[id,other]"))
    assert data.train.inputs.shape[1] == 1


def test_classes_smaller_than_the_number_of_parts_are_refused(tmp_path: Path) -> None:
    with pytest.raises(
        UserError, match=r"no class or group has more than 20 samples, too few to hold out 0.025 of them by dataset"
    ):
        loaded(frame(p=range(40)), tmp_path / "t.csv", "dataset.split_by=p", "dataset.test_fraction=0.025")


def test_a_model_of_one_column_scores_a_table_of_one_column(tmp_path: Path, score: Score) -> None:
    table = frame()
    table.to_csv(tmp_path / "t.csv", index=False)
    run = train(config(tmp_path / "t.csv"))
    table[["x"]].to_csv(tmp_path / "new.csv", index=False)
    alone, both = (score(run, tmp_path / name) for name in ("new.csv", "t.csv"))
    assert isinstance(alone, pd.DataFrame)
    assert isinstance(both, pd.DataFrame)
    assert alone["probability yes"].tolist() == both["probability yes"].tolist()


def test_a_table_of_texts_without_rows_is_refused(tmp_path: Path, score: Score) -> None:
    texts = pd.DataFrame({"text": ["good one", "bad one"] * 20, "label": ["yes", "no"] * 20})
    texts.to_json(tmp_path / "t.jsonl", orient="records", lines=True)
    run = train(compose(
        "dataset=hugging_face", f"dataset.path={tmp_path / 't.jsonl'}", "epochs=1", "batch_size=8", "device=cpu",
        f"results_dir={tmp_path}",
    ))  # fmt: skip
    (tmp_path / "none.csv").write_text("text\n")
    assert "none.csv has no rows: put a table with some there" in score(run, tmp_path / "none.csv")


def test_names_of_classes_may_have_commas_and_colons() -> None:
    model = ("no:1", "yes, sure"), lambda: np.array([0.5, 0.5])
    assert decide(*model, None, "no:1:1,yes, sure:2", None).preference.tolist() == [1, 2]
    assert decide(*model, "0.25", None, None).preference == pytest.approx([1 / 0.75, 4])
    assert decide(*model, None, None, "yes, sure:0.2,no:1:0.8").population == pytest.approx([1.6, 0.4])
    with pytest.raises(UserError, match=r"priors=0\.3 does not have .* write it as 'priors=no:1:0\.5,yes, sure:0\.5'"):
        decide(*model, None, None, "0.3")


def test_bins_that_are_close_to_each_other_have_names_of_their_own(tmp_path: Path) -> None:
    table = frame().assign(y=1.6e9 + RNG.normal(size=40))
    data = loaded(table, tmp_path / "t.csv", "dataset.task=regression", "dataset.group_bins=4")
    assert len(set(data.group_names)) == 4


def test_an_order_may_have_decimal_commas(tmp_path: Path) -> None:
    table = frame(t=[f"{i},5" for i in range(40)])
    table["x"] = table["x"].map(lambda x: f"{x:.3f}".replace(".", ","))
    data = loaded(table, tmp_path / "t.csv", "dataset.decimal=comma", "dataset.split_order=t")
    assert len(data.test) == 8


def test_an_order_must_leave_rows_to_train_on(tmp_path: Path) -> None:
    words = ("dataset.task=regression", "dataset.split_order=t", "dataset.test_fraction=0.6")
    with pytest.raises(
        UserError, match=r"test_fraction=0\.6 leaves no row to train on, because of dataset\.split_order: t"
    ):
        loaded(frame(t=1).assign(y=RNG.normal(size=40)), tmp_path / "t.csv", *words)


def test_an_option_for_a_column_in_doubt_is_one_that_the_command_line_takes(tmp_path: Path) -> None:
    table = pd.concat([frame()] * 5)
    data = loaded(table.assign(größe=range(len(table))), tmp_path / "t.csv")
    assert "\"dataset.ignore=['größe']\"" in " ".join(data.description["doubts"])
    assert config(tmp_path / "t.csv", "dataset.ignore=['größe']").dataset["ignore"] == ("größe",)
