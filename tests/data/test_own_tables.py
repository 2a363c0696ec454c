"""A person's own table: what is read, what is fitted on which rows, and every way in which a file can be wrong."""

from __future__ import annotations

import io
import json
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mutations import SORTS, assert_sentence, assert_valid, damage, put, within
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from l2m import RunConfig, UserError, compose, train, trained
from l2m.catalog import registries
from l2m.data import Data, load
from l2m.data.own import columns
from l2m.data.own.csv_rows import read_rows
from l2m.data.tables import parse_numbers

ROWS = 60


def lines() -> list[str]:
    """A table of 60 rows and five columns; a fifth of the outcomes are ill, ages and cities have gaps."""
    rng = np.random.default_rng(3)
    made = ["age,income,city,ward,outcome"]
    for row in range(ROWS):
        age = "" if row % 9 == 4 else f"{rng.integers(18, 90)}"
        city = ["Aachen", "Bonn", "Köln", ""][row % 7 % 4]
        made.append(
            f"{age},{rng.gamma(4, 900):.2f},{city},{'east' if row % 3 else 'west'},{'ill' if row % 5 == 0 else 'well'}"
        )
    return made


TABLE = "\n".join(lines()) + "\n"


def with_line(number: int, text: str) -> str:
    """The table with another line, counted from 1."""
    return "\n".join([*lines()[: number - 1], text, *lines()[number:]]) + "\n"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    place = tmp_path / "patients.csv"
    place.write_text(TABLE, "utf-8")
    return place


@cache
def configuration(*overrides: str) -> RunConfig:
    return compose("dataset=csv", "dataset.path=-", "dataset.target=outcome", *overrides)


def loaded(file: Path, *overrides: str) -> Data:
    config = configuration(*overrides)
    return load(replace(config, dataset=config.dataset | {"path": str(file)}))


def outcome(file: Path, *overrides: str) -> Data | str:
    """The data, or what is said of them; nothing else may be raised, warned or waited for."""
    with within(20):
        try:
            return loaded(file, *overrides)
        except UserError as error:
            return str(error)


# Reading


@pytest.mark.parametrize(
    "content",
    [
        TABLE, TABLE.replace("\n", "\r\n"), "\ufeff" + TABLE, TABLE.rstrip("\n"), "\n\n" + TABLE + "\n \n,,,,\n",
        TABLE.replace(",", ";"), TABLE.replace(",", "\t"), TABLE.replace(",", " | "), TABLE.replace(",,", ", NA ,"),
        TABLE.replace("Köln", '"Köln"'),
    ],
)  # fmt: skip
def test_one_table_in_many_guises(file: Path, content: str) -> None:
    expected = loaded(file)
    file.write_bytes(content.encode())
    data = loaded(file)
    assert torch.equal(data.train.inputs, expected.train.inputs)
    assert torch.equal(data.test.targets, expected.test.targets)
    assert data.preprocessing == expected.preprocessing
    assert data.class_names == data.group_names == ("ill", "well")


def test_cells_are_those_that_pandas_reads(file: Path) -> None:
    ours, theirs = read_rows(file), pd.read_csv(file)
    assert ours.isna().to_numpy().tolist() == theirs.isna().to_numpy().tolist()
    for name in ("age", "income"):
        np.testing.assert_array_equal(parse_numbers(ours[name]), theirs[name])
    assert ours["city"].dropna().tolist() == theirs["city"].dropna().tolist()


def test_index_is_the_line_that_an_editor_shows(file: Path) -> None:
    file.write_text('a,b\n1,"two\nlines"\n\n2,"x\n\ny"\n3,z\n')
    table = read_rows(file)
    assert table.index.tolist() == [2, 5, 8]
    assert table["b"].tolist() == ["two\nlines", "x\n\ny", "z"]


