"""Rows that stay together in every split (``split_by``), and splits by time (``split_order``)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from made_up import compose

from l2m import UserError
from l2m.data import load
from l2m.data.validation import Units
from l2m.training.results import sample_results

PATIENTS = 40


@pytest.fixture(scope="module")
def visits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Visits, in the order of their dates; ``x`` is the number of the row."""
    rng = np.random.default_rng(0)
    patient = rng.integers(0, PATIENTS, 300)
    frame = pd.DataFrame({
        "x": np.arange(300),
        "patient": [f"p{number}" for number in patient],
        "day": pd.date_range("2025-01-01", periods=100).repeat(3).strftime("%Y-%m-%d"),
        "ill": np.where(patient % 5 == 0, "yes", "no"),
    })  # fmt: skip
    file = tmp_path_factory.mktemp("visits") / "visits.csv"
    frame.sample(frac=1, random_state=0).to_csv(file, index=False)
    return file


def parts(visits: Path, *words: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The rows that are trained on and those that are tested on."""
    data = load(compose("dataset=csv", f"dataset.path={visits}", "dataset.target=ill", *words))
    frame, fit = pd.read_csv(visits).set_index("x", drop=False), data.preprocessing["numbers"]
    assert [each["name"] for each in fit] == ["x"], "the column of the split is no input"

    def rows(split):
        values = split.inputs[:, 0].double().numpy()
        return frame.loc[np.rint(values * fit[0]["sd"] + fit[0]["mean"]).astype(int)]

    return rows(data.train), rows(data.test)


OTHER = "dataset.ignore=[day]", "dataset.split_by=patient"


def test_a_patient_is_on_one_side_of_every_split(visits: Path) -> None:
    train, test = parts(visits, *OTHER)
    assert len(train) + len(test) == 300
    assert not set(train["patient"]) & set(test["patient"])
    assert 0.1 < len(test) / 300 < 0.3
    assert 0.1 < (test["ill"] == "yes").mean() < 0.3, "the shares of the classes stay alike"
    seen = []
    for part in range(5):
        kept, held = parts(visits, *OTHER, "validation_fraction=0.2", f"validation_part={part}")
        assert sorted([*kept["x"], *held["x"]]) == sorted(train["x"]), "nothing of the test part"
        assert not set(kept["patient"]) & set(held["patient"])
        seen += held["x"].tolist()
    assert sorted(seen) == sorted(train["x"]), "each sample is held out once"
    assert set(parts(visits, *OTHER, "data_seed=1")[1]["patient"]) != set(test["patient"])


def test_units_of_the_tested_rows_are_known(visits: Path) -> None:
    for words in ((), ("validation_fraction=0.2",)):
        data = load(compose("dataset=csv", f"dataset.path={visits}", "dataset.target=ill", *OTHER, *words))
        results = sample_results(torch.zeros(len(data.test), 2), data)
        assert results.units is not None
        by_patient = pd.read_csv(visits)["patient"].nunique()
        assert len(results.units) == len(data.test)
        assert len(np.unique(results.units)) == round(by_patient * (0.16 if words else 0.2))


def test_the_latest_rows_are_tested_on(visits: Path) -> None:
    words = ("dataset.ignore=[patient]", "dataset.split_order=day")
    train, test = parts(visits, *words)
    assert train["day"].max() < test["day"].min()
    assert len(test) == 60
    end = train["day"].max()
    for part in range(5):
        kept, held = parts(visits, *words, "validation_fraction=0.2", f"validation_part={part}")
        assert held["day"].max() == end, "a stretch that ends where the last one began"
        assert not kept["day"].between(held["day"].min(), held["day"].max()).any()
        assert len(held) == 48
        end = train["day"][train["day"] < held["day"].min()].max()


def test_rows_of_one_moment_stay_together() -> None:
    """The share is then met as nearly as it can be; the fifth that is left over is never held out."""
    units = Units("", np.array([0, 1, 1, 1, 2]), True)
    for part, held in enumerate(([0, 0, 0, 0, 1], [0, 1, 1, 1, 0])):
        assert units.hold_out(torch.zeros(5), 0.4, torch.Generator(), part).tolist() == list(map(bool, held))


@pytest.mark.parametrize("fraction", [0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5, 0.7, 0.9])
def test_any_share_of_units_is_held_out(fraction: float) -> None:
    numbers = np.repeat(np.arange(200), 5)
    groups = torch.from_numpy(np.arange(1000) // 5 % 4 % 3)
    for are_ordered in (False, True):
        units, times = Units("", numbers, are_ordered), torch.zeros(1000)
        for part in range(whole := int(1 / fraction + 1e-9)):
            held = units.hold_out(groups, fraction, torch.Generator().manual_seed(1), part)
            assert held.double().mean().item() == pytest.approx(fraction, abs=0.01)
            times += held
        assert whole == 1 or times.max() == 1, "no sample twice"


def test_cells_that_count_as_empty_are_no_unit(visits: Path) -> None:
    table = pd.read_csv(visits, dtype=str)
    table.loc[3, "patient"] = "?"
    table.to_csv(visits, index=False)
    with pytest.raises(UserError, match="has no patient in line 5: every row needs one"):
        parts(visits, "dataset.split_by=patient", "dataset.missing=['?']")


def test_a_class_that_a_split_leaves_out_is_named(tmp_path: Path) -> None:
    """Groups are another column, so classes are looked at for themselves."""
    sick = [f"{row},s{row % 2},{'ill' if 60 <= row < 76 else 'well'},{row}" for row in range(80)]
    (tmp_path / "late.csv").write_text("\n".join(["x,site,y,day", *sick, ""]))
    words = ["dataset=csv", f"dataset.path={tmp_path}/late.csv", "dataset.target=y", "dataset.group=site"]
    ordered = [*words, "dataset.split_order=day"]
    with pytest.raises(UserError, match=r"test_fraction=0.05 leaves class ill without a sample to test on, because of"):
        load(compose(*ordered, "dataset.test_fraction=0.05"))
    with pytest.raises(UserError, match=r"validation_fraction=0.2, part 0, leaves class ill without a sample to train"):
        load(compose(*ordered, "dataset.test_fraction=0.1", "validation_fraction=0.2"))


@pytest.mark.parametrize("part", range(5))
def test_held_out_parts_have_some_of_each_class_in_each_group(tmp_path: Path, part: int) -> None:
    rows = [f"{row},s{row % 2},{'rare' if row % 60 < 2 else 'usual'}" for row in range(600)]
    (tmp_path / "table.csv").write_text("\n".join(["x,site,y", *rows, ""]))
    words = ["dataset=csv", f"dataset.path={tmp_path}/table.csv", "dataset.target=y", "dataset.group=site"]
    data = load(compose(*words, "validation_fraction=0.25", f"validation_part={part}"))
    rare = [int(((data.test.groups == group) & (data.test.targets == 0)).sum()) for group in (0, 1)]
    assert rare == [2, 2], "of 8 each"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["dataset.split_by=patient", "dataset.split_order=day"], "are two ways to split: drop one"),
        (["dataset.split_by=patent"], r"has no column patent \(did you mean patient\?\): choose dataset.split_by from"),
        (["dataset.split_order=patient"], "dataset.split_order needs a number or a date like 2026-01-31 in every row"),
        (["dataset.split_by=half"], "dataset.split_by has 2 different values, too few to hold out a share of 0.2"),
        (["dataset.split_order=rank"], "test_fraction=0.2 leaves group no without a sample to test on, because of"),
        (["dataset.split_by=patient", "dataset.test_path={file}"], "which .* has too: put all its rows in one file"),
        (["dataset.split_by=gap"], "no gap in line 2: every row needs one"),
    ],
)  # fmt: skip
def test_what_cannot_be_split_is_refused(visits: Path, tmp_path: Path, words: list[str], message: str) -> None:
    frame = pd.read_csv(visits)
    frame["half"], frame["gap"] = frame["x"] % 2, np.where(frame.index > 0, "a", None)
    frame["rank"] = (frame["ill"] == "yes") * 1000 + frame["x"]
    file = tmp_path / "more.csv"
    frame.to_csv(file, index=False)
    words = [word.replace("{file}", str(file)) for word in words]
    with pytest.raises(UserError, match=message):
        load(compose("dataset=csv", f"dataset.path={file}", "dataset.target=ill", "dataset.ignore=[day,gap]", *words))
