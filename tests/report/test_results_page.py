"""The page of any results folder: its numbers, links and escapes, and what Chromium shows and does with it."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from pathlib import Path

import pandas as pd
import pytest
from browser import ALOUD, CUT_OFF, Browser, Page, number
from made_up import compose, write
from rows_made_up import copy_damaged

from l2m.report import page, statistics
from l2m.report.runs import read_runs


@pytest.fixture(scope="module")
def results(made_up_results: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The made-up records, one of them damaged, and their page, written by the command."""
    folder = tmp_path_factory.mktemp("own")
    damaged = copy_damaged(made_up_results, folder)
    ended = subprocess.run(
        [sys.executable, "-m", "l2m", "page", str(folder)], capture_output=True, text=True, check=True
    )
    assert f"warning: {damaged} is left out" in ended.stderr
    assert ended.stdout == f"page: {folder}/page.html\n"
    return folder


@pytest.fixture(scope="module")
def html(results: Path) -> Page:
    return Page((results / "page.html").read_text(encoding="utf-8"))


def ends(folder: Path, row: str, strategy: str, column: str = "test_metric") -> pd.Series[float]:
    """The last value of a column of each run at the row's own options, by seed."""
    (found,) = [run for run in read_runs(folder).runs if run.dataset == row and run.label == strategy]
    values = {
        seed: pd.read_csv(folder / place / "metrics.csv")[column].iloc[-1] for seed, place in found.places.items()
    }
    return pd.Series(values)


def test_page_is_one_file_whose_links_lead_somewhere(html: Page, results: Path) -> None:
    assert not html.tags.keys() & {"iframe", "img", "object", "embed"}
    assert html.tags["script"] == 3
    assert [name for name, n in Counter(html.ids).items() if n > 1] == []
    assert {link[1:] for link in html.links if link.startswith("#")} - set(html.ids) == set()
    files = {link for link in html.links if not link.startswith(("#", "data:"))}
    assert [link for link in files if not (results / link).is_file()] == []
    assert {f"{run}/metrics.csv" for run in html.data["runs"]} <= files


def test_numbers_are_the_records(html: Page, results: Path) -> None:
    rows = {row["title"]: row for row in html.data["rows"].values()}
    assert rows.keys() == {"mnist", "wine_quality", "mean_estimation"}
    assert "90.8 ± 0.1" in html.text
    effects = rows["mnist"]["effects"]["test_metric"]
    ours, focal = (100 * ends(results, "mnist", name) for name in ("classical batches=shuffled", "focal"))
    difference = statistics.paired(focal, ours)
    last = effects["classical batches=shuffled"]["focal"][-1]
    assert (last["mean"], last["n"]) == (pytest.approx(difference.mean, rel=1e-4), 2)
    assert last["verdict"] == "too few seeds"
    better = effects["classical batches=shuffled"]["learn2mix cadence=epoch_mean"][-1]
    assert (better["n"], better["verdict"]) == (3, "better")
    worse = rows["wine_quality"]["effects"]["worst_group"]["learn2mix mixing_rate=0.05"]["classical"][-1]
    assert worse["mean"] == pytest.approx(1.5 * 1.001, rel=1e-3)
    assert worse["verdict"] == "worse"


def test_names_from_records_are_escaped_and_damage_is_named(html: Page, results: Path) -> None:
    assert "<script>alert" not in (results / "page.html").read_text(encoding="utf-8")
    assert "runs/mnist/focal/seed2-" in html.text
    assert str(results) not in html.text


def test_a_single_configuration_has_no_effects(tmp_path: Path) -> None:
    write(tmp_path, compose("dataset=digits", "epochs=3"), lambda epoch: epoch / 4)
    made = Page(page.write(read_runs(tmp_path), tmp_path).read_text(encoding="utf-8"))
    assert made.data["rows"]["data0"]["effects"] == {"test_metric": {}, "worst_group": {}}
    assert "75.0" in made.text


@pytest.mark.extras
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_chromium_shows_all_of_it(browser: Browser, results: Path, width: int, scheme: str) -> None:
    browser.open(results / "page.html", width, scheme)
    browser.evaluate("document.querySelectorAll('details').forEach(each => each.open = true)")
    browser.evaluate("new Promise(done => setTimeout(done, 300))")
    assert browser.evaluate("document.querySelectorAll('.plot canvas').length") == 3 * 2
    assert browser.evaluate("document.documentElement.scrollWidth") <= width
    assert browser.evaluate(CUT_OFF) == []
    assert [event for event in browser.events if event["method"] in ALOUD] == []


@pytest.mark.extras
def test_clicking_through_shows_the_records(browser: Browser, results: Path) -> None:
    show = browser.evaluate
    browser.open(results / "page.html", 1280, "light")
    find = "[...document.querySelectorAll('.effect')].find(each => each.dataset.name === '%s' && %s)"
    learn2mix = find % ("learn2mix mixing_rate=0.05", "each.closest('.panel').textContent.startsWith('wine')")
    gain = ends(results, "wine_quality", "learn2mix mixing_rate=0.05") - ends(results, "wine_quality", "classical")
    show("form.opponent.value = 'classical'; form.opponent.dispatchEvent(new Event('input', {bubbles: true}))")
    assert number(show(f"{learn2mix}.querySelector('b').textContent")) == pytest.approx(gain.mean(), abs=0.05)
    assert "against classical batches=" in show("document.querySelector('#forest').textContent"), "MNIST has two"
    show("form.column.value = 'worst_group'; form.column.dispatchEvent(new Event('input', {bubbles: true}))")
    worst = [ends(results, "wine_quality", s, "worst_group") for s in ("learn2mix mixing_rate=0.05", "classical")]
    shown = number(show(f"{learn2mix}.querySelector('b').textContent"))
    assert shown == pytest.approx((worst[0] - worst[1]).mean(), abs=0.05)
    show("document.querySelector('a[data-run]').click()")
    show("new Promise(done => setTimeout(done, 200))")
    assert show("document.getElementById('run').open")
    run = show("location.hash.slice(1)")
    assert (results / run / "run.json").is_file()
    assert show("[...document.querySelectorAll('#run .small a')].at(-1).getAttribute('href')") == f"{run}/run.json"
    show("document.querySelector('#run .close').click()")
    assert not show("document.getElementById('run').open")
    assert [event for event in browser.events if event["method"] in ALOUD] == []


@pytest.mark.extras
def test_all_of_it_works_by_keyboard_and_on_paper(browser: Browser, results: Path) -> None:
    browser.open(results / "page.html", 1280, "light")
    stops = browser.tab_stops()
    assert stops[0] == ("A", "To the effects")
    assert [text for tag, text in stops if tag == "SELECT"][:3] == ["opponent", "column", "epoch"]
    browser.evaluate("document.querySelector('a[data-run]').focus()")
    browser.press("Enter")
    browser.evaluate("new Promise(done => setTimeout(done, 200))")
    assert browser.evaluate("document.getElementById('run').open")
    browser.press("Escape")
    browser.evaluate("new Promise(done => setTimeout(done, 200))")
    assert not browser.evaluate("document.getElementById('run').open")
    assert browser.print_problems(results / "page.html") == []