def test_separators_in_quoted_names_do_not_count(file: Path) -> None:
    file.write_text('"size, in mm, at birth";outcome\n' + "".join(f"{row};{row % 2}\n" for row in range(20)))
    assert read_rows(file).columns.tolist() == ["size, in mm, at birth", "outcome"]


def test_a_quoted_name_may_have_a_line_break(file: Path) -> None:
    file.write_text(
        '"first\nname",x,y\n' + "".join(f"{'uv'[row % 3 > 1]},{row},{'ab'[row % 2]}\n" for row in range(40))
    )
    assert list(read_rows(file)) == ["first\nname", "x", "y"]


def test_decimal_commas(file: Path) -> None:
    expected = loaded(file)
    file.write_text(TABLE.replace(",", ";").replace(".", ","), "utf-8")
    assert torch.equal(loaded(file, "dataset.decimal=comma").train.inputs, expected.train.inputs)
    assert "use dataset.decimal=comma" in str(outcome(file))


# What is fitted, and on which rows

NUMERIC, CATEGORICAL = ["age", "income"], ["city", "ward"]


def sklearn_transformer(numeric: Sequence[str], categorical: Sequence[str], most: int) -> ColumnTransformer:
    """What inputs must equal: fitted and applied to what ``as_cells`` gives."""
    impute = SimpleImputer(strategy="median", add_indicator=True, keep_empty_features=True)
    encode = OneHotEncoder(handle_unknown="infrequent_if_exist", max_categories=most, sparse_output=False)
    return ColumnTransformer([
        ("numbers", make_pipeline(impute, StandardScaler()), list(numeric)),
        ("categories", encode, list(categorical)),
    ])  # fmt: skip


def as_cells(table: pd.DataFrame, numeric: Sequence[str], categorical: Sequence[str]) -> pd.DataFrame:
    """The table's columns as float64, or as text."""
    cells: dict[str, Any] = {name: parse_numbers(table[name]) for name in numeric}
    return pd.DataFrame(cells | {name: columns.as_text(table[name]) for name in categorical})


