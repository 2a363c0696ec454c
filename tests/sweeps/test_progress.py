"""The bar at a terminal: one line, whatever the name, with the time that is left."""

from __future__ import annotations

import io
import re
import sys

import pytest
from made_up import compose
from rich.console import Console

from l2m.records import EpochRow
from l2m.sweeps.progress import Progress


@pytest.mark.parametrize("width", [60, 80, 120])
@pytest.mark.parametrize(
    "run",
    [
        ("dataset=california_housing", "strategy=importance_sampling"),
        ("dataset=fashion_mnist_reconstruction", "strategy=learn2mix"),
        ("dataset=digits", "strategy=focal"),
    ],
)
def test_a_line_keeps_the_time_and_the_metric(
    run: tuple[str, str], width: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    config = compose(*run)
    progress = Progress(config)
    progress.advance(EpochRow(config.epochs // 2, 7, 7, 0.0, 0.0, 1.2345e-05, 0.0, 1.0))
    screen = Console(width=width, file=io.StringIO())
    screen.print(progress.bar.get_renderable())
    (line,) = screen.file.getvalue().splitlines()
    assert len(line) <= width
    assert re.search(r" \d+/\d+ -:--:-- (accuracy|error) 1\.234e-05 *$", line)
    assert (progress.name in line) == (width >= 80 or run[0] == "dataset=digits")
    assert "━" in line or (width < 120 and "digits" not in line)
