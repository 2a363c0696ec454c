"""The documentation as a site: each page shows what GitHub shows of its source, and nothing is fetched from a host."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections import Counter
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from browser import CHROMIUM, Browser
from markdown_it import MarkdownIt

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = sorted(file.relative_to(DOCS).with_suffix("") for file in DOCS.rglob("*.md"))
pytestmark = pytest.mark.extras

COUNTED = {
    "h1",
    "h2",
    "h3",
    "h4",
    "ul",
    "ol",
    "li",
    "table",
    "tr",
    "th",
    "td",
    "pre",
    "code",
    "strong",
    "em",
    "img",
    "hr",
}
STRAY = re.compile(r"[`\\]|\*\*|\]\(|^\s*(?:[-*#]|\d+\.) |^\s*\||:::|--8<--|\bno-run\b", re.MULTILINE)


class Html(HTMLParser):
    """What is in a page or, with ``article``, in its ``<article>``: elements, code, other text, addresses, anchors."""

    def __init__(self, text: str, article: bool = False) -> None:
        super().__init__()
        self.elements: Counter[str] = Counter()
        self.code: list[str] = []
        self.text = ""
        self.addresses: list[tuple[str, str]] = []
        self.anchors: set[str] = set()
        self._in_code = False
        self._left_out: str | None = None  # the element whose text is the theme's: a permalink, the name of a file
        self.feed("<article" + text.partition("<article")[2].partition("</article>")[0] if article else text)

    def handle_starttag(self, tag: str, given: list[tuple[str, str | None]]) -> None:
        attributes = {name: value or "" for name, value in given}
        self.anchors |= {attributes[name] for name in ("id", "name") if name in attributes}
        self.addresses += [(tag, attributes[name]) for name in ("href", "src") if name in attributes]
        self.elements[tag] += tag in COUNTED
        if attributes.get("class") in ("headerlink", "filename"):
            self._left_out = tag
        if tag == "code":
            self._in_code = True
            self.code.append("")

    def handle_endtag(self, tag: str) -> None:
        self._in_code = self._in_code and tag != "code"
        self._left_out = None if self._left_out == tag else self._left_out

    def handle_data(self, data: str) -> None:
        if self._in_code:
            self.code[-1] += data
        elif self._left_out is None:
            self.text += data


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built site; the build warns of nothing."""
    pytest.importorskip("mkdocs")
    pytest.importorskip("mkdocstrings")
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)]
    environment = os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    build = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300)
    assert (build.returncode, build.stderr) == (0, "")
    built = {file.relative_to(folder).with_suffix("") for file in folder.rglob("*.html")}
    assert built == {*PAGES, Path("404")}
    return folder


@cache
def anchors(file: Path) -> set[str]:
    return Html(file.read_text(encoding="utf-8")).anchors


def source(page: Path) -> str:
    """The page's Markdown, with the files of the gallery in place of the lines that include them."""
    text = (DOCS / page).with_suffix(".md").read_text(encoding="utf-8")
    return re.sub(r'--8<-- "(.+)"', lambda line: (DOCS / "gallery" / line[1]).read_text(encoding="utf-8"), text)


@pytest.mark.parametrize("page", [page for page in PAGES if ":::" not in source(page)], ids=str)
def test_a_page_is_the_one_that_github_shows(site: Path, page: Path) -> None:
    """As many headings, items, cells …, the same words, and code to be copied that is the same to the letter."""
    github = Html(MarkdownIt("commonmark").enable(["table", "strikethrough"]).render(source(page)))
    ours = Html((site / page).with_suffix(".html").read_text(encoding="utf-8"), article=True)
    assert [code.strip() for code in ours.code] == [code.strip() for code in github.code]
    assert ours.text.split() == github.text.split()
    assert ours.elements == github.elements


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_no_markup_is_left_over(site: Path, page: Path) -> None:
    html = Html((site / page).with_suffix(".html").read_text(encoding="utf-8"), article=True)
    assert len(html.text.split()) > 20
    assert STRAY.search(html.text) is None
    for code in html.code:
        assert not re.search(r"\\\||=[a-z_]+\|[a-z]|\bno-run\b|--8", code), code


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_links_and_anchors_of_the_site_lead_somewhere(site: Path, page: Path) -> None:
    file = (site / page).with_suffix(".html")
    html = Html(file.read_text(encoding="utf-8"))
    for tag, address in html.addresses:
        url = urlsplit(address)
        if url.scheme:
            assert (tag, url.scheme) == ("a", "https"), address
            continue
        target = (file.parent / unquote(url.path)).resolve() if url.path else file
        target = target / "index.html" if target.is_dir() else target
        assert target.is_file(), address
        if url.fragment:
            assert unquote(url.fragment) in anchors(target), address


def test_nothing_in_the_site_names_a_host_to_fetch_from(site: Path) -> None:
    for file in site.rglob("*"):
        if file.suffix in (".html", ".js", ".css", ".map"):
            text = file.read_text(encoding="utf-8")
            assert not re.search(r"unpkg|jsdelivr|cdnjs|googleapis|url\([\"']?https?:", text), file
    for page in PAGES:
        html = Html((site / page).with_suffix(".html").read_text(encoding="utf-8"))
        assert not [address for tag, address in html.addresses if tag != "a" and urlsplit(address).scheme]


SEARCH = """new Promise(done => {
  const box = document.querySelector('[data-md-component=search-query]'), since = Date.now();
  document.getElementById('__search').click();
  box.value = 'cadence';
  box.dispatchEvent(new KeyboardEvent('keyup', {bubbles: true}));
  const look = () => {
    const links = [...document.querySelectorAll('.md-search-result__link')].map(link => link.href);
    links.length || Date.now() - since > 20000 ? done(links) : setTimeout(look, 100);
  };
  look();
})"""


def test_chromium_searches_and_shows_pages_from_files(site: Path, tmp_path: Path) -> None:
    if CHROMIUM is None:
        pytest.skip("no Chromium is installed")
    with Browser(tmp_path) as browser:
        browser.open(site / "index.html", 1280, "light")
        found = browser.evaluate(SEARCH)
        assert any(link.startswith((site / "training.html").as_uri()) for link in found), found
        seen = list(browser.events)
        for page in PAGES:
            browser.open((site / page).with_suffix(".html"), 390, "dark")
            assert browser.evaluate("document.documentElement.scrollWidth") <= 390, page
            seen += browser.events
    sent = [event["params"]["request"]["url"] for event in seen if event["method"] == "Network.requestWillBeSent"]
    assert [url for url in sent if not url.startswith(("file:", "data:", "blob:"))] == []
    assert [event for event in seen if event["method"] == "Runtime.exceptionThrown"] == []
