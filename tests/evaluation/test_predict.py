"""A trained model from its directory alone, and what it says of new tables, images and texts."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from commands import Command, opened
from mutations import SORTS, assert_sentence, damage, linked
from PIL import Image
from sklearn.metrics import accuracy_score, log_loss, mean_squared_error

import l2m
from l2m import RunConfig, UserError, compose, predict, train
from l2m.data import DATASETS
from l2m.data import load as load_data
from l2m.data import tokens as words
from l2m.data.fingerprint import is_trained_on
from l2m.evaluation.decisions import decide
from l2m.records import Records

Run = tuple[RunConfig, Records]


@pytest.fixture(scope="session")
def runs(tmp_path_factory: pytest.TempPathFactory, tiny_data: Path) -> Callable[..., Run]:
    """A run of one epoch on the tiny data, by the words of its command; trained once."""
    folder, done = tmp_path_factory.mktemp("runs"), {}

    def run(*words: str) -> Run:
        if words not in done:
            config = l2m.compose(
                *words, "epochs=1", "device=cpu", "threads=1", f"data_dir={tiny_data}", f"results_dir={folder}"
            )
            done[words] = config, l2m.train(config)
        return done[words]

    return run


@pytest.fixture(scope="session")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """40 patients, some of unknown age, in two wards; a fifth are ill."""
    rng = np.random.default_rng(5)
    lines = ["age,income,ward,outcome"]
    for row in range(40):
        age = "" if row % 9 == 4 else rng.integers(18, 90)
        lines.append(f"{age},{rng.gamma(4, 900):.2f},{'east' if row % 3 else 'west'},{'well' if row % 5 else 'ill'}")
    file = tmp_path_factory.mktemp("own") / "patients.csv"
    file.write_text("\n".join(lines) + "\n")
    return file


def words_of(table: Path, *more: str) -> Sequence[str]:
    """Those of a run on the table, tested on the same rows: so predictions of them can be held against its records."""
    return ("dataset=csv", f"dataset.path={table}", f"dataset.test_path={table}", "batch_size=20", *more)


ILL = ("dataset.target=outcome",)
WARD = ("dataset.target=outcome", "dataset.group=ward", "dataset.ignore=[ward]")
INCOME = ("dataset.target=income", "dataset.task=regression")
INCOME_WARD = (*INCOME, "dataset.group=ward")


@pytest.fixture
def door(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Command:
    monkeypatch.chdir(tmp_path)
    return opened(predict, monkeypatch, capsys)


def read(file: Path) -> pd.DataFrame:
    return pd.read_csv(file, dtype={"predicted": str, "actual": str, "group": str})


# Loading


@pytest.mark.parametrize(
    "words",
    [
        ("dataset=digits",), ("dataset=digits", "precision=bf16"), ("dataset=mean_estimation",),
        ("dataset=mnist_reconstruction", "batch_size=14"), ("dataset=cifar10", "batch_size=10"),
        ("dataset=wine_quality", "batch_size=20"), ("dataset=imdb", "batch_size=10"),
        ("dataset=digits", "strategy=smote", "mixing=mixup", "model=mlp", "model.hidden=7"),
    ],
)  # fmt: skip
def test_outputs_are_those_that_the_records_tell_of(
    words: Sequence[str], runs: Callable[..., Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    config, records = runs(*words)
    data = load_data(config)
    with monkeypatch.context() as patch:
        patch.setattr(DATASETS, "build", lambda *_: pytest.fail("a data set was read"))
        before = torch.get_rng_state()
        trained = l2m.load(records.path)
        assert torch.equal(torch.get_rng_state(), before)
    assert trained.config.identity() == config.identity()
    assert not trained.model.training
    outputs = trained.outputs(data.test)
    targets = data.test.batch(slice(None)).targets
    last = records.metrics.iloc[-1]
    if config.task == "classification":
        assert accuracy_score(targets, outputs.argmax(1)) == pytest.approx(last["test_metric"], rel=1e-6)
        chances = trained.predicted(outputs).double()
        loss = log_loss(targets, chances / chances.sum(1, keepdim=True), labels=range(outputs.shape[1]))
        assert trained.class_names == data.group_names
    else:
        loss = mean_squared_error(targets.flatten(1), outputs)
        assert trained.class_names == ()
    assert loss == pytest.approx(last["test_loss"], rel=1e-5)
    assert torch.equal(trained.outputs(trained.split(data.test.inputs)), outputs)


def test_a_folder_with_one_run_means_that_run(runs: Callable[..., Run], tmp_path: Path) -> None:
    _, records = runs("dataset=digits")
    for seed in (0, 1):
        linked(records.path, tmp_path / "runs" / "digits" / f"seed{seed}")
    assert l2m.load(tmp_path / "runs" / "digits" / "seed1").folder == tmp_path / "runs" / "digits" / "seed1"
    with pytest.raises(
        UserError, match=r"runs holds 2 runs: name one of them\n.*seed0: learn2mix\n.*seed1: learn2mix$"
    ):
        l2m.load(tmp_path / "runs")
    shutil.rmtree(tmp_path / "runs" / "digits" / "seed0")
    assert l2m.load(str(tmp_path)).folder == tmp_path / "runs" / "digits" / "seed1"


def test_runs_to_choose_from_are_told_apart(tmp_path: Path) -> None:
    for epochs in (1, 2):
        folder = tmp_path / f"seed0-{epochs}"
        folder.mkdir()
        config = l2m.compose("dataset=digits", f"epochs={epochs}")
        (folder / "config.yaml").write_text(yaml.safe_dump(config.to_dict()))
    with pytest.raises(UserError, match=r"seed0-1: learn2mix epochs=1\n.*seed0-2: learn2mix epochs=2$"):
        l2m.load(tmp_path)
    (tmp_path / "seed0-1" / "config.yaml").write_text("no configuration")
    with pytest.raises(UserError, match=r"seed0-1\n.*seed0-2: learn2mix$"):
        l2m.load(tmp_path)


def unfinished(run: Path) -> None:
    file = run / "run.json"
    content = file.read_text().replace('"done"', '"running"')
    file.unlink()
    file.write_text(content)


def without_shapes(run: Path) -> None:
    saved = torch.load(run / "model.pt", weights_only=True)
    (run / "model.pt").unlink()
    torch.save({key: saved[key] for key in ("parameters", "preprocessing")}, run / "model.pt")


def of_another_model(run: Path) -> None:
    saved = torch.load(run / "model.pt", weights_only=True)
    del saved["parameters"]["0.weight"]
    (run / "model.pt").unlink()
    torch.save(saved, run / "model.pt")


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (shutil.rmtree, "run is not a directory (looked for it from "),
        (lambda run: (run / "config.yaml").unlink(), "run holds no run: name a run's directory, as "),
        (unfinished, "run is not finished (status running): name another run, or repeat the command that"),
        (lambda run: (run / "model.pt").unlink(), "model.pt is missing, perhaps because records were copied without"),
        (without_shapes, "model.pt does not fit model=lenet5 of this version (KeyError: 'blank'): use python"),
        (of_another_model, "model.pt does not fit model=lenet5 of this version (RuntimeError: Error(s) in loading"),
    ],
)
def test_what_is_no_trained_run_is_reported(
    change: Callable[[Path], None], expected: str, runs: Callable[..., Run], tmp_path: Path
) -> None:
    place = linked(runs("dataset=mnist", "batch_size=14")[1].path, tmp_path / "run")
    change(place)
    with pytest.raises(UserError) as result:
        l2m.load(place)
    assert expected in str(result.value)
    assert_sentence(str(result.value), place)


@pytest.mark.parametrize("name", ["config.yaml", "run.json", "model.pt"])
@pytest.mark.parametrize("kind", SORTS)
def test_damage_to_a_run(name: str, kind: str, runs: Callable[..., Run], tmp_path: Path) -> None:
    place = linked(runs("dataset=digits")[1].path, tmp_path / "run")
    damage(place / name, kind)
    try:
        l2m.load(place)
    except UserError as error:
        assert_sentence(str(error), place)


# Tables


TRAINED_ON = "has the samples that the model was trained on: these scores are better than on new ones\n"


@pytest.mark.parametrize("words", [ILL, WARD, INCOME, INCOME_WARD])
def test_rows_of_ones_own_table_are_scored_as_the_records_say(
    words: Sequence[str], runs: Callable[..., Run], door: Command, table: Path, tmp_path: Path
) -> None:
    config, records = runs(*words_of(table, *words))
    result = door(f"run={records.path}", f"data={table}")
    assert (result.status, result.err) == (0, f"{table} {TRAINED_ON}")
    found, rows = pd.read_csv(tmp_path / "predictions.csv"), pd.read_csv(table)
    assert found["line"].tolist() == list(range(2, 42))
    outputs = l2m.load(records.path).outputs(load_data(config).test)
    if words in (ILL, WARD):
        chances = outputs.softmax(1).numpy()
        np.testing.assert_allclose(found[["probability ill", "probability well"]], chances, rtol=1e-6)
        assert found["predicted"].tolist() == np.array(["ill", "well"])[chances.argmax(1)].tolist()
        assert found["actual"].tolist() == rows["outcome"].tolist()
        score = (found["predicted"] == found["actual"]).astype(float)
    else:
        income = rows["income"].to_numpy()
        np.testing.assert_allclose(found["predicted"], outputs[:, 0] * income.std() + income.mean(), rtol=1e-6)
        np.testing.assert_allclose(found["actual"], income)
        score = (found["predicted"] - found["actual"]) ** 2
    metric = "accuracy" if words in (ILL, WARD) else "mean squared error"
    assert f"{metric} {score.mean():.5g} over the 40 samples with a known answer" in result.out
    assert score.mean() == pytest.approx(records.metrics["test_metric"].iloc[-1], rel=1e-5)
    group = rows["outcome"] if words == ILL else found["group"]
    ours = score.groupby(group).mean()
    theirs = records.groups.set_index("name")["test_metric"]
    assert ours.to_dict() == pytest.approx(theirs.to_dict(), rel=1e-5)
    for name, value in ours.items():
        assert f"  {value:>{len(metric)}.4g}" in next(line for line in result.out.splitlines()[4:] if str(name) in line)


def test_values_that_differ_by_little_keep_their_digits(
    runs: Callable[..., Run], door: Command, tmp_path: Path
) -> None:
    inputs = np.random.default_rng(3).normal(size=40)
    rows = pd.DataFrame({"x": inputs, "income": (1_700_000_000 + 100 * inputs).round(1)})
    rows.to_csv("large.csv", index=False)
    config, records = runs(*words_of(tmp_path / "large.csv", *INCOME))
    assert door(f"run={records.path}", "data=large.csv").status == 0
    found = pd.read_csv("predictions.csv")
    outputs = l2m.load(records.path).outputs(load_data(config).test)[:, 0].double()
    np.testing.assert_allclose(
        found["predicted"], outputs * rows["income"].std(ddof=0) + rows["income"].mean(), atol=1e-4
    )
    assert found["actual"].tolist() == rows["income"].tolist()
    score = ((found["predicted"] - found["actual"]) ** 2).mean()
    assert score == pytest.approx(records.metrics["test_metric"].iloc[-1], rel=1e-4)


def test_rows_need_no_answer_and_no_order(runs: Callable[..., Run], door: Command, table: Path, tmp_path: Path) -> None:
    _, records = runs(*words_of(table, *WARD))
    door(f"run={records.path}", f"data={table}", "output=all.csv")
    rows = pd.read_csv(table)
    rows.drop(columns=["outcome", "ward"])[["income", "age"]].to_csv("bare.csv", sep=";", index=False)
    result = door(f"run={records.path}", "data=bare.csv", "output=bare_scores.csv")
    assert result.status == 0
    assert "accuracy" not in result.out
    every, bare = pd.read_csv("all.csv"), pd.read_csv("bare_scores.csv")
    pd.testing.assert_frame_equal(bare, every.drop(columns=["actual", "group"]))
    rows.loc[3:, "outcome"] = np.nan
    rows.loc[5, "ward"] = "north"  # not trained on
    rows.to_csv("some.csv", index=False)
    result = door(f"run={records.path}", "data=some.csv", "output=some_scores.csv")
    assert " over the 3 samples with a known answer" in result.out
    assert result.err == "", "these are other rows"
    some = pd.read_csv("some_scores.csv")
    assert some["actual"].notna().tolist() == [True] * 3 + [False] * 37
    pd.testing.assert_series_equal(some["probability ill"], every["probability ill"])


def test_categories_that_were_not_trained_on_are_reported(
    runs: Callable[..., Run], door: Command, table: Path, tmp_path: Path
) -> None:
    _, records = runs(*words_of(table, *ILL))
    rows = pd.read_csv(table)
    rows.loc[[0, 7], "ward"] = "East"
    rows.to_csv("new.csv", index=False)
    result = door(f"run={records.path}", "data=new.csv")
    assert "2 samples are unlike all of the training part: new categories, or numbers far off\n" in result.out
    assert "  ward=East          2\n" in result.out
    found = pd.read_csv("predictions.csv")["unseen"]
    assert found.dropna().to_dict() == {0: "ward=East", 7: "ward=East"}
    rows["income"] *= 100
    rows.to_csv("cents.csv", index=False)
    result = door(f"run={records.path}", "data=cents.csv", "output=cents_scored.csv")
    found = pd.read_csv("cents_scored.csv")["unseen"]
    counted = dict(re.findall(r"^  (ward=East|income far off) +(\d+)$", result.out, re.MULTILINE))
    assert counted == {"ward=East": "2", "income far off": str(found.str.startswith("income far off").sum())}
    assert found[0] == "income far off; ward=East"
    assert int(counted["income far off"]) > 30


@pytest.mark.parametrize("name", ["wine_quality", "california_housing"])
def test_rows_of_a_published_table(
    name: str, runs: Callable[..., Run], door: Command, tiny_data: Path, tmp_path: Path
) -> None:
    config, records = runs(f"dataset={name}", "batch_size=20")
    data = load_data(config)
    fitted, test = data.preprocessing, data.test
    measured = test.inputs.double().numpy() * fitted["sd"] + fitted["mean"]
    (unit,) = fitted["target_unit"]
    rows = pd.DataFrame(measured, columns=fitted["columns"])
    rows[fitted["target_column"]] = test.targets.double().numpy() * unit
    if name == "california_housing":
        rows["ocean_proximity"] = np.array(data.group_names)[test.groups]
    rows.to_csv("rows.csv", index=False)
    assert door(f"run={records.path}", "data=rows.csv").status == 0
    found = pd.read_csv("predictions.csv")
    score = ((found["predicted"] - found["actual"]) / unit) ** 2
    assert score.mean() == pytest.approx(records.metrics["test_metric"].iloc[-1], rel=1e-4)
    if name == "california_housing":
        theirs = records.groups.set_index("name")["test_metric"].to_dict()
        assert score.groupby(found["group"]).mean().to_dict() == pytest.approx(theirs, rel=1e-4)
    rows.iloc[7, 2] = np.nan
    rows.to_csv("rows.csv", index=False)
    result = door(f"run={records.path}", "data=rows.csv", "force=true")
    assert f"error: rows.csv has no {rows.columns[2]} in line 9: fix or drop the row" in result.err


TABLES = {
    "a column is missing": (lambda text: text.replace("age", "years"), "has no column age, which the model was"),
    "text among numbers": (lambda text: text.replace("\n", "\nold", 3), "has age=old"),
    "no rows": (lambda text: text.partition("\n")[0], "has names of columns and no rows"),
    "a ragged line": (lambda text: text.replace("\n", "\n1,", 2), "has 5 cells in line 2"),
    "no table": (lambda text: "outcome\nwell\n", "has one column only, outcome"),
}


@pytest.mark.parametrize("kind", TABLES)
def test_what_is_wrong_with_rows_is_reported(kind: str, runs: Callable[..., Run], door: Command, table: Path) -> None:
    change, expected = TABLES[kind]
    _, records = runs(*words_of(table, *ILL))
    Path("new.csv").write_text(change(table.read_text()))
    result = door(f"run={records.path}", "data=new.csv")
    assert result.status == 1
    assert f"error: new.csv {expected}" in result.err
    assert_sentence(result.err.removeprefix("error: ").rstrip("\n"), Path("new.csv"))
    assert not Path("predictions.csv").exists()


def test_what_is_wrong_with_values_is_reported(runs: Callable[..., Run], door: Command, table: Path) -> None:
    _, records = runs(*words_of(table, *INCOME))
    rows = pd.read_csv(table, dtype=str)
    rows.loc[1, "income"] = "much"
    rows.to_csv("new.csv", index=False)
    result = door(f"run={records.path}", "data=new.csv")
    assert "error: new.csv has income=much in line 3: the model predicts numbers, fix the cell" in result.err


# Images


def write_digits(folder: Path, config: RunConfig, count: int) -> None:
    """The first of scikit-learn's digits that the run is tested on, white as 255, in a folder a class."""
    test = load_data(config).test
    for i in range(count):
        place = folder / str(int(test.targets[i]))
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray((test.inputs[i, 0].numpy() * (255 / 16)).round().astype(np.uint8)).save(place / f"{i:03}.png")


