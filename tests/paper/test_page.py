"""The results page: its verdicts, links, escapes and numbers, and what Chromium shows and does with it."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import get_args

import pandas as pd
import pytest
import yaml
from browser import ALOUD, CUT_OFF, Browser, Page, number
from made_up import compose
from rows_made_up import VERDICTS, configuration, copy_damaged
from rows_made_up import write as made_up

from l2m.files import pack
from l2m.paper import figures
from l2m.paper.page import SYMBOLS, render, section, write
from l2m.paper.results import Results, read_results
from l2m.paper.rows import BY_NAME, ROWS
from l2m.paper.studies import Finding
from l2m.paper.verdict import Beside, Effect


@pytest.fixture(scope="module")
def results(made_up_results: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the made-up records with a damaged one, drawn by the script."""
    folder = tmp_path_factory.mktemp("drawn")
    damaged = copy_damaged(made_up_results, folder)
    pack(next(folder.glob("runs/mnist/learn2mix/seed1-*/groups.csv")))
    told = subprocess.run(
        [sys.executable, "-m", "l2m", "figures", str(folder)], capture_output=True, text=True, check=True
    )
    assert f"warning: {damaged} is left out" in told.stderr
    assert f"page: {folder}/index.html" in told.stdout
    return folder


@pytest.fixture(scope="module")
def page(results: Path) -> Page:
    return Page((results / "index.html").read_text(encoding="utf-8"))


def test_page_is_one_file(page: Page, results: Path) -> None:
    assert not page.tags.keys() & {"iframe", "img", "object", "embed"}
    assert [link for link in page.links if "//" in link or link.startswith(("http", "/"))] == []
    assert (results / "index.html").stat().st_size < 4_000_000


def test_page_is_the_same_to_the_byte_in_another_folder(results: Path, tmp_path: Path) -> None:
    shutil.copytree(results / "runs", tmp_path / "runs")
    shutil.copytree(results / "figures", tmp_path / "figures")
    write(read_results(tmp_path), tmp_path / "index.html")
    assert (tmp_path / "index.html").read_bytes() == (results / "index.html").read_bytes()


def test_every_link_leads_somewhere(page: Page, results: Path) -> None:
    assert [name for name, n in Counter(page.ids).items() if n > 1] == []
    inside = {link.removeprefix("#") for link in page.links if link.startswith("#")}
    assert inside - set(page.ids) == set()
    files = {link for link in page.links if not link.startswith(("#", "data:"))}
    assert [link for link in files if not (results / link).is_file()] == []
    metrics = {path.relative_to(results).as_posix() for path in results.glob("runs/wine_quality/*/*/metrics.csv")}
    assert len(metrics) == 9 + 6, "three seeds at three other mixing rates belong to an experiment"
    assert metrics <= files
    runs = page.data["runs"]
    assert {f"{folder}/{run['files'][0]}" for folder, run in runs.items()} == {
        link for link in files if "runs/" in link
    }
    assert [
        file for folder, run in runs.items() for file in run["files"] if not (results / folder / file).is_file()
    ] == []


def test_every_row_has_its_verdict(page: Page) -> None:
    """A trained row in the table of all rows and over its own part, whose id is its name; the others in one line."""
    for row in ROWS:
        if row.name in VERDICTS:
            verdict = VERDICTS[row.name]
            assert page.text.count(f"{row.title} {SYMBOLS[verdict]} {verdict}") == 2, row.name
        assert row.name in page.ids
    assert "Not run: Fashion-MNIST, CIFAR-10, Imagenette, CIFAR-100, IMDB, California Housing" in page.text


def test_three_sentences_say_what_holds(page: Page) -> None:
    for said in (
        "confirmed in 1 of 3 rows that are trained: MNIST .",
        "Verdicts on the effect: larger in Wine Quality; inconclusive in Mean Estimation; not run in 9 rows.",
        "the test metric of learn2mix at E is better in MNIST; its worst group is better in MNIST.",
    ):
        assert said.replace(" .", ".") in page.text.replace(" .", "."), said


def test_the_effect_stands_with_the_papers(page: Page) -> None:
    assert "Wine Quality ↑ larger Δ -1.00 ± 0.00, the paper's -0.28 ± 0.28" in page.text
    assert set(get_args(Effect)) | set(get_args(Finding)) | set(get_args(Beside)) == SYMBOLS.keys()


def test_a_strategy_equal_to_another_has_the_papers_numbers_of_its_own(committed_results: Results) -> None:
    """SMOTE is classical training where groups are equal; for CIFAR-10 the paper has no number of it."""
    effects = section(BY_NAME["cifar10"], committed_results.runs, Path("results"))["data"]["effects"]["test_metric"]
    ours, classical = (effects[strategy][-1] for strategy in ("smote", "classical"))
    assert (ours["mean"], ours["half"]) == (classical["mean"], classical["half"])
    assert (ours["paper"], ours["verdict"]) == (None, "same sign")
    assert classical["paper"] is not None
    assert classical["verdict"] == "confirmed"


