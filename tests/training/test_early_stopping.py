"""Early stopping: which epoch is kept, by what, and what records and reports then say."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from alike import left
from made_up import compose, write
from sklearn.metrics import (
    balanced_accuracy_score,
    brier_score_loss,
    log_loss,
    mean_absolute_error,
    mean_squared_error,
    roc_auc_score,
)
from small import ROWS
from test_resume import interrupt_after

import l2m
from l2m import RunConfig, UserError
from l2m.config.checking import check
from l2m.data import Data, load
from l2m.records import Records
from l2m.report import page_data, runs, summary
from l2m.sweeps.progress import Progress
from l2m.sweeps.tuning import _last_values
from l2m.training.early_stopping import EarlyStopping
from l2m.training.engine import Trainer
from l2m.training.run import needs, train
from l2m.training.stopping import Stopped


@pytest.fixture(autouse=True)
def _tiny_files(tiny_data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("L2M_DATA_DIR", str(tiny_data))


DIGITS = ("dataset=digits", "strategy=classical", "epochs=40", "learning_rate=0.02", "early_stopping=3")


def config_of(folder: Path, *overrides: str) -> RunConfig:
    return compose(*overrides, "device=cpu", "threads=1", f"results_dir={folder}")


@pytest.fixture(scope="module")
def early(tmp_path_factory: pytest.TempPathFactory) -> Records:
    """A run that stops some epochs after its best."""
    return train(config_of(tmp_path_factory.mktemp("early"), *DIGITS))


def test_a_run_ends_after_its_patience_and_keeps_the_best_epoch(early: Records, tmp_path: Path) -> None:
    values, best = early.info["held_out"]["by_epoch"], early.info["best_epoch"]
    assert early.info["held_out"]["metric"] == "balanced_accuracy"
    assert best == 1 + int(np.argmax(values))
    assert len(values) == len(early.metrics) == best + 3 < 40
    assert all(max(values[end : end + 3]) > max(values[:end]) for end in range(1, best)), "no three in vain before"
    assert early.final["epoch"] == best
    shorter = train(config_of(tmp_path, *DIGITS, f"epochs={best}"))
    assert shorter.info["held_out"]["by_epoch"] == values[:best]
    rows, _, parameters = left(shorter)
    assert rows == left(early)[0][: best + 1], "stopping changes no epoch before it"
    assert all(torch.equal(value, left(early)[2][name]) for name, value in parameters.items())


def test_nothing_is_trained_on_but_the_rest(early: Records, tmp_path: Path) -> None:
    """Without early stopping, on the same training part, the same epochs are trained."""
    plain = (*DIGITS[:-1], "validation_fraction=0.2", f"epochs={len(early.metrics)}")
    other = train(config_of(tmp_path, *plain))
    assert other.metrics["train_loss"].tolist() == early.metrics["train_loss"].tolist()
    assert other.metrics["test_loss"].tolist() != early.metrics["test_loss"].tolist()
    assert "best_epoch" not in other.info


def outputs_and_data(records: Records, config: RunConfig) -> tuple[Any, Data]:
    data = load(config)
    assert data.held_out is not None
    return l2m.load(records.path).outputs(data.held_out).double().numpy(), data


GROUPED = ("dataset=csv", "dataset.path={folder}/table.csv", "dataset.target=ill", "dataset.group=city")


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """Two classes in three cities, which say nothing of them."""
    rows = [f"{row % 7 + 5 * (row % 4 == 0)},{'ABC'[row % 3]},{'yes' if row % 4 == 0 else 'no'}" for row in range(90)]
    file = tmp_path / "table.csv"
    file.write_text("\n".join(["dose,city,ill", *rows]))
    return file


@pytest.mark.parametrize(
    ("row", "metric", "score"),
    [
        (ROWS["classification"], None, lambda out, data: balanced_accuracy_score(data.targets, out.argmax(1))),
        (ROWS["classification"], "log_loss", lambda out, data: log_loss(data.targets, torch.tensor(out).softmax(1))),
        (GROUPED, None, lambda out, data: balanced_accuracy_score(data.targets, out.argmax(1))),
        (GROUPED, "roc_auc", lambda out, data: roc_auc_score(data.targets, torch.tensor(out).softmax(1)[:, 1])),
        (GROUPED, "brier", lambda out, data: brier_score_loss(data.targets, torch.tensor(out).softmax(1)[:, 1])),
        (GROUPED, "accuracy", lambda out, data: (out.argmax(1) == data.targets.numpy()).mean()),
        (
            GROUPED,
            "worst_group",
            lambda out, data: min(
                (out.argmax(1) == data.targets.numpy())[data.groups == group].mean() for group in data.groups.unique()
            ),
        ),
        (ROWS["regression"], None, lambda out, data: mean_squared_error(data.targets, out)),
        (ROWS["regression"], "mean_absolute_error", lambda out, data: mean_absolute_error(data.targets, out)),
        (
            ROWS["reconstruction"],
            None,
            lambda out, data: mean_squared_error(data.batch(slice(None)).targets.flatten(1), out),
        ),
    ],
)
def test_the_metric_is_that_of_the_saved_model_on_the_held_out_part(
    row: tuple[str, ...], metric: str | None, score: Callable[..., float], table: Path, tmp_path: Path
) -> None:
    words = [word.replace("{folder}", str(table.parent)) for word in row]
    config = config_of(
        tmp_path, *words, "strategy=classical", "epochs=6", "early_stopping=2", "batch_size=8", "learning_rate=0.01",
        *([f"early_stopping_metric={metric}"] if metric else []),
    )  # fmt: skip
    records = train(config)
    outputs, data = outputs_and_data(records, config)
    held_out = records.info["held_out"]["by_epoch"]
    best = held_out[records.info["best_epoch"] - 1]
    assert best == (min if metric in ("log_loss", "brier") or config.task != "classification" else max)(held_out)
    assert score(outputs, data.held_out) == pytest.approx(best, rel=1e-5)


def test_a_validation_part_serves_both(tmp_path: Path) -> None:
    records = train(config_of(tmp_path, *DIGITS, "validation_fraction=0.3", "early_stopping_metric=accuracy"))
    assert records.info["held_out"]["by_epoch"] == pytest.approx(records.metrics["test_metric"].tolist())
    assert records.final["test_metric"] == records.metrics["test_metric"].max()


def test_a_run_interrupted_after_its_best_epoch_ends_alike(early: Records, tmp_path: Path) -> None:
    config = config_of(tmp_path, *DIGITS)
    for epoch in (early.info["best_epoch"], early.info["best_epoch"] + 1):
        with pytest.raises(Stopped):
            train(config, interrupt_after(epoch))
    resumed = train(config)
    assert len(resumed.info["resumed"]) == 2
    assert resumed.info["held_out"] == early.info["held_out"]
    ours, theirs = left(resumed), left(early)
    assert ours[:2] == theirs[:2]
    assert all(torch.equal(value, theirs[2][name]) for name, value in ours[2].items())
    again: list[int] = []
    train(config, lambda row: again.append(row.epoch))
    assert not again, "it is done"


def test_a_needed_run_leaves_out_the_same_part(tmp_path: Path) -> None:
    (warm_up,) = needs(config_of(tmp_path, "dataset=digits", "strategy=curriculum", "early_stopping=3"))
    assert warm_up.held_out == ("early_stopping_fraction", 0.2, 0)


def test_reports_take_the_best_epoch(early: Records, tmp_path: Path) -> None:
    (read,) = runs.read_runs(early.path.parents[3]).runs
    best, column = early.info["best_epoch"], early.metrics["test_metric"]
    assert read.at(1.0).to_dict() == {0: 100 * column[best - 1]}
    assert read.at(0.25).to_dict() == {0: 100 * column[max(int(0.25 * best), 1) - 1]}
    assert len(read.curve()) == len(column)
    groups = early.groups[early.groups["epoch"] == best]["test_metric"]
    (drawn,) = page_data.records("digits", {"": read}, early.path.parents[3]).values()
    assert drawn["groups"][-1] == page_data.series(100 * groups)
    assert f"<td>{groups.iloc[0]:f}</td>" in early._repr_html_()
    config = config_of(early.path.parents[3], *DIGITS)
    assert _last_values([config], "test_metric") == [column[best - 1]]
    line = Progress(config).format_result(early)
    assert f"accuracy {column[best - 1]:.4g}" in line
    assert f"(epoch {best}, the best of {best + 3})" in line
    assert "of runs with early_stopping the best one" in summary.caption([read])
    plain = replace(read, info={0: {"status": "done"}})
    assert "E is the last epoch.\n" in summary.caption([plain])


@pytest.mark.parametrize("best", [None, 0, 9, 2.0, "2"])
def test_a_record_without_a_sound_best_epoch_is_left_out(best: object, tmp_path: Path) -> None:
    path = write(tmp_path, compose("dataset=digits", "epochs=9", "early_stopping=3"), lambda epoch: 0.5, epochs=8)
    file = path / "run.json"
    info = json.loads(file.read_text())
    file.write_text(json.dumps(info | {"best_epoch": 2}))
    assert not runs.read_runs(tmp_path).problems
    file.write_text(json.dumps(info | ({} if best is None else {"best_epoch": best})))
    (problem,) = runs.read_runs(tmp_path, may_be_empty=True).problems
    assert f"run.json has the best_epoch {best}, metrics.csv epochs 1 to 8" in problem


@pytest.mark.parametrize("metric", ["roc_auc", "pr_auc"])
def test_an_area_under_a_curve_needs_two_classes(metric: str, tmp_path: Path) -> None:
    """A held-out part of the data's own, such as a folder ``val/``, may have one alone."""
    config = config_of(tmp_path, *DIGITS, f"early_stopping_metric={metric}")
    data = load(config)
    assert EarlyStopping.of(config, data, torch.device("cpu"))
    one = replace(data, held_out=data.train.subset(torch.nonzero(data.train.targets == 3).flatten()))
    with pytest.raises(
        UserError, match=rf"early_stopping_metric={metric} is not defined on a held-out part of one class"
    ):
        EarlyStopping.of(config, one, torch.device("cpu"))


