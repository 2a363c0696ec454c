"""The table of mixers, from made-up records: numbers that scipy gives too, and commands for what is missing."""

from __future__ import annotations

import itertools
import shlex

import pandas as pd
import pytest
import yaml
from made_up import compose, write
from scipy import stats

from l2m.catalog import registries
from l2m.config.user_folders import conf_dir
from l2m.paper import mixers
from l2m.paper.results import Results, read_results
from l2m.paper.rows import MIXERS

WINE = {
    "learn2mix": [1.7, 1.8, 1.9, 1.6, 1.8],
    "classical": [2.0, 2.05, 2.2, 1.9, 2.1],
    "group_dro": [1.75, 1.7, 1.95],
    "exp3": [1.9],
}
MNIST = {"learn2mix": [0.9, 0.91], "logit_adjusted": [0.8, 0.83]}


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Results:
    folder = tmp_path_factory.mktemp("results")
    for row, ends in (("wine_quality", WINE), ("mnist", MNIST)):
        for strategy, finals in ends.items():
            config = compose(f"dataset={row}", f"strategy={strategy}")
            for seed, final in enumerate(finals):
                write(folder, config, lambda epoch, f=final: f, seed=seed)
    other = compose("dataset=wine_quality", "strategy=exp3", "strategy.exploration=0.5")
    write(folder, other, lambda epoch: 9.0, seed=1)
    return read_results(folder)


@pytest.fixture(scope="module")
def table(found: Results) -> pd.DataFrame:
    return mixers.table(found.runs)[0].set_index(["data_set", "strategy"])


def test_every_registered_strategy_that_the_paper_lacks_is_in_the_table() -> None:
    """Another one enters with its registration."""
    assert {"group_dro", "exp3", "class_weighted", "logit_adjusted"} <= set(MIXERS)
    for row in mixers.TABLE:
        task = compose(f"dataset={row.name}").task
        others = [name for name in MIXERS if task in registries()["strategy"][name].tasks]
        assert mixers.defined(row) == ["learn2mix", "classical", "balanced", *others]
    assert "class_weighted" not in mixers.defined(mixers.TABLE[0])


def test_experiments_train_the_whole_table() -> None:
    """And nothing besides, so that a strategy that enters the table enters them."""
    trained = set()
    for name in ("mixers_regression", "mixers_mnist"):
        node = yaml.safe_load((conf_dir() / "experiment" / f"{name}.yaml").read_text())
        params = node["hydra"]["sweeper"]["params"]
        trained |= set(itertools.product(params["dataset"].split(","), params["strategy"].split(",")))
    assert trained == {(row.name, strategy) for row in mixers.TABLE for strategy in mixers.defined(row)}


def test_differences_are_scipys_paired_ones(table: pd.DataFrame) -> None:
    line = table.loc["wine_quality", "group_dro"]
    ours, theirs = pd.Series(WINE["group_dro"]), pd.Series(WINE["learn2mix"][:3])
    expected = stats.ttest_rel(ours, theirs).confidence_interval(0.95)
    for column, off in (("test_metric", 0.0), ("worst_group", 0.1)):  # the worst group lies 0.1 above
        apart, half = (line[f"{column}_{name}"] for name in ("minus_learn2mix", "interval_half_width"))
        assert (apart - half, apart + half) == pytest.approx((expected.low, expected.high), rel=1e-5)
        assert line[f"mean_{column}"] == pytest.approx(ours.mean() + off, rel=1e-6)
        assert line[f"sd_{column}"] == pytest.approx(ours.std(ddof=1), rel=1e-5)
    assert (line["n"], line["seeds"], line["n_pairs"], line["unit"]) == (3, "0 1 2", 3, "squared_error")
    assert table.loc[("wine_quality", "balanced"), "n"] == 0
    assert pd.isna(table.loc[("wine_quality", "learn2mix"), "n_pairs"])
    assert table.loc[("mnist", "logit_adjusted"), "mean_test_metric"] == pytest.approx(81.5)
    assert table.loc[("mnist", "logit_adjusted"), "unit"] == "accuracy_percent"


def test_only_default_options_enter(table: pd.DataFrame) -> None:
    assert table.loc[("wine_quality", "exp3"), "seeds"] == "0"


def test_words_of_the_table(found: Results) -> None:
    _, text = mixers.table(found.runs)
    lines = text.splitlines()
    assert "| **Wine Quality** | learn2mix | 5 | 1.76 ± 0.11 |  | 1.86 ± 0.11 |  |" in lines
    assert "|  | classical | 5 | 2.05 ± 0.11 | **+0.29 ± 0.03** | 2.15 ± 0.11 | **+0.29 ± 0.03** |" in lines
    assert "|  | exp3 | 1 | 1.90 | +0.20 | 2.00 | +0.20 |" in lines
    assert "|  | balanced | 0 | not run |  | not run |  |" in lines
    assert "|  | logit_adjusted | 2 | 81.5 ± 2.1 | -9.0 ± 12.7 | 71.5 ± 2.1 | -9.0 ± 12.7 |" in lines


def test_missing_cells_come_with_commands_that_fill_them(found: Results) -> None:
    _, text = mixers.table(found.runs)
    block = text.partition("```sh\n")[2].partition("```")[0]
    swept = set()
    for line in block.splitlines():
        keys = dict(word.split("=") for word in shlex.split(line) if "=" in word)
        for row in keys["dataset"].split(","):
            for strategy in keys["strategy"].split(","):
                swept |= {(row, strategy, int(seed)) for seed in keys["seed"].split(",")}
    there = {(row, strategy, seed) for row, ends in (("wine_quality", WINE), ("mnist", MNIST))
             for strategy, finals in ends.items() for seed in range(len(finals))}  # fmt: skip
    every = {(row.name, strategy, seed) for row in mixers.TABLE for strategy in mixers.defined(row)
             for seed in range(5)}  # fmt: skip
    assert swept == every - there
