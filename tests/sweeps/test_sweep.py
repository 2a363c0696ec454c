"""Sweeps: runs side by side, in processes that may die, from the command line."""

from __future__ import annotations

import json
import os
import re
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from alike import same
from loky import ProcessPoolExecutor

from l2m import compose, sweep, train
from l2m.config.run import RunConfig
from l2m.records.directory import RunDirectory
from l2m.sweeps.launchers import Outcome, processes
from l2m.sweeps.launchers.processes import Processes, count_workers, visible_gpus
from l2m.sweeps.launching import choose_launcher, launch
from l2m.sweeps.plan import plan
from l2m.training.stopping import Stopped

SMALL = ("dataset=digits", "device=cpu", "threads=1", "checkpoint_seconds=0", "together=1")
FILES = ["config.yaml", "groups.csv", "metrics.csv", "model.pt", "run.json"]


def begin(folder: Path, *words: str, limit: int = resource.RLIM_INFINITY) -> subprocess.Popen[str]:
    """``python -m l2m.run -m ...`` in a process group of its own, as a terminal gives it."""

    def prepare() -> None:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))

    flags = [word for word in words if word.startswith("--")]  # they come first
    return subprocess.Popen(
        [sys.executable, "-m", "l2m.run", "-m", *flags, *SMALL, *(word for word in words if word not in flags)],
        cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
        preexec_fn=prepare,
    )  # fmt: skip


def end(sweep: subprocess.Popen[str]) -> tuple[int, str, str]:
    out, err = sweep.communicate(timeout=300)
    assert "Traceback" not in out + err
    return sweep.returncode, out, err


def runs(folder: Path, *words: str, strategies: tuple[str, ...], seeds: int) -> list[RunConfig]:
    return [
        compose(*SMALL, *words, f"strategy={strategy}", f"seed={seed}", f"results_dir={folder}/outputs")
        for strategy in strategies
        for seed in range(seeds)
    ]


def test_a_sweep_outside_the_main_thread(tmp_path: Path) -> None:
    words = (*SMALL, "epochs=1", "seed=0,1", "workers=1", f"results_dir={tmp_path}")
    with ThreadPoolExecutor(1) as thread:
        records = thread.submit(sweep, *words).result()
    assert [each.info["status"] for each in records] == ["done", "done"]


def await_true(condition: Callable[[], bool]) -> None:
    until = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.02)


def workers(sweep: subprocess.Popen[str]) -> list[int]:
    """The processes that train, of a sweep."""
    children = Path(f"/proc/{sweep.pid}/task").glob("*/children")
    found = [int(pid) for file in children for pid in file.read_text().split()]
    return [pid for pid in found if "popen_loky" in Path(f"/proc/{pid}/cmdline").read_text()]


def statuses(folder: Path) -> list[str]:
    return sorted(json.loads(file.read_text())["status"] for file in folder.rglob("run.json"))


def checkpoints(folder: Path) -> list[Path]:
    return list(folder.rglob("checkpoint.pt"))


def pretend_gpus(monkeypatch: pytest.MonkeyPatch, count: int, cores: int = 8, visible: str | None = None) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: count)
    monkeypatch.setattr(processes, "cpu_count", lambda: cores)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)


@pytest.mark.parametrize(
    ("gpus", "cores", "words", "expected"),
    [
        (0, 8, ("threads=1",), 8),
        (0, 8, ("threads=2",), 4),
        (1, 8, ("threads=1",), 4),
        (1, 3, ("threads=1",), 3),
        (1, 1, ("threads=1",), 2),
        (1, 8, ("threads=null",), 1),
        (1, 8, ("threads=1", "device=cpu"), 8),
        (1, 8, ("threads=1", "equal_seconds=true"), 1),
        (3, 8, ("threads=1",), 3),
        (3, 8, ("threads=null",), 3),
        (3, 8, ("threads=null", "workers=5"), 5),
        (3, 8, ("threads=null", "equal_seconds=true"), 1),
    ],
)
def test_runs_share_a_gpu_if_they_are_small_and_have_one_each_of_several(
    monkeypatch: pytest.MonkeyPatch, gpus: int, cores: int, words: tuple[str, ...], expected: int
) -> None:
    config = compose("dataset=digits", *words)
    configs = [replace(config, seed=seed) for seed in range(20)]
    pretend_gpus(monkeypatch, gpus, cores)
    assert count_workers(configs) == expected
    assert count_workers(configs[:1]) == 1


def test_gpus_keep_the_names_that_they_were_made_visible_by(monkeypatch: pytest.MonkeyPatch) -> None:
    config = compose("dataset=digits")
    pretend_gpus(monkeypatch, 2, visible="3,GPU-5af0")
    assert visible_gpus([config]) == ["3", "GPU-5af0"]
    pretend_gpus(monkeypatch, 2)
    assert visible_gpus([config]) == ["0", "1"]
    assert visible_gpus([replace(config, device="cpu")]) == []
    named = [replace(config, device="cuda:1", seed=seed, threads=None) for seed in range(3)]
    assert visible_gpus(named) == ["cuda:1"], "all runs were sent to that one"
    assert count_workers(named) == 1
    pretend_gpus(monkeypatch, 0)
    assert visible_gpus([config]) == []


