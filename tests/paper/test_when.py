"""When adaptive mixing helps: gains over opponents, and the grid of imbalance and learning rate, on made-up records."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from made_up import compose, write
from scipy import stats

from l2m.paper import imbalance, when
from l2m.paper.results import Results, read_results
from l2m.paper.rows import ALL, BY_NAME, Row, with_equal
from l2m.report.statistics import Difference

WINE = BY_NAME["wine_quality"]
ENDS = {"learn2mix": [1.7, 1.8, 1.9], "classical": [2.0, 2.05, 2.2], "balanced": [1.75]}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("results")
    for strategy, finals in ENDS.items():
        config = compose("dataset=wine_quality", f"strategy={strategy}")
        for seed, final in enumerate(finals):
            write(folder, config, lambda e, f=final: f + 0.01 * (300 - e), seed=seed, shares=(0.25, 0.75))
    for (rate, ratio, strategy), end in {
        (1e-4, 10, "classical"): 0.5, (1e-4, 10, "learn2mix"): 0.6, (1e-3, 100, "learn2mix"): 0.7,
    }.items():  # fmt: skip
        words = ("dataset=fashion_mnist", "epochs=20", "imbalance=step", "imbalance.groups=[5,6,7,8,9]")
        config = compose(*words, f"imbalance.factor={1 / ratio}", f"learning_rate={rate}", f"strategy={strategy}")
        for seed in range(3):
            write(folder, config, lambda e, f=end + 0.01 * seed: f, seed=seed, shares=(0.1,) * 10)
    return folder


def test_a_gain_is_a_share_of_the_others_error(folder: Path) -> None:
    runs = WINE.runs(read_results(folder).runs)
    found = when.gain(WINE, runs, "classical", "test_metric", 1.0)
    assert found is not None
    ours, theirs = pd.Series(ENDS["learn2mix"]), pd.Series(ENDS["classical"])
    interval = stats.ttest_rel(theirs, ours).confidence_interval(0.95)
    scale = 100 / theirs.mean()
    assert found.mean == pytest.approx(scale * (theirs - ours).mean())
    assert (found.mean - found.half_width, found.mean + found.half_width) == pytest.approx(
        (scale * interval.low, scale * interval.high)
    )
    assert when.gain(WINE, runs, "stratified", "test_metric", 1.0) is None


def test_gains_by_opponent_and_their_own_n(folder: Path) -> None:
    reading = read_results(folder)
    assert "| Wine Quality | 3 | **" in when.overview(reading)
    _, _, classical, balanced, *_ = when.opponents(reading).splitlines()
    assert classical.startswith("| Wine Quality | 3 | classical | 3 | **")
    assert balanced.startswith("|  |  | balanced | 1 | ")
    assert "(n = 1)" in balanced


def test_the_sentences_of_the_page_follow_from_the_records(committed_results: Results) -> None:
    """Those of README.md and docs/when.md that say on which rows."""
    found = {row: with_equal(row.runs(committed_results.runs)) for row in ALL}
    found = {row: runs for row, runs in found.items() if "learn2mix" in runs and "classical" in runs}

    def gain(row: Row, other: str, column: str, share: float) -> Difference:
        made = when.gain(row, found[row], other, column, share)
        assert made is not None
        return made

    early = {"mnist", "fashion_mnist", "cifar10", "mean_estimation"}
    for row in (row for row in found if row.name != "imdb"):
        first, last, worst = (
            gain(row, "classical", *each)
            for each in (("test_metric", 0.25), ("test_metric", 1.0), ("worst_group", 1.0))
        )
        assert first.mean > 0 < last.mean
        assert (first.mean > last.mean) == (row.name in early), "most of all early on these, on others later"
        assert (worst.mean > last.mean) == (not row.name.startswith("cifar100")), "of which the worst is hardly learned"
        if row.name.startswith("cifar100") or row.name.endswith("reconstruction"):
            level = gain(row, "balanced", "test_metric", 0.25)
            assert level.mean < 0, "on thinned images balanced batches are ahead early, or level"
            finer = gain(row, "balanced", "worst_group", 1.0)
            adapted = finer.mean > 0 and finer.excludes_zero
            assert adapted == (row.name not in ("mnist_reconstruction", "cifar100")), "the worst group, at the end"
        if row.name not in ("mnist", "fashion_mnist", "cifar10"):
            end = {strategy: run.at(1.0).mean() for strategy, run in found[row].items()}
            of_balance = (end["balanced"] - end["classical"]) / (end["learn2mix"] - end["classical"])
            less = {"mean_estimation": 0.2, "cifar10_reconstruction": 0.5}
            assert of_balance == pytest.approx(less[row.name], abs=0.05) if row.name in less else of_balance > 0.75
        if row.name in ("mnist", "fashion_mnist"):
            fixed = gain(row, "stratified", "test_metric", 1.0)
            assert fixed.mean < last.mean / 2, "fixed proportions give most of the gain at the end"
        if row.table == 2 and not row.name.endswith("reconstruction"):
            assert gain(row, "balanced", "test_metric", 1.0).excludes_zero, "adapting has a gain of its own"


def test_the_grid_finds_its_runs_and_no_others(folder: Path) -> None:
    found = read_results(folder).runs
    grid = imbalance.grid(found)
    assert sorted(grid) == [(1e-4, 10, "classical"), (1e-4, 10, "learn2mix"), (1e-3, 100, "learn2mix")]
    frame, text = imbalance.table(found)
    assert text.count("\n| ") == 3 * 3 * 5
    assert "\n| 0.0001 | 10 | **+10.0 ± 0.0** | " in imbalance.gains(found)
    assert "\n| 0.001 | 100 |  |  |  |  |" in imbalance.gains(found), "neither classical nor balanced was run"
    assert "|  |  | learn2mix | 3 | 61.0 ± 1.0 | **+10.0 ± 0.0** |" in text
    frame = frame.set_index(["rate", "ratio", "strategy"])
    assert frame["n"].sum() == 3 * 3
    assert frame.loc[(1e-4, 10, "learn2mix"), "test_metric_minus_classical_percent"] == pytest.approx(10)
    assert imbalance.figure(found) is not None
    assert imbalance.figure([run for run in found if run.dataset == "wine_quality"]) is None
    assert imbalance.table([])[0].empty
    other = replace(next(iter(grid.values())), settings={})
    assert imbalance.grid([other]) == {}
