"""Launchers: a sweep on a Ray cluster and on submitit's jobs, in real processes; and what needs neither."""

from __future__ import annotations

import inspect
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from alike import same
from commands import Command, opened
from test_sweep import FILES, SMALL, await_true, begin, checkpoints, end, ended_by, statuses

from l2m import UserError, compose, run, train
from l2m.config.user_folders import conf_dir
from l2m.paper import tables
from l2m.records.directory import RunDirectory
from l2m.report.runs import read_runs
from l2m.sweeps.launchers import LAUNCHERS, submitit
from l2m.sweeps.launchers.processes import Processes
from l2m.sweeps.launching import choose_launcher

extras = pytest.mark.extras


@pytest.fixture
def door(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    return opened(run, monkeypatch, capsys)


def settings(name: str, **changes: object) -> dict[str, Any]:
    return yaml.safe_load((conf_dir() / "hydra" / "launcher" / f"{name}.yaml").read_text()) | changes


@pytest.mark.parametrize("name", ["ray", "submitit_local", "submitit_slurm"])
def test_options_of_a_yaml_are_those_of_its_launcher(name: str) -> None:
    assert LAUNCHERS.names() == ["ray", "submitit_local", "submitit_slurm"]
    options = settings(name)
    assert (options.pop("_target_"), options.pop("name")) == ("hydra_plugins.l2m.Collector", name)
    listed = [key for key in inspect.signature(LAUNCHERS[name]).parameters if key in options]
    assert len(listed) == len(options)
    entry = LAUNCHERS[name]()  # type: ignore[call-arg]
    for key, value in options.items():
        default = getattr(entry, key)
        assert (list(default) if isinstance(default, tuple) else default) == value, key


def test_processes_of_this_machine_are_the_launcher_unless_said_otherwise() -> None:
    assert isinstance(
        choose_launcher({"_target_": "hydra._internal.core_plugins.basic_launcher.BasicLauncher"}), Processes
    )


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("-m", "hydra/launcher=joblib"), "hydra/launcher=joblib is not known"),
        (("-m", "hydra/launcher=rai"), "did you mean ray?"),
        (("hydra/launcher=ray",), "hydra/launcher=ray is for a sweep: add -m"),
        (("-m", "hydra/launcher=ray", "hydra.launcher.cpu=2"), "did you mean hydra.launcher.cpus?"),
        (("-m", "hydra.launcher.partition=gpu"), "add hydra/launcher=submitit_slurm, which has it"),
    ],
)
def test_an_unknown_launcher_is_reported(door: Command, words: tuple[str, ...], message: str) -> None:
    status, out, err = door(*words)
    assert (status, out) == (1, "")
    assert message in err