def test_a_slot_shows_its_worker_its_gpu_alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Workers here see no GPU: a run that was meant for one fails, and does not train on the CPU unnoticed."""
    pretend_gpus(monkeypatch, 2)
    begun: list[str] = []

    def executor(*rest: object, env: dict[str, str] | None, **more: Any) -> ProcessPoolExecutor:
        begun.append((env or {})["CUDA_VISIBLE_DEVICES"])
        return ProcessPoolExecutor(*rest, env=env, **more)

    monkeypatch.setattr(processes, "ProcessPoolExecutor", executor)
    configs = [compose("dataset=digits", "epochs=1", f"seed={seed}", f"results_dir={tmp_path}") for seed in range(3)]
    failed = launch(plan((config, "") for config in configs), choose_launcher({}))
    assert sorted(begun) == ["0", "1"]
    assert [reason.partition(":")[0] for _, reason in failed] == ["device=cuda is not available, torch sees 0 GPUs"] * 3


@pytest.mark.long
def test_a_sweep_that_is_killed_and_repeated_ends_as_if_it_never_was(tmp_path: Path) -> None:
    words = ("strategy=classical,learn2mix", "seed=range(2)", "epochs=200")
    for _ in range(2):
        sweep = begin(tmp_path, *words)
        began = time.time()
        await_true(lambda: any(file.stat().st_mtime > began for file in checkpoints(tmp_path)))  # noqa: B023
        sweep.kill()
        sweep.communicate()
    status, out, err = end(begin(tmp_path, *words))
    assert status == 0, err
    assert "continues after epoch" in out
    for config in runs(tmp_path, "epochs=200", strategies=("classical", "learn2mix"), seeds=2):
        assert sorted(file.name for file in RunDirectory(config).path.iterdir()) == FILES
        alone = compose(*SMALL, "epochs=200", f"strategy={config.strategy['name']}", f"seed={config.seed}",
                        f"results_dir={tmp_path}/alone")  # fmt: skip
        train(alone)
        assert same(config, alone)


def test_a_worker_that_is_killed_takes_no_other_run_with_it(tmp_path: Path) -> None:
    words = ("strategy=classical,focal,balanced", "seed=0", "epochs=120", "workers=2")
    sweep = begin(tmp_path, *words)
    await_true(lambda: len(checkpoints(tmp_path)) == 2)
    first, second = sorted(path.parts[-3] for path in checkpoints(tmp_path))
    os.kill(workers(sweep)[0], signal.SIGKILL)
    status, out, err = end(sweep)
    assert status == 1
    assert "3 runs: 2 done, 0 skipped (done before), 1 failed" in out
    assert "its process was ended by SIGKILL: did it run out of memory?" in err
    assert statuses(tmp_path) == ["done", "done", "failed"]
    (log,) = tmp_path.rglob("log.txt")
    assert log.parts[-3] in (first, second)
    assert "SIGKILL" in log.read_text()
    (command,) = re.findall(r"^  python -m l2m\.run (.*)", out, re.MULTILINE)
    again = subprocess.run(
        f"{sys.executable} -m l2m.run {command}", shell=True, cwd=tmp_path, capture_output=True, text=True, timeout=300
    )
    assert (again.returncode, again.stderr) == (0, "")
    assert "continues after epoch" in again.stdout
    assert statuses(tmp_path) == ["done"] * 3
    assert not list(tmp_path.rglob("log.txt"))


class Interrupted(Processes):
    """Ends the first run, and is interrupted before the second."""

    def submit(self, configs: Sequence[RunConfig]) -> None:
        pass

    def outcomes(self) -> Iterator[tuple[int, Outcome]]:
        yield 0, Outcome("done", "")
        os.kill(os.getpid(), signal.SIGINT)
        yield 1, Outcome("stopped", "")


@pytest.mark.parametrize("force", [False, True])
def test_stopped_sweep_says_what_force_would_repeat(force: bool) -> None:
    config = compose(*SMALL, f"force={force}")
    with pytest.raises(Stopped) as stop:
        launch(plan([(config, ""), (replace(config, seed=1), "")]), Interrupted())
    assert "1 of 2 runs done, 0 failed, 1 to do" in str(stop.value)
    assert ("force=true will repeat all: leave out the seeds" in str(stop.value)) == force


@pytest.mark.parametrize("by", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.long)])
def test_a_sweep_ended_by_a_signal_leaves_checkpoints(tmp_path: Path, by: signal.Signals) -> None:
    sweep = begin(tmp_path, "strategy=classical,learn2mix", "seed=range(5)", "epochs=4000", "workers=2")
    await_true(lambda: len(checkpoints(tmp_path)) == 2)
    if by == signal.SIGINT:
        os.killpg(sweep.pid, by)  # as a terminal does: all of them get it
    else:
        sweep.send_signal(by)
    ended_by(by, sweep, tmp_path, 10)


def ended_by(by: signal.Signals, sweep: subprocess.Popen[str], folder: Path, runs: int) -> None:
    """Two runs of a sweep of so many rest, and can go on."""
    status, _, err = end(sweep)
    assert status == 128 + by
    assert "stopping: every run ends its epoch (once more: at once)" in err
    assert f"stopped: 0 of {runs} runs done, 0 failed, {runs} to do; run the same command to continue" in err
    assert statuses(folder) == ["running"] * 2
    assert len(checkpoints(folder)) == 2
    assert not list(folder.rglob("*.part")) + list(folder.rglob("lock"))


@pytest.mark.long
def test_workers_end_when_the_sweep_is_killed(tmp_path: Path) -> None:
    sweep = begin(tmp_path, "seed=range(2)", "epochs=100000", "workers=2")
    await_true(lambda: len(checkpoints(tmp_path)) == 2)
    pids = workers(sweep)
    assert len(pids) == 2
    sweep.kill()
    sweep.communicate()
    await_true(lambda: not any(Path(f"/proc/{pid}/stat").exists() for pid in pids))
    assert not list(tmp_path.rglob("lock"))


@pytest.mark.long
def test_a_yaml_that_changes_in_the_middle_changes_no_run(tmp_path: Path) -> None:
    mine = tmp_path / "mine" / "strategy" / "mine.yaml"
    mine.parent.mkdir(parents=True)
    mine.write_text("name: learn2mix\nmixing_rate: 0.2\n")
    sweep = begin(tmp_path, "--config-dir=mine", "strategy=mine", "seed=range(4)", "epochs=30", "workers=1")
    await_true(lambda: bool(checkpoints(tmp_path)))
    mine.write_text("name: learn2mix\nmixing_rate: 0.7\n")
    assert end(sweep)[0] == 0
    texts = [file.read_text() for file in tmp_path.rglob("config.yaml")]
    assert len(texts) == 4
    assert all("mixing_rate: 0.2" in text for text in texts)


def test_a_damaged_record_and_one_of_another_run_stop_no_other(tmp_path: Path) -> None:
    damaged, other, _ = configs = runs(tmp_path, "epochs=2", strategies=("classical",), seeds=3)
    for config in (damaged, other):
        train(config)
    (RunDirectory(damaged).path / "run.json").write_text("{")
    file = RunDirectory(other).path / "config.yaml"
    file.write_text(file.read_text().replace("epochs: 2", "epochs: 3"))
    before = {file: file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()}
    status, out, err = end(begin(tmp_path, "epochs=2", "strategy=classical", "seed=range(3)", "workers=1"))
    assert status == 1
    assert "3 runs: 1 done, 0 skipped (done before), 2 failed" in out
    assert "run.json is not a valid run record" in err
    assert "config.yaml belongs to another run: it has epochs=3, this run has epochs=2" in err
    assert {file: file.read_bytes() for file in before} == before
    assert RunDirectory(configs[2]).status() == "done"


def test_failures_of_all_kinds_are_summed_up(tmp_path: Path) -> None:
    for config in runs(tmp_path, "epochs=2", strategies=("classical",), seeds=1):
        train(config)
    words = ("epochs=2", "learning_rate=1e-3,1e30,-1", "strategy=classical", "seed=0", "workers=1")
    status, out, err = end(begin(tmp_path, *words))
    assert status == 1
    assert "3 runs: 0 done, 1 skipped (done before), 2 failed" in out
    for problem in ("learning_rate=-1 must be above 0", "the loss is not finite in epoch 1"):
        assert (out + err).count(problem) == 1
    assert statuses(tmp_path) == ["done", "failed"]
    again = re.findall(r"^  python -m l2m\.run (.*)", out, re.M)
    assert [word for each in again for word in each.split() if "_rate" in word] == [
        "learning_rate=-1",
        "learning_rate=1e+30",
    ]


def test_workers_that_read_by_datasets_leave_nothing_behind(tmp_path: Path) -> None:
    rows = [f"a good film {i},good" for i in range(20)] + [f"a bad film {i},bad" for i in range(20)]
    (tmp_path / "reviews.csv").write_text("\n".join(["text,label", *rows]))
    words = ("dataset=hugging_face", "dataset.path=reviews.csv", "dataset.length=8", "epochs=1", "seed=0,1")
    returncode, _, errors = end(begin(tmp_path, *words))
    assert (returncode, errors) == (0, "")


@pytest.mark.long
def test_a_run_without_memory_enough_stops_no_other(tmp_path: Path) -> None:
    words = ("dataset=mean_estimation", "dataset.train_sizes=[40,30,20,10],[2000000000,1,1,1]", "batch_size=20")
    sweep = begin(tmp_path, *words, "epochs=2", "workers=1", limit=8 * 2**30)  # bytes of addresses
    status, out, err = end(sweep)
    assert status == 1
    assert "2 runs: 1 done, 0 skipped (done before), 1 failed" in out
    assert "there is not enough memory for batch_size=20 and model=mlp (" in err
    assert "use smaller ones, or fewer workers" in err
    assert statuses(tmp_path) == ["done"]
