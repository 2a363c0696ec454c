"""Loggers: TensorBoard and MLflow against a local store, W&B in its offline mode; and what needs none of them."""

from __future__ import annotations

import inspect
import json
import logging
import os
import struct
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import Any, ClassVar

import pandas as pd
import pytest
import yaml

from l2m import UserError, compose, train
from l2m.catalog import registries
from l2m.config.run import RunConfig
from l2m.config.user_folders import conf_dir
from l2m.loggers import LOGGERS, Logger
from l2m.records import EpochRow, GroupRow
from l2m.records.directory import RunDirectory
from l2m.training.stopping import Stopped

extras = pytest.mark.extras

SMALL = ("dataset=digits", "device=cpu", "threads=1", "checkpoint_seconds=0")
COLUMNS = ("train_loss", "test_loss", "test_metric", "worst_group", "seconds")
OF_GROUPS = ("proportion", "train_loss", "test_metric")


def small(folder: Path, *overrides: str) -> RunConfig:
    return compose(*SMALL, "epochs=4", f"results_dir={folder}", *overrides)


def written(config: RunConfig) -> dict[str, dict[int, float]]:
    """The records' numbers by what they are called in a tracker, and epoch."""
    path = RunDirectory(config).path
    metrics, groups = (pd.read_csv(path / name) for name in ("metrics.csv", "groups.csv"))
    found = {name: dict(zip(metrics["epoch"], metrics[name], strict=True)) for name in COLUMNS}
    for group, rows in groups.groupby("name"):
        found |= {f"{name}/{group}": dict(zip(rows["epoch"], rows[name], strict=True)) for name in OF_GROUPS}
    return {name: {epoch: value for epoch, value in row.items() if isfinite(value)} for name, row in found.items()}


def agree(tracked: dict[str, dict[int, float]], config: RunConfig) -> None:
    """The tracker has the records' numbers, which have seven digits, and no others."""
    records = written(config)
    assert tracked.keys() == records.keys()
    for name, row in records.items():
        assert tracked[name] == pytest.approx(row, rel=1e-6), name


def interrupted(config: RunConfig, after: int) -> None:
    """Train a run until a signal ends it."""

    def stop(row: EpochRow) -> None:
        if row.epoch == after:
            os.kill(os.getpid(), 15)

    with pytest.raises(Stopped):
        train(config, stop)


@pytest.mark.parametrize("name", ["mlflow", "tensorboard", "wandb"])
def test_options_of_a_yaml_are_those_of_its_logger(name: str) -> None:
    registries()
    assert LOGGERS.names() == ["mlflow", "tensorboard", "wandb"]
    options = yaml.safe_load((conf_dir() / "logger" / f"{name}.yaml").read_text())
    assert options == {name: LOGGERS.defaults(name)}
    assert options[name].keys() == inspect.signature(LOGGERS[name]).parameters.keys()


def test_a_run_is_the_same_run_with_a_logger(tmp_path: Path) -> None:
    config = small(tmp_path)
    assert config.logger == {}
    pytest.importorskip("tensorboard")
    assert small(tmp_path, "logger=tensorboard").identity() == config.identity()


def test_a_missing_package_is_reported_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("l2m.errors.find_spec", {}.get)
    with pytest.raises(UserError) as error:
        compose("logger=[mlflow,tensorboard]")
    assert str(error.value) == (
        "logger=mlflow needs mlflow: pip install 'learn2mix[trackers]'\n"
        "logger=tensorboard needs tensorboard: pip install 'learn2mix[trackers]'"
    )


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("logger=mlflo",), "logger=mlflo is not known (did you mean mlflow?): choose one of mlflow, none, "),
        (("logger=[mlflow,tensorbord]",), "logger=tensorbord is not known (did you mean tensorboard?)"),
        (("logger=mlflow,wandb",), "several loggers at once are 'logger=[mlflow,wandb]'"),
        (("logger=mlflow", "logger.mlflow.url=x"), "(did you mean logger.mlflow.uri?)"),
        (("logger.wandb.mode=offline",), "add logger=wandb, which has it"),
    ],
)
def test_a_wrong_logger_is_reported(words: tuple[str, ...], expected: str) -> None:
    with pytest.raises(UserError) as error:
        compose(*words)
    assert expected in str(error.value)