def test_a_single_seed_is_too_few(tmp_path: Path) -> None:
    for strategy in ("learn2mix", "classical"):
        made_up(tmp_path, configuration("wine_quality", strategy), 2.0)
    page = Page(render(read_results(tmp_path), tmp_path))
    assert "too few seeds in Wine Quality; not run in 11 rows" in page.text
    assert "Wine Quality … too few seeds Δ 0.00, the paper's -0.28 ± 0.28; 1 in common" in page.text
    (effect,) = page.data["rows"]["wine_quality"]["effects"]["test_metric"]["classical"][-1:]
    assert (effect["mean"], effect["half"], effect["n"]) == (0, None, 1)


@pytest.mark.parametrize("strategies", [("learn2mix",), ("classical",), ("group_dro",), ("learn2mix", "balanced")])
def test_any_runs_give_figures_and_a_page(strategies: Sequence[str], tmp_path: Path) -> None:
    for strategy in strategies:
        made_up(tmp_path, compose("dataset=mean_estimation", f"strategy={strategy}"), 1.5)
    found = read_results(tmp_path)
    figures.write(found.runs, tmp_path / "figures")
    assert (tmp_path / "figures" / "figure3.png").exists() == (strategies != ("group_dro",))
    assert "Mean Estimation" in render(found, tmp_path)


def test_numbers_stand_beside_the_papers(page: Page) -> None:
    for said in ("90.8 ± 0.1", "paper 90.74 ± 0.93", "3.00 ± 0.00", "paper 1.75 ± 0.21", "Test MSE in points²"):
        assert said in page.text, said


def test_missing_cells_come_with_their_command(page: Page) -> None:
    command = "python -m l2m.run -m dataset=mnist strategy={} results_dir=results"
    for cells in ("learn2mix,classical,balanced,stratified seed=3,4", "focal seed=2,3,4", "smote seed=0,1,2,3,4"):
        assert command.format(cells) in page.text, cells


def test_names_from_records_are_escaped(page: Page, results: Path) -> None:
    text = (results / "index.html").read_text(encoding="utf-8")
    assert "<script>alert" not in text
    assert page.data["rows"]["wine_quality"]["curves"]["learn2mix"]["names"][0] == "<script>alert('red')</script>"
    assert page.tags["script"] == 3


def test_numbers_of_the_charts_are_the_records(page: Page, results: Path) -> None:
    """Curves have some 60 points, the last epoch among them; groups are means over seeds."""
    for name, scale in (("mnist", 100), ("wine_quality", 1)):
        curve = page.data["rows"][name]["curves"]["classical"]
        folders = [
            folder for folder, run in page.data["runs"].items() if (run["row"], run["strategy"]) == (name, "classical")
        ]
        tables = [pd.read_csv(results / folder / "metrics.csv", index_col="epoch") for folder in folders]
        assert len(tables) == 3
        assert 50 <= len(curve["epochs"]) < 100
        assert curve["epochs"][-1] == len(tables[0])
        for column in ("test_metric", "worst_group"):
            mean = sum(table[column] for table in tables).loc[curve["epochs"]] / 3 * scale
            assert curve[column]["mean"] == pytest.approx(mean.tolist(), rel=1e-4)
        first = [curve[f"group_{column}"][0][-1] for column in ("proportion", "test_metric")]
        groups = [pd.read_csv(results / folder / "groups.csv") for folder in folders]
        ends = pd.concat(table[table["epoch"] == table["epoch"].max()] for table in groups)
        wanted = ends[ends["group"] == 0][["proportion", "test_metric"]].mean()
        assert first == pytest.approx([wanted["proportion"], scale * wanted["test_metric"]], rel=1e-4)


def test_experiments_have_curves_of_their_runs(page: Page, results: Path) -> None:
    """Of a row at each mixing rate, beside classical training; their runs are those of the records."""
    (rates,) = [row for name, row in page.data["rows"].items() if name.startswith("mixing_rate")]
    assert rates["title"] == "Wine Quality"
    assert list(rates["curves"]) == [*(f"mixing rate {rate}" for rate in ("0", "0.05", "0.2", "0.5")), "classical"]
    for label, curve in rates["curves"].items():
        folders = [
            place
            for place, run in page.data["runs"].items()
            if (run["row"], run["strategy"]) == ("mixing_rate0", label)
        ]
        tables = [pd.read_csv(results / folder / "metrics.csv") for folder in folders]
        if label not in ("classical", "mixing rate 0.05"):  # these are the row's own
            assert len(tables) == curve["n"] == 3
            mean = sum(table["test_metric"].iloc[-1] for table in tables) / 3
            assert curve["test_metric"]["mean"][-1] == pytest.approx(mean, rel=1e-4)
            assert {yaml.safe_load((results / folder / "config.yaml").read_text())["strategy"]["mixing_rate"]
                    for folder in folders} == {float(label.split()[-1])}  # fmt: skip


