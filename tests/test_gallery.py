"""The scripts of docs/gallery/ print what their pages show, up to the noise of numbers, and draw their pictures."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SCRIPTS = sorted((ROOT / "docs" / "gallery").glob("*.py"))
NUMBER = re.compile(r"(?<![\w.])-?\d+(?:\.\d+)?(?![\w.]*\w)")


def test_every_script_has_its_page_output_and_picture() -> None:
    assert len(SCRIPTS) == 6
    for script in SCRIPTS:
        page = script.with_suffix(".md").read_text(encoding="utf-8")
        for name in (f'--8<-- "{script.name}"', f'--8<-- "{script.stem}.txt"', f"]({script.stem}.png)"):
            assert name in page
        assert f"gallery/{script.stem}.md" in (ROOT / "docs" / "gallery.md").read_text(encoding="utf-8")


@pytest.mark.long
@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.stem)
def test_a_script_prints_what_its_page_shows(script: Path, tmp_path: Path) -> None:
    """Words are the same; numbers are within 0.1, or a tenth, as another version of torch draws others."""
    environment = os.environ | {"PYTHONPATH": str(ROOT), "MPLBACKEND": "agg", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, script], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    assert "Warning" not in done.stderr
    shown = script.with_suffix(".txt").read_text(encoding="utf-8")
    assert NUMBER.sub("#", done.stdout).split() == NUMBER.sub("#", shown).split()
    printed, wanted = ([float(number) for number in NUMBER.findall(text)] for text in (done.stdout, shown))
    assert printed == pytest.approx(wanted, abs=0.1, rel=0.1)
    assert (tmp_path / f"{script.stem}.png").stat().st_size > 5000
    assert script.with_suffix(".png").stat().st_size < 150_000
