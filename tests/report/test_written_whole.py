"""Reports on a disk that is full, and on folders that cannot be read: old outputs stay, and a sentence says why."""

from __future__ import annotations

import errno
import os
import resource
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from commands import command
from made_up import compose, write
from mutations import assert_sentence

from l2m.report.runs import read_runs

ROOT = Path(__file__).resolve().parents[2]


def contents(*folders: Path) -> dict[Path, bytes]:
    return {file: file.read_bytes() for folder in folders for file in folder.rglob("*") if file.is_file()}


@pytest.mark.parametrize("name", ["summary", "tables", pytest.param("figures", marks=pytest.mark.long)])
def test_outputs_stay_whole_on_a_full_disk(
    name: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Files cannot grow beyond a limit, as on a full disk."""
    folder = tmp_path / "results"
    for strategy in ("learn2mix", "classical"):
        write(folder, compose("dataset=wine_quality", f"strategy={strategy}"), lambda epoch: 30 / epoch)
    page = shutil.copy(ROOT / "README.md", tmp_path)
    more = ("--ledger", tmp_path / "REPRODUCTION.md", "--into", page) if name == "tables" else ()
    write_again = command(name, monkeypatch, capsys)
    assert write_again(folder, *more).status == 0
    before, limits = contents(tmp_path), resource.getrlimit(resource.RLIMIT_FSIZE)
    for limit in (0, 1000, 20_000):
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limits[1]))
        try:
            ended = write_again(folder, *more)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        assert ended.status == 1
        assert ended.err.startswith("error: a file cannot be used (File too large): free some space, or ")
        assert ended.err.count("\n") == 1
        assert contents(tmp_path) == before


def made(folder: Path, seed: int, epochs: int = 4) -> Path:
    config = compose("dataset=digits", "batch_size=10", f"epochs={epochs}", "strategy=classical")
    return write(folder, config, lambda epoch: epoch / epochs, seed=seed)


def test_folder_that_cannot_be_read_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The tests may run as root, who may read everything."""
    place, listed = made(tmp_path, 0).parent, Path.iterdir

    def iterdir(self: Path) -> Iterator[Path]:
        if self == place:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(self))
        return listed(self)

    monkeypatch.setattr(Path, "iterdir", iterdir)
    found = read_runs(tmp_path, may_be_empty=True)
    assert found.problems == [f"{place} cannot be read (Permission denied): make it readable"]


def test_record_that_cannot_be_opened_is_not_to_be_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made(tmp_path, 0)
    place, opened = made(tmp_path, 1), Path.open

    def refuse(self: Path, *rest: str) -> object:
        if self == place / "metrics.csv":
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(self))
        return opened(self, *rest)

    monkeypatch.setattr(Path, "open", refuse)
    assert read_runs(tmp_path).problems == [f"{place} is left out (Permission denied): make it readable"]


def test_packing_skips_what_is_damaged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    damaged, whole = (made(tmp_path, seed, epochs=400) for seed in (0, 1))
    (damaged / "run.json").write_text('{"status": "do')
    ended = command("pack", monkeypatch, capsys)(tmp_path)
    assert ended.status == 0
    assert ended.out == f"packed: {whole / 'groups.csv'}\n"
    assert ended.err == f"warning: {damaged / 'groups.csv'} is not packed (run.json is not JSON at line 1, column 12)\n"
    assert (damaged / "groups.csv").exists()
    ended = command("pack", monkeypatch, capsys)(tmp_path / "nosuch")
    assert (ended.status, ended.out) == (1, "")
    assert "nosuch/runs holds no runs: name the folder that holds runs/" in ended.err


def test_a_name_that_is_too_long_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ended = command("summary", monkeypatch, capsys)(tmp_path / ("x" * 300))
    assert ended.status == 1
    (line,) = ended.err.splitlines()
    assert_sentence(line, tmp_path)
    assert "(File name too long): use a shorter name" in line
