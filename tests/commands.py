"""A command line in this process: what it printed, and with which status it ended."""

from __future__ import annotations

import runpy
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import pytest


class Outcome(NamedTuple):
    """What a command left behind."""

    status: int
    out: str
    err: str


Command = Callable[..., Outcome]


def opened(module: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """``python -m module *arguments``, as a function of the arguments."""
    return _command(lambda: module.main(), module.__name__, monkeypatch, capsys)


def called(module: ModuleType, *arguments: object) -> None:
    """``python -m module *arguments``, where no test has begun: what several are to look at."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", [module.__name__, *map(str, arguments)])
        module.main()


def script(file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """``python file *arguments``, as a function of the arguments."""
    return _command(lambda: runpy.run_path(str(file), run_name="__main__"), str(file), monkeypatch, capsys)


def command(name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """``l2m name *arguments``, as a function of the arguments."""
    from l2m import __main__
    from l2m.cli import interrupts

    monkeypatch.setattr(interrupts, "end_quietly", lambda: None)  # it would end the tests
    door = _command(__main__.main, "l2m", monkeypatch, capsys)
    return lambda *arguments: door(name, *arguments)


def _command(
    main: Callable[[], Any], name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Command:
    def run(*arguments: object) -> Outcome:
        monkeypatch.setattr(sys, "argv", [name, *map(str, arguments)])
        monkeypatch.setenv("HYDRA_FULL_ERROR", "0")  # l2m.run.main sets it
        status = 0
        try:
            main()
        except SystemExit as end:
            if isinstance(end.code, str):
                print(end.code, file=sys.stderr)
            status = end.code if isinstance(end.code, int) else int(end.code is not None)
        return Outcome(status, *capsys.readouterr())

    return run