def test_damaged_records_are_named(page: Page, results: Path) -> None:
    assert "runs/mnist/focal/seed2-" in page.text
    assert str(results) not in page.text


@pytest.mark.extras
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 768, 390])
def test_chromium_shows_all_of_it(browser: Browser, results: Path, width: int, scheme: str) -> None:
    browser.open(results / "index.html", width, scheme)
    assert browser.evaluate("innerWidth") == width
    assert browser.evaluate("document.documentElement.scrollWidth") <= width
    assert browser.evaluate(CUT_OFF) == []
    assert browser.evaluate("document.querySelectorAll('.effect').length") == 3
    browser.evaluate("document.querySelectorAll('details').forEach(each => each.open = true)")
    browser.evaluate("new Promise(done => setTimeout(done, 300))")
    panels = browser.evaluate("document.querySelectorAll('details[data-row]').length")
    assert panels > 3, "rows and experiments"
    assert browser.evaluate("document.querySelectorAll('.plot canvas').length") == 2 * panels
    assert browser.evaluate("document.documentElement.scrollWidth") <= width
    assert browser.evaluate(CUT_OFF) == []
    assert [event for event in browser.events if event["method"] in ALOUD] == []
    sent = [event["params"]["request"]["url"] for event in browser.events if "requestWillBeSent" in event["method"]]
    assert [url for url in sent if not url.startswith("data:")] == [(results / "index.html").resolve().as_uri()]


@pytest.mark.extras
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_words_stand_out_from_their_ground(browser: Browser, results: Path, scheme: str) -> None:
    """A contrast of 4.5 to 1 at the least, WCAG's for text of ordinary size."""
    browser.open(results / "index.html", 1280, scheme)
    ratios = browser.evaluate("""(() => {
      const parse = colour => colour.match(/[\\d.]+/g).map(Number);
      const light = ([r, g, b]) => [r, g, b].map(c => c / 255)
        .map(c => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4)
        .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
      const ground = element => {
        for (; element; element = element.parentElement) {
          const colour = parse(getComputedStyle(element).backgroundColor);
          if (colour.length === 3 || colour[3] > 0) return colour;
        }
      };
      const words = '.mark, small, .small, td a, th, summary, nav a, p, button, select, .axis span';
      return [...document.querySelectorAll(words)].map(element => {
        const pair = [parse(getComputedStyle(element).color), ground(element)].map(light).sort((a, b) => b - a);
        return (pair[0] + 0.05) / (pair[1] + 0.05);
      });
    })()""")
    assert len(ratios) > 100
    assert min(ratios) >= 4.5