def test_images_in_folders_of_their_class(runs: Callable[..., Run], door: Command, tmp_path: Path) -> None:
    config, records = runs("dataset=digits")
    write_digits(tmp_path / "new", config, 60)
    (tmp_path / "new" / "notes.txt").write_text("not an image")
    result = door(f"run={records.path}", "data=new")
    assert result.status == 0
    found = read(tmp_path / "predictions.csv")
    test = load_data(config).test
    order = sorted(range(60), key=lambda i: (int(test.targets[i]), i))
    assert found["file"].tolist() == [f"{int(test.targets[i])}/{i:03}.png" for i in order]
    assert found["actual"].astype(int).tolist() == test.targets[order].tolist()
    chances = l2m.load(records.path).outputs(test.subset(torch.tensor(order))).softmax(1)
    np.testing.assert_allclose(found[[f"probability {digit}" for digit in range(10)]], chances, rtol=1e-5)
    accuracy = accuracy_score(test.targets[order], chances.argmax(1))
    assert f"accuracy {accuracy:.5g} over the 60 samples" in result.out
    one = door(
        f"run={records.path}",
        "data=new/3/" + f"{next(i for i in order if test.targets[i] == 3):03}.png",
        "output=one.csv",
    )
    assert one.status == 0
    alone = read(tmp_path / "one.csv")
    assert "actual" not in alone
    np.testing.assert_allclose(
        alone.filter(like="probability"), found[found["actual"] == "3"].head(1).filter(like="probability"), rtol=1e-5
    )


