"""The README is run: its commands and its Python, and its table is that of the committed records."""

import importlib
import re
import shlex
import sys
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
COMMANDS = [
    shlex.split(line, comments=True)
    for block in re.findall(r"```sh\n(.*?)```", README, re.S)
    for line in block.splitlines()
]
BLOCKS = re.findall(r"```python\n(.*?)```", README, re.S)


def test_commands_and_blocks_were_found() -> None:
    assert len(COMMANDS) == 10
    assert len(BLOCKS) == 3
    assert len(BLOCKS[2].split("\n\n")[1].splitlines()) + 1 <= 10  # "ten lines", import included


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_command_runs(
    command: list[str], tiny_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    """As written, but for one epoch of small batches on small files."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("L2M_DATA_DIR", str(tiny_data))
    if command[1] == "scripts/summary.py":
        _run(monkeypatch, ["-m", "l2m.run", "dataset=digits", "epochs=1"])
        _run(monkeypatch, [str(ROOT / "scripts" / "summary.py"), *command[2:]])
        assert (tmp_path / "outputs" / "summary.png").exists()
    elif "--help" in command:
        with pytest.raises(SystemExit, match="0"):
            _run(monkeypatch, command[1:])
        assert ("learning_rate" if "l2m.run" in command else "study=one_step") in capsys.readouterr().out
    elif "l2m.study" in command:
        _run(monkeypatch, [*command[1:], "study.problems=5"])
        assert list(tmp_path.glob("outputs/studies/*/run.json"))
    else:
        dry = "dry_run=true" in command
        seeds = ["seed=0"] if "-m" in command and "seed=range(5)" not in command else []
        _run(monkeypatch, [*command[1:], "epochs=1", "batch_size=10", *seeds])
        assert bool(list(tmp_path.glob("outputs/runs/*/*/*/metrics.csv"))) is not dry
        told = capsys.readouterr()
        assert "error" not in told.err
        assert ("24 runs: 0 done, 0 failed, 24 to do" in told.out) is dry


def test_suite_from_python(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    monkeypatch.chdir(tmp_path)
    exec(compile(BLOCKS[0], "README.md", "exec"), {})
    assert re.fullmatch(r"outputs/runs/digits/learn2mix/seed0-[0-9a-f]{8} 0\.\d+\n", capsys.readouterr().out)


def test_sampler_in_a_plain_loop_moves_its_proportions() -> None:
    namespace: dict = {}
    with torch.random.fork_rng():
        torch.manual_seed(0)
        exec(compile(BLOCKS[1] + BLOCKS[2], "README.md", "exec"), namespace)
    shares = namespace["sampler"].proportions
    assert shares.sum().item() == pytest.approx(1)
    assert abs(shares[1].item() - 0.3) > 0.01


def test_table_is_that_of_the_records() -> None:
    from l2m.report import runs, tables

    block = README.partition("<!-- results: written by make tables -->\n")[2]
    found = runs.read(ROOT / "results")
    told = tables.overview([tables.table(number, found) for number in (1, 2)])
    assert block.partition("<!-- end of results -->")[0] == told, "run make tables"


def _run(monkeypatch: pytest.MonkeyPatch, arguments: list[str]) -> None:
    """``python *arguments`` in this process."""
    import runpy

    if arguments[0] == "-m":
        module = importlib.import_module(arguments[1])
        monkeypatch.setattr(sys, "argv", arguments[1:])
        module.main()
    else:
        monkeypatch.setattr(sys, "argv", arguments)
        runpy.run_path(arguments[0], run_name="__main__")