@pytest.mark.extras
def test_clicking_through_shows_the_records(browser: Browser, page: Page, results: Path) -> None:
    """Ten numbers that the page shows after clicks and keys are those of the records, and the console stays empty."""

    def values(row: str, strategy: str, column: str = "test_metric", epoch: int = -1) -> pd.Series[float]:
        """By seed, at an epoch counted from 0."""
        runs = {run["seed"]: results / folder / "metrics.csv" for folder, run in page.data["runs"].items()
                if (run["row"], run["strategy"]) == (row, strategy)}  # fmt: skip
        return pd.Series({seed: pd.read_csv(file)[column].iloc[epoch] for seed, file in runs.items()})

    show = browser.evaluate
    browser.open(results / "index.html", 1280, "light")
    effect = "document.querySelector('.effect[data-row=\"%s\"] b').textContent"
    pick = "form.%s.value = '%s'; form.%s.dispatchEvent(new Event('input', {bubbles: true}))"

    def choose(name: str, value: str) -> None:
        show(pick % (name, value, name))

    ours, classical, stratified = (100 * values("mnist", name) for name in ("learn2mix", "classical", "stratified"))
    assert number(show(effect % "mnist")) == pytest.approx((ours - classical).mean(), abs=0.05)
    assert number(show(effect % "wine_quality")) == pytest.approx(-1, abs=0.05)
    choose("opponent", "stratified")
    assert number(show(effect % "mnist")) == pytest.approx((ours - stratified).mean(), abs=0.05)
    choose("opponent", "classical")
    choose("column", "worst_group")
    worst = values("wine_quality", "learn2mix", "worst_group") - values("wine_quality", "classical", "worst_group")
    assert number(show(effect % "wine_quality")) == pytest.approx(worst.mean(), abs=0.05)
    choose("task", "2")
    assert show("[...document.querySelectorAll('.effect')].map(each => each.dataset.row)") == [
        "wine_quality",
        "mean_estimation",
    ]
    assert show("document.getElementById('mnist').hidden")
    choose("task", "")

    sort = "document.querySelectorAll('#verdicts thead button')[2].click()"
    first = "document.querySelector('#verdicts tbody tr').dataset.row"
    assert [show(f"{sort}; {first}") for _ in range(2)] == ["mean_estimation", "mnist"]

    value = (
        "[...document.querySelectorAll('#%s .chart:%s .legend button')].find(each => each.textContent.startsWith('%s'))"
    )
    learn2mix = value % ("mnist", "first-child", "learn2mix")
    assert number(show(f"{learn2mix}.querySelector('b').textContent")) == pytest.approx(ours.mean(), abs=0.05)
    rare = value % ("mnist", "last-child", "rare")
    assert number(show(f"{rare}.querySelector('b').textContent")) == pytest.approx(60, abs=0.05)
    show(f"{learn2mix}.click()")
    assert show(f"{learn2mix}.getAttribute('aria-pressed')") == "false"
    press = "document.querySelector('#mnist .plot').dispatchEvent(new KeyboardEvent('keydown', {key: 'Home'}))"
    show(press)
    assert show("document.querySelector('#mnist .at').textContent") == "epoch 1"
    shown = show(f"{value % ('mnist', 'first-child', 'classical')}.querySelector('b').textContent")
    assert number(shown) == pytest.approx(100 * values("mnist", "classical", epoch=0).mean(), abs=0.05)

    show("document.querySelector('#wine_quality').open = true")
    show("document.querySelector('#wine_quality a[data-run]').click()")
    show("new Promise(done => setTimeout(done, 200))")
    assert show("document.getElementById('run').open")
    said = show("document.getElementById('run').innerText")
    assert "Wine Quality · learn2mix · seed 0" in said
    assert "python -m l2m.run dataset=wine_quality strategy=learn2mix seed=0" in said
    cells = show("[...document.querySelector('#run tbody').rows[0].cells].map(cell => cell.textContent)")
    record = page.data["runs"][show("location.hash.slice(1)")]
    table = pd.read_csv(results / show("location.hash.slice(1)") / "groups.csv").iloc[-2]
    assert cells[0] == "<script>alert('red')</script>"
    assert [float(cells[i]) for i in (1, 2, 4)] == pytest.approx([0.6, 10, table["test_metric"]], rel=0.01)
    assert record["seconds"] == pytest.approx(30)
    show("document.querySelector('#run .close').click()")
    assert not show("document.getElementById('run').open")
    assert [event for event in browser.events if event["method"] in ALOUD] == []


@pytest.mark.extras
def test_all_of_it_works_by_keyboard(browser: Browser, results: Path) -> None:
    show = browser.evaluate
    browser.open(results / "index.html", 1280, "light")
    stops = browser.tab_stops()
    assert stops[0] == ("A", "To the effects")
    choices = [text for tag, text in stops if tag == "SELECT"]
    assert choices[:6] == ["opponent", "column", "epoch", "task", "version", "verdict"]
    assert {"BUTTON", "SUMMARY", "DIV"} <= {tag for tag, _ in stops}, "sorting, folded parts, charts"

    show("form.opponent.focus()")
    browser.press("ArrowDown")
    assert show("form.opponent.value") == "stratified"
    show("document.querySelector('.effect[data-row=mnist]').focus()")
    browser.press("Enter")
    assert show("location.hash") == "#mnist"
    summary = "document.querySelector('#wine_quality > summary')"
    show(f"{summary}.focus()")
    for key, is_open in ((" ", True), ("Enter", False), ("Enter", True)):
        browser.press(key)
        assert show("document.getElementById('wine_quality').open") is is_open
    show("new Promise(done => setTimeout(done, 200))")
    show("document.querySelector('#wine_quality .plot').focus()")
    browser.press("Home")
    assert show("document.querySelector('#wine_quality .at').textContent") == "epoch 6", "300 epochs, every sixth"
    line = "document.querySelector('#wine_quality .legend button')"
    show(f"{line}.focus()")
    browser.press(" ")
    assert show(f"{line}.getAttribute('aria-pressed')") == "false"

    link = "document.querySelector('#wine_quality a[data-run]')"
    show(f"{link}.focus()")
    browser.press("Enter")
    show("new Promise(done => setTimeout(done, 200))")
    assert show("document.getElementById('run').contains(document.activeElement)")
    browser.press("Escape")
    show("new Promise(done => setTimeout(done, 200))")
    assert not show("document.getElementById('run').open")
    assert show(f"document.activeElement === {link}")
    assert [event for event in browser.events if event["method"] in ALOUD] == []


@pytest.mark.extras
def test_print_is_white_without_controls_and_cuts_nothing(browser: Browser, results: Path) -> None:
    assert browser.print_problems(results / "index.html") == []
