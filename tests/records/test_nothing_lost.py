"""Records outlive interrupted repetitions, power cuts, lost folders, foreign locks, damage and newer versions."""

from __future__ import annotations

import fcntl
import json
import logging
import os
import platform
import re
import resource
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from killing import begin, end
from mutations import CHANGES, assert_sentence

import l2m
from l2m import UserError, train
from l2m.config.run import RunConfig
from l2m.data import check_tested, load
from l2m.errors import describe_error
from l2m.records import EpochRow, lock
from l2m.records.directory import MODEL, RunDirectory
from l2m.report.runs import read_runs
from l2m.sweeps.plan import format_plan, plan
from l2m.training.run import final_parameters, needs

FILES = ["config.yaml", "groups.csv", "metrics.csv", "model.pt", "run.json"]

SMALL = (
    "dataset=mean_estimation", "dataset.train_sizes=[40,30,20,5]", "dataset.test_size=20", "batch_size=19",
    "device=cpu", "threads=1", "epochs=3", "checkpoint_seconds=0",
)  # fmt: skip


@pytest.fixture(scope="module")
def base() -> RunConfig:
    return l2m.compose(*SMALL)


@pytest.fixture
def config(base: RunConfig, tmp_path: Path) -> RunConfig:
    return replace(base, results_dir=str(tmp_path / "results"))


def content(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir()}


# Power cuts


