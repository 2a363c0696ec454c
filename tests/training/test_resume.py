"""Runs that are interrupted, killed or started twice end byte for byte like an undisturbed one."""

from __future__ import annotations

import errno
import json
import logging
import os
import pickle
import random
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from alike import same
from commands import opened
from killing import begin, die_after, die_in_write, end
from made_up import compose

from l2m import UserError, run, train
from l2m.catalog import registries
from l2m.config.run import RunConfig
from l2m.records import EpochRow
from l2m.records.directory import RunDirectory
from l2m.training.run import needs
from l2m.training.stopping import Stopped

FILES = ["config.yaml", "groups.csv", "metrics.csv", "model.pt", "run.json"]

VARIANTS = [
    *((f"strategy={name}",) for name in registries()["strategy"].names()),
    ("strategy=classical", "strategy.batches=stratified"),
    ("strategy=learn2mix", "strategy.cadence=batch"),
    ("strategy=learn2mix", "model=lenet5_large"),  # dropout
    ("mixing=guided", "mixing.schedule=easy", "mixing.early_stop=0.7", "schedule=cosine"),
    ("strategy=importance_sampling", "mixing=regmixup"),
    ("strategy=bilevel", "strategy.inner_steps=4", "model=lenet5_large"),
]
"""Every registered strategy, and other options that draw numbers or keep a state."""


DIGITS = ("dataset=digits", "device=cpu", "threads=1", "epochs=6", "checkpoint_seconds=0")
"""Nine steps an epoch on images of digits, and a checkpoint after each."""


def small(folder: Path, *overrides: str) -> RunConfig:
    needed = ["strategy.warm_up=2"] if "strategy=curriculum" in overrides else []
    return compose(*DIGITS, f"results_dir={folder}", *needed, *overrides)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., RunConfig]:
    """Trains a run without interruption, once for the module."""
    done: dict[tuple[str, ...], RunConfig] = {}

    def trained(*overrides: str) -> RunConfig:
        if overrides not in done:
            done[overrides] = small(tmp_path_factory.mktemp("undisturbed"), *overrides)
            train(done[overrides])
        return done[overrides]

    return trained


Undisturbed = Callable[..., RunConfig]


def interrupt_after(epoch: int) -> Callable[[EpochRow], None]:
    """SIGTERM, as from a scheduler, to this process after an epoch."""

    def on_epoch(row: EpochRow) -> None:
        if row.epoch == epoch:
            os.kill(os.getpid(), signal.SIGTERM)

    return on_epoch


def files(config: RunConfig) -> list[str]:
    return sorted(file.name for file in RunDirectory(config).path.iterdir())


# Signals


@pytest.mark.parametrize("overrides", VARIANTS, ids=" ".join)
def test_a_run_stopped_by_a_signal_continues_from_its_checkpoint(
    overrides: tuple[str, ...], undisturbed: Undisturbed, tmp_path: Path
) -> None:
    config = small(tmp_path, *overrides, "checkpoint_seconds=1000")  # only the signal asks for one
    for epoch in (1, 2, 5):
        with pytest.raises(Stopped, match=rf"seed0-{config.digest()} was stopped after epoch {epoch}$") as stop:
            train(config, interrupt_after(epoch))
        assert stop.value.signal == signal.SIGTERM
        assert files(config) == ["checkpoint.pt", "config.yaml", "run.json"]
    seen: list[int] = []
    records = train(config, lambda row: seen.append(row.epoch))
    assert seen == [6]
    assert same(config, undisturbed(*overrides))
    assert files(config) == FILES
    assert [each["epoch"] for each in records.info["resumed"]] == [1, 2, 5]
    assert records.info["start"] <= records.info["resumed"][0]["start"] <= records.info["end"]


def test_a_signal_in_the_last_epoch_leaves_a_finished_run(undisturbed: Undisturbed, tmp_path: Path) -> None:
    config = small(tmp_path)
    with pytest.raises(Stopped, match="is done") as stop:
        train(config, interrupt_after(6))
    assert stop.value.is_done, "a sweep that is stopped counts it among those done"
    assert files(config) == FILES
    assert same(config, undisturbed())


def test_handlers_are_put_back(tmp_path: Path) -> None:
    before = [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)]
    with pytest.raises(Stopped):
        train(small(tmp_path), interrupt_after(1))
    assert [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)] == before


# Kills


FORCED = ("force=true",)
KILLED = [
    pytest.param(each, marks=() if len(each) > 3 or each == FORCED else pytest.mark.long, id=" ".join(each))
    for each in (FORCED, *VARIANTS)
]
"""All variants; `make test` takes the one that combines most options, and the repetition of a finished run."""