def test_a_study_is_not_sent(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    from l2m import study

    status, out, err = opened(study, monkeypatch, capsys)("-m", "hydra/launcher=ray")
    assert (status, out) == (1, "")
    assert "hydra/launcher=ray is not known: choose one of basic" in err


def test_a_missing_package_is_reported_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, package in (("ray", "ray"), ("submitit_slurm", "submitit")):
        monkeypatch.setattr("l2m.errors.find_spec", {}.get)
        with pytest.raises(UserError, match=rf"={name} needs {package}: pip install 'learn2mix\[launchers\]'"):
            choose_launcher(settings(name))


@extras
def test_wrong_settings_are_reported_all_at_once() -> None:
    pytest.importorskip("submitit")
    with pytest.raises(UserError) as caught:
        choose_launcher(settings("submitit_slurm", timeout_min=0, additional_parameters=3))
    assert str(caught.value) == (
        "hydra.launcher.timeout_min=0 must be at least 1\n"
        "hydra.launcher.additional_parameters=3 must be a mapping, like {key:value}"
    )


@extras
def test_a_slurm_job_asks_for_what_the_settings_say(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The script that sbatch is given; the sbatch here only keeps it and names a job."""
    pytest.importorskip("submitit")
    tools = tmp_path / "bin"
    tools.mkdir()
    for name, text in (("srun", ""), ("sbatch", f'cp "$1" {tmp_path}/script; echo Submitted batch job 7')):
        (tools / name).write_text(f"#!/bin/sh\n{text}\n")
        (tools / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tools}{os.pathsep}{os.environ['PATH']}")
    more = {"partition": "gpu", "gpus_per_node": 1, "additional_parameters": {"mail-type": "END"}}
    launcher = choose_launcher(
        settings("submitit_slurm", timeout_min=90, mem_gb=4, array_parallelism=2, setup=["module load cuda"], **more)
    )
    assert isinstance(launcher, submitit.Slurm)
    configs = [compose(*SMALL, f"seed={seed}", f"results_dir={tmp_path}/outputs") for seed in range(3)]
    launcher.submit(configs)
    script = (tmp_path / "script").read_text()
    asked = {line.removeprefix("#SBATCH --") for line in script.splitlines() if line.startswith("#SBATCH")}
    assert {
        "partition=gpu", "time=90", "gpus-per-node=1", "mem=4GB", "cpus-per-task=1", "array=0-2%2", "mail-type=END",
        "signal=USR2@90", "job-name=l2m",
    } <= asked  # fmt: skip
    assert "\nmodule load cuda\n" in script
    assert launcher.capacity(configs) == 2


@extras
def test_without_slurm_the_runs_are_not_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("submitit")
    monkeypatch.setenv("PATH", str(tmp_path))
    launcher = choose_launcher(settings("submitit_slurm", folder=str(tmp_path / "jobs")))
    assert launcher
    with pytest.raises(UserError, match=r"the runs cannot be submitted \(RuntimeError: Could not detect \"srun\""):
        launcher.submit([compose(*SMALL, f"results_dir={tmp_path}")])


@extras
def test_jobs_write_the_records_of_processes_and_only_unfinished_runs_are_sent(tmp_path: Path) -> None:
    pytest.importorskip("submitit")
    words = ("epochs=3", "strategy=classical,learn2mix", "learning_rate=0.001,1e30")
    train(compose(*SMALL, "epochs=3", "strategy=classical", "learning_rate=0.001", f"results_dir={tmp_path}/outputs"))
    status, out, err = end(begin(tmp_path, *words, "hydra/launcher=submitit_local"))
    assert status == 1
    assert "4 runs: 1 done, 1 skipped (done before), 2 failed" in out
    for strategy in ("classical", "learn2mix"):
        command = f"{' '.join(SMALL)} epochs=3 strategy={strategy}"
        assert f"error: {command} learning_rate=1e+30: the loss is not finite in epoch 1" in err
    assert len(list((tmp_path / "outputs" / "submitit").glob("*_result.pkl"))) == 3
    is_as_trained_here(tmp_path)


@extras
def test_a_preempted_job_continues_from_its_checkpoint(tmp_path: Path) -> None:
    """The signal is the one that Slurm sends; submitit then starts the job again."""
    pytest.importorskip("submitit")
    words = ("epochs=150", "strategy=classical")
    sweep = begin(tmp_path, *words, "hydra/launcher=submitit_local")
    await_true(lambda: bool(checkpoints(tmp_path)))
    (job,) = [pid for pid in processes(tmp_path) if "submitit.core._submit" in command_line(pid)]
    os.kill(job, signal.SIGUSR2)
    status, out, err = end(sweep)
    assert (status, err) == (0, "")
    assert "1 run: 1 done" in out
    ours = compose(*SMALL, *words, f"results_dir={tmp_path}/outputs")
    assert len(json.loads((RunDirectory(ours).path / "run.json").read_text())["resumed"]) == 1
    alone = compose(*SMALL, *words, f"results_dir={tmp_path}/alone")
    train(alone)
    assert same(ours, alone)


@extras
def test_jobs_end_after_their_epoch_when_the_sweep_is_ended(tmp_path: Path) -> None:
    pytest.importorskip("submitit")
    sweep = begin(tmp_path, "epochs=100000", "seed=range(2)", "hydra/launcher=submitit_local")
    await_true(lambda: len(checkpoints(tmp_path)) == 2)
    sweep.send_signal(signal.SIGTERM)
    ended_by(signal.SIGTERM, sweep, tmp_path, 2)


def is_as_trained_here(folder: Path) -> None:
    """The run that was sent has the records that it has without being sent."""
    ours = compose(*SMALL, "epochs=3", "learning_rate=0.001", f"results_dir={folder}/outputs")
    alone = compose(*SMALL, "epochs=3", "learning_rate=0.001", f"results_dir={folder}/alone")
    train(alone)
    assert sorted(file.name for file in RunDirectory(ours).path.iterdir()) == FILES
    assert same(ours, alone)


def command_line(pid: int) -> str:
    return Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")


def processes(folder: Path) -> list[int]:
    """Those that work in a folder."""
    found = []
    for link in Path("/proc").glob("[0-9]*/cwd"):
        try:
            if link.readlink() == folder:
                found.append(int(link.parent.name))
        except OSError:
            continue
    return found


@extras
def test_a_missing_cluster_is_reported(tmp_path: Path) -> None:
    """Before the cluster below is begun, which ``auto`` would find."""
    pytest.importorskip("ray")
    status, _, err = end(begin(tmp_path, "epochs=1", "hydra/launcher=ray"))
    assert status == 1
    assert "there is no Ray cluster at hydra.launcher.address=auto" in err
    assert "start one with `ray start --head`" in err


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a Ray cluster of two machines with a core each, both of them this one."""
    pytest.importorskip("ray")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    address, folder = f"127.0.0.1:{port}", Path("/tmp") / f"l2m-ray-{port}"  # a socket's path is to be short
    command = [sys.executable, "-m", "ray.scripts.scripts", "start", "--num-cpus=1", "--block"]
    head = ["--head", f"--port={port}", "--include-dashboard=false", f"--temp-dir={folder}"]
    environment = os.environ | {"RAY_USAGE_STATS_ENABLED": "0"}
    nodes = []
    try:
        for words in (head, [f"--address={address}"]):
            log = tmp_path_factory.mktemp("ray") / "log"
            with log.open("w") as out:
                nodes.append(subprocess.Popen([*command, *words], stdout=out, stderr=out, env=environment))
            await_true(lambda: "Ray runtime started" in log.read_text())  # noqa: B023
        yield address
    finally:
        for node in reversed(nodes):
            node.terminate()
        for node in nodes:
            node.wait(60)
        shutil.rmtree(folder, ignore_errors=True)


@extras
def test_a_ray_cluster_trains_as_processes_do_and_reports_what_failed(cluster: str, tmp_path: Path) -> None:
    to = ("hydra/launcher=ray", f"hydra.launcher.address={cluster}")
    words = ("epochs=3", "strategy=classical,learn2mix", "learning_rate=0.001,1e30")
    train(compose(*SMALL, "epochs=3", "strategy=classical", "learning_rate=0.001", f"results_dir={tmp_path}/outputs"))
    status, out, err = end(begin(tmp_path, *words, *to))
    assert status == 1
    assert "4 runs: 1 done, 1 skipped (done before), 2 failed" in out
    assert err.count("learning_rate=1e+30: the loss is not finite in epoch 1") == 2
    is_as_trained_here(tmp_path)


@extras
@pytest.mark.long
def test_two_ray_workers_share_a_sweep_and_end_with_it(cluster: str, tmp_path: Path) -> None:
    to = ("hydra/launcher=ray", f"hydra.launcher.address={cluster}")
    sweep = begin(tmp_path, "epochs=100000", "seed=range(2)", *to)
    await_true(lambda: len(checkpoints(tmp_path)) == 2)
    tasks = [pid for pid in processes(tmp_path) if command_line(pid).startswith("ray::")]
    assert len({Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1] for pid in tasks}) == 2
    sweep.send_signal(signal.SIGTERM)
    ended_by(signal.SIGTERM, sweep, tmp_path, 2)


@extras
@pytest.mark.long
def test_a_ray_task_that_is_killed_takes_no_other_with_it(cluster: str, tmp_path: Path) -> None:
    to = ("hydra/launcher=ray", f"hydra.launcher.address={cluster}")
    sweep = begin(tmp_path, "epochs=400", "strategy=classical,learn2mix", *to)
    await_true(lambda: len(checkpoints(tmp_path)) == 2)
    os.kill(next(pid for pid in processes(tmp_path) if command_line(pid).startswith("ray::")), signal.SIGKILL)
    status, out, err = end(sweep)
    assert status == 1
    assert "2 runs: 1 done, 0 skipped (done before), 1 failed" in out
    assert "its task was lost (WorkerCrashedError" in err
    assert statuses(tmp_path) == ["done", "failed"]


def test_records_of_several_machines_are_collected_by_copying(made_up_results: Path, tmp_path: Path) -> None:
    """Tables of two machines' run directories in one folder are those of one machine that trained all."""
    directories = sorted((made_up_results / "runs").glob("*/*/*"))
    for number, directory in enumerate(directories):
        machine = tmp_path / f"machine{number % 2}"
        shutil.copytree(directory, machine / directory.relative_to(made_up_results))
    for machine in ("machine0", "machine1"):
        shutil.copytree(tmp_path / machine / "runs", tmp_path / "all" / "runs", dirs_exist_ok=True)
    assert len(directories) > 10
    one, collected = (read_runs(folder) for folder in (made_up_results, tmp_path / "all"))
    for ours, theirs in zip(tables.both(collected), tables.both(one), strict=True):
        assert tables.markdown(ours) == tables.markdown(theirs)