def test_all_files_are_on_the_disk_before_the_run_is_done(config: RunConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    events: list[tuple[str, str]] = []
    rename, folder = Path.replace, RunDirectory(config).path

    def record_flush(descriptor: int) -> None:
        path = Path(os.readlink(f"/proc/self/fd/{descriptor}"))
        events.append(("flush", "." if path == folder else re.sub(r"\.\d+\.part$", "", path.name)))

    def record_rename(self: Path, target: Path) -> Path:
        done = target.name == "run.json" and json.loads(self.read_text())["status"] == "done"
        events.append(("rename", "done" if done else target.name))
        return rename(self, target)

    monkeypatch.setattr(os, "fsync", record_flush)
    monkeypatch.setattr(Path, "replace", record_rename)
    train(config)
    done = events.index(("rename", "done"))
    for name in ("config.yaml", "metrics.csv", "groups.csv", MODEL):
        written = max(i for i, event in enumerate(events) if event == ("rename", name))
        flushed = events.index(("flush", name), written)
        assert written < flushed < events.index(("flush", "."), flushed) < done, name
    assert ("flush", "run.json") in events[:done], "its content, under its temporary name"
    assert ("flush", ".") in events[done:], "its name"


# Folders that are removed


def test_folder_removed_while_training_is_written_whole(config: RunConfig) -> None:
    records = train(config, lambda row: shutil.rmtree(config.results_dir) if row.epoch == 3 else None)
    assert sorted(content(records.path)) == FILES
    found = read_runs(Path(config.results_dir))
    assert (len(found.runs), found.problems) == (1, [])


def test_what_own_data_were_read_as_is_written_again(tmp_path: Path) -> None:
    table, folder = tmp_path / "table.csv", tmp_path / "results"
    table.write_text("x,y\n" + "".join(f"{i},{'ab'[i % 2]}\n" for i in range(40)))
    own = ("dataset=csv", f"dataset.path={table}", "dataset.target=y", "batch_size=8", "epochs=2", "device=cpu")
    config = l2m.compose(*own, f"results_dir={folder}")
    records = train(config, lambda row: shutil.rmtree(folder) if row.epoch == 2 else None)
    assert json.loads((records.path / "data.json").read_text())


@pytest.mark.parametrize("name", ["groups.csv", MODEL])
def test_folder_removed_at_the_end_is_no_finished_run(
    config: RunConfig, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = RunDirectory._write

    def remove_first(self: RunDirectory, file: str, *rest: Any) -> None:
        if file == name:
            shutil.rmtree(config.results_dir)
        write(self, file, *rest)

    monkeypatch.setattr(RunDirectory, "_write", remove_first)
    with pytest.raises(UserError, match=r"cannot be written \(No such file or directory\): choose a results_dir"):
        train(config)
    monkeypatch.undo()
    assert RunDirectory(config).status() == "failed"
    assert sorted(content(train(config).path)) == FILES


@pytest.mark.parametrize("name", ["config.yaml", "metrics.csv", "groups.csv"])
def test_finished_run_without_a_file_is_not_done(config: RunConfig, name: str) -> None:
    path = train(config).path
    (path / name).unlink()
    with pytest.raises(UserError, match=rf"is incomplete \({name} is missing\): remove it to repeat the run"):
        train(config)
    assert "1 failed" in format_plan(plan([(config, "")]))
    assert sorted(content(train(replace(config, force=True)).path)) == FILES


# Damaged files


METRICS: dict[str, Callable[[bytes], bytes]] = {
    "zeros": CHANGES["zeros"],
    "empty": CHANGES["empty"],
    "other columns": lambda old: old.replace(b"test_metric", b"accuracy"),
    "a row less": lambda old: old[: old.rindex(b"3,")],
}


@pytest.mark.parametrize("harm", METRICS)
def test_damaged_table_of_a_finished_run_is_reported(config: RunConfig, harm: str) -> None:
    path = train(config).path
    file = path / "metrics.csv"
    file.write_bytes(METRICS[harm](file.read_bytes()))
    with pytest.raises(UserError, match=r"is damaged \(metrics\.csv .*\): remove it to repeat the run") as caught:
        train(config)
    assert_sentence(str(caught.value), path)


def a_hole(old: bytes) -> bytes:
    """Zeros where the numbers are, which unpickling does not notice."""
    place = old.index(b"data/0") + 80
    return old[:place] + bytes(64) + old[place + 64 :]


@pytest.mark.parametrize("harm", ["empty", "a third", "zeros", "noise", "a page", "a hole"])
def test_damaged_model_of_a_teacher_is_reported(config: RunConfig, harm: str) -> None:
    teacher = replace(config, strategy={"name": "classical", "batches": "shuffled"})
    file = train(teacher).path / MODEL
    file.write_bytes(a_hole(file.read_bytes()) if harm == "a hole" else CHANGES[harm](file.read_bytes()))
    for use in (lambda: final_parameters(teacher), lambda: l2m.load(file.parent)):
        with pytest.raises(UserError) as caught:
            use()
        assert_sentence(str(caught.value), file)
        assert "weights_only" not in str(caught.value)


def test_teacher_of_another_architecture_is_reported(config: RunConfig) -> None:
    words = ("dataset=digits", "epochs=2", "device=cpu", "threads=1", f"results_dir={config.results_dir}")
    student = l2m.compose(*words, "strategy=curriculum", "strategy.warm_up=1")
    (teacher,) = needs(student)
    file = train(teacher).path / MODEL
    narrower = l2m.compose(*words, "strategy=classical", "model.hidden=8")
    shutil.copy(train(narrower).path / MODEL, file)
    with pytest.raises(UserError, match=r"model\.pt does not fit model=mlp \(.*\): remove its folder") as caught:
        train(student)
    assert_sentence(str(caught.value), file)


# Newer records


@pytest.mark.parametrize("status", ["done", "running"])
@pytest.mark.parametrize("force", [False, True])
def test_record_of_a_newer_version_is_left_alone(config: RunConfig, status: str, force: bool) -> None:
    path = train(config).path
    info = json.loads((path / "run.json").read_text())
    (path / "run.json").write_text(json.dumps(info | {"schema": 2, "status": status}))
    before = content(path)
    with pytest.raises(UserError, match=r"is of a newer version \(run\.json says schema 2, .*\): update l2m"):
        train(replace(config, force=force))
    with pytest.raises(UserError, match="newer version"):
        l2m.load(path)
    (run,) = plan([(config, "")])
    assert run.status == "failed"
    assert content(path) == before


# Locks


def without_flock(descriptor: int, operation: int) -> None:
    raise OSError(38, "Function not implemented")


@pytest.fixture
def no_flock(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file system without ``flock``."""
    monkeypatch.setattr(fcntl, "flock", without_flock)


def lock_file(config: RunConfig, process: int, host: str) -> Path:
    """A lock that another process has left."""
    file = RunDirectory(config).path / "lock"
    file.parent.mkdir(parents=True)
    file.write_text(f"{process}\n{host}\n")
    return file


@pytest.mark.usefixtures("no_flock")
def test_lock_left_by_another_host_is_named(
    config: RunConfig, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(lock, "WAIT", 0.1)
    file = lock_file(config, 4321, "elsewhere")
    with pytest.raises(UserError, match=r"has been held by process 4321 on elsewhere for 0\.1 seconds") as caught:
        train(config)
    assert_sentence(str(caught.value), file)
    assert "is being trained by process 4321 on elsewhere: waiting for it" in caplog.text
    file.unlink()
    assert sorted(content(train(config).path)) == FILES


@pytest.mark.usefixtures("no_flock")
def test_lock_left_by_a_dead_process_of_this_host_is_removed(config: RunConfig) -> None:
    gone = begin(replace(config, results_dir=f"{config.results_dir}-other"))
    end(gone)
    assert gone.pid
    file = lock_file(config, gone.pid, platform.node())
    os.utime(file, (0, 0))
    assert sorted(content(train(config).path)) == FILES


def test_lock_names_its_process(config: RunConfig) -> None:
    with lock.locked(RunDirectory(config).path):
        assert lock._holder(RunDirectory(config).path / "lock") == f"process {os.getpid()} on {platform.node()}"
    assert not RunDirectory(config).path.exists()


# Refusals of the operating system


@pytest.mark.parametrize("name", ["x" * 300, "/".join(["folder"] * 700)])
def test_name_that_is_too_long_is_reported(config: RunConfig, name: str) -> None:
    with pytest.raises(UserError, match=r"cannot be (read|written) \(File name too long\)") as caught:
        train(replace(config, results_dir=f"{config.results_dir}/{name}"))
    assert len(str(caught.value)) < 500


def become_nobody() -> None:
    if os.getuid() == 0:
        os.setuid(65534)


def test_folder_of_another_user_is_reported(config: RunConfig, capfd: pytest.CaptureFixture[str]) -> None:
    train(config)
    Path(config.results_dir).chmod(0o700 if os.getuid() == 0 else 0)
    process = begin(config, become_nobody)
    assert end(process) == 1
    Path(config.results_dir).chmod(0o700)
    assert RunDirectory(config).status() == "done"


def test_too_many_open_files_are_no_damage(config: RunConfig) -> None:
    """A record that cannot be opened may be whole: no message advises to remove it."""
    path = train(config).path
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, limits[1]))
    try:
        with pytest.raises(UserError, match="Too many open files") as caught:
            train(config)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    assert "remove" not in str(caught.value)
    assert RunDirectory(config).status() == "done"
    assert path.exists()


@pytest.mark.parametrize("number", [1, 5, 13, 24, 28, 30, 36, 38, 122])
def test_every_refusal_has_a_sentence(number: int) -> None:
    sentence = describe_error(OSError(number, os.strerror(number), "/some/file"))
    assert sentence is not None
    assert re.fullmatch(r"/some/file cannot be used \([\w /-]+\): [\w (),-]+", sentence)
    assert describe_error(OSError("of a library")) is None


# Configurations from Python


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"epochs": -3}, "epochs=-3 must be at least 1"),
        ({"seed": "3"}, "seed=3 must be a whole number"),
        ({"learning_rate": float("nan")}, "learning_rate=nan must be a finite number"),
        ({"precision": "fp8"}, "precision=fp8 must be one of fp32, tf32, bf16"),
        ({"strategy": {"name": "learn2mix", "mixing_rate": 2}}, "strategy.mixing_rate=2 must be in"),
        ({"model": {"name": "unheard-of"}}, "model=unheard-of is not known"),
        ({"epochs": 0, "seed": -1}, "epochs=0 must be at least 1\nseed=-1 must be in"),
        ({"results_dir": "caf\udce9"}, r"results_dir=caf\udce9 must be text in UTF-8"),
    ],
)
def test_configuration_is_checked_where_it_enters(config: RunConfig, changes: dict[str, Any], problem: str) -> None:
    with pytest.raises(UserError) as caught:
        train(replace(config, **changes))
    assert problem in str(caught.value)
    assert not Path(config.results_dir).exists()


def test_numbers_of_numpy_are_numbers(config: RunConfig) -> None:
    changed = replace(config, seed=np.int64(3), epochs=np.float64(2), learning_rate=torch.tensor(1e-3).double())
    records = train(changed)
    assert records.path == RunDirectory(replace(config, seed=3, epochs=2, learning_rate=float(torch.tensor(1e-3)))).path
    assert len(records.metrics) == 2


def test_group_without_test_samples_is_refused_before_training(config: RunConfig) -> None:
    """Its metric would be missing, and reports would leave the run out."""
    data = load(config)
    others = torch.nonzero(data.test.groups != 3).flatten()
    with pytest.raises(UserError, match="group uniform has no test sample: every group needs one"):
        check_tested(replace(data, test=data.test.subset(others)))


def test_repetition_that_is_interrupted_continues(config: RunConfig, caplog: pytest.LogCaptureFixture) -> None:
    """``force=true`` counts once: a job that is queued again does not start over each time."""
    train(config)
    forced = replace(config, force=True)

    def fault(row: EpochRow) -> None:
        if row.epoch == 2:
            raise LookupError("nowhere")

    with pytest.raises(LookupError):
        train(forced, fault)
    seen: list[int] = []
    with caplog.at_level(logging.WARNING):
        records = train(forced, lambda row: seen.append(row.epoch))
    assert seen == [2, 3]
    assert f"to start from the beginning, remove {records.path / 'checkpoint.pt'}" in caplog.text
    train(forced, lambda row: seen.append(row.epoch))
    assert seen == [2, 3, 1, 2, 3], "a finished run is repeated again"


def test_process_that_dies_after_its_run_is_done_takes_nothing_along(config: RunConfig) -> None:
    """Its checkpoint is still there, and the sweep takes its run for lost."""
    forced = replace(config, force=True)
    kept: list[bytes] = []
    file = RunDirectory(config).path / "checkpoint.pt"
    train(forced, lambda row: kept.append(file.read_bytes() if file.exists() else b""))
    file.write_bytes(kept[-1])
    RunDirectory(config).mark_failed("its process was ended by SIGKILL", "")
    assert RunDirectory(config).status() == "done"
    seen: list[int] = []
    train(forced, lambda row: seen.append(row.epoch))
    assert seen == [1, 2, 3], "force=true repeats a finished run from the beginning"


def test_configuration_that_no_report_could_read_is_refused(config: RunConfig) -> None:
    dataset = l2m.compose("dataset=csv", "dataset.path=x.csv", "dataset.target=y").dataset
    long = replace(config, dataset=dataset | {"ignore": tuple(f"column {i}" for i in range(5000))})
    with pytest.raises(UserError, match=r"config\.yaml has \d+ characters, at most 50000 are allowed: use fewer"):
        RunDirectory(long).start(torch.device("cpu"))