@pytest.mark.parametrize("overrides", KILLED)
def test_killed_at_random_moments(overrides: tuple[str, ...], tmp_path: Path) -> None:
    """The system kills the run at random moments, measured in its own CPU time, until it ends by itself."""
    draws, times = random.Random(" ".join(overrides)), []
    config, reference = (small(tmp_path / name, *overrides, "epochs=24") for name in ("killed", "reference"))
    train(reference, lambda row: times.append(time.process_time()))
    epoch = (times[-1] - times[0]) / 23
    checkpoint = RunDirectory(config).path / "checkpoint.pt"
    epochs: list[int] = []
    if config.force:
        train(config)
    while end(begin(config, die_after, draws.uniform(0, 4) * epoch)) == -signal.SIGPROF:
        if RunDirectory(config).status() == "done":  # the same command would repeat it from the beginning
            break
        if checkpoint.exists():  # else the first epoch or the whole run had ended
            epochs.append(torch.load(checkpoint, weights_only=True)["state"]["epoch"])
    assert epochs == sorted(epochs)
    assert len(set(epochs)) >= 3, "killed in different epochs"
    assert same(config, reference)
    RunDirectory(config).remove_leftovers()  # as the next command does with a run that was killed when it was done
    assert files(config) == FILES


WRITES = ["config.yaml", "run.json", *["checkpoint.pt"] * 2, "metrics.csv", "groups.csv", "model.pt", "run.json"]
"""The files of a run of three epochs, in the order of writing; no checkpoint follows the last epoch."""


@pytest.mark.parametrize(
    ("number", "stage"),
    [
        (number, stage)
        for number in range(len(WRITES))
        for stage in ("renamed", ("half written", "written")[number % 2])
    ],
)
def test_killed_while_a_file_is_written(number: int, stage: str, undisturbed: Undisturbed, tmp_path: Path) -> None:
    config = small(tmp_path, "epochs=3")
    assert end(begin(config, die_in_write, number, stage)) == -signal.SIGKILL
    for file in RunDirectory(config).path.glob("*.pt"):
        torch.load(file, weights_only=True)  # complete, or absent
    began: list[int] = []
    train(config, lambda row: began.append(row.epoch))
    written = WRITES[: number + (stage == "renamed")]
    left = [] if written == WRITES else list(range(written.count("checkpoint.pt") + 1, 4))
    assert began == left, "it continues from its last checkpoint, unless it is done"
    assert same(config, undisturbed("epochs=3"))
    assert files(config) == FILES


# Two processes, one run


def hold(folder: Path, seconds: float) -> None:
    """Make the process wait after epoch 3, and create the file ``waiting``."""
    add = RunDirectory.add

    def slow(self: RunDirectory, row: EpochRow, groups: object) -> None:
        add(self, row, groups)  # type: ignore[arg-type]
        if row.epoch == 3:
            (folder / "waiting").touch()
            time.sleep(seconds)

    RunDirectory.add = slow  # type: ignore[assignment, method-assign]


def await_file(file: Path) -> None:
    until = time.monotonic() + 60
    while not file.exists():
        assert time.monotonic() < until
        time.sleep(0.01)


