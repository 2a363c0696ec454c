"""Which settings come closest: made-up runs of MNIST reconstruction and CIFAR-10 at known distances."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest
from rows_made_up import configuration, write

from l2m.config.run import RunConfig
from l2m.paper import experiments, ledger, published
from l2m.paper.other_settings import alternatives, table
from l2m.paper.results import read_results
from l2m.paper.rows import BY_NAME, ROWS

MNIST, CIFAR10 = BY_NAME["mnist_reconstruction"], BY_NAME["cifar10"]
ADAMW = {"name": "adamw", "weight_decay": 0.01, "beta1": 0.9, "beta2": 0.999, "epsilon": 1e-8}


def both(folder: Path, row: str, ends: tuple[float, float], **changes: object) -> list[RunConfig]:
    """Two seeds of learn2mix and classical that end at ``ends``, under a setting of the row."""
    configs = []
    for strategy, end in zip(("learn2mix", "classical"), ends, strict=True):
        for seed in (0, 1):
            configs.append(replace(configuration(row, strategy), seed=seed, **changes))
            write(folder, configs[-1], end)
    return configs


def test_the_closest_setting_is_first(tmp_path: Path) -> None:
    both(tmp_path, "mnist_reconstruction", (12.0, 13.0))
    both(tmp_path, "mnist_reconstruction", (9.31, 10.1), learning_rate=1e-3, optimizer=ADAMW)
    both(tmp_path, "mnist_reconstruction", (30.0, 40.0), learning_rate=1e-3)
    found = read_results(tmp_path).runs
    made = alternatives(MNIST, found)
    assert [one.setting for one in made] == [(1e-3, "adamw", 0.0), (5e-4, "adam", 0.0), (1e-3, "adam", 0.0)]
    printed = published.cells("mnist_reconstruction")
    for one in made:
        apart = [
            (one.values[strategy, i].mean() - number.mean) / number.sd
            for strategy in ("learn2mix", "classical")
            for i, number in enumerate(printed[strategy])
        ]
        assert one.distance == pytest.approx(math.sqrt(sum(value**2 for value in apart) / 6))
    lines = table(MNIST, made)
    assert (
        lines[0] == "| learning rate | optimizer | noise | strategy | n | 0.25E | 0.5E | E | distance | epochs to 10 |"
    )
    assert lines[2] == "|  |  |  | learn2mix, the paper | 5 | 19.6 ± 0.81 | 12.9 ± 0.39 | 9.31 ± 0.24 |  | 35 |"
    assert lines[4].startswith("| 0.001 | adamw | 0 | learn2mix | 2 | ")
    assert lines[4].endswith(f"| 9.31 ± 0.01 | **{made[0].distance:.1f}** | 33.0 ± 0.0 |")
    assert [line.split("|")[-3].strip() == "" for line in lines[4:]] == [False, True] * 3
    text = ledger.markdown(read_results(tmp_path))
    assert "### MNIST reconstruction\n\n" + "\n".join(lines) in text


def test_settings_are_compared_where_all_have_runs(tmp_path: Path) -> None:
    """A quarter of the epochs is compared at the first checkpoint alone; one strategy alone is not compared."""
    both(tmp_path, "cifar10", (62.01 / 100, 61.27 / 100))
    short = both(tmp_path, "cifar10", (0.5106, 0.5004), learning_rate=1e-5, epochs=31)
    write(tmp_path, replace(short[0], learning_rate=1e-4), 0.5)
    made = alternatives(CIFAR10, read_results(tmp_path).runs)
    assert [one.setting for one in made] == [(1e-5, "none"), (7e-5, "none")]
    assert made[0].values.keys() == {("learn2mix", 0), ("classical", 0)}
    assert len(made[1].values) == 6
    assert made[0].distance == pytest.approx(0.05 / 0.9, abs=0.05)  # half a thousandth of the mean, in sd
    assert table(CIFAR10, made)[4].count("|  |") == 1
    figure = experiments.figures(read_results(tmp_path).runs)["settings"]
    assert figure is not None
    assert [axes.get_title() for axes in figure.axes] == ["CIFAR-10, 0.25E", "CIFAR-10, 0.5E", "CIFAR-10, E"]
    assert [label.get_text() for label in figure.axes[0].get_xticklabels()] == ["1e-5", "7e-5"]
    assert figure.axes[0].get_xlabel() == "learning rate"


def test_a_row_may_be_about_another_strategy(tmp_path: Path) -> None:
    ends = {("learn2mix", None): 0.19, ("focal", False): 0.17, ("focal", True): 0.1072}
    for (strategy, inside), end in ends.items():
        config = configuration("cifar100_v1", strategy)
        for seed in (0, 1):
            choice = config.strategy | ({} if inside is None else {"weight_inside": inside})
            write(tmp_path, replace(config, strategy=choice, seed=seed), end)
    row, found = BY_NAME["cifar100_v1"], read_results(tmp_path).runs
    made = alternatives(row, found)
    assert [one.setting for one in made] == [(True,), (False,)]
    assert [{*one.runs} for one in made] == [{"learn2mix", "focal"}] * 2
    lines = table(row, made)
    assert lines[0].startswith("| weight inside | strategy | n |")
    assert lines[3].startswith("|  | focal, the paper | 5 | ")
    assert lines[5].startswith("| True | focal | 2 | ")
    figure = experiments.figures(found)["settings"]
    assert figure is not None
    assert figure.axes[2].get_title() == "CIFAR-100, first version, E"


def test_other_settings_than_the_suspects_stay_out(tmp_path: Path) -> None:
    """Another option of the optimizer, and more epochs, whatever their directories are called."""
    both(tmp_path, "mnist_reconstruction", (9.31, 10.1))
    both(tmp_path, "mnist_reconstruction", (9.31, 10.1), learning_rate=1e-3)
    before = alternatives(MNIST, read_results(tmp_path).runs)
    for beta1 in (0.1, 0.5, 0.8):
        adam = {"name": "adam", "beta1": beta1, "beta2": 0.999, "epsilon": 1e-8}
        both(tmp_path, "mnist_reconstruction", (777.0, 777.0), optimizer=adam)
    both(tmp_path, "mnist_reconstruction", (777.0, 777.0), epochs=41)
    assert table(MNIST, alternatives(MNIST, read_results(tmp_path).runs)) == table(MNIST, before)


def test_a_row_alone_has_no_alternatives(tmp_path: Path) -> None:
    both(tmp_path, "cifar10", (0.6, 0.5))
    both(tmp_path, "wine_quality", (1.0, 2.0))
    found = read_results(tmp_path).runs
    assert [alternatives(row, found) for row in ROWS] == [[]] * len(ROWS)
    assert experiments.figures(found)["settings"] is None
    assert "come closest to" not in ledger.markdown(read_results(tmp_path))
