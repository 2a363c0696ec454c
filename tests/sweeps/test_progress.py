"""Bars at a terminal: one line a run, whatever the name, with the time that is left; and those of a sweep."""

from __future__ import annotations

import io
import os
import pty
import re
import subprocess
import sys
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
from made_up import compose
from rich.console import Console

import l2m
from l2m.records import EpochRow
from l2m.sweeps.progress import Progress, Shown, SweepBars, where_to_look


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


def test_a_sweep_at_a_terminal_shows_each_run_and_all(tmp_path: Path) -> None:
    """In a real terminal: bars of both runs and of the whole, the results above them, then where to look."""
    words = ["-m", "dataset=mean_estimation", "strategy=classical,learn2mix", "epochs=300", "workers=2", "threads=1"]
    ours, theirs = pty.openpty()
    sweep = subprocess.Popen(
        [sys.executable, "-m", "l2m.run", *words, "results_dir=out", "tags=[pilot]"],
        cwd=tmp_path, stdin=theirs, stdout=theirs, stderr=theirs, env=os.environ | {"COLUMNS": "110", "TERM": "xterm"},
    )  # fmt: skip
    os.close(theirs)
    shown = b""
    with suppress(OSError):  # at its end
        while read := os.read(ours, 1 << 16):
            shown += read
    os.close(ours)
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown.decode()).replace("\r", "\n")
    assert sweep.wait() == 0, text
    assert text.startswith("checking 2 runs")
    assert re.search(r"all runs +━+.* [01]/2 ", text)
    for strategy in ("classical", "learn2mix"):
        assert re.search(rf"mean_estimation {strategy} seed 0 +[━╸╺ ]+ \d+/300 ", text), strategy
        assert re.search(rf"\[[12]/2\] mean_estimation {strategy} seed 0: ", text)
    assert "done before: " not in text
    assert text.split()[-10:] == ["failed", "records:", "out/runs;", "to", "look", "at", "them:", "l2m", "page", "out"]
    config, _ = tmp_path.glob("out/runs/*/*/*/config.yaml")
    assert "tags:\n- pilot\n" in config.read_text()


def test_a_bar_of_runs_that_train_together_counts_for_all_of_them() -> None:
    bars = SweepBars(10)
    bars.show(Shown("key", "8 runs together", 1, 2, "accuracy 0.5", 8))
    assert bars.bar.tasks[0].completed == 4
    bars.end(Path("one of them"))
    bars.show(Shown("key", "8 runs together", 1, 2, "accuracy 0.5", 7))
    assert bars.bar.tasks[0].completed == 1 + 3.5
    bars.show(Shown("key"))
    assert bars.bar.tasks[0].completed == 1


def test_the_end_names_the_folders_of_trackers_and_launchers() -> None:
    config = replace(compose("dataset=digits"), logger={"tensorboard": {"folder": "events"}, "wandb": {}})
    assert where_to_look([config, config], {"name": "submitit_slurm", "folder": None}) == [
        "records: outputs/runs; to look at them: l2m page outputs",
        "tensorboard --logdir events",
        "Weights & Biases: outputs/wandb",
        "submitit's logs: outputs/submitit",
    ]


def test_tags_and_notes_leave_the_identity_alone() -> None:
    plain = compose("dataset=digits")
    marked = compose("dataset=digits", "tags=[pilot,small]", "notes=a first try")
    assert marked.digest() == plain.digest()
    assert marked.to_dict() == plain.to_dict() | {"tags": ["pilot", "small"], "notes": "a first try"}
    assert not {"tags", "notes"} & plain.to_dict().keys(), "records of before have neither"


@pytest.mark.parametrize("watched", [True, False])
def test_training_from_python_shows_a_bar_to_who_looks(
    watched: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: watched)
    words = ("dataset=mean_estimation", "dataset.train_sizes=[40,30,20,10]", "batch_size=10", "epochs=3", "device=cpu")
    epochs: list[int] = []
    records = l2m.train(compose(*words, f"results_dir={tmp_path}"), lambda row: epochs.append(row.epoch))
    assert epochs == records.metrics["epoch"].tolist() == [1, 2, 3]
    shown = capsys.readouterr().out
    assert ("mean_estimation learn2mix seed 0" in shown and "3/3" in shown) if watched else shown == ""