def test_a_wrong_option_is_reported_with_its_logger(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("l2m.errors.find_spec", lambda _: True)
    with pytest.raises(UserError, match=r"logger\.wandb\.mode=online2 must be one of online, offline"):
        compose("logger=wandb", "logger.wandb.mode=online2")


@dataclass(kw_only=True)
class Notebook(Logger):
    """What was logged, and where it must fail."""

    package: ClassVar[str] = "json"
    logged: ClassVar[list[Any]] = []

    fails: str = "never"

    def start(self, config: RunConfig, path: Path, before: str | None) -> str:
        self._note("start", before)
        return f"{len(self.logged)}"

    def epoch(self, row: EpochRow, groups: Sequence[GroupRow]) -> None:
        self._note("epoch", row.epoch)

    def end(self, status: str) -> None:
        self._note("end", status)

    def _note(self, *what: Any) -> None:
        self.logged.append(what)
        if self.fails == what[0]:
            raise ConnectionError("no route")


@pytest.fixture
def notebook(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What the logger ``notebook`` has logged."""
    monkeypatch.setattr(LOGGERS, "_entries", {**LOGGERS._entries, "notebook": Notebook})
    monkeypatch.setattr(Notebook, "logged", [])
    return Notebook.logged


def with_notebook(folder: Path, fails: str = "never", *words: str) -> RunConfig:
    return compose(*SMALL, "epochs=4", f"results_dir={folder}", f"+logger.notebook.fails={fails}", *words)


def test_a_logger_follows_a_run_to_its_end_and_goes_on_with_it(tmp_path: Path, notebook: list[Any]) -> None:
    config = with_notebook(tmp_path)
    interrupted(config, after=2)
    assert notebook == [("start", None), ("epoch", 1), ("epoch", 2), ("end", "stopped")]
    notebook.clear()
    train(config)
    assert notebook == [("start", "1"), ("epoch", 3), ("epoch", 4), ("end", "done")]
    notebook.clear()
    train(config)
    assert notebook == [], "a finished run is not logged again"
    train(with_notebook(tmp_path, "never", "force=true"))
    assert notebook[0] == ("start", None), "a run that is forced is another one"


def test_a_run_that_fails_is_reported_as_failed(tmp_path: Path, notebook: list[Any]) -> None:
    with pytest.raises(UserError, match="the loss is not finite"):
        train(with_notebook(tmp_path, "never", "learning_rate=1e30"))
    assert notebook == [("start", None), ("end", "failed")]


@pytest.mark.parametrize("fails", ["start", "epoch", "end"])
def test_a_logger_that_fails_is_given_up_once_and_the_run_goes_on(
    tmp_path: Path, notebook: list[Any], caplog: pytest.LogCaptureFixture, fails: str
) -> None:
    with caplog.at_level(logging.WARNING):
        assert train(with_notebook(tmp_path, fails)).info["status"] == "done"
    warned = "logger=notebook is dropped for this run, which continues without it (ConnectionError: no route)"
    assert [record.getMessage() for record in caplog.records] == [warned]
    assert sum(what[0] == fails for what in notebook) == 1


@extras
def test_tensorboard_has_the_numbers_of_the_records_once(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    config = small(tmp_path, "logger=tensorboard")
    interrupted(config, after=2)
    train(config)
    agree(events(RunDirectory(config).path), config)
    train(small(tmp_path, "logger=tensorboard", "force=true"))
    assert len(list(RunDirectory(config).path.glob("events.out.tfevents.*"))) == 1


def events(folder: Path) -> dict[str, dict[int, float]]:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    found = EventAccumulator(str(folder), size_guidance={"scalars": 0}).Reload()
    return {name: {event.step: event.value for event in found.Scalars(name)} for name in found.Tags()["scalars"]}


@extras
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::ResourceWarning")
def test_mlflow_has_the_numbers_of_the_records_in_one_run(tmp_path: Path) -> None:
    pytest.importorskip("mlflow")
    from mlflow.tracking import MlflowClient

    uri = f"sqlite:///{tmp_path}/mlflow.db"
    config = small(tmp_path, "logger=mlflow", f"logger.mlflow.uri={uri}", "tags=[pilot]", "notes=a first try")
    client = MlflowClient(uri)
    interrupted(config, after=2)
    experiment = client.get_experiment_by_name("l2m")
    (run,) = client.search_runs([experiment.experiment_id])
    assert run.info.status == "KILLED"
    train(config)
    (run,) = client.search_runs([experiment.experiment_id])
    assert run.info.status == "FINISHED"
    assert run.data.params["strategy.mixing_rate"] == str(config.strategy["mixing_rate"])
    assert (run.data.tags["pilot"], run.data.tags["mlflow.note.content"]) == ("true", "a first try")
    names = json.loads((RunDirectory(config).path / "loggers.json").read_text())
    assert names == {"mlflow": run.info.run_id}
    history = {name: client.get_metric_history(run.info.run_id, name) for name in run.data.metrics}
    assert all(len(metrics) == len({metric.step for metric in metrics}) for metrics in history.values())
    agree({name: {metric.step: metric.value for metric in metrics} for name, metrics in history.items()}, config)


@extras
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::ResourceWarning")
def test_mlflow_keeps_groups_apart_whose_names_it_refuses(tmp_path: Path) -> None:
    pytest.importorskip("mlflow")
    from mlflow.tracking import MlflowClient

    names = ("C+", "C#", "a//b", "x/", "..", "plain")
    table, uri = tmp_path / "table.csv", f"sqlite:///{tmp_path}/mlflow.db"
    table.write_text("x,y\n" + "".join(f"{i},{names[i % len(names)]}\n" for i in range(120)))
    own = ("dataset=csv", f"dataset.path={table}", "dataset.target=y", "epochs=2", "batch_size=10", "device=cpu")
    train(compose(*own, f"results_dir={tmp_path}", "logger=mlflow", f"logger.mlflow.uri={uri}"))
    client = MlflowClient(uri)
    (run,) = client.search_runs([client.get_experiment_by_name("l2m").experiment_id])
    assert run.info.status == "FINISHED"
    found = [name for name in run.data.metrics if name.startswith("proportion/")]
    assert sorted(found) == [f"proportion/{each}" for each in ("C_ 1", "C_ 2", "_", "a__b", "plain", "x_")]
    assert {len(client.get_metric_history(run.info.run_id, name)) for name in found} == {2}


@extras
def test_wandb_offline_has_the_numbers_of_the_records(tmp_path: Path) -> None:
    """In a process of its own: W&B keeps one of its own beside it, which it talks to through a socket."""
    pytest.importorskip("wandb")
    config = small(tmp_path)
    words = [*SMALL, "epochs=4", f"results_dir={tmp_path}", "logger=[wandb,tensorboard]"]
    ended = subprocess.run(
        [sys.executable, "-m", "l2m.run", *words], cwd=tmp_path, capture_output=True, text=True,
        env=os.environ | {"WANDB_MODE": "offline"}, timeout=300,
    )  # fmt: skip
    assert (ended.returncode, ended.stderr) == (0, "")
    name = json.loads((RunDirectory(config).path / "loggers.json").read_text())["wandb"]
    (file,) = (tmp_path / "wandb").glob(f"offline-run-*-{name}/run-{name}.wandb")
    agree(stored(file), config)
    agree(events(RunDirectory(config).path), config)


def stored(file: Path) -> dict[str, dict[int, float]]:
    """The history in a file of W&B's: 7 bytes, then records in the log format of LevelDB, in blocks of 32 kB."""
    from wandb.proto.wandb_internal_pb2 import Record

    data, place, parts, found = file.read_bytes(), 7, b"", dict[str, dict[int, float]]()
    while place + 7 <= len(data):
        left = 32768 - place % 32768
        _, length, kind = struct.unpack_from("<IHB", data, place)
        if left < 7 or kind == 0:  # the rest of a block is empty
            place += left
            continue
        parts += data[place + 7 : place + 7 + length]
        place += 7 + length
        if kind in (1, 4):  # whole, or the last part
            record, parts = Record.FromString(parts), b""
            for item in record.history.item:
                name = item.key or ".".join(item.nested_key)
                if not name.startswith("_"):
                    found.setdefault(name, {})[record.history.step.num] = json.loads(item.value_json)
    return found


@extras
@pytest.mark.parametrize("name", ["mlflow", "wandb"])
def test_a_server_that_is_not_there_costs_a_warning(tmp_path: Path, name: str) -> None:
    pytest.importorskip(name)
    nowhere = "http://127.0.0.1:9"
    environment = {
        "MLFLOW_TRACKING_URI": nowhere,
        "WANDB_BASE_URL": nowhere,
        "WANDB_API_KEY": "0" * 40,
        "WANDB_INIT_TIMEOUT": "5",
    }
    ended = subprocess.run(
        [sys.executable, "-m", "l2m.run", *SMALL, "epochs=2", f"results_dir={tmp_path}", f"logger={name}"],
        cwd=tmp_path, capture_output=True, text=True, env=os.environ | environment, timeout=300,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    assert f"logger={name} is dropped for this run, which continues without it" in ended.stderr
    assert len(list(tmp_path.glob("runs/*/*/*/model.pt"))) == 1
