"""``l2m``: the commands behind one name, and their tab completion in a real shell."""

from __future__ import annotations

import os
import pty
import re
import select
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from commands import command

from l2m import __version__

ROOT = Path(__file__).resolve().parents[2]
L2M = [sys.executable, "-m", "l2m"]


def run(*words: str, cwd: Path, env: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*L2M, *words], cwd=cwd, env=env, capture_output=True, text=True)


@pytest.mark.parametrize(
    ("words", "status", "printed"),
    [
        (["--version"], 0, f"learn2mix {__version__}\n"),
        (["run", "--version"], 0, f"learn2mix {__version__}\n"),
        (["--help"], 0, "  l2m run      train a run"),
        ([], 2, "  l2m run      train a run"),
        (["sumary", "x"], 1, "error: sumary is not a command (did you mean summary?): choose one of run, "),
        (["run", "sead=1", "dry_run=true"], 1, "error: key sead is not known (did you mean seed?)"),
        (["summary"], 2, "usage: l2m summary [-h] results_dir"),
        (["run", "dataset=digits", "dry_run=true"], 0, "1 run: 0 done, 0 failed, 1 to do"),
    ],
)
def test_a_command_line_is_answered(words: list[str], status: int, printed: str, tmp_path: Path) -> None:
    done = run(*words, cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(ROOT), "HYDRA_FULL_ERROR": "0"})
    assert done.returncode == status, done.stderr
    assert printed in done.stdout + done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("name", ["summary", "tables", "figures"])
def test_a_folder_without_runs_is_named(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ended = command(name, monkeypatch, capsys)(tmp_path / "nowhere")
    assert ended.status == 1
    assert re.fullmatch(r"error: .*nowhere.*: .*\n", ended.err)


def test_ctrl_c_ends_a_command_by_one_line(tmp_path: Path) -> None:
    """Here while it imports rich, in whose place there is a module that interrupts it."""
    (tmp_path / "rich").mkdir()
    (tmp_path / "rich" / "__init__.py").write_text("import signal; signal.raise_signal(signal.SIGINT)\n")
    done = run("summary", "x", cwd=tmp_path, env=os.environ | {"PYTHONPATH": f"{tmp_path}:{ROOT}"})
    assert (done.returncode, done.stderr) == (130, "\nstopped\n")


@pytest.mark.parametrize(
    ("line", "completed"),
    [
        ("l2m comp", "l2m compare"),
        ("l2m run dataset=dig", "l2m run dataset=digits"),
        ("l2m run -m strategy=foc", "l2m run -m strategy=focal"),
        ("l2m run strategy=focal strategy.foc", "l2m run strategy=focal strategy.focusing="),
        ("l2m compare opp", "l2m compare opponents="),
        ("l2m predict dev", "l2m predict device="),
        ("l2m predict data=outp", "l2m predict data=outputs"),
        ("l2m summary outp", "l2m summary outputs"),
        ("l2m run --config-dir outp", "l2m run --config-dir outputs"),
    ],
)
def test_tab_completes_in_bash(line: str, completed: str, shell: int) -> None:
    os.write(shell, f"{line}\t".encode())
    assert read_until(shell, completed), line
    os.write(shell, b"\x15")  # Ctrl-U: an empty line again


def read_until(terminal: int, text: str, seconds: float = 30) -> bool:
    """Whether a text comes up on a terminal."""
    shown, end = "", time.monotonic() + seconds
    while text not in shown and select.select([terminal], [], [], max(0, end - time.monotonic()))[0]:
        shown += os.read(terminal, 4096).decode()
    return text in shown


@pytest.fixture(scope="module")
def shell(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """An interactive bash, in which completion is installed, in a folder that holds ``outputs/``."""
    folder = tmp_path_factory.mktemp("shell")
    (folder / "outputs").mkdir()
    program = folder / "bin" / "l2m"
    program.parent.mkdir()
    program.write_text(f"#!{sys.executable}\nimport sys\nfrom l2m.__main__ import main\nsys.exit(main())\n")
    program.chmod(0o755)
    environment = {
        "PATH": f"{program.parent}:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "PS1": "$ ",
        "TERM": "dumb",
    }
    process, terminal = pty.fork()
    if process == 0:
        os.chdir(folder)
        os.execvpe("bash", ["bash", "--norc", "--noprofile", "-i"], environment)
    os.write(terminal, b'bind "set enable-bracketed-paste off"; eval "$(l2m -sc install=bash)"; complete -p l2m\n')
    assert read_until(terminal, "-F hydra_bash_completion l2m")
    yield terminal
    os.write(terminal, b"exit\n")
    os.close(terminal)
    os.waitpid(process, 0)