def test_a_copy_and_a_folder_of_the_training_samples_are_known(tmp_path: Path) -> None:
    for part in ("images/train/cat", "images/test/cat", "other"):
        (tmp_path / part).mkdir(parents=True)
    for name, text in (("a.csv", "x,y\n1,2\n"), ("copy.csv", "x,y\n1,2\n"), ("b.csv", "x,y\n1,3\n")):
        (tmp_path / name).write_text(text)
    assert is_trained_on(tmp_path / "copy.csv", {"path": str(tmp_path / "a.csv")})
    assert not is_trained_on(tmp_path / "b.csv", {"path": str(tmp_path / "a.csv")})
    assert not is_trained_on(tmp_path / "a.csv", {"path": str(tmp_path / "gone.csv")})
    assert not is_trained_on(tmp_path, {"name": "mnist"})
    places = ("images", "images/train", "images/test", "images/train/cat", "images/test/cat", "other")
    found = [is_trained_on(tmp_path / place, {"path": str(tmp_path / "images")}) for place in places]
    assert found == [True, True, False, True, False, False]
    (tmp_path / "images" / "train").rename(tmp_path / "images" / "Training")
    assert is_trained_on(tmp_path / "images" / "Training", {"path": str(tmp_path / "images")})


@pytest.mark.parametrize("fit", ["stretch", "crop"])
def test_photographs_are_brought_to_the_models_size_as_its_own_were(
    fit: str, runs: Callable[..., Run], door: Command, tiny_data: Path, tmp_path: Path
) -> None:
    images = tiny_data / "own" / "images"
    config, records = runs(
        "dataset=image_folder", f"dataset.path={images}", "dataset.resize=16", f"dataset.fit={fit}", "batch_size=4"
    )
    assert door(f"run={records.path}", f"data={images}").status == 0
    found = read(tmp_path / "predictions.csv")
    assert found["file"].str.partition("/")[0].tolist() == found["actual"].tolist() == ["cat"] * 7 + ["dog"] * 8
    data, trained = load_data(config), l2m.load(records.path)
    expected = [trained.outputs(split).softmax(1)[:, 0].tolist() for split in (data.train, data.test)]
    assert sorted(found["probability cat"]) == pytest.approx(sorted(expected[0] + expected[1]), rel=1e-5)


