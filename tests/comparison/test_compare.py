"""The command for comparisons, with ordinary runs: what is chosen, trained, skipped, printed and refused."""

from __future__ import annotations

import json
import re
import shlex
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from browser import ALOUD, CUT_OFF, Browser, Page, number
from commands import Command, called, opened
from PIL import Image
from sklearn.metrics import balanced_accuracy_score
from small import ROWS

from l2m import compare, compose, trained
from l2m.comparison.config import check_comparison
from l2m.comparison.settings import strategy_settings
from l2m.comparison.splits import runners_of
from l2m.config.checking import read_config
from l2m.config.composing import compose_checked
from l2m.data import load
from l2m.records.directory import RunDirectory

SMALL = (
    "dataset=digits", "epochs=3", "workers=1", "strategies=[learn2mix,balanced]", "seeds=2", "choice_seeds=1",
    "learning_rates=[1e-3,1e-2]", "mixing_rates=[0.1]", "held_out_parts=2",
)  # fmt: skip
METRIC = "balanced_accuracy"


@pytest.fixture
def door(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Command:
    """``python -m l2m.compare`` in this process, in an empty folder of its own."""
    monkeypatch.chdir(tmp_path)
    return opened(compare, monkeypatch, capsys)


@pytest.fixture(scope="module")
def compared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A results folder with a small comparison."""
    folder = tmp_path_factory.mktemp("results")
    called(compare, *SMALL, f"results_dir={folder}")
    return folder


def content(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def test_rates_are_chosen_on_a_validation_part_and_trained_on_the_whole(compared: Path) -> None:
    configs = [read_config(file) for file in compared.glob("runs/*/*/*/config.yaml")]
    choosing = [config for config in configs if config.validation_fraction]
    finals = [config for config in configs if not config.validation_fraction]
    assert (len(choosing), len(finals)) == (3 * 2 + 3 * 2, 3 * 2)
    stopped = [config for config in choosing if config.early_stopping]
    assert [(c.seed, c.validation_part, c.epochs) for c in stopped] == [(0, 0, 3)] * 6
    assert sorted((c.seed, c.validation_part) for c in choosing if c not in stopped) == [(0, 0)] * 3 + [(1, 1)] * 3
    assert not [config for config in finals if config.early_stopping]
    assert {config.validation_fraction for config in choosing} == {0.2}
    (path,) = compared.glob("comparisons/digits-*")
    table = pd.read_csv(path / "choices.csv")
    gain = table["validation_balanced_accuracy"].fillna(-table["validation_log_loss"])
    assert table["validation_log_loss"].notna().equals(table["strategy"] == "classical"), "its threshold is moved"
    best = table.loc[gain.groupby(table["strategy"]).idxmax()]
    chosen = {config.strategy["name"]: (config.learning_rate, config.epochs) for config in finals}
    assert chosen == {row.strategy: (row.learning_rate, row.epochs) for row in best.itertuples()}
    assert len({(config.strategy["name"], config.learning_rate) for config in finals}) == 3
    for config in stopped:
        record = json.loads((RunDirectory(replace(config, results_dir=str(compared))).path / "run.json").read_text())
        is_it = (table["strategy"] == config.strategy["name"]) & (table["learning_rate"] == config.learning_rate)
        assert table.loc[is_it, "epochs"].tolist() == [record["best_epoch"]]
        assert record["held_out"]["metric"] == ("log_loss" if config.strategy["name"] == "classical" else METRIC)


def test_scores_are_those_of_the_models_on_the_test_part(compared: Path) -> None:
    (path,) = compared.glob("comparisons/digits-*")
    runs = pd.read_csv(path / "runs.csv")
    assert len(runs) == 6 + 2
    runs = runs[runs["strategy"] != "classical_by_prior"]
    for row in runs.to_dict("records"):
        one = trained.load(compared / "runs" / row["run"])
        test = load(one.config).test
        said = one.outputs(test).argmax(1)
        assert row["balanced_accuracy"] == pytest.approx(balanced_accuracy_score(test.targets, said))
        last = pd.read_csv(compared / "runs" / row["run"] / "metrics.csv").iloc[-1]
        assert row["accuracy"] == pytest.approx(last["test_metric"], abs=1e-6)
        assert row["worst_group"] == pytest.approx(last["worst_group"], abs=1e-6)
    result = pd.read_csv(path / "comparison.csv").set_index(["strategy", "score"])
    mean = runs[runs["strategy"] == "balanced"]["macro_f1"].mean()
    assert result.loc[("balanced", "macro_f1"), "mean"] == pytest.approx(mean)
    held_out = pd.read_csv(path / "held_out.csv", index_col="part")
    for part in range(2):
        (config,) = [
            read_config(file)
            for file in compared.glob("runs/digits/balanced/*/config.yaml")
            if (c := read_config(file)).validation_part == part
            and c.validation_fraction
            and not c.early_stopping
            and c.learning_rate == runs[runs["strategy"] == "balanced"]["learning_rate"].iloc[0]
        ]
        data = load(config)
        said = trained.load(RunDirectory(replace(config, results_dir=str(compared))).path).outputs(data.test).argmax(1)
        assert held_out.loc[part, "balanced"] == pytest.approx(balanced_accuracy_score(data.test.targets, said))


def test_the_page_has_the_numbers_of_the_report(compared: Path) -> None:
    (path,) = compared.glob("comparisons/digits-*")
    page, table = Page((path / "comparison.html").read_text()), pd.read_csv(path / "comparison.csv")
    report = json.loads((path / "comparison.json").read_text())
    assert all(" ".join(sentence.split()) in page.text for sentence in report["sentences"])
    assert report["usage"] in page.text
    assert report["usage"].endswith("data=new"), "a folder, as samples are images"
    table = table.set_index(["score", "strategy"])
    for score, panel in page.data["panels"].items():
        for strategy, (effect,) in panel["effects"]["test_metric"]["classical"].items():
            row, scale = table.loc[(score, strategy)], 100 if panel["is_percent"] else 1
            assert effect["mean"] == pytest.approx(scale * row["minus_classical"], rel=1e-3)
            assert effect["half"] == pytest.approx(scale * row["interval_half_width"], rel=1e-3)
    rows = Page((path / "comparison.html").read_text()).data["rows"]["runs"]
    assert rows["curves"].keys() == {"classical", "learn2mix", "balanced"}, "scikit-learn has no curves"
    files = [link for link in page.links if link.startswith("../../")]
    assert len(files) == 3 * 2
    assert all((path / link).is_file() for link in files)


@pytest.mark.extras
@pytest.mark.parametrize("width", [1280, 390])
def test_chromium_shows_the_page(browser: Browser, compared: Path, width: int) -> None:
    (path,) = compared.glob("comparisons/digits-*")
    browser.open(path / "comparison.html", width, "dark")
    report = json.loads((path / "comparison.json").read_text())
    browser.evaluate("document.querySelectorAll('details').forEach(each => each.open = true)")
    browser.evaluate("new Promise(done => setTimeout(done, 300))")
    assert browser.evaluate("document.querySelectorAll('.plot canvas').length") == 2
    assert browser.evaluate("document.documentElement.scrollWidth") <= width
    assert browser.evaluate(CUT_OFF) == []
    browser.evaluate("form.score.value = 'log_loss'; form.score.dispatchEvent(new Event('input', {bubbles: true}))")
    (row,) = [row for row in report["test"] if (row["strategy"], row["score"]) == ("balanced", "log_loss")]
    shown = browser.evaluate(
        "[...document.querySelectorAll('.effect')].find(each => each.dataset.name === 'balanced')"
        ".querySelector('b').textContent"
    )
    assert number(shown) == pytest.approx(row["minus_classical"], abs=0.01)
    assert [event for event in browser.events if event["method"] in ALOUD] == []


@pytest.mark.extras
def test_the_page_works_by_keyboard_and_on_paper(browser: Browser, compared: Path) -> None:
    (path,) = compared.glob("comparisons/digits-*")
    browser.open(path / "comparison.html", 1280, "light")
    stops = browser.tab_stops()
    assert [text for tag, text in stops if tag == "SELECT"][:2] == ["opponent", "score"]
    browser.evaluate("form.score.focus()")
    browser.press("ArrowDown")
    assert browser.evaluate("document.querySelector('.panel h3').textContent") == "accuracy"
    browser.evaluate("document.querySelector('#classes details:not([open]) > summary').focus()")
    browser.press("Enter")
    assert browser.evaluate("document.activeElement.parentElement.open")
    assert browser.print_problems(path / "comparison.html") == []


def test_the_same_command_again_trains_nothing_and_tells_the_same(
    compared: Path, door: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = content(compared)
    monkeypatch.setattr("l2m.training.run.train", None)
    result = door(*SMALL, f"results_dir={compared}")
    assert (result.status, result.err) == (0, "")
    assert content(compared) == before
    lines = [line for line in result.out.splitlines() if not line.startswith("To use it: ")]  # to copy whole
    assert max(map(len, lines)) <= 80 + len(str(compared))
    assert "6 runs: 6 done, 0 failed, 0 to do" in result.out
    assert "12 runs: 12 done, 0 failed, 0 to do" in result.out
    page = next(compared.glob("comparisons/*/comparison.md")).read_text()
    advice = " ".join(result.out[result.out.index("Use ") :].split("\n\n")[0].split())
    assert advice.partition(". ")[0] in page
    dry = door(*SMALL, f"results_dir={compared}", "dry_run=true")
    assert "6 runs: 6 done" in dry.out
    assert "then training the chosen settings of 3 strategies, 2 runs each on the whole" in dry.out


def test_what_no_strategy_can_do_is_told_once(door: Command, tmp_path: Path) -> None:
    table = pd.DataFrame({"x": range(60), "ward": ["a", "b", "c"] * 20, "label": ["ill", "well"] * 30})
    table.to_csv(tmp_path / "mine.csv", index=False)
    words = ["dataset=csv", "dataset.path=mine.csv", "dataset.target=label", "dataset.group=ward", "batch_size=20"]
    result = door(*words, "strategies=[smote,balanced]", "choose=false", "epochs=1", "seeds=2", "workers=1",
                  "held_out_parts=2", "opponents=[]")  # fmt: skip
    assert result.status == 1, "a strategy that was asked for is not there"
    assert result.out.count("smote is left out: strategy=smote needs groups that are the classes") == 1
    (path,) = tmp_path.glob("outputs/comparisons/csv-*")
    assert set(pd.read_csv(path / "runs.csv")["strategy"]) == {"classical", "balanced"}
    assert "none were chosen" in (path / "comparison.md").read_text()


def test_regression_with_a_setting_that_fails(door: Command, tmp_path: Path) -> None:
    small = (*ROWS["regression"], "epochs=2", "workers=1", "seeds=2", "choice_seeds=1", "strategies=[balanced]",
             "held_out_parts=2", "opponents=[ridge]")  # fmt: skip
    result = door(*small, "learning_rates=[1e-3,1e30]", "early_stopping_metric=mean_absolute_error")
    assert result.status == 0, "one rate that fails is no failure of the comparison"
    assert "the loss is not finite" in result.out
    (path,) = tmp_path.glob("outputs/comparisons/mean_estimation-*")
    assert "median of the best, by mean absolute error, of the 1 seed " in (path / "comparison.md").read_text()
    choices = pd.read_csv(path / "choices.csv")
    assert choices["validation_mean_squared_error"].isna().tolist() == [rate > 1 for rate in choices["learning_rate"]]
    runs = pd.read_csv(path / "runs.csv")
    assert set(runs["learning_rate"].dropna()) == {1e-3}
    assert (choices["alpha"].nunique(), set(runs["strategy"])) == (5, {"classical", "balanced", "ridge"})
    (command,) = {line.strip() for line in result.out.splitlines() if "strategy=classical" in line}
    assert "learning_rate=1e+30" in command
    assert "seed=0" in command
    assert "validation_fraction=0.2" in command
    assert "seeds" not in command


def test_the_budget_of_choices_is_the_same_for_all(door: Command, tmp_path: Path) -> None:
    result = door("dataset=digits", "dry_run=true")
    assert "among 9 settings of each of 14 strategies" in result.out
    assert "270 runs" in result.out, "2 of each, and 18 of classical training that score samples for curriculum"
    assert "bilevel" not in result.out
    assert "settings of each of 1 strategies" in door("dataset=digits", "strategies=[]", "dry_run=true").out
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("words", [[], ["dataset=mnist", "strategy=classical"], ["+experiment=mine", "seed=3"]])
def test_the_command_of_a_run_means_that_run(tmp_path: Path, words: list[str]) -> None:
    (tmp_path / "experiment").mkdir()
    chosen = "# @package _global_\ndefaults:\n  - override /dataset: wine_quality\n"
    (tmp_path / "experiment" / "mine.yaml").write_text(chosen)
    comparison = compose_checked("compare", words, check_comparison, tmp_path)
    (runner,) = runners_of(comparison, words)
    for run, *_ in strategy_settings(comparison).values():
        assert compose(*shlex.split(runner._command(run)), config_dir=tmp_path).digest() == run.digest()


@pytest.mark.parametrize(
    ("arguments", "fragments"),
    [
        (["strategy=focal"], ["strategy=focal names one", "strategies=[classical,focal]"]),
        (["strategies=[lern2mix]"], ["strategies=lern2mix is not known (did you mean learn2mix?)"]),
        (["strategy.batches=stratified"], ["strategy.batches=stratified is for run: a comparison takes strategies w"]),
        (["strategies=[classical]", "opponents=[]"], ["leave nothing to compare"]),
        (["strategies=[]", "opponents=[]"], ["leave nothing to compare"]),
        (["seed=2147483644"], ["seed=2147483644 and the 4 after it must be at most 2147483647: choose a lower seed"]),
        (["data_seed=2147483647", "splits=2"], ["data_seed=2147483647 and the 1 after it must be at most 2147483647"]),
        (["opponents=[boosted_tree]"], ["opponents=boosted_tree is not known (did you mean boosted_trees?)"]),
        (["dataset=wine_quality", "opponents=[classical_by_prior]"], ["opponents=classical_by_prior is not known"]),
        (["opponents=false"], ["opponents=false must be a list"]),
        (["validation_part=3"], ["validation_part=3 is for run: a comparison takes held_out_parts"]),
        (["held_out_parts=1"], ["held_out_parts=1 must be at least 2"]),
        (["strategies=learn2mix"], ["strategies=learn2mix must be a list"]),
        (["strategy=learn2mix,focal"], ["write strategies=[learn2mix,focal], or add -m"]),
        (["costs=yes:5,no:1"], ["key costs is not known"]),
        (["dataset=csv", "dataset.path=none.csv", "dataset.target=y", "dry_run=true"], ["none.csv is not there"]),
        (["strategies=learn2mix,focal"], ["is not a list: write strategies=[learn2mix,focal]"]),
        (["metric=mean_squared_error"], ["metric=mean_squared_error is not for classification", "macro_f1"]),
        (["early_stopping_fraction=0.3"], ["early_stopping_fraction=0.3 is for run: a comparison takes validation_f"]),
        (["schedule=cosine"], ["schedule=cosine ends with the last epoch", "add early_stopping=null"]),
        (["early_stopping_metric=mean_squared_error"], ["early_stopping_metric=mean_squared_error is not for class"]),
        (["metric=acuracy"], ["metric=acuracy must be one of", "balanced_accuracy"]),
        (["dataset=wine_quality", "strategies=[focal]"], ["strategy=focal is not defined for regression"]),
        (["seeds=1"], ["seeds=1 must be at least 2"]),
        (["learning_rates=[0]"], ["learning_rates=[0] must be above 0"]),
        (["learning_rates=[]"], ["learning_rates=[] needs at least one rate"]),
        (["mixing_rates=[2]"], ["mixing_rates=[2] must be in [0, 1]"]),
        (["validation_fraction=0"], ["validation_fraction=0 must be in (0, 1)"]),
        (["seeds=2", "learnin_rates=[1]"], ["key learnin_rates is not known (did you mean learning_rates?)"]),
        (["batch_size=10000"], ["batch_size=10000 is larger than the training set"]),
        (["dataset=csv", "dataset.path=mine.csv", "dataset.target=label"], ["mine.csv is not there"]),
        (["dataset=csvv"], ["dataset=csvv is not known"]),
    ],
)
def test_what_is_wrong_is_told(door: Command, tmp_path: Path, arguments: list[str], fragments: list[str]) -> None:
    result = door(*arguments)
    assert result.status == 1
    assert all(line.startswith("error: ") for line in result.err.splitlines())
    for fragment in fragments:
        assert fragment in result.err
    assert list(tmp_path.iterdir()) == []


def test_help_has_the_keys(door: Command) -> None:
    result = door("--help")
    assert result.status == 0
    assert len(result.out.splitlines()) <= 50, "about a screen"
    for key in ("strategies", "choice_seeds", "mixing_rates", "metric"):
        assert re.search(rf"\b{key}\b", result.out)
        assert f"  {key}" in door("--help", "all").out
    assert max(map(len, result.out.partition("Options of choices")[0].splitlines())) < 80


def test_data_with_a_held_out_part_of_their_own_are_refused_before_training(door: Command, tmp_path: Path) -> None:
    for part in ("train", "val", "test"):
        for label, shade in (("dark", 20), ("light", 220)):
            (tmp_path / "photos" / part / label).mkdir(parents=True)
            for each in range(8):
                Image.new("RGB", (8, 8), (shade + each,) * 3).save(tmp_path / "photos" / part / label / f"{each}.png")
    result = door(
        "dataset=image_folder", f"dataset.path={tmp_path}/photos", "dataset.resize=8", "model=mlp", "batch_size=4",
        "epochs=1", "choose=false", "strategies=[balanced]", "seeds=2", f"results_dir={tmp_path}/outputs",
    )  # fmt: skip
    assert result.status == 1
    assert "has a held-out part of its own, 16 samples, and a comparison draws several: move these" in result.err
    assert not (tmp_path / "outputs" / "runs").exists()
