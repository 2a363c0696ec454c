"""Names of files, columns and classes with any signs in them: what trains is reported, and shown as it is written."""

from __future__ import annotations

import csv
import random
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from commands import command, opened
from PIL import Image

import l2m
from l2m import UserError, predict
from l2m.config.run import RunConfig
from l2m.data import load
from l2m.errors import printable
from l2m.records import Records
from l2m.report.runs import read_runs

CHOSEN = [
    "New\u00a0York", "=cmd|' /C calc'!A0", "+x", "@SUM(1)", "-y", "-1", "[red]b[/red]", "[/b]", "\x1b[2Jx", "a|b",
    "<script>x</script>", "${x}", "\ufeffx", "a\u2028b", "a\x85b", "tab\tx", 'quote"x', "comma,x", "line\nbreak",
    "日本", "🙂", "e\u0301", "\u202eabc", "\u200b", "\\input{x}", ":smile:", "a  b",
]  # fmt: skip


def drawn(count: int) -> list[str]:
    """Names of random signs, of which half are from the first thousand: controls, blanks, marks."""
    draws = random.Random(0)
    signs = [draws.choice((draws.randrange(1, 1000), draws.randrange(1, 0xD7FF))) for _ in range(5 * count)]
    return ["x" + "".join(map(chr, signs[5 * i : 5 * i + 5])) + "x" for i in range(count)]


NAMES = [*CHOSEN, *drawn(20)]


def write_table(file: Path) -> Path:
    """Six rows of each class."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("w", newline="", encoding="utf-8") as stream:
        rows = csv.writer(stream)
        rows.writerow(["length", "[/i]width", "name"])
        for i, name in enumerate(NAMES * 6):
            rows.writerow([i % 7, i * i % 11, name])
    return file


def trained(folder: Path, name: str) -> tuple[RunConfig, Records]:
    base = l2m.compose("dataset=csv", "dataset.path=x", "dataset.target=name", "epochs=1", "device=cpu", "threads=1")
    path = str(write_table(folder / name))
    config = replace(base, dataset=base.dataset | {"path": path}, results_dir=str(folder / "results"))
    return config, l2m.train(config)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[RunConfig, Records]]:
    """Runs on two tables with hostile paths."""
    folder = tmp_path_factory.mktemp("hostile")
    return [trained(folder, name) for name in ("x[/b].csv", "[red]b\x1b[2J.csv")]


def test_run_on_any_names_is_in_every_report(runs: list[tuple[RunConfig, Records]]) -> None:
    config, records = runs[0]
    found = read_runs(Path(config.results_dir))
    assert found.problems == []
    assert len(found.runs) == 2
    names = records.groups["name"]
    assert sorted(names) == sorted({printable(name.strip()) for name in NAMES})
    assert all(name.isprintable() for name in names)
    assert "New York" in set(names)
    assert {run.subject.isprintable() for run in found.runs} == {True}


def test_blanks_of_any_kind_make_no_new_class(tmp_path: Path) -> None:
    file = tmp_path / "table.csv"
    file.write_text("x,city\n" + "1,New York\n2,New\u00a0York\n3,Rome\n4,Rome\n5,New\u2009York\n" * 3, encoding="utf-8")
    data = load(l2m.compose("dataset=csv", f"dataset.path={file}", "dataset.target=city"))
    assert data.class_names == ("New York", "Rome")


def test_old_record_of_such_names_is_read(runs: list[tuple[RunConfig, Records]], tmp_path: Path) -> None:
    """Records once held the names as they are in the table."""
    config, records = runs[0]
    place = tmp_path / records.path.relative_to(config.results_dir)
    place.mkdir(parents=True)
    for file in records.path.iterdir():
        text = file.read_bytes()
        (place / file.name).write_bytes(text.replace(b"New York", "New\u00a0York".encode()))
    (run,) = read_runs(tmp_path).runs
    assert "New York" in set(run.groups[0]["name"])


def test_summary_shows_paths_as_they_are(
    runs: list[tuple[RunConfig, Records]], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "300")
    ended = command("summary", monkeypatch, capsys)(runs[0][0].results_dir)
    assert (ended.status, ended.err) == (0, "")
    words = "".join(ended.out.split())  # a long title goes over several lines
    assert "b].csv,targetname:" in words, "of x[/b].csv, a file in a folder"
    assert r"[red]b\x1b[2J.csv" in words
    assert "\x1b" not in words


def test_predictions_hold_no_formula(
    runs: list[tuple[RunConfig, Records]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    config, records = runs[0]
    output = tmp_path / "predictions.csv"
    door = opened(predict, monkeypatch, capsys)
    ended = door(f"run={records.path}", f"data={config.dataset['path']}", f"output={output}")
    assert ended.status == 0, ended.err
    assert "\x1b" not in ended.out
    with output.open(newline="", encoding="utf-8") as stream:
        cells = [cell for row in csv.reader(stream) for cell in row]
    assert [cell for cell in cells if cell[:1] in ("=", "+", "-", "@") and cell != "-1"] == []
    assert {"'=cmd|' /C calc'!A0", "'@SUM(1)", "-1"} <= set(cells)
    assert len(pd.read_csv(output)) == 6 * len(NAMES)


def test_folders_of_classes_need_names_of_their_own(tmp_path: Path) -> None:
    for name in ("New York", "New\u00a0York", "Rome"):
        (tmp_path / name).mkdir()
        for i in range(3):
            Image.new("L", (8, 8)).save(tmp_path / name / f"{i}.png")
    config = l2m.compose("dataset=image_folder", f"dataset.path={tmp_path}")
    with pytest.raises(UserError, match="differ in their blanks alone: rename or join them"):
        load(config)
    (tmp_path / "New\u00a0York").rename(tmp_path / "caf\udce9")  # not UTF-8
    assert load(config).class_names == ("New York", "Rome", r"caf\udce9")