def test_reconstructions_are_scored_by_their_error(runs: Callable[..., Run], door: Command, tmp_path: Path) -> None:
    config, records = runs("dataset=mnist_reconstruction", "batch_size=14")
    test = load_data(config).test
    for i, image in enumerate(test.inputs):
        (tmp_path / "new").mkdir(exist_ok=True)
        Image.fromarray(image[0].numpy()).save(tmp_path / "new" / f"{i:02}.png")
    result = door(f"run={records.path}", "data=new")
    found = pd.read_csv("predictions.csv")
    assert found.columns.tolist() == ["file", "squared error"]
    seen, given = l2m.load(records.path).outputs(test).double(), test.inputs.flatten(1).double() / 255
    np.testing.assert_allclose(found["squared error"], ((seen - given) ** 2).sum(1), rtol=1e-5)
    assert found["squared error"].mean() == pytest.approx(records.metrics["test_metric"].iloc[-1], rel=1e-5)
    assert result.out.splitlines()[1].startswith(f"squared error {found['squared error'].mean():.5g} an image")


def test_what_is_wrong_with_images_is_reported(runs: Callable[..., Run], door: Command, tmp_path: Path) -> None:
    _, records = runs("dataset=digits")
    (tmp_path / "new").mkdir()
    assert "error: new holds no images: name a folder" in door(f"run={records.path}", "data=new").err
    (tmp_path / "new" / "a.csv").write_text("1,2")
    assert "error: new holds no images, but a.csv: " in door(f"run={records.path}", "data=new").err
    assert "error: new/a.csv does not end in .jpg, .jpeg, " in door(f"run={records.path}", "data=new/a.csv").err
    (tmp_path / "new" / "c.heic").write_bytes(b"ftypheic")
    assert "error: new/c.heic is not one of JPEG, PNG, " in door(f"run={records.path}", "data=new").err
    (tmp_path / "new" / "c.heic").unlink()
    (tmp_path / "new" / "b.png").write_bytes(b"\x89PNG and nothing else")
    assert (
        "error: new/b.png cannot be read as an image (it is not one of JPEG, PNG, WEBP, "
        in door(f"run={records.path}", "data=new").err
    )


