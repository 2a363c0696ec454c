"""Summaries, from records made up by the test: the numbers are known beforehand."""

from __future__ import annotations

import math
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
import yaml
from commands import command
from made_up import compose, write
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.image import imread
from scipy import stats

from l2m.errors import UserError
from l2m.report import drawing, runs, statistics, summary

EPOCHS = 8
CLASSICAL, LEARN2MIX = [0.70, 0.72, 0.74], [0.75, 0.78, 0.78]


def made(folder: Path, strategy: str, seed: int, final: float, *overrides: str, status: str = "done") -> Path:
    """A run on digits whose accuracy climbs in equal steps to ``final``."""
    config = compose("dataset=digits", "batch_size=10", f"epochs={EPOCHS}", f"strategy={strategy}", *overrides)
    return write(folder, config, lambda epoch: final * epoch / config.epochs, seed=seed, status=status)


@pytest.fixture
def results(tmp_path: Path) -> Path:
    for seed, (ours, theirs) in enumerate(zip(LEARN2MIX, CLASSICAL, strict=True)):
        made(tmp_path, "classical", seed, theirs)
        made(tmp_path, "learn2mix", seed, ours)
    return tmp_path


def labels(folder: Path) -> dict[str, runs.Runs]:
    return {run.label: run for run in runs.read_runs(folder).runs}


def test_runs_are_put_together_by_configuration(results: Path) -> None:
    made(results, "learn2mix", 0, 0.5, "strategy.mixing_rate=0.3")
    made(results, "learn2mix", 7, 0.9, status="failed")
    found = labels(results)
    assert set(found) == {"classical", "learn2mix mixing_rate=0.1", "learn2mix mixing_rate=0.3"}
    assert list(found["learn2mix mixing_rate=0.1"].metrics) == [0, 1, 2]  # the failed run is left out


def test_checkpoints_are_the_papers(results: Path) -> None:
    classical = labels(results)["classical"]
    assert classical.at(0.25).tolist() == pytest.approx([100 * value * 2 / EPOCHS for value in CLASSICAL])
    assert classical.at(1.0).tolist() == pytest.approx([100 * value for value in CLASSICAL])


def test_table_shows_mean_deviation_and_paired_difference(results: Path) -> None:
    (rows,) = summary.rows(runs.read_runs(results).runs).values()
    by_label = {row[0]: row for row in rows}
    assert by_label["classical"] == ["classical", "3", "18.0 ± 0.5", "36.0 ± 1.0", "72.0 ± 2.0", "62.0 ± 2.0", ""]
    interval = stats.ttest_1samp([0.05, 0.06, 0.04], 0).confidence_interval(0.95)
    half = 100 * (interval.high - interval.low) / 2
    assert by_label["learn2mix"][-1] == f"+5.0 ± {half:.1f}"


def test_paired_uses_only_common_seeds() -> None:
    ours, theirs = pd.Series({0: 1.0, 1: 2.0, 2: 4.0}), pd.Series({1: 1.0, 2: 2.0, 3: 9.0})
    mean, half, n = statistics.paired(ours, theirs)
    assert (mean, n) == (1.5, 2)
    assert half == pytest.approx(stats.t.ppf(0.975, 1) * math.sqrt(0.5) / math.sqrt(2))


def test_one_seed_has_no_interval() -> None:
    mean, half, n = statistics.paired(pd.Series({0: 2.0}), pd.Series({0: 1.0}))
    assert (mean, n) == (1.0, 1)
    assert math.isnan(half)


def test_an_interval_is_of_the_seeds_that_are_left() -> None:
    """Seeds that stop early leave fewer behind them, whose interval is wider."""
    table = pd.DataFrame({0: [50.0, 60.0, math.nan], 1: [52.0, 61.0, 70.0], 2: [49.0, 63.0, 72.0]})
    for (_, row), half in zip(table.iterrows(), statistics.half_width(table), strict=True):
        interval = stats.ttest_1samp(row.dropna(), 0).confidence_interval(0.95)
        assert half == pytest.approx((interval.high - interval.low) / 2)


def test_bands_end_where_two_seeds_are_left(tmp_path: Path) -> None:
    for seed, epochs in enumerate((3, 5, 5)):
        config = compose("dataset=digits", "batch_size=10", "equal_seconds=true")
        write(tmp_path, config, lambda epoch, s=seed: 0.1 * epoch + 0.01 * s, seed=seed, epochs=epochs)
    (run,) = runs.read_runs(tmp_path).runs
    drawn = drawing.mean_and_band(run)
    assert drawn["mean"].notna().all()
    assert drawn["low"].notna().tolist() == [True, True, True, False, False]


