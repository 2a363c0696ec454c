"""Figures of made-up records: what is drawn, what is not, and that two drawings are the same to the byte."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from matplotlib.image import imread
from rows_made_up import SEEDS, configuration, write
from scipy import stats

from l2m.paper import experiments, figures
from l2m.paper.rows import ROWS, STRATEGIES, Row
from l2m.report import drawing, runs
from l2m.report.runs import Runs

DRAWN = ("cadence", "figure2", "figure3", "mixing_rate", "proportions", "settings", "worst_group")


@pytest.fixture(scope="module")
def found(made_up_results: Path) -> list[Runs]:
    return runs.read_runs(made_up_results).runs


@pytest.fixture(scope="module")
def folder(found: list[Runs], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("figures")
    figures.write(found, folder)
    return folder


def row(name: str) -> Row:
    return next(each for each in ROWS if each.name == name)


def words(figure: Figure) -> str:
    return " ".join(text.get_text() for text in figure.findobj(mpl.text.Text))


def test_every_figure_that_has_runs_is_written(folder: Path) -> None:
    files = sorted(path.name for path in folder.iterdir())
    assert files == sorted(f"{name}.{kind}" for name in DRAWN for kind in ("pdf", "png"))  # no cifar10_rate


@pytest.mark.parametrize("name", DRAWN)
def test_figures_are_neither_blank_nor_large(folder: Path, name: str) -> None:
    file = folder / f"{name}.png"
    grey = imread(file)[..., :3].mean(axis=2)
    assert 0.01 < (grey < 0.9).mean() < 0.7
    assert file.stat().st_size < 300_000
    assert (folder / f"{name}.pdf").read_bytes().startswith(b"%PDF")


def test_figures_are_the_same_to_the_byte(found: list[Runs], folder: Path, tmp_path: Path) -> None:
    figures.write(found, tmp_path)
    for file in folder.iterdir():
        content = file.read_bytes()
        assert (tmp_path / file.name).read_bytes() == content, file.name
        assert b"Matplotlib" not in content
        assert b"CreationDate" not in content


def test_a_single_panel_has_the_width_that_its_note_needs() -> None:
    (one, _), (two, _) = drawing.panels(1, 3), drawing.panels(2, 3)
    assert one.get_figwidth() == two.get_figwidth()


def test_nothing_is_drawn_of_nothing(tmp_path: Path) -> None:
    assert figures.write([], tmp_path) == []


def test_every_strategy_has_a_style_of_its_own() -> None:
    """In colour and in dashes."""
    assert set(drawing.STYLES) == set(STRATEGIES)
    styles = drawing.styles([*STRATEGIES, *(f"own{i}" for i in range(len(drawing.OTHERS)))]).values()
    assert len({colour for colour, _ in styles}) == len({str(dashes) for _, dashes in styles}) == len(styles)


def test_curve_is_the_mean_and_its_t_interval(found: list[Runs]) -> None:
    axes = Figure().subplots()
    run = row("mnist").runs(found)["learn2mix"]
    drawing.curve(axes, run)
    (line,), (band,) = axes.lines, axes.collections
    assert tuple(line.get_xydata()[-1]) == pytest.approx((60, run.at(1.0).mean()))
    edge = [y for x, y in band.get_paths()[0].vertices if x == 60]
    interval = stats.ttest_1samp(run.at(1.0), 0).confidence_interval(0.95)
    mean = run.at(1.0).mean()
    assert (min(edge), max(edge)) == pytest.approx((interval.low, interval.high))
    assert max(edge) - mean == pytest.approx(mean - min(edge))


def test_the_band_of_errors_stays_above_0(found: list[Runs]) -> None:
    """However wide the interval: it is that of the logarithm, around the mean of the tables."""
    run = row("wine_quality").runs(found)["learn2mix"]
    tables = {seed: table.assign(test_metric=table["test_metric"] * 100**seed) for seed, table in run.metrics.items()}
    wild = replace(run, metrics=tables)
    for each in (run, wild):
        axes = Figure().subplots()
        drawing.curve(axes, each)
        (line,), (band,) = axes.lines, axes.collections
        edge = [y for x, y in band.get_paths()[0].vertices if x == 300]
        ends, mean = each.at(1.0), line.get_ydata()[-1]
        half = stats.ttest_1samp(ends, 0).confidence_interval(0.95).high - ends.mean()
        assert mean == pytest.approx(ends.mean())
        assert (min(edge), max(edge)) == pytest.approx((mean * np.exp(-half / mean), mean * np.exp(half / mean)))
    assert half > mean > 0


def test_a_long_curve_is_thinned_and_keeps_its_last_epoch(found: list[Runs]) -> None:
    axes = Figure().subplots()
    drawing.curve(axes, row("mean_estimation").runs(found)["classical"])
    epochs = axes.lines[0].get_xdata()
    assert drawing.POINTS <= len(epochs) < 2 * drawing.POINTS
    assert epochs[-1] == 500


def test_the_papers_numbers_stand_at_its_checkpoints(found: list[Runs]) -> None:
    axes = Figure().subplots()
    figures.curves(axes, row("wine_quality"), row("wine_quality").runs(found))
    circles = [tuple(line.get_xydata()[0]) for line in axes.lines if line.get_marker() == "o"]
    for circle, paper in zip(circles, [(75, 17.7), (150, 4.26), (300, 1.75)], strict=False):
        assert circle == pytest.approx(paper)
    assert len(circles) == 6
    assert axes.get_yscale() == "log"
    assert axes.get_ylim()[0] < 1.75


def test_rows_that_were_not_run_are_named(found: list[Runs]) -> None:
    cells = {each: each.runs(found) for each in ROWS}
    figure = figures.grid(cells, [each for each in ROWS if each.table == 1], figures.curves, 2)
    assert figure is not None
    said = " ".join(words(figure).split())
    assert "Not run: Fashion-MNIST, CIFAR-10, Imagenette, CIFAR-100, IMDB." in said
    assert f"Seeds: {len(SEEDS)}." in said
    assert [label.get_text() for label in figure.legends[0].get_texts()] == [
        "learn2mix", "classical", "focal", "balanced", "stratified", "paper",
    ]  # fmt: skip


def test_shares_add_up_and_groups_keep_their_names(found: list[Runs]) -> None:
    shares = drawing.by_group(row("wine_quality").runs(found)["learn2mix"])
    assert list(shares.columns) == ["<script>alert('red')</script>", "white & $5 or $6"]
    assert shares.sum(axis=1).to_numpy() == pytest.approx(1)
    assert shares.iloc[-1].tolist() == pytest.approx([0.6, 0.4])


@pytest.mark.parametrize(("k", "named"), [(10, 10), (11, 0), (100, 0)])
def test_a_hundred_groups_are_drawn_without_names(found: list[Runs], k: int, named: int) -> None:
    rows = [(epoch, group, f"group {group}", 1 / k) for epoch in (1, 2, 3) for group in range(k)]
    table = pd.DataFrame(rows, columns=["epoch", "group", "name", "proportion"])
    run = replace(row("mnist").runs(found)["learn2mix"], groups={0: table})
    figure = Figure()
    axes = figure.subplots()
    figures.proportions(axes, row("mnist"), {"learn2mix": run})
    assert len(axes.collections) == k
    assert words(figure).count("group ") == named


def test_a_single_epoch_is_drawn(found: list[Runs]) -> None:
    run = row("wine_quality").runs(found)["learn2mix"]
    short = replace(
        run,
        metrics={seed: table[:1] for seed, table in run.metrics.items()},
        groups={seed: table[table["epoch"] == 1] for seed, table in run.groups.items()},
    )
    upper, lower = Figure().subplots(2)
    figures.curves(upper, row("wine_quality"), {"learn2mix": short})
    figures.proportions(lower, row("wine_quality"), {"learn2mix": short})
    assert lower.get_xlim() == (1, 2)


def test_experiments_hold_runs_that_differ_in_one_setting(found: list[Runs]) -> None:
    rates = experiments.varied(row("wine_quality"), found, "strategy.mixing_rate")
    assert list(rates) == ["0", "0.05", "0.2", "0.5"]
    cadences = experiments.varied(row("mnist"), found, "strategy.cadence")
    assert next(iter(cadences)) == "epoch mean"
    assert set(cadences) == {"epoch mean", "epoch last", "batch"}
    made = experiments.figures(found)
    assert {name for name, figure in made.items() if figure} == {"mixing_rate", "cadence", "settings"}
    assert made.keys() == experiments.TITLES.keys()


def test_checkpoints_that_no_run_reaches_are_reported(tmp_path: Path) -> None:
    for strategy in ("learn2mix", "classical"):
        own = configuration("cifar10", strategy)
        for config in (replace(own, epochs=31), replace(own, epochs=31, learning_rate=1e-5)):
            write(tmp_path, config, 0.6)
    figure = experiments.figures(runs.read_runs(tmp_path).runs)["settings"]
    assert figure is not None
    assert [axes.get_title() for axes in figure.axes] == [f"CIFAR-10, {share}" for share in ("0.25E", "0.5E", "E")]
    assert words(figure).count("not run so far") == 2
    assert figure.axes[0].lines[1].get_ydata()[0] == pytest.approx(60)
    figures.write(runs.read_runs(tmp_path).runs, tmp_path)
    assert (tmp_path / "settings.png").exists()


@pytest.mark.parametrize("places", [[0.5], [0.01, 0.02, 0.03], [0.97, 0.98, 0.99], [0.1, 0.11, 0.5, 0.51, 0.9]])
def test_names_are_moved_apart_within_the_panel(places: list[float]) -> None:
    moved = drawing.spread_out(places, 0.1)
    assert all(high - low > 0.099 for low, high in pairwise(moved))
    assert 0.04 < min(moved) <= max(moved) < 0.96
    assert drawing.spread_out([0.2, 0.5, 0.8], 0.1) == [0.2, 0.5, 0.8]