def test_it_joins_the_identity_only_where_it_is_used() -> None:
    plain = compose("dataset=digits")
    assert not [key for key in plain.identity() if key.startswith("early")]
    stopped = [replace(plain, early_stopping=3), replace(plain, early_stopping=4)]
    stopped += [replace(stopped[0], early_stopping_metric="log_loss"), replace(stopped[0], early_stopping_fraction=0.3)]
    assert len({config.digest() for config in (plain, *stopped)}) == 5


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"early_stopping": 0}, "early_stopping=0 must be at least 1"),
        ({"early_stopping_fraction": 0.3}, "early_stopping_fraction=0.3 does nothing without early_stopping: set it,"),
        ({"early_stopping_metric": "log_loss"}, "early_stopping_metric=log_loss does nothing without early_stopping"),
        (
            {"early_stopping": 3, "early_stopping_metric": "mean_squared_error"},
            "early_stopping_metric=mean_squared_error is not for classification: choose one of balanced_accuracy, ",
        ),
        (
            {"early_stopping": 3, "early_stopping_fraction": 0.3, "validation_fraction": 0.2},
            "early_stopping_fraction=0.3 does nothing beside validation_fraction: drop one",
        ),
        ({"early_stopping": 3, "equal_seconds": True}, "which equal_seconds=true sets: drop one"),
    ],
)
def test_keys_that_do_not_fit_together_are_refused(changes: dict[str, Any], problem: str) -> None:
    with pytest.raises(UserError, match=problem):
        check(compose("dataset=digits").to_dict() | changes)


def test_outputs_are_kept_for_the_part_that_is_measured_alone(tmp_path: Path) -> None:
    """Those of a reconstruction's test part are as large as its images."""
    for held_out in ((), ("validation_fraction=0.2",)):
        subject = Trainer(config_of(tmp_path, *DIGITS, *held_out))
        assert subject.stopping is not None
        assert bool(subject.evaluate().outputs) == (subject.stopping.held_out is None)
        assert subject.evaluate(subject.stopping.held_out).outputs