def test_small_errors_have_digits_that_count(tmp_path: Path) -> None:
    config = compose("dataset=wine_quality", "strategy=classical")
    for seed, error in enumerate((0.0031, 0.0042, 0.0036)):
        write(tmp_path, config, lambda _, e=error: e, seed=seed)
    ((row,),) = summary.rows(runs.read_runs(tmp_path).runs).values()
    assert row[2] == "0.00363 ± 0.00055"


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="output is not there: name the folder"):
        runs.read_runs(tmp_path / "output")
    (tmp_path / "output").touch()
    with pytest.raises(UserError, match="output is a file: name the folder"):
        runs.read_runs(tmp_path / "output")


@pytest.mark.parametrize(
    ("mean", "half", "told"),
    [
        (-0.0031, 0.0012, "-0.003 ± 0.001"),
        (-0.0004, 0.02, "0.00 ± 0.02"),
        (5.0, 1e-13, "+5.00 ± 0.00"),
        (0.0, 0.0, "0.00 ± 0.00"),
    ],
)
def test_a_small_difference_is_not_told_as_0(mean: float, half: float, told: str) -> None:
    assert statistics.interval(mean, half, 5, 2) == told


def test_script_prints_and_draws_and_names_damage(results: Path, tmp_path: Path) -> None:
    broken = made(results, "focal", 0, 0.5)
    (broken / "run.json").write_text("{")
    made(results, "smote", 0, 0.5, status="failed")
    told = subprocess.run([sys.executable, "-m", "l2m", "summary", results], capture_output=True, text=True, check=True)
    assert told.stderr.startswith(f"warning: {broken} is left out (")
    assert "72.0 ± 2.0" in told.stdout
    assert "Left out: 1 failed of digits smote.\n" in told.stdout
    assert "focal" not in told.stdout
    assert max(map(len, told.stdout.splitlines()[:-1])) <= 80
    assert (results / "summary.png").read_bytes().startswith(b"\x89PNG")


def test_strategies_that_are_not_the_suites_are_told_apart(tmp_path: Path) -> None:
    write(tmp_path, compose("dataset=mnist", "strategy=classical"), lambda e: 1 - 0.5 / e)
    (classical,) = runs.read_runs(tmp_path).runs
    own = [replace(classical, settings=classical.settings | {"strategy.name": name}) for name in ("mine", "yours")]
    summary.figure(own, tmp_path / "summary.png")
    height, width = imread(tmp_path / "summary.png").shape[:2]
    assert height < width  # no room below for proportions that nothing has
    styles = drawing.styles(["mine", "yours", "classical"])
    assert styles["mine"][0] != styles["yours"][0]
    pixels = imread(tmp_path / "summary.png")[:, :, :3]
    for name in ("mine", "yours"):
        assert (abs(pixels - to_rgb(styles[name][0])).max(axis=2) < 0.01).any()