def test_a_run_waits_for_another_process_that_trains_it(
    undisturbed: Undisturbed, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    config = small(tmp_path / "results")
    other = begin(config, hold, tmp_path, 1.0)
    await_file(tmp_path / "waiting")
    trained: list[EpochRow] = []
    with caplog.at_level(logging.WARNING):
        records = train(config, trained.append)
    assert not trained, "the other process did it"
    assert f"is being trained by process {other.pid} on " in caplog.text
    assert end(other) == 0
    assert "resumed" not in records.info
    assert same(config, undisturbed())
    assert files(config) == FILES


def test_a_dead_process_keeps_no_lock(undisturbed: Undisturbed, tmp_path: Path) -> None:
    config = small(tmp_path / "results")
    other = begin(config, hold, tmp_path, 600.0)
    await_file(tmp_path / "waiting")
    assert "lock" in files(config)
    other.kill()
    end(other)
    began: list[int] = []
    train(config, lambda row: began.append(row.epoch))
    assert began[0] == 3, "it continues from the checkpoint of epoch 2"
    assert same(config, undisturbed())
    assert files(config) == FILES


def test_five_at_once(undisturbed: Undisturbed, tmp_path: Path) -> None:
    config = small(tmp_path)
    assert [end(process) for process in [begin(config) for _ in range(5)]] == [0] * 5
    assert same(config, undisturbed())
    assert files(config) == FILES
    assert "resumed" not in json.loads((RunDirectory(config).path / "run.json").read_text())


# Checkpoints


def interrupted(folder: Path, *overrides: str) -> tuple[RunConfig, Path]:
    config = small(folder, *overrides)
    with pytest.raises(Stopped):
        train(config, interrupt_after(2))
    return config, RunDirectory(config).path / "checkpoint.pt"


class Touch:
    """Unpickling this object creates a directory."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.file),)


@pytest.mark.parametrize(
    ("trouble", "sentence"),
    [
        (MemoryError(), "there is not enough memory"),
        (OSError(errno.EMFILE, "Too many open files"), r"cannot be read \(Too many open files\): make it readable"),
    ],
    ids=["memory", "files"],
)
def test_a_checkpoint_that_may_be_whole_is_kept(
    trouble: Exception, sentence: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config, file = interrupted(tmp_path)
    content = file.read_bytes()

    def fail(*arguments: object, **options: object) -> None:
        raise trouble

    with monkeypatch.context() as patch:
        patch.setattr(torch, "load", fail)
        with pytest.raises(UserError, match=sentence):
            train(config)
    assert file.read_bytes() == content


@pytest.mark.parametrize("harm", ["empty", "cut", "zeros", "text", "schema", "part", "rows", "trap", "trap in a zip"])
def test_a_damaged_checkpoint_is_reported_and_the_run_starts_over(
    harm: str, undisturbed: Undisturbed, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    config, file = interrupted(tmp_path)
    content = file.read_bytes()
    trap = tmp_path / "trap"
    match harm:
        case "empty":
            file.write_bytes(b"")
        case "cut":
            file.write_bytes(content[: len(content) // 2])
        case "zeros":
            file.write_bytes(content[:1000] + bytes(1000) + content[2000:])
        case "text":
            file.write_text("no checkpoint")
        case "schema":
            torch.save(torch.load(file, weights_only=True) | {"schema": 99}, file)
        case "part":
            torch.save({k: v for k, v in torch.load(file, weights_only=True).items() if k != "state"}, file)
        case "rows":
            torch.save(torch.load(file, weights_only=True) | {"metrics": [(1, 2)]}, file)
        case "trap":
            file.write_bytes(pickle.dumps(Touch(trap)))
        case "trap in a zip":
            torch.save({"schema": 1, "state": Touch(trap)}, file)
    seen: list[int] = []
    with caplog.at_level(logging.WARNING):
        train(config, lambda row: seen.append(row.epoch))
    assert str(file) in caplog.text
    assert seen[0] == 1
    assert same(config, undisturbed())
    assert not trap.exists(), "unpickling executes nothing"


def test_a_checkpoint_of_another_version_is_refused(tmp_path: Path) -> None:
    config, file = interrupted(tmp_path)
    content = torch.load(file, weights_only=True)
    content["state"]["strategy"] = {"order": "of another version"}
    torch.save(content, file)
    with pytest.raises(UserError, match=r"checkpoint\.pt does not fit this version \(.*\): remove it"):
        train(config)
    file.unlink()
    assert train(config).info["status"] == "done"


def test_a_checkpoint_of_another_run_is_refused_with_both_values(tmp_path: Path) -> None:
    config, file = interrupted(tmp_path)
    other, its = interrupted(tmp_path, "learning_rate=0.002", "strategy=balanced")
    file.replace(its)
    with pytest.raises(UserError, match=r"checkpoint\.pt belongs to another run: it has learning_rate=0.001, this "
                       r"run has learning_rate=0.002: move .* away"):  # fmt: skip
        train(other)
    assert its.exists()
    assert train(config).info["status"] == "done"


@pytest.mark.parametrize("finished", [False, True])
def test_a_directory_of_another_configuration_is_refused_with_both_values(finished: bool, tmp_path: Path) -> None:
    config, _ = interrupted(tmp_path)
    if finished:
        train(config)
    file = RunDirectory(config).path / "config.yaml"
    file.write_text(file.read_text().replace("batch_size: 50", "batch_size: 60"))
    before = {each: each.read_bytes() for each in file.parent.iterdir()}
    with pytest.raises(UserError, match=r"config\.yaml belongs to another run: it has batch_size=60, this run has "
                       r"batch_size=50: move .* away"):  # fmt: skip
        train(config)
    assert {each: each.read_bytes() for each in file.parent.iterdir()} == before


def test_options_outside_the_identity_may_change_before_resuming(undisturbed: Undisturbed, tmp_path: Path) -> None:
    config, _ = interrupted(tmp_path / "old")
    (tmp_path / "old").rename(tmp_path / "new")
    moved = replace(config, results_dir=str(tmp_path / "new"), checkpoint_seconds=7.0, debug=True)
    assert train(moved).info["resumed"][0]["epoch"] == 2
    assert same(moved, undisturbed())


def test_force_starts_over(undisturbed: Undisturbed, tmp_path: Path) -> None:
    config, _ = interrupted(tmp_path)
    seen: list[int] = []
    train(replace(config, force=True), lambda row: seen.append(row.epoch))
    assert seen == [1, 2, 3, 4, 5, 6]
    assert same(config, undisturbed())


# Failures


def test_seconds_that_were_measured_elsewhere_are_refused(tmp_path: Path) -> None:
    config = small(tmp_path, "equal_seconds=true")
    (classical,) = needs(config)
    file = train(classical).path / "run.json"
    info = json.loads(file.read_text())
    file.write_text(json.dumps(info | {"resumed": [{"epoch": 1, "device": info["device"], "threads": 64}]}))
    with pytest.raises(UserError, match=r"'threads': 64}, this run has .* repeat that one here, with .* force=true"):
        train(config)


def test_a_failed_run_keeps_its_log_and_is_retried(undisturbed: Undisturbed, tmp_path: Path) -> None:
    config = small(tmp_path)

    def fault(row: EpochRow) -> None:
        if row.epoch == 4:
            raise LookupError("nowhere")

    for attempt in (1, 2):
        with pytest.raises(LookupError):
            train(config, fault)
        path = RunDirectory(config).path
        info = json.loads((path / "run.json").read_text())
        assert (info["status"], info["problem"]) == ("failed", "LookupError: nowhere")
        assert (path / "log.txt").read_text().count("LookupError: nowhere") == attempt
        assert "Traceback" in (path / "log.txt").read_text()
        assert len((path / "metrics.csv").read_text().splitlines()) == 5
    seen: list[int] = []
    train(config, lambda row: seen.append(row.epoch))
    assert seen == [4, 5, 6], "from the last checkpoint"
    assert same(config, undisturbed())
    assert files(config) == FILES


@pytest.mark.parametrize("limit", [0, 3000, 50_000])
def test_a_full_disk(
    limit: int,
    undisturbed: Undisturbed,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Files cannot grow beyond ``limit`` bytes, as on a full disk."""
    finished = small(tmp_path, "seed=1")
    train(finished)
    config = small(tmp_path)
    before = {file: file.read_bytes() for file in RunDirectory(finished).path.iterdir()}
    command, limits = opened(run, monkeypatch, capsys), resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limits[1]))
    try:
        ended = command(*DIGITS, f"results_dir={tmp_path}")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert ended.status == 1
    (line,) = ended.err.splitlines()
    assert line.startswith(f"error: {RunDirectory(config).path}")
    assert "cannot be written (File too large): choose a results_dir that can be" in line
    assert {file: file.read_bytes() for file in RunDirectory(finished).path.iterdir()} == before
    train(config)
    assert same(config, undisturbed())
    assert files(config) == FILES