def split_by_hand(file: Path, data: Data) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The rows of both parts, found by their income, which no two rows share."""
    table = pd.read_csv(file).assign(line=range(2, ROWS + 2))
    unit = next(column for column in data.preprocessing["numbers"] if column["name"] == "income")
    parts = []
    for split in (data.train, data.test):
        income = split.inputs[:, 1].double().numpy() * unit["sd"] + unit["mean"]
        nearest = np.abs(table["income"].to_numpy()[None] - income[:, None]).argmin(1)
        parts.append(table.iloc[nearest])
    return parts[0], parts[1]


@pytest.mark.parametrize("most", [2, 3, 20])
@pytest.mark.parametrize(
    "overrides", [(), ("validation_fraction=0.25",), ("early_stopping=3",), ("imbalance=linear", "imbalance.slope=0.5")]
)
def test_inputs_are_scikit_learns_fitted_on_what_is_trained_on(
    file: Path, most: int, overrides: tuple[str, ...]
) -> None:
    data = loaded(file, f"dataset.max_categories={most}", *overrides)
    trained_on, tested_on = split_by_hand(file, data)
    assert set(trained_on["line"]).isdisjoint(tested_on["line"])
    transformer = sklearn_transformer(NUMERIC, CATEGORICAL, most)
    transformer.fit(as_cells(trained_on, NUMERIC, CATEGORICAL))
    for part, split in ((trained_on, data.train), (tested_on, data.test)):
        expected = transformer.transform(as_cells(part, NUMERIC, CATEGORICAL))
        np.testing.assert_allclose(split.inputs, expected, atol=1e-5)
        assert [data.class_names[i] for i in split.targets] == part["outcome"].tolist()
    assert float(data.train.inputs[:, 0].mean()) == pytest.approx(0, abs=1e-6)
    assert abs(float(data.test.inputs[:, 0].mean())) > 1e-3, "not fitted on it"


def test_test_rows_change_nothing_that_is_fitted(file: Path) -> None:
    before = loaded(file)
    tested = set(split_by_hand(file, before)[1]["line"])
    altered = [
        line.replace("Bonn", "Ulm").replace(",east", ",north") if number in tested else line
        for number, line in enumerate(lines(), 1)
    ]
    assert altered != lines()
    file.write_text("\n".join(altered), "utf-8")
    after = loaded(file)
    assert after.preprocessing == before.preprocessing
    assert torch.equal(after.train.inputs, before.train.inputs)
    unknown = after.test.inputs[:, -2:].sum(1) == 0
    assert unknown.any(), "a value that training did not have is 0 everywhere"


def test_what_nothing_is_learned_from_is_0_in_every_row(file: Path) -> None:
    """A measurement that began after the training rows; its weights stay those of the beginning."""
    later = ["" if row < 48 else f"{50000 + row}" for row in range(60)]
    file.write_text("t,z,same,y\n" + "".join(f"{r},{z},{int(r > 47)},{'ab'[r % 2]}\n" for r, z in enumerate(later)))
    data = loaded(file, "dataset.target=y", "dataset.split_order=t", "dataset.test_fraction=0.2")
    assert not data.train.inputs.any()
    assert not data.test.inputs.any()
    assert columns.apply(data.preprocessing, read_rows(file)).abs().max() == 0


def test_apply_on_unseen_missing_and_rare_values_is_scikit_learns() -> None:
    rng = np.random.default_rng(0)

    def table(rows: int, cities: list[str | None]) -> pd.DataFrame:
        return pd.DataFrame({
            "full": rng.normal(50, 9, rows), "gaps": np.where(rng.random(rows) < 0.3, np.nan, rng.gamma(2, 1, rows)),
            "constant": np.ones(rows), "empty": np.full(rows, np.nan), "yes": rng.random(rows) < 0.5,
            "city": rng.choice(np.array(cities, object), rows),
        })  # fmt: skip

    train_rows, new = table(200, [*"aaaabbbcd", None]), table(50, [*"abcdxyz", None])
    new.loc[3, "full"] = np.nan
    numeric, categorical = ["full", "gaps", "constant", "empty"], ["city", "yes"]
    for most in (2, 3, 9):
        fitted = columns.fit(train_rows, numeric, categorical, most)
        kept = io.BytesIO()
        torch.save(fitted, kept)
        kept.seek(0)
        assert torch.load(kept, weights_only=True) == json.loads(json.dumps(fitted)) == fitted
        transformer = sklearn_transformer(numeric, categorical, most)
        transformer.fit(as_cells(train_rows, numeric, categorical))
        for rows in (train_rows, new):
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr("warnings.warn", lambda *_, **__: None)  # scikit-learn's, of unknown values
                expected = transformer.transform(as_cells(rows, numeric, categorical))
            applied = columns.apply(fitted, rows)
            assert applied.dtype == torch.float32
            np.testing.assert_allclose(applied, expected, rtol=1e-6, atol=1e-6)
            text = rows.astype(object).where(rows.notna(), None).astype("str").mask(rows.isna())
            np.testing.assert_allclose(columns.apply(fitted, text[text.columns[::-1]]), expected, atol=1e-5)


def test_regression_is_scaled_and_its_error_reported_in_the_targets_own_unit(file: Path, tmp_path: Path) -> None:
    config = compose(
        "dataset=csv", f"dataset.path={file}", "dataset.target=income", "dataset.task=regression", "epochs=3",
        "batch_size=10", f"results_dir={tmp_path}",
    )  # fmt: skip
    data = load(config)
    assert data.class_names is None
    mean, sd = data.target_unit
    values = [pytest.approx(float(value), abs=1e-2) for value in data.train.targets * sd + mean]
    table = pd.read_csv(file)
    assert sum(any(value == each for each in table["income"]) for value in values) == len(values)
    assert float(data.train.targets.mean()) == pytest.approx(0, abs=1e-6)
    assert float(data.train.targets.std(correction=0)) == pytest.approx(1, abs=1e-6)
    records = train(config)
    outputs = trained.load(records.path).outputs(data.test)
    errors = ((outputs - data.test.targets) * sd).square().flatten()
    assert records.metrics["test_metric"].iloc[-1] == pytest.approx(float(errors.mean()), rel=1e-5)
    by_group = [float(errors[data.test.groups == group].mean()) for group in range(4)]
    assert records.groups["test_metric"].tolist()[-4:] == pytest.approx(by_group, rel=1e-5)
    assert float(errors.mean()) > 1000, "a squared income, not a squared deviation of one"


# Groups and parts


def test_parts_have_the_same_share_of_every_group_and_class(file: Path) -> None:
    data = loaded(file, "dataset.group=ward", "dataset.test_fraction=0.3")
    table = pd.read_csv(file)
    held = [(int(g), int(t)) for g, t in zip(data.test.groups, data.test.targets, strict=True)]
    for group, ward in enumerate(data.group_names):
        for label, name in enumerate(data.class_names or ()):
            rows = ((table["ward"] == ward) & (table["outcome"] == name)).sum()
            assert held.count((group, label)) == round(0.3 * rows)
    assert len(data.train) + len(data.test) == ROWS
    other = loaded(file, "dataset.group=ward", "dataset.test_fraction=0.3", "data_seed=7")
    assert not torch.equal(other.test.inputs, data.test.inputs)


def test_group_is_an_input_unless_it_is_ignored(file: Path) -> None:
    assert loaded(file).train.inputs.shape[1] == 9
    assert loaded(file, "dataset.group=ward").train.inputs.shape[1] == 9
    ignored = loaded(file, "dataset.group=ward", "dataset.ignore=[ward]")
    assert ignored.train.inputs.shape[1] == 7
    assert ignored.group_names == ("east", "west")


def test_bins_of_a_regression_are_the_training_parts_quantiles(file: Path) -> None:
    data = loaded(file, "dataset.task=regression", "dataset.group_bins=3", "dataset.target=income")
    mean, sd = data.target_unit
    values = data.train.targets.flatten().double().numpy() * sd + mean
    expected = pd.qcut(values, 3, labels=False)
    assert data.train.groups.tolist() == expected.tolist()
    edges = np.quantile(values, [1 / 3, 2 / 3])
    assert data.group_names[0] == f"up to {edges[0]:.6g}"
    assert len(data.group_names) == 3


def test_bins_that_coincide_are_one(file: Path) -> None:
    file.write_text("x,y\n" + "".join(f"{row},{max(0, row - 30)}\n" for row in range(40)))
    data = loaded(file, "dataset.task=regression", "dataset.target=y")
    assert len(data.group_names) == 2
    assert (torch.bincount(data.test.groups) > 0).all()


@pytest.mark.parametrize("counts", [(5, 25, 25, 5), (30, 30), (3, 54, 3)])
def test_no_bin_of_whole_numbers_is_empty(file: Path, counts: tuple[int, ...]) -> None:
    """A quantile between two neighbouring numbers parts no targets."""
    targets = np.repeat(np.arange(len(counts)), counts)
    file.write_text("x,y\n" + "".join(f"{row},{target}\n" for row, target in enumerate(targets)))
    data = loaded(file, "dataset.task=regression", "dataset.target=y", "dataset.group_bins=4")
    assert (torch.bincount(data.test.groups, minlength=len(data.group_names)) > 0).all()
    assert (torch.bincount(data.train.groups, minlength=len(data.group_names)) > 0).all()


def test_a_target_that_grows_needs_groups_of_its_own(file: Path) -> None:
    words = ("dataset.task=regression", "dataset.target=y", "dataset.split_order=t")
    file.write_text("t,x,z,y\n" + "".join(f"{row},{row % 7},{'ab'[row % 2]},{row / 7}\n" for row in range(60)))
    with pytest.raises(UserError, match=r"has no row of group up to .*, or name a column of groups with dataset.group"):
        loaded(file, *words)
    assert loaded(file, *words, "dataset.group=z").group_names == ("a", "b")


@pytest.mark.parametrize(
    ("cells", "remedy"),
    [
        (
            "1,013",
            "dataset.decimal=comma if it is a decimal comma, 'dataset.numbers=[\"y\"]' if it separates thousands",
        ),
        ("0,5", "dataset.decimal=comma"),
        ("$5", "'dataset.numbers=[\"y\"]' to read it as 5"),
        ("high", "fix or drop the row, or use dataset.task=classification"),
    ],
)
def test_a_target_that_is_no_plain_number_has_a_remedy(file: Path, cells: str, remedy: str) -> None:
    file.write_text("x;y\n" + "".join(f"{row};{cells}\n" for row in range(40)))
    with pytest.raises(UserError) as caught:
        loaded(file, "dataset.task=regression", "dataset.target=y")
    assert remedy in str(caught.value)


def test_file_of_test_rows(file: Path, tmp_path: Path) -> None:
    header, *rows = lines()
    (tmp_path / "train.csv").write_text("\n".join([header, *rows[:40]]), "utf-8")
    turned = [",".join(line.split(",")[::-1]) for line in [header, *rows[40:]]]
    (tmp_path / "test.csv").write_text("\n".join(turned), "utf-8")
    data = loaded(tmp_path / "train.csv", f"dataset.test_path={tmp_path / 'test.csv'}")
    assert (len(data.train), len(data.test)) == (40, 20)
    assert [data.class_names[i] for i in data.test.targets] == [row.rpartition(",")[2] for row in rows[40:]]
    assert torch.equal(columns.apply(data.preprocessing, read_rows(file))[40:], data.test.inputs)


def test_labels_that_are_numbers_are_sorted_as_such(file: Path) -> None:
    file.write_text("x,y\n" + "".join(f"{row},{[10, 9, '9.5', '-1'][row % 4]}\n" for row in range(40)))
    assert loaded(file, "dataset.target=y").class_names == ("-1", "9", "9.5", "10")


# Training


IN_GROUPS = {("smote", "ward"), ("learn2mix", "ward"), ("group_dro", "city")}
STRATEGIES = [
    pytest.param(name, group, marks=() if not group or (name, group) in IN_GROUPS else pytest.mark.long)
    for name in registries()["strategy"].names()
    for group in (None, "ward", "city")
]
"""Every strategy with classes and with other groups; `make test` takes a few of the latter."""


@pytest.mark.parametrize(("strategy", "group"), STRATEGIES)
def test_every_strategy_trains_on_it(file: Path, tmp_path: Path, strategy: str, group: str | None) -> None:
    file.write_text(TABLE.replace(",,", ",Ulm,"), "utf-8")  # four cities, two classes, two wards
    own = [f"dataset.group={group}"] if group else []
    short = ["strategy.warm_up=1"] if strategy == "curriculum" else []
    config = compose(
        "dataset=csv", f"dataset.path={file}", "dataset.target=outcome", f"strategy={strategy}", "epochs=1",
        "batch_size=16", f"results_dir={tmp_path}", *own, *short,
    )  # fmt: skip
    if strategy == "smote" and group:
        with pytest.raises(UserError, match="smote needs groups that are the classes"):
            train(config)
        return
    records = train(config)
    assert records.metrics["test_metric"].between(0, 1).all()
    assert set(records.groups["name"]) == set(load(config).group_names)


@pytest.mark.parametrize(
    "strategy",
    [name for name in registries()["strategy"].names() if "regression" in registries()["strategy"][name].tasks],
)
def test_every_strategy_for_regression_trains_on_it(file: Path, tmp_path: Path, strategy: str) -> None:
    config = compose(
        "dataset=csv", f"dataset.path={file}", "dataset.target=income", "dataset.task=regression", "epochs=1",
        f"strategy={strategy}", "batch_size=16", f"results_dir={tmp_path}",
    )  # fmt: skip
    assert train(config).metrics["test_metric"].notna().all()


def test_three_classes_in_two_groups_are_weighted_by_class(file: Path, tmp_path: Path) -> None:
    """Where there are more classes than groups, or fewer, what a strategy counts by class has one number a class."""
    file.write_text(TABLE.replace(",ill", ",ill\n", 1).replace(",well", ",fair", 20).replace("\n\n", "\n"), "utf-8")
    for strategy in ("class_weighted", "logit_adjusted"):
        config = compose(
            "dataset=csv", f"dataset.path={file}", "dataset.target=outcome", "dataset.group=ward", "epochs=1",
            f"strategy={strategy}", "batch_size=10", f"results_dir={tmp_path}",
        )  # fmt: skip
        assert load(config).classes == 3
        assert train(config).metrics["test_loss"].notna().all()


# Files that change


def test_a_run_of_a_file_that_has_changed_is_not_taken_as_done(file: Path, tmp_path: Path) -> None:
    def run(*more: str) -> Any:
        own = ("dataset=csv", f"dataset.path={file}", "dataset.target=outcome", f"results_dir={tmp_path / 'out'}")
        return train(compose(*own, "epochs=2", "batch_size=10", *more))

    first = run()
    assert run().info == first.info, "done before"
    file.write_text(TABLE.replace("Bonn", "Ulm", 1), "utf-8")
    with pytest.raises(UserError, match=r"was trained on other files than .* has now: use force=true") as caught:
        run()
    assert_sentence(str(caught.value), file)
    again = run("force=true")
    assert again.info["files"] != first.info["files"]
    assert run().info == again.info
    file.unlink()
    assert run().info == again.info, "records are read without the data"


def test_an_interrupted_run_of_a_file_that_has_changed_begins_anew(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from l2m.training.engine import Trainer

    config = compose(
        "dataset=csv", f"dataset.path={file}", "dataset.target=outcome", f"results_dir={tmp_path / 'out'}", "epochs=3",
        "batch_size=10", "checkpoint_seconds=0",
    )  # fmt: skip
    whole = Trainer.run_epoch

    def stopped(self: Trainer) -> Any:
        if self.epoch == 2:
            raise KeyboardInterrupt
        return whole(self)

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "run_epoch", stopped)
        with pytest.raises(KeyboardInterrupt):
            train(config)
    file.write_text(TABLE.replace("Bonn", "Ulm", 1), "utf-8")
    records = train(config)
    assert "has other files now" in caplog.text
    assert "resumed" not in records.info
    assert records.metrics["epoch"].tolist() == [1, 2, 3]


# Files that are wrong

COLUMNS = "age,income,city,ward,outcome"
WRONG: dict[str, tuple[str | bytes, tuple[str, ...], str]] = {
    "empty": ("", (), "is empty: put"),
    "blank": (" \n\n", (), "is empty: put"),
    "a header alone": (COLUMNS, (), "has names of columns and no rows"),
    "no header": ("\n".join(lines()[1:]), (), "has no column outcome: choose dataset.target from those it names"),
    "numbers for a header": ("1,2,3\n4,5,6\n", (), "has numbers alone in its first line, 1, 2, 3: put a line"),
    "one column": ("outcome\nill\nwell\n", (), "has one column only, outcome"),
    "another separator": (TABLE, ("dataset.separator=tab",), "has no tab in its first line"),
    "a cell less": (with_line(7, "30,1.5,Bonn,ill"), (), "has 4 cells in line 7, and its first line names 5 columns"),
    "a cell more": (with_line(7, "30,1,5,Bonn,west,ill"), (), "has 6 cells in line 7"),
    "an open quote": (with_line(7, '30,1.5,"Bonn,west,ill'), (), "cannot be read as a table from line 7 on"),
    "a doubled name": (TABLE.replace("income", "age", 1), (), "has two columns age in its first line"),
    "an index": (TABLE.replace("\n", "\n0,").rstrip("0,").replace("age", ",age", 1), (), "has no name for column 1"),
    "Latin-1": (with_line(7, "30,1.5,Köln,west,ill").encode("latin1"), (), "is not UTF-8 text from line"),
    "UTF-16": (TABLE.encode("utf-16"), (), "is not UTF-8 text from line 1 on"),
    "a target that is not there": (TABLE, ("dataset.target=outcom",), "no column outcom (did you mean outcome?)"),
    "its case": (TABLE, ("dataset.target=OUTCOME",), "no column OUTCOME (did you mean outcome?)"),
    "a group that is not there": (TABLE, ("dataset.group=wards",), "no column wards (did you mean ward?): choose"),
    "an ignored one that is not": (TABLE, ("dataset.ignore=[income,name]",), "no column name"),
    "a categorical one that is not": (TABLE, ("dataset.categorical=[cty]",), "no column cty (did you mean city?)"),
    "nothing left": (TABLE, ("dataset.ignore=[age,income,city,ward]",), "has no column but the target and those in"),
    "no label": (with_line(7, "30,1.5,Bonn,west,"), (), "has no outcome in line 7"),
    "no group": (TABLE, ("dataset.group=city",), "has no city in line 5 and "),
    "one class": (TABLE.replace("ill", "well"), (), "has outcome=well in every row"),
    "a class of one": (with_line(7, "30,1.5,Bonn,west,fair"), (), "has one row of class fair, in line 7"),
    "text in a number": (with_line(7, "old,1.5,Bonn,west,ill"), (), "has age=old in line 7, beside 52 numbers: fix"),
    "a mark for missing": (with_line(7, "?,1.5,Bonn,west,ill"), (), "'dataset.missing=[\"?\"]'"),
    "infinity": (with_line(7, "30,inf,Bonn,west,ill"), (), "has income=inf in line 7: numbers must be finite"),
    "too large": (with_line(7, "30,1e39,Bonn,west,ill"), (), "has income=1e39 in line 7"),
    "measurements as classes": (TABLE, ("dataset.target=income",), "has 60 different numbers as income in 60 rows"),
    "classes as measurements": (TABLE, ("dataset.task=regression",), "has outcome=ill in line 2: a regression"),
    "a target all alike": (
        TABLE.replace("ill", "7").replace("well", "7"), ("dataset.task=regression",), "has outcome=7 in every row"
    ),
    "no value": (
        with_line(7, "30,,Bonn,west,ill"), ("dataset.task=regression", "dataset.target=income"),
        "has no income in line 7: a regression",
    ),
    "names of persons": (
        "\n".join(f"{'name' if i == 0 else f'person {i}'},{line}" for i, line in enumerate(lines())), (),
        "has a rare text in most rows of name: it is not a category to learn from, use 'dataset.ignore=[\"name\"]'",
    ),
    "thousands": (
        "\n".join(line + (f',"{i},000"' if i else ",price") for i, line in enumerate(lines())), (),
        "has price=1,000 in line 2 and 59 more cells of this kind (100% of the column), a number with a comma: use "
        "dataset.decimal=comma if it is a decimal comma, 'dataset.numbers=[\"price\"]' if it separates thousands, or",
    ),
    "a spreadsheet's mark": (f"sep=,\n{TABLE}", (), "has a mark for spreadsheets in its first line, sep=: remove"),
    "a group of one row": (
        with_line(7, "30,1.5,Bonn,north,ill"), ("dataset.group=ward",), "has no two rows of group north and of"
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", WRONG)
def test_what_is_wrong_is_reported_with_file_line_and_column(file: Path, kind: str) -> None:
    content, overrides, expected = WRONG[kind]
    put(file, content if isinstance(content, bytes) else content.encode())
    said = outcome(file, *overrides)
    assert isinstance(said, str), "it loaded"
    assert expected in said
    assert_sentence(said, file)


def test_text_that_is_rare_in_most_rows_must_be_named() -> None:
    table = pd.DataFrame({"day": [f"day {row % 200}" for row in range(1000)]})
    with pytest.raises(UserError, match=r"has a rare text in most rows of day: .*, or dataset=hugging_face to learn"):
        columns.find_kinds(table, (), 20, "visits.csv")
    for categorical, most in ((("day",), 20), ((), 200)):
        assert columns.find_kinds(table, categorical, most, "visits.csv")[:2] == ([], ["day"])


TESTS: dict[str, tuple[Callable[[str], str], str]] = {
    "another column": (
        lambda text: text.replace("city", "town"),
        "has no column city, which ",
    ),
    "an unseen label": (
        lambda text: text.replace("ill", "dead"),
        "has outcome=dead in line 2, which the training part",
    ),
    "a class less": (lambda text: text.replace("ill", "well"), "has no row of group ill, which is trained on"),
    "no number": (lambda text: text.replace("\n", "\nx", 4), "has age=x"),
    "no rows": (lambda text: text.partition("\n")[0], "has names of columns and no rows"),
}


@pytest.mark.parametrize("kind", TESTS)
def test_what_is_wrong_with_test_rows_is_reported_of_their_file(file: Path, tmp_path: Path, kind: str) -> None:
    change, expected = TESTS[kind]
    place = tmp_path / "test.csv"
    place.write_text(change(TABLE), "utf-8")
    said = outcome(file, f"dataset.test_path={place}")
    assert isinstance(said, str), "it loaded"
    assert expected in said
    assert_sentence(said, place)


@pytest.mark.parametrize("kind", SORTS)
def test_damage_to_the_file(file: Path, kind: str) -> None:
    damage(file, kind)
    said = outcome(file)
    if isinstance(said, Data):
        assert_valid(said)
    else:
        assert_sentence(said, file)


@settings(max_examples=40, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(cell=st.text(max_size=20), row=st.integers(0, ROWS), column=st.integers(0, 4), task=st.booleans())
def test_any_text_in_the_table(cell: str, row: int, column: int, task: bool) -> None:
    with tempfile.TemporaryDirectory() as place:
        file = Path(place) / "table.csv"
        table = [line.split(",") for line in lines()]
        table[row][column] = cell
        file.write_bytes("\n".join(",".join(line) for line in table).encode("utf-8", "surrogatepass"))
        said = outcome(file, *(["dataset.task=regression", "dataset.target=income"] if task else []))
        if isinstance(said, Data):
            assert_valid(said)
        else:
            assert_sentence(said, file)


def test_what_is_missing_on_the_command_line_is_reported_before_any_file_is_read() -> None:
    with pytest.raises(UserError) as caught:
        compose("dataset=csv", "dataset.task=clustering")
    assert len(str(caught.value).splitlines()) == 3


def test_new_rows_that_do_not_fit_are_refused(file: Path) -> None:
    fitted = loaded(file).preprocessing
    table = read_rows(file)
    with pytest.raises(UserError, match=r"new\.csv has no column age, which the model was trained with: put"):
        columns.apply(fitted, table.drop(columns="age"), "new.csv")
    with pytest.raises(UserError, match=r"has no column age \(did you mean Age\?\), which"):
        columns.apply(fitted, table.rename(columns={"age": "Age"}), "new.csv")
    table.loc[9, "age"] = "old"
    with pytest.raises(UserError, match=r"new\.csv has age=old in line 9, where the training part has finite numbers"):
        columns.apply(fitted, table, "new.csv")