# Texts


def test_texts_in_files_and_in_a_table(
    runs: Callable[..., Run], door: Command, tiny_data: Path, tmp_path: Path
) -> None:
    config, records = runs("dataset=imdb", "imbalance=none", "batch_size=10")
    place = tiny_data / "aclImdb" / "test"
    assert door(f"run={records.path}", f"data={place}", "output=files.csv").status == 0
    files = read(tmp_path / "files.csv")
    assert len(files) == 20
    assert "actual" not in files  # neg and pos are no names of classes
    texts = [(place / name).read_text("utf-8") for name in files["file"]]
    sentiments = ["negative" if name.startswith("neg") else "positive" for name in files["file"]]
    pd.DataFrame({"id": range(20), "review": texts, "sentiment": sentiments}).to_csv("table.csv", index=False)
    result = door(f"run={records.path}", "data=table.csv", "output=rows.csv")
    rows = read(tmp_path / "rows.csv")
    assert rows["row"].tolist() == list(range(1, 21))
    assert rows["actual"].tolist() == sentiments
    for column in ("predicted", "probability negative"):
        pd.testing.assert_series_equal(rows[column], files[column])
    assert f"accuracy {(rows['predicted'] == rows['actual']).mean():.5g} over the 20 samples" in result.out
    data, trained = load_data(config), l2m.load(records.path)  # the same reviews, in another order
    both = torch.cat([trained.outputs(split) for split in (data.train, data.test)]).softmax(1)[:, 0]
    for chance in rows["probability negative"]:
        assert (both - chance).abs().min() < 1e-6


