"""Files that are not the published ones, and runs on other files than before."""

from __future__ import annotations

import pickle
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from mutations import linked, put

from l2m import RunConfig, UserError, compose, train
from l2m.data import _load, load
from l2m.data.paper import vision
from l2m.records.directory import RunDirectory
from l2m.report.runs import read_runs

BATCHES = "cifar-10-batches-py"


def change(folder: Path, name: str, how: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    file = folder / BATCHES / name
    put(file, pickle.dumps(how(pickle.loads(file.read_bytes())), protocol=4))
    _load.cache_clear()


def reordered(batch: dict[str, Any]) -> dict[str, Any]:
    order = np.argsort(batch["labels"], kind="stable")
    return batch | {"labels": [batch["labels"][i] for i in order], "data": batch["data"][order]}


@pytest.fixture
def folder(tiny_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(vision, "CIFAR_SIZES", (120, 30))
    return linked(tiny_data / BATCHES, tmp_path / "data" / BATCHES).parent


@pytest.fixture
def config(folder: Path, tmp_path: Path) -> RunConfig:
    return compose(
        "dataset=cifar10", "strategy=classical", "epochs=2", "batch_size=40", "device=cpu", "threads=1",
        f"data_dir={folder}", f"results_dir={tmp_path / 'results'}",
    )  # fmt: skip


def images(config: RunConfig) -> torch.Tensor:
    """Of the training set, in an order of their own."""
    rows = load(config).train.inputs.flatten(1)
    return rows[torch.argsort(rows.double() @ torch.linspace(1, 2, rows.shape[1], dtype=torch.float64))]


def test_batches_in_another_order_are_read(folder: Path, config: RunConfig, caplog: pytest.LogCaptureFixture) -> None:
    published = images(config)
    assert not caplog.messages
    for name in ("data_batch_1", "data_batch_4"):
        change(folder, name, reordered)
    assert images(config).equal(published)
    (line,) = caplog.messages
    assert line.startswith(f"{folder / BATCHES}: data_batch_1, data_batch_4 are not the published files")


def test_batches_of_other_images_are_refused(folder: Path, config: RunConfig) -> None:
    change(folder, "data_batch_3", lambda batch: batch | {"labels": [7, *batch["labels"][1:]]})
    with pytest.raises(UserError, match=r"data_batch_3 has another MD5 sum .* images of class \d, not 12"):
        load(config)


def test_a_run_on_other_files_is_another_run(folder: Path, config: RunConfig, caplog: pytest.LogCaptureFixture) -> None:
    assert train(config).info["files"] == "published"
    assert RunDirectory(config).status() == "done"
    change(folder, "data_batch_1", reordered)
    with pytest.raises(UserError, match=r"was trained on other files than .*/data has now: use force=true"):
        train(config)
    others = [train(replace(config, seed=seed)) for seed in (1, 2)]
    assert len({run.info["files"] for run in others} - {"published"}) == 1

    (found,) = (reading := read_runs(Path(config.results_dir))).runs
    assert list(found.metrics) == [1, 2], "those of most runs"
    (problem,) = reading.problems
    assert str(RunDirectory(config).path) in problem
    assert "it was trained on other files than most runs of cifar10" in problem
    shutil.rmtree(RunDirectory(replace(config, seed=2)).path)
    (problem,) = read_runs(Path(config.results_dir)).problems
    assert "it was trained on other files than as many other runs of cifar10" in problem

    unfinished = replace(config, seed=3)
    state = {"schema": 1, "identity": unfinished.identity(), "info": {"files": "published"}, "metrics": [],
             "groups": [], "state": {}}  # fmt: skip
    directory = RunDirectory(unfinished)
    directory.path.mkdir()
    torch.save(state, directory.path / "checkpoint.pt")
    caplog.clear()
    train(unfinished)
    assert f"has other files now: {directory.path} starts from the beginning" in caplog.text
    assert RunDirectory(unfinished).status() == "done"


def test_a_record_from_before_fingerprints_is_of_the_published_files(folder: Path, config: RunConfig) -> None:
    train(config)
    file = RunDirectory(config).path / "run.json"
    file.write_text(file.read_text().replace('  "files": "published",\n', ""))
    assert RunDirectory(config).status() == "done"
    change(folder, "test_batch", reordered)
    with pytest.raises(UserError, match="was trained on other files than"):
        RunDirectory(config).status()
    for batch in (folder / BATCHES).iterdir():
        batch.unlink()
    assert RunDirectory(config).status() == "done", "records are read where no data are"