@pytest.mark.long
def test_a_process_that_cannot_write_at_all(tmp_path: Path) -> None:
    """Libraries look for a temporary directory when a process starts."""
    ended = subprocess.run(
        [sys.executable, "-m", "l2m.run", *DIGITS, f"results_dir={tmp_path}"],
        capture_output=True,
        text=True,
        timeout=120,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0)),
    )
    assert ended.returncode == 1
    (line,) = ended.stderr.splitlines()
    assert line.startswith("error: a file cannot be used (No usable temporary directory found in ")
    assert line.endswith("free some space, or set TMPDIR to another folder")


# Threads


@pytest.mark.parametrize("dataset", ["mean_estimation", "wine_quality", "california_housing"])
def test_regression_rows_do_not_depend_on_threads(dataset: str, tiny_data: Path, tmp_path: Path) -> None:
    """As the documentation says; image rows may differ."""
    ended = []
    size = 500 if dataset == "mean_estimation" else 20  # the others are small files
    for threads in (1, 2):
        config = compose(
            f"dataset={dataset}", "strategy=learn2mix", "epochs=3", f"threads={threads}", "device=cpu",
            f"data_dir={tiny_data}", f"results_dir={tmp_path}/{threads}", f"batch_size={size}",
        )  # fmt: skip
        train(config)
        ended.append(config)
    assert same(*ended)