@pytest.mark.parametrize(("options", "tokenizer"), [({}, words.plain), ({"words": "nltk"}, words.as_nltk)])
def test_tokens_of_further_texts_are_those_of_the_training_part(
    options: dict[str, str], tokenizer: words.Tokenizer
) -> None:
    train = ['The "film" was good. The film<br />was long, 8/10', "the film<br />wasn't good"]
    encoded = words.encode(train, ["unseen words, the film", ""], tokenizer=tokenizer)
    assert ("br" in encoded.vocabulary) == bool(options)
    fitted = {"vocabulary": encoded.vocabulary, **options}
    for rows, texts in ((encoded.train, train), (encoded.test, ["unseen words, the film", ""])):
        np.testing.assert_array_equal(words.encode_unseen(fitted, texts, words.LENGTH), rows)
    np.testing.assert_array_equal(words.encode_unseen(fitted, train, 3), encoded.train[:, :3])


def test_texts_that_datasets_reads(runs: Callable[..., Run], door: Command, tiny_data: Path, tmp_path: Path) -> None:
    _, records = runs(
        "dataset=hugging_face", f"dataset.path={tiny_data / 'own' / 'texts.jsonl'}", "batch_size=10", "epochs=1"
    )
    pd.read_json(tiny_data / "own" / "texts.jsonl", lines=True).to_csv("new.csv", index=False)
    assert door(f"run={records.path}", "data=new.csv").status == 0
    found = read(tmp_path / "predictions.csv")
    assert found["actual"].tolist() == pd.read_csv("new.csv", dtype=str)["label"].tolist()
    result = door(f"run={records.path}", f"data={tiny_data / 'own' / 'texts.jsonl'}", "output=other.csv")
    assert "texts.jsonl is not a CSV or Parquet file, as new samples must be: save it as one" in result.err
    Path("new.csv").write_text("words,label\ngood film,1\n")
    result = door(f"run={records.path}", "data=new.csv", "force=true")
    assert "error: new.csv has no column text" in result.err
    Path("new.csv").write_text("text,label\ngood film,1\n  ,0\n")
    assert (
        "error: new.csv has no text in row 2: fix or drop it"
        in door(f"run={records.path}", "data=new.csv", "force=true").err
    )


# The command


def test_all_that_is_wrong_with_a_command_is_reported_at_once(door: Command) -> None:
    result = door("runs=x", "new.csv", "data=a", "data=b", "force=maybe", "device=tpu")
    assert result.status == 1
    assert result.err.splitlines() == [
        "error: new.csv is not key=value: write run=, data= or another key before it",
        "error: data is given twice: give it one value",
        "error: key runs is not known (did you mean run?): choose one of costs, debug, force, onnx, output, "
        "priors, run, threshold and 2 more, which --help lists",
        "error: run is missing: give it a value",
        "error: device=tpu must be one of auto, cpu, cuda, cuda:N",
        "error: force=maybe must be true or false",
    ]


def test_files_that_are_there_are_not_overwritten(runs: Callable[..., Run], door: Command, table: Path) -> None:
    _, records = runs(*words_of(table, *ILL))
    shutil.copy(table, "new.csv")
    Path("predictions.csv").write_text("mine")
    command = (f"run={records.path}", "data=new.csv")
    assert "error: output=predictions.csv exists: name another file, or add force=true" in door(*command).err
    assert Path("predictions.csv").read_text() == "mine"
    assert door(*command, "force=true").status == 0
    assert len(pd.read_csv("predictions.csv")) == 40
    result = door(*command, "output=new.csv", "force=true")
    assert "error: output=new.csv would overwrite its input: name another file" in result.err
    assert "error: output=. is a directory: name a file in it" in door(*command, "output=.").err
    Path("file").write_text("")
    assert "error: file/p.csv cannot be written (File exists)" in door(*command, "output=file/p.csv").err


