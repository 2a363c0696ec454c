"""Records: what makes a run this run, where it lies, what is in its files."""

from __future__ import annotations

import dataclasses
import json
import os
from pathlib import Path

import pandas as pd
import pytest
import torch
import yaml

import l2m
from l2m import UserError, files
from l2m.config.checking import check
from l2m.config.run import RunConfig
from l2m.files import pack
from l2m.records import EpochRow, GroupRow, Records
from l2m.records.directory import RunDirectory
from l2m.training.engine import Trainer
from l2m.training.run import train

SMALL = (
    "dataset=mean_estimation", "dataset.train_sizes=[40,30,20,5]", "dataset.test_size=20", "batch_size=19",
    "device=cpu", "threads=1", "epochs=2",
)  # fmt: skip

FILES = ["config.yaml", "groups.csv", "metrics.csv", "model.pt", "run.json"]


def tiny(folder: Path, *overrides: str) -> RunConfig:
    return l2m.compose(*SMALL, f"results_dir={folder}", *overrides)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[RunConfig, Records]:
    config = tiny(tmp_path_factory.mktemp("results"))
    return config, train(config)


# Identity


@pytest.mark.parametrize(
    ("overrides", "digest"),
    [
        ((), "dbf567f7"),
        (("dataset=digits", "strategy=focal", "strategy.focusing=1", "seed=3"), "215ff6cd"),
    ],
)
def test_identities_are_pinned(overrides: tuple[str, ...], digest: str) -> None:
    """If this fails, every record there is has lost its run: see :meth:`l2m.config.run.RunConfig.identity`."""
    assert l2m.compose(*overrides).digest() == digest


@pytest.mark.parametrize(
    "overrides",
    [
        ("device=cpu",),
        ("threads=3",),
        ("data_dir=elsewhere",),
        ("results_dir=elsewhere",),
        ("force=true",),
        ("debug=true",),
        # options at their default
        ("strategy.cadence=epoch_mean",),
        ("strategy.mixing_rate=1e-2",),  # the row's, though not the strategy's own
        ("dataset.test_size=1000",),
        ("dataset.train_sizes=[1000,1000,800,200]",),
        ("model.hidden=64",),
        ("optimizer.beta2=0.999",),
        ("imbalance=none",),
        ("epochs=500", "batch_size=500.0", "learning_rate=0.00005"),
    ],
)
def test_what_cannot_change_the_numbers_is_not_in_the_identity(overrides: tuple[str, ...]) -> None:
    assert l2m.compose(*overrides).digest() == l2m.compose().digest()


def test_what_may_change_the_numbers_is_in_the_identity() -> None:
    others = [
        (),
        ("seed=1",),
        ("data_seed=1",),
        ("epochs=499",),
        ("batch_size=499",),
        ("learning_rate=5.1e-5",),
        ("precision=bf16",),
        ("strategy=classical",),
        ("strategy=classical", "strategy.batches=stratified"),
        ("strategy.mixing_rate=0.011",),
        ("strategy.cadence=batch",),
        ("model.hidden=65",),
        ("optimizer.beta1=0.8",),
        ("optimizer.epsilon=1e-7",),
        ("imbalance=step", "imbalance.groups=[3]", "imbalance.factor=0.5"),
        ("imbalance=step", "imbalance.groups=[2]", "imbalance.factor=0.5"),
        ("dataset.test_size=999",),
        ("dataset.train_sizes=[1000,1000,800,199]",),
        ("dataset=wine_quality",),
    ]
    digests = [l2m.compose(*overrides).digest() for overrides in others]
    assert len(set(digests)) == len(others)
    assert all(len(digest) == 8 and int(digest, 16) >= 0 for digest in digests)


# Layout


def test_a_directory_says_whose_run_it_is(run: tuple[RunConfig, Records], tmp_path: Path) -> None:
    config, records = run
    name = f"seed0-{config.digest()}"
    assert records.path == Path(config.results_dir) / "runs" / "mean_estimation" / "learn2mix" / name
    other = RunDirectory(tiny(tmp_path, "strategy=classical", "seed=7"))
    assert other.path.parent == tmp_path / "runs" / "mean_estimation" / "classical"
    assert other.path.name.startswith("seed7-")
    assert other.status() is None
    assert not any(tmp_path.iterdir())  # asking writes nothing


def test_a_run_is_five_files_and_nothing_beside_them(run: tuple[RunConfig, Records]) -> None:
    config, records = run
    assert sorted(file.name for file in Path(config.results_dir).rglob("*") if file.is_file()) == FILES
    assert sorted(file.name for file in records.path.iterdir()) == FILES


def test_metrics_has_a_row_an_epoch(run: tuple[RunConfig, Records]) -> None:
    _, records = run
    table = pd.read_csv(records.path / "metrics.csv")
    assert table.columns.tolist() == [field.name for field in dataclasses.fields(EpochRow)]
    assert table["epoch"].tolist() == [1, 2]
    assert table["steps"].tolist() == [5, 10]
    assert table["samples"].tolist() == [95, 190]
    assert not table.isna().any().any()


def test_groups_has_a_row_an_epoch_and_group(run: tuple[RunConfig, Records]) -> None:
    _, records = run
    table = pd.read_csv(records.path / "groups.csv")
    assert table.columns.tolist() == [field.name for field in dataclasses.fields(GroupRow)]
    assert table["epoch"].tolist() == [1] * 4 + [2] * 4
    assert table["group"].tolist() == [0, 1, 2, 3] * 2
    assert table["name"].tolist() == ["normal", "exponential", "chi-squared", "uniform"] * 2
    assert table["proportion"][:4].tolist() == pytest.approx([40 / 95, 30 / 95, 20 / 95, 5 / 95])
    assert table.groupby("epoch")["count"].sum().tolist() == [95, 95]


