"""Plays through the README and every page of docs/: writes their files, runs their commands and Python, in order."""

from __future__ import annotations

import doctest
import importlib
import json
import os
import re
import subprocess
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import warm

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
BELOW = sorted((ROOT / "docs").glob("*/*.md"))
"""Pages of the reference, and of the gallery, whose scripts tests/test_gallery.py runs."""
NOT_RUN = {"REPRODUCTION.md", "data.md", "faq.md", "gallery.md", "glossary.md", "reference.md", "speed.md", "when.md"}
"""Pages with nothing to run."""

FENCE = re.compile(r'^```(sh|python|yaml|toml|csv|text)( no-run)?(?: title="([\w./-]+)")?$')
EXTRAS = {"accelerate", "hydra_plugins", "lightning", "mlflow", "onnx", "onnxruntime", "onnxscript", "optuna", "ray",
          "submitit", "tensorboard", "timm", "torchdata", "transformers", "wandb"}  # fmt: skip
SECONDS = 300
"""Time limit of a block on a busy machine; an idle one takes a tenth."""


class Block(NamedTuple):
    """A fenced block: its language, whether it is not run, the file it is written to, its text and first line."""

    language: str
    no_run: bool
    file: str | None
    text: str
    line: int


def blocks(page: Path) -> list[Block]:
    read: list[Block] = []
    inside: re.Match[str] | None = None
    for number, line in enumerate(page.read_text(encoding="utf-8").splitlines(), start=1):
        if inside and line == "```":
            inside = None
        elif inside:
            read[-1] = read[-1]._replace(text=read[-1].text + line + "\n")
        elif line.startswith("```"):
            inside = FENCE.match(line)
            assert inside, f"{page.name}, line {number}: {line} is not a fence that this test knows"
            read.append(Block(inside[1], bool(inside[2]), inside[3], "", number + 1))
    assert not inside, f"{page.name} ends inside a block"
    return read


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with a warm ``python``, and with a ``make`` that only checks that the target exists."""
    folder = tmp_path_factory.mktemp("bin")
    make = folder / "make"
    make.write_text(f'#!/bin/sh\ngrep -q "^$1:" {ROOT}/Makefile || {{ echo "no target $1" >&2; exit 2; }}\n')
    make.chmod(0o755)
    server = warm.begin(folder)
    yield folder
    server.kill()
    server.wait()


class Reader:
    """Someone who follows a page in an empty folder."""

    def __init__(self, folder: Path, programs: Path) -> None:
        self.folder = folder / "work"
        self.folder.mkdir()
        self._state, self._python = folder / "state", str(programs / "python")
        self._environment = os.environ | {
            "PATH": f"{programs}:{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT),
            "HYDRA_FULL_ERROR": "0",
            "HF_HUB_OFFLINE": "1",
            "MPLBACKEND": "agg",
        }
        self._session: subprocess.Popen[str] | None = None

    def shell(self, text: str) -> subprocess.CompletedProcess[str]:
        """Run in one shell: the folder and exported variables stay."""
        before = f'. {self._state}; cd "$PWD"\n' if self._state.exists() else ""
        return subprocess.run(
            ["bash", "-e", "-o", "pipefail", "-c", f"{before}{text}\nexport -p >{self._state}"],
            cwd=self.folder,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=SECONDS,
        )

    def python(self, text: str, name: str) -> tuple[str, str]:
        """Run in one process; returns the traceback and the missing module, if any."""
        if self._session is None:
            self._session = subprocess.Popen(
                [self._python, "session"],
                cwd=self.folder,
                env=self._environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
        assert self._session.stdin
        assert self._session.stdout
        print(json.dumps([text, name]), file=self._session.stdin, flush=True)
        problem, missing = json.loads(self._session.stdout.readline())
        return problem, missing.partition(".")[0]

    def close(self) -> None:
        if self._session and self._session.stdin and self._session.stdout:
            self._session.stdin.close()
            self._session.wait(SECONDS)
            self._session.stdout.close()


@pytest.fixture
def reader(tmp_path: Path, programs: Path) -> Iterator[Reader]:
    reader = Reader(tmp_path, programs)
    yield reader
    reader.close()


LONG = {"compare.md", "extending.md", "own_data.md", "start.md", "streams.md", "training.md", "tutorial.md",
        "tutorial_photographs.md"}  # fmt: skip
"""Pages whose commands take most of the time: `make test-long` runs them."""

LONG_WHOLE = {"features.md", "machines.md", "streams.md"}
"""Those of which this holds for the blocks that need an extra."""

PLAYED = [pytest.param(page, id=page.name, marks=[pytest.mark.long] * (page.name in LONG)) for page in PAGES]

WHOLE = [
    pytest.param(
        page, marks=[pytest.mark.extras] + [pytest.mark.long] * (page.name in LONG_WHOLE), id=f"{page.name} whole"
    )
    for page in PAGES
    if re.search(r"\bextra `|learn2mix\[", page.read_text(encoding="utf-8"))
]


@pytest.mark.parametrize("page", [*PLAYED, *WHOLE])
def test_a_page_does_what_it_says(page: Path, reader: Reader) -> None:
    """Up to the first block that needs an extra which is not installed."""
    ran = 0
    for block in blocks(page):
        where = f"{page.name}, line {block.line}"
        if block.file:
            file = reader.folder / block.file
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(block.text)
        elif block.language == "sh":
            result = reader.shell(rehearsal(block.text) if block.no_run else block.text)
            if result.returncode and "learn2mix[" in result.stderr:
                pytest.skip(f"{where} needs an extra")
            assert result.returncode == 0, f"{where}:\n{block.text}\n{result.stdout}\n{result.stderr}"
            assert "error:" not in result.stderr, f"{where}:\n{result.stderr}"
            ran += not block.no_run
        elif block.language == "python":
            code = "\n" * (block.line - 1) + block.text
            if block.no_run:
                compile(code, page.name, "exec")
                continue
            problem, missing = reader.python(code, page.name)
            if missing in EXTRAS:
                pytest.skip(f"{where} needs {missing}")
            assert not problem, f"{where}:\n{problem}"
            ran += 1
    assert bool(ran) is (page.name not in NOT_RUN)


def rehearsal(text: str) -> str:
    """What can be tried of commands that are not run: runs as a dry run, modules that exist, targets of make.

    A table of the reader's own is a small one with its target.
    """
    kept = []
    for line in re.sub(r"\\\n", " ", text).splitlines():
        command = re.sub(r"\s#.*", "", line).strip()
        if re.match(r"(python -m l2m\.run|l2m run)\b", command) and "--help" not in command:
            rows = "".join(rf"{number},{'ab'[number % 2]}\n" for number in range(20))
            for file in re.findall(r"dataset\.(?:test_)?path=(\S+\.csv)", command):
                target = re.findall(r"dataset\.target=(\w+)", command)[0]
                kept.append(rf"[ -e {file} ] || printf 'number,{target}\n{rows}' > {file}")
            kept.append(f"{command} dry_run=true")
        elif module := re.match(r"python -m ([\w.]+)", command):
            assert find_spec(module[1]), line
        elif command.startswith("make"):
            kept.append(command)
    return "\n".join(kept) or "true"


def test_every_page_is_in_the_navigation_and_nothing_else() -> None:
    listed = re.findall(r"^ +- [^:\n]+: ([\w/]+\.md)$", (ROOT / "mkdocs.yml").read_text(), re.M)
    assert sorted(listed) == sorted(str(page.relative_to(ROOT / "docs")) for page in PAGES[1:] + BELOW)


@pytest.mark.parametrize("page", [*PAGES, *BELOW, ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md"], ids=str)
def test_links_lead_somewhere(page: Path) -> None:
    text = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.M | re.S)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        place, _, anchor = target.partition("#")
        if not re.match(r"https?:", target):
            file = page.parent / place if place else page
            assert file.exists(), f"{page.name}: {target}"
            if anchor and not anchor.startswith("l2m."):
                titles = re.findall(r"^#+ (.*)$", file.read_text(encoding="utf-8"), re.M)
                slugs = {re.sub(r"[^\w\- ]", "", title.lower()).strip().replace(" ", "-") for title in titles}
                assert anchor in slugs, f"{page.name}: {target}"


NAMED = [name for page in BELOW for name in re.findall(r"^::: ([\w.]+)$", page.read_text(encoding="utf-8"), re.M)]
"""The public names, on the pages of the reference."""


def public(name: str) -> Any:
    module, _, attribute = name.rpartition(".")
    return getattr(importlib.import_module(module), attribute)


def test_reference_names_all_that_is_public() -> None:
    assert {"l2m." + name for name in importlib.import_module("l2m").__all__} <= set(NAMED)
    assert len(NAMED) == len(set(NAMED)) > 25
    for name in NAMED:
        assert public(name).__doc__, name


def test_examples_in_docstrings_run() -> None:
    modules = {public(name).__module__ for name in NAMED if hasattr(public(name), "__module__")}
    results = {name: doctest.testmod(importlib.import_module(name)) for name in modules}
    assert [name for name, result in results.items() if result.failed] == []
    assert sum(result.attempted for result in results.values()) == 11