def test_options_of_predictions_need_new_samples(runs: Callable[..., Run], door: Command, table: Path) -> None:
    command = ("run=any", "onnx=m.onnx")
    for option in ("threshold=0.1", "costs=ill:9", "priors=ill:0.1", "output=m.csv"):
        assert f"error: {option} is for predictions, and onnx= writes the model alone" in door(*command, option).err
    result = door(*command, f"data={table}", "output=./m.onnx")
    assert "error: onnx=m.onnx is the file of output=, too: name another file" in result.err


def test_there_must_be_something_to_do(runs: Callable[..., Run], door: Command) -> None:
    _, records = runs("dataset=mean_estimation")
    assert "error: there is nothing to do: name new samples with data=" in door(f"run={records.path}").err
    assert "error: missing.csv is not there (looked for it from" in door(f"run={records.path}", "data=missing.csv").err
    Path("new.csv").write_text("a,b\n1,2\n")
    result = door(f"run={records.path}", "data=new.csv")
    assert result.err.startswith(
        "error: dataset=mean_estimation has no kind of file that new samples could be in: score"
    )


def test_a_package_that_is_not_there_is_reported(
    runs: Callable[..., Run], door: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)
    result = door(f"run={runs('dataset=digits')[1].path}", "onnx=model.onnx")
    assert (result.status, result.err) == (1, "error: onnx= needs onnx: pip install 'learn2mix[onnx]'\n")


def test_help_names_every_key(door: Command) -> None:
    result = door("--help")
    assert result.status == 0
    assert all(f"\n  {key}=\n" in result.out for key in ("run", "data", "output", "onnx", "device", "force", "debug"))
    assert max(len(line) for line in result.out.splitlines()) < 80
    assert door().status == 2


def test_debug_shows_the_traceback(door: Command) -> None:
    with pytest.raises(UserError, match="nowhere is not a directory"):
        door("run=nowhere", "data=x", "debug=true")


def test_a_model_is_loaded_and_scores_in_a_process_of_its_own(tmp_path: Path) -> None:
    """Nothing has been imported there that this process has."""
    lines = ["age,ill", *(f"{20 + row},{'yes' if row % 3 else 'no'}" for row in range(40))]
    (tmp_path / "table.csv").write_text("\n".join(lines))
    config = compose(
        "dataset=csv", f"dataset.path={tmp_path / 'table.csv'}", "dataset.target=ill", "epochs=1", "batch_size=8",
        f"results_dir={tmp_path}",
    )  # fmt: skip
    path = train(config).path
    code = f"import l2m; print(l2m.load({str(path)!r}).config.epochs)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (loaded.stdout, loaded.stderr) == ("1\n", "")
    command = [sys.executable, "-m", "l2m.predict", f"run={path}", f"data={tmp_path / 'table.csv'}"]
    scored = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert (scored.returncode, scored.stderr) == (0, f"{tmp_path / 'table.csv'} {TRAINED_ON}")
    assert len(pd.read_csv(tmp_path / "predictions.csv")) == 40


def test_a_reader_that_has_gone_is_no_error() -> None:
    """As in ``python -m l2m.predict … | head -1``."""
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run([sys.executable, "-m", "l2m.predict", "--help"], stdout=writer, stderr=subprocess.PIPE)
    os.close(writer)
    assert (done.returncode, done.stderr) == (0, b"")


# Thresholds, costs and other populations


def scored(door: Command, table: Path, path: Path, *options: str) -> tuple[pd.DataFrame, str]:
    result = door(f"run={path}", f"data={table}", "force=true", *options)
    assert (result.status, result.err) == (0, f"{table} {TRAINED_ON}")
    return read(Path("predictions.csv")), result.out


def test_classes_are_chosen_by_threshold_or_cost(runs: Callable[..., Run], table: Path, door: Command) -> None:
    """By the rule that scikit-learn's threshold classifiers have, and by the least expected cost."""
    path = runs(*words_of(table, *ILL), "strategy=classical")[1].path
    plain, _ = scored(door, table, path)
    ill, well = (plain[f"probability {name}"] for name in ("ill", "well"))
    limit = float(ill.median())
    for option, is_ill in (
        (f"threshold=ill:{limit}", ill > limit),
        (f"threshold=ill:{limit},well:{1 - limit}", ill > limit),
        (f"threshold={1 - limit}", well < 1 - limit),
        ("costs=ill:5,well:1", 5 * ill > well),
    ):
        rows, _ = scored(door, table, path, option)
        assert (rows["predicted"] == np.where(is_ill, "ill", "well")).mean() > 0.95, (
            "but for digits that are not written"
        )
        assert rows["predicted"].nunique() == 2 or option.startswith("costs")
        pd.testing.assert_frame_equal(rows.drop(columns="predicted"), plain.drop(columns="predicted"))


