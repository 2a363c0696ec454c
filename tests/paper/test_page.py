"""The results page: its verdicts, links and escapes, and how Chromium shows it, light and dark, wide and narrow."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import get_args

import pytest
from browser import CHROMIUM, Browser
from rows_made_up import VERDICTS, configuration
from rows_made_up import write as made_up

from l2m.files import pack
from l2m.paper.page import SYMBOLS, render, write
from l2m.paper.results import read_results
from l2m.paper.rows import ROWS
from l2m.paper.studies import Finding
from l2m.paper.verdict import Effect

ALOUD = ("Runtime.consoleAPICalled", "Runtime.exceptionThrown", "Log.entryAdded")

CUT_OFF = """[...document.querySelectorAll('body *:not(.skip)')].filter(element => {
  const box = element.getBoundingClientRect();
  for (let above = element.parentElement; above; above = above.parentElement)
    if (['auto', 'scroll'].includes(getComputedStyle(above).overflowX)) return false;
  const clips = ['hidden', 'clip'].includes(getComputedStyle(element).overflowX) && !element.closest('svg');
  return box.width && (box.left < -1 || box.right > innerWidth + 1 || clips && element.scrollWidth > box.width + 1);
}).map(element => element.outerHTML.slice(0, 80))"""


class Page(HTMLParser):
    """Elements of a page, ids, links, and the text of what has been read."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: Counter[str] = Counter()
        self.ids: list[str] = []
        self.links: list[str] = []
        self.said: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        named = dict(attributes)
        self.ids += [str(named["id"])] if "id" in named else []
        self.links += [str(named[key]) for key in ("href", "src", "xlink:href") if key in named]

    def handle_data(self, data: str) -> None:
        self.said.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.said).split())


@pytest.fixture(scope="module")
def results(made_up_results: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the made-up records with a damaged one, drawn by the script."""
    folder = tmp_path_factory.mktemp("drawn")
    shutil.copytree(made_up_results / "runs", folder / "runs")
    damaged = next(folder.glob("runs/mnist/focal/seed2-*"))
    (damaged / "metrics.csv").write_text("epoch\n1\n")
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


def test_page_is_one_file_without_scripts(page: Page, results: Path) -> None:
    assert not page.tags.keys() & {"script", "iframe", "img", "object"}
    assert [link for link in page.links if "//" in link or link.startswith(("http", "/"))] == []
    assert (results / "index.html").stat().st_size < 5_000_000


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
    varied = {link for link in metrics if link not in files}
    assert len(varied) == 9  # three seeds at three other mixing rates belong to no cell
    assert len(metrics - varied) == 6


def test_every_row_has_its_verdict_twice(page: Page) -> None:
    """In words, on its card and over its section; a section's id is the row's name."""
    for row in ROWS:
        verdict = VERDICTS.get(row.name, "not run")
        text = page.text
        for pattern in (f"{verdict} {row.title}", f"{row.title} {SYMBOLS[verdict]} {verdict}"):
            assert pattern in text, pattern
        assert row.name in page.ids
    assert "1 confirmed, 1 larger, 1 inconclusive, 9 not run" in page.text


def test_the_effect_stands_before_the_means(page: Page) -> None:
    assert "larger Wine Quality Δ -1.00 ± 0.00, the paper's -0.28 ± 0.28 ours paper learn2mix" in page.text
    assert set(get_args(Effect)) | set(get_args(Finding)) == SYMBOLS.keys()


def test_a_single_seed_is_too_few(tmp_path: Path) -> None:
    for strategy in ("learn2mix", "classical"):
        made_up(tmp_path, configuration("wine_quality", strategy), 2.0)
    page = Page(render(read_results(tmp_path), tmp_path))
    assert "1 too few seeds, 11 not run" in page.text
    assert "Wine Quality … too few seeds Δ +0.00, the paper's -0.28 ± 0.28; 1 in common" in page.text


def test_numbers_stand_beside_the_papers(page: Page) -> None:
    for said in ("90.8 ± 0.1", "paper 90.74 ± 0.93", "3.00 ± 0.00", "paper 1.75 ± 0.21", "Test MSE in points²"):
        assert said in page.text, said


def test_missing_cells_come_with_their_command(page: Page) -> None:
    command = "python -m l2m.run -m dataset=mnist strategy={} results_dir=results"
    for cells in ("learn2mix,classical,stratified seed=3,4", "focal seed=2,3,4", "smote,balanced seed=0,1,2,3,4"):
        assert command.format(cells) in page.text, cells


def test_names_from_records_are_escaped(page: Page, results: Path) -> None:
    text = (results / "index.html").read_text(encoding="utf-8")
    assert "<script" not in text
    assert "&lt;script&gt;alert(" in text
    assert "<script>alert('red')</script>" in page.text  # as text, in the drawing of proportions
    assert "white & $5 or $6" in page.text


def test_damaged_records_are_named(page: Page, results: Path) -> None:
    assert "runs/mnist/focal/seed2-" in page.text
    assert str(results) not in page.text


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    if CHROMIUM is None:
        pytest.skip("no Chromium is installed")
    with Browser(tmp_path_factory.mktemp("profile")) as browser:
        yield browser


@pytest.mark.extras
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 768, 390])
def test_chromium_shows_all_of_it(browser: Browser, results: Path, width: int, scheme: str) -> None:
    browser.open(results / "index.html", width, scheme)
    assert browser.evaluate("innerWidth") == width
    assert browser.evaluate("document.documentElement.scrollWidth") <= width
    assert browser.evaluate(CUT_OFF) == []
    assert browser.evaluate("document.querySelectorAll('figure svg').length") == 3 * 6 + 3
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
      return [...document.querySelectorAll('.mark, small, .small, td a, th, summary, nav a, p')].map(element => {
        const pair = [parse(getComputedStyle(element).color), ground(element)].map(light).sort((a, b) => b - a);
        return (pair[0] + 0.05) / (pair[1] + 0.05);
      });
    })()""")
    assert len(ratios) > 100
    assert min(ratios) >= 4.5


@pytest.mark.extras
def test_a_number_leads_to_its_records(browser: Browser, results: Path) -> None:
    browser.open(results / "index.html", 1280, "light")
    browser.evaluate("document.querySelector('td a[href=\"#mnist-learn2mix\"]').click()")
    assert browser.evaluate("document.querySelector('#mnist details').open")
