"""A command line in this process: what it printed, and with which status it ended."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import ModuleType
from typing import NamedTuple

import pytest


class Told(NamedTuple):
    """What a command left behind."""

    status: int
    out: str
    err: str


Door = Callable[..., Told]


def opened(module: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Door:
    """``python -m module *arguments``, as a function of the arguments."""

    def run(*arguments: str) -> Told:
        monkeypatch.setattr(sys, "argv", [module.__name__, *arguments])
        monkeypatch.setenv("HYDRA_FULL_ERROR", "0")  # main sets it
        status = 0
        try:
            module.main()
        except SystemExit as end:
            status = end.code if isinstance(end.code, int) else 1
        return Told(status, *capsys.readouterr())

    return run