def test_no_name_is_cut_at_its_comma() -> None:
    decision = decide(("a,b", "b", "c:d"), lambda: np.ones(3), None, "a,b:3,b:7,c:d:2", None)
    assert decision.preference.tolist() == [3, 7, 2]


@pytest.mark.parametrize("strategy", ["classical", "balanced", "smote"])
def test_probabilities_are_corrected_by_the_shares_of_the_batches(
    runs: Callable[..., Run], table: Path, door: Command, strategy: str
) -> None:
    path = runs(*words_of(table, *ILL), f"strategy={strategy}", "batch_size=8")[1].path
    plain, _ = scored(door, table, path)
    rows, _ = scored(door, table, path, "priors=ill:0.02")
    drawn = pd.read_csv(path / "groups.csv").set_index("name")["count"]
    odds = plain["probability ill"] / plain["probability well"] * (0.02 / drawn["ill"]) / (0.98 / drawn["well"])
    np.testing.assert_allclose(rows["probability ill"], odds / (1 + odds), rtol=1e-4)
    for option, warns in (("priors=ill:0.2", False), ("costs=ill:5,well:1", strategy != "classical")):
        result = door(f"run={path}", f"data={table}", option, "force=true")
        assert f"classes by {option}\n" in result.out
        assert ("may make rare classes too probable" in result.err) == warns
    assert drawn["ill"] / drawn.sum() == pytest.approx(0.2 if strategy == "classical" else 0.5, abs=0.07)


def test_classes_have_recall_and_precision(runs: Callable[..., Run], table: Path, door: Command) -> None:
    path = runs(*words_of(table, *WARD))[1].path
    limit = scored(door, table, path)[0]["probability ill"].median()
    rows, out = scored(door, table, path, f"threshold=ill:{limit}")
    lines = {line.split()[0]: line.split()[1:] for line in out.splitlines() if line.startswith("  ")}
    assert lines["class"] == ["samples", "recall", "precision"]
    for name in ("ill", "well"):
        own, chosen = rows["actual"] == name, rows["predicted"] == name
        samples, recall, precision = lines[name]
        assert int(samples) == own.sum()
        assert float(recall) == pytest.approx((own & chosen).sum() / own.sum(), abs=1e-3)
        assert float(precision) == pytest.approx((own & chosen).sum() / chosen.sum(), abs=1e-3)
    assert lines["group"] == ["samples", "accuracy"]


@pytest.mark.parametrize(
    ("target", "option", "fragment"),
    [
        (ILL, "threshold=sick:0.3", "names sick, which is no class: choose among ill, well"),
        (ILL, "threshold=1.5", "threshold=well:1.5 does not have a number between 0 and 1"),
        (ILL, "threshold=ill:0.2,ill:0.3", "'threshold=ill:0.5,well:0.5'"),
        (ILL, "costs=ill:5", "costs=ill:5 does not have a number above 0 for each of the 2 classes"),
        (ILL, "costs=ill:5,well:inf", "a number above 0"),
        (ILL, "costs=ill:5", "write it as 'costs=ill:1,well:1'"),
        (ILL, "costs=Ill:5,well:1", "names Ill, which is no class (did you mean ill?): choose among ill, well"),
        (ILL, "priors=ill:0.2,well:0.9", "a number between 0 and 1, with the sum 1, for each"),
        (WARD, "priors=ill:0.2", "has other groups than classes, use threshold or costs"),
        (INCOME, "costs=1", "costs=1 is for classes, and the model predicts values: drop it"),
    ],
)
def test_wrong_rule_is_reported(
    runs: Callable[..., Run], table: Path, door: Command, target: tuple[str, ...], option: str, fragment: str
) -> None:
    result = door(f"run={runs(*words_of(table, *target))[1].path}", f"data={table}", option)
    assert (result.status, result.out) == (1, "")
    (line,) = result.err.splitlines()
    assert fragment in line
    assert not Path("predictions.csv").exists()


def test_rules_that_contradict_or_do_not_apply_are_refused(
    runs: Callable[..., Run], table: Path, door: Command
) -> None:
    path = runs(*words_of(table, *ILL))[1].path
    result = door(f"run={path}", f"data={table}", "threshold=0.2", "costs=ill:2,well:1")
    assert "would both choose the class: use one of them" in result.err
    path = runs(*words_of(table, *ILL), "strategy=focal")[1].path
    assert "weighs or mixes samples" in door(f"run={path}", f"data={table}", "priors=ill:0.2").err
