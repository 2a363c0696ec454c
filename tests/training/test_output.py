"""Output that breaks ends no training: a closed pipe, a full disk under the log, a terminal that is gone."""

from __future__ import annotations

import io
import os
import pty
import signal
import sys
from pathlib import Path
from typing import TextIO

import pytest
from commands import opened
from killing import begin, end
from made_up import compose

from l2m import run
from l2m.records import EpochRow
from l2m.records.directory import RunDirectory
from l2m.training.output import LastingStream

DIGITS = ("dataset=digits", "device=cpu", "threads=1", "epochs=3")

KINDS = ("a closed pipe", "a full disk", "a closed terminal")


def broken(kind: str) -> TextIO:
    """A stream that cannot be written to."""
    if kind == "a full disk":
        return Path("/dev/full").open("w")
    reader, writer = os.pipe() if kind == "a closed pipe" else pty.openpty()
    os.close(reader)
    return os.fdopen(writer, "w")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("words", [(), pytest.param(("-m", "seed=0,1"), marks=pytest.mark.long)], ids=" ".join)
def test_training_outlives_its_output(
    kind: str,
    words: tuple[str, ...],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    with broken(kind) as out, broken(kind) as err, monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", out)
        patch.setattr(sys, "stderr", err)
        assert opened(run, patch, capsys)(*words, *DIGITS, f"results_dir={tmp_path}").status == 0
    for seed in range(1 + bool(words)):
        config = compose(*DIGITS, f"results_dir={tmp_path}", f"seed={seed}")
        assert RunDirectory(config).status() == "done"


def test_what_a_terminal_has_no_character_for_is_escaped() -> None:
    content = io.BytesIO()
    stream = LastingStream(io.TextIOWrapper(content, encoding="ascii"))
    stream.write("müller.csv ✓\n")
    stream.flush()
    assert content.getvalue() == rb"m\xfcller.csv \u2713" + b"\n"
    reader, writer = os.pipe()
    os.close(reader)
    with open(writer, "w", encoding="ascii", buffering=1) as gone:
        assert LastingStream(gone).write("müller\n") == 7, "dropped, as any other"


def test_terminal_may_be_closed_under_a_bar(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    terminal, ours = pty.openpty()
    add = RunDirectory.add

    def close(self: RunDirectory, row: EpochRow, groups: object) -> None:
        add(self, row, groups)  # type: ignore[arg-type]
        if row.epoch == 2:
            os.close(terminal)

    with os.fdopen(ours, "w") as stream, monkeypatch.context() as patch:
        assert stream.isatty()
        patch.setattr(RunDirectory, "add", close)
        patch.setattr(sys, "stdout", stream)
        assert opened(run, patch, capsys)(*DIGITS, f"results_dir={tmp_path}").status == 0
    assert RunDirectory(compose(*DIGITS, f"results_dir={tmp_path}")).status() == "done"


def hang_up() -> None:
    """Send SIGHUP, as for a terminal that is closed, after each epoch."""
    add = RunDirectory.add

    def added(self: RunDirectory, row: EpochRow, groups: object) -> None:
        add(self, row, groups)  # type: ignore[arg-type]
        os.kill(os.getpid(), signal.SIGHUP)

    RunDirectory.add = added  # type: ignore[assignment, method-assign]


def test_training_outlives_its_terminal(tmp_path: Path) -> None:
    config = compose(*DIGITS, f"results_dir={tmp_path}")
    assert end(begin(config, hang_up)) == 0
    assert RunDirectory(config).status() == "done"