@pytest.mark.long
def test_many_data_sets_are_drawn_in_lines_of_four(tmp_path: Path) -> None:
    for row in ("mnist", "fashion_mnist", "cifar10", "imdb", "wine_quality"):
        write(tmp_path, compose(f"dataset={row}", "strategy=learn2mix"), lambda e: 1 - 0.5 / e)
    found = runs.read_runs(tmp_path).runs
    sizes = []
    for some in (found[:2], found[:4], found):
        summary.figure(some, tmp_path / "summary.png")
        sizes.append(imread(tmp_path / "summary.png").shape[:2])
    (height, two), (same, four), (twice, still) = sizes
    assert (same, twice, still) == (height, 2 * height, four)
    assert four > two
    drawn = imread(tmp_path / "summary.png")[height:, :, :3].mean(axis=2) < 0.9
    assert drawn[:, : four // 4].any()
    assert not drawn[:, four // 3 :].any()


def test_own_data_of_one_kind_stand_apart(tmp_path: Path) -> None:
    for place in ("cats", "dogs"):
        write(tmp_path, compose("dataset=image_folder", f"dataset.path={place}", "epochs=4"), lambda e: 1 - 0.5 / e)
    rows = summary.rows(runs.read_runs(tmp_path).runs)
    assert list(rows) == [f"{place}: test accuracy in %" for place in ("cats", "dogs")]
    assert [row[0] for each in rows.values() for row in each] == ["learn2mix", "learn2mix"]


def test_data_sets_of_one_title_stand_apart(tmp_path: Path) -> None:
    for dataset in (("dataset=digits",), ("dataset=image_folder", "dataset.path=photos/digits")):
        write(tmp_path, compose(*dataset, "epochs=4", "batch_size=10"), lambda e: 1 - 0.5 / e)
    names = ["digits dataset=digits", "digits dataset=image_folder"]
    assert list(summary.rows(found := runs.read_runs(tmp_path).runs)) == [
        f"{each}: test accuracy in %" for each in names
    ]
    assert [run.subject for run in found] == names


def test_a_single_epoch_is_a_point(tmp_path: Path) -> None:
    write(tmp_path, compose("dataset=digits", "epochs=1"), lambda e: 0.5)
    axes = Figure().subplots()
    drawing.curve(axes, runs.read_runs(tmp_path).runs[0])
    assert axes.lines[0].get_marker() == "o"
    summary.figure(runs.read_runs(tmp_path).runs, tmp_path / "summary.png")


def test_script_without_records_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    told = command("summary", monkeypatch, capsys)(tmp_path)
    assert told.status == 1
    assert told.err.startswith("error: ")
    assert "Traceback" not in told.err


def test_baseline_is_classical_with_all_else_equal(results: Path) -> None:
    """Shuffled and stratified classical stand side by side; other epochs are compared with nothing."""
    made(results, "stratified", 0, 0.8)
    made(results, "learn2mix", 0, 0.5, "epochs=4")
    table = {row[0]: row[-1] for rows in summary.rows(runs.read_runs(results).runs).values() for row in rows}
    assert table["classical batches=shuffled epochs=8"] == ""
    assert table["classical batches=stratified epochs=8"] == "+10.0"
    assert table["learn2mix epochs=8"].startswith("+5.0 ± ")
    assert table["learn2mix epochs=4"] == ""


def test_records_older_than_an_option_stay_with_theirs(results: Path) -> None:
    older = next(results.glob("runs/digits/classical/seed0-*/config.yaml"))
    config = yaml.safe_load(older.read_text())
    del config["strategy"]["batches"], config["equal_seconds"]
    older.write_text(yaml.safe_dump(config))
    assert list(labels(results)["classical"].metrics) == [0, 1, 2]


def test_a_choice_that_differs_is_named_and_its_options_are_not_repeated(tmp_path: Path) -> None:
    made(tmp_path, "classical", 0, 0.5, "imbalance=none")
    made(tmp_path, "learn2mix", 0, 0.5)
    assert set(labels(tmp_path)) == {"classical imbalance=none", "learn2mix imbalance=step"}


def test_runs_tested_on_different_samples_stand_in_different_tables(tmp_path: Path) -> None:
    for file in ("old.csv", "new.csv"):
        table = (f"dataset.path={tmp_path / file}", "dataset.target=y")
        for strategy in ("classical", "learn2mix"):
            write(tmp_path, compose("dataset=csv", "epochs=8", f"strategy={strategy}", *table), lambda epoch: 0.5)
    for rate in (0.001, 0.003):
        held = ("epochs=8", "strategy=learn2mix", f"learning_rate={rate}", "validation_fraction=0.2")
        write(tmp_path, compose("dataset=csv", *held, *table), lambda epoch: 0.5)
    found = runs.read_runs(tmp_path).runs
    assert {title: sorted(row[0] for row in rows) for title, rows in summary.rows(found).items()} == {
        "new.csv, target y validation_fraction=0.2: held-out accuracy in %": [
            "learn2mix learning_rate=0.001",
            "learn2mix learning_rate=0.003",
        ],
        "old.csv, target y: test accuracy in %": ["classical", "learn2mix"],
        "new.csv, target y: test accuracy in %": ["classical", "learn2mix"],
    }
    summary.figure(found, tmp_path / "summary.png")  # a warning of its layout would be an error


def test_a_folder_beside_the_right_one_is_told(results: Path) -> None:
    above = results / "above"
    made(above / "mine", "classical", 0, 0.5)
    within = results / "runs" / "digits"
    for wrong, right in ((results / "runs", results), (within, results), (above, above / "mine")):
        with pytest.raises(UserError, match=f"name {right}, which does"):
            runs.read_runs(wrong)