def test_records_show_themselves_in_a_notebook(run: tuple[RunConfig, Records]) -> None:
    _, records = run
    html = records._repr_html_()
    assert str(records.path) in html
    assert html.count("<tr") == (1 + 1) + (1 + 4), "heads, the last epoch, its four groups"
    assert f"<td>{records.groups['name'].iloc[-1]}</td>" in html
    curve, worst = records.plot().lines
    assert curve.get_ydata().tolist() == records.metrics["test_metric"].tolist()
    assert worst.get_ydata().tolist() == records.metrics["worst_group"].tolist()


def test_a_group_in_no_batch_has_no_loss(tmp_path: Path) -> None:
    rare = train(tiny(tmp_path, "dataset.train_sizes=[40,30,20,1]", "batch_size=50", "epochs=4"))
    uniform = rare.groups[rare.groups["name"] == "uniform"]
    assert uniform["count"].min() == 0
    assert (uniform["train_loss"].isna() == (uniform["count"] == 0)).all()
    assert "uniform,0.01098901,0,," in (rare.path / "groups.csv").read_text()


def test_run_json_says_what_trained_it(run: tuple[RunConfig, Records]) -> None:
    _, records = run
    info = json.loads((records.path / "run.json").read_text())
    assert info.keys() == {
        "schema", "version", "commit", "torch", "device", "threads", "start", "end", "seconds", "model", "status",
    }  # fmt: skip
    assert info["schema"] == 1
    assert info["model"] == "model.pt"
    assert info["version"] == l2m.__version__
    assert info["torch"] == torch.__version__
    assert (info["device"], info["threads"], info["status"]) == ("cpu", 1, "done")
    assert pd.Timestamp(info["start"]) <= pd.Timestamp(info["end"])
    assert records.info == info


def test_config_yaml_is_the_configuration(run: tuple[RunConfig, Records]) -> None:
    config, records = run
    assert check(yaml.safe_load((records.path / "config.yaml").read_text())) == config


def test_model_pt_is_the_trained_model(run: tuple[RunConfig, Records]) -> None:
    config, records = run
    saved = torch.load(records.path / "model.pt", weights_only=True)
    assert saved.keys() == {"parameters", "blank", "group_names", "classes", "class_names", "preprocessing"}
    with torch.random.fork_rng():
        fresh = Trainer(config)
    assert fresh.evaluate().loss.item() != pytest.approx(records.metrics["test_loss"][1], rel=1e-4)
    fresh.model.load_state_dict(saved["parameters"])
    assert fresh.evaluate().loss.item() == pytest.approx(records.metrics["test_loss"][1], rel=1e-5)


def test_model_pt_holds_the_preprocessing(tmp_path: Path) -> None:
    records = train(l2m.compose("dataset=digits", "device=cpu", "epochs=1", f"results_dir={tmp_path}"))
    saved = torch.load(records.path / "model.pt", weights_only=True)
    assert saved["preprocessing"] == {"mean": [0.5], "sd": [0.5], "white": [16.0]}


# Trouble


@pytest.mark.parametrize("content", ["", "{", "[]", '{"schema": 1}', "null"])
def test_a_damaged_record_is_reported(content: str, tmp_path: Path) -> None:
    config = tiny(tmp_path)
    file = RunDirectory(config).path / "run.json"
    file.parent.mkdir(parents=True)
    file.write_text(content)
    with pytest.raises(UserError, match=r"run\.json is not a valid run record .*: remove it"):
        train(config)
    assert file.read_text() == content
    file.unlink()
    assert train(config).info["status"] == "done"


def test_a_packed_run_is_read_and_its_repetition_is_not_packed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = tiny(tmp_path)
    first = train(config)
    flushed: list[str] = []
    with monkeypatch.context() as patch:
        patch.setattr(files, "LARGEST", 100)
        with pytest.raises(ValueError, match="holds more than 100 bytes"):
            pack(first.path / "groups.csv")
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", lambda descriptor: flushed.append(os.readlink(f"/proc/self/fd/{descriptor}")))
        pack(first.path / "groups.csv")
    assert [Path(each).suffix for each in flushed] == [".part", ""], "the packed table and its name"
    assert not (first.path / "groups.csv").exists()
    pd.testing.assert_frame_equal(train(config).groups, first.groups)
    again = train(tiny(tmp_path, "force=true"))
    assert (first.path / "groups.csv").exists()
    assert not (first.path / "groups.csv.gz").exists()
    pd.testing.assert_frame_equal(again.groups, first.groups)


def test_a_finished_run_that_lost_a_file_is_reported(tmp_path: Path) -> None:
    config = tiny(tmp_path)
    (train(config).path / "metrics.csv").unlink()
    with pytest.raises(UserError, match=r"is incomplete .*metrics.csv.*: remove it"):
        train(config)


def test_a_folder_that_cannot_be_written_is_reported_before_training(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    rows: list[EpochRow] = []
    with pytest.raises(UserError, match=r"file/runs/.* cannot be written .*: choose a results_dir"):
        train(tiny(tmp_path / "file"), rows.append)
    assert not rows
