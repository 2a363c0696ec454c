"""The map of the package: who may import whom, and that what is recorded is still in its place."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from configparser import ConfigParser
from pathlib import Path

from l2m.catalog import registries
from l2m.config.checking import read_config

ROOT = Path(__file__).resolve().parents[1]


def test_layers_import_only_those_below_them() -> None:
    """``.importlinter`` holds the layers, imports inside functions and for types included."""
    command = [sys.executable, "-c", "from importlinter.cli import lint_imports_command; lint_imports_command()"]
    done = subprocess.run([*command, "--no-cache"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_the_map_has_every_layer() -> None:
    contracts = ConfigParser()
    contracts.read(ROOT / ".importlinter")
    layers = contracts["importlinter:contract:layers"]["layers"].split("\n")
    rows = re.findall(r"^\| (`\w+`(?:, `\w+`)*) \| \S.* \|$", (ROOT / "CONTRIBUTING.md").read_text(), re.MULTILINE)
    assert [re.findall(r"\w+", row) for row in rows] == [re.findall(r"\w+", layer) for layer in layers if layer]


def test_few_modules_lie_in_the_root() -> None:
    assert len(list((ROOT / "l2m").glob("[a-z]*.py"))) <= 15


def test_the_sampler_needs_torch_and_numpy_alone() -> None:
    """``make test-long`` runs the same program with the wheel, where nothing else is installed."""
    program = ROOT / "tests" / "sampling" / "torch_alone.py"
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, program], env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def test_text_files_are_read_as_utf_8() -> None:
    """Another encoding may be the default of an operating system."""
    for file in (ROOT / "l2m").rglob("*.py"):
        lines = file.read_text(encoding="utf-8").splitlines()
        assert not [line for line in lines if "read_text()" in line and file.name != "storage.py"], (
            f"{file}, not of /proc"
        )


def test_every_committed_run_is_recognised() -> None:
    """Its configuration, read and checked today, still has the hash that its directory was named by."""
    assert registries()
    folders = [file.parent for file in (ROOT / "results" / "runs").glob("*/*/*/config.yaml")]
    assert len(folders) >= 581
    for folder in folders:
        config = read_config(folder / "config.yaml")
        place = config.dataset["name"], config.strategy["name"], f"seed{config.seed}-{config.digest()}"
        assert folder.parts[-3:] == place
