"""The plan of a sweep, and runs of equal seconds."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest

from l2m import UserError, compose, train
from l2m.config.run import RunConfig
from l2m.records.directory import RunDirectory
from l2m.sweeps.plan import format_plan, plan
from l2m.sweeps.progress import train_with_progress
from l2m.training.run import needs


def small(folder: Path, *overrides: str) -> RunConfig:
    sizes = ("dataset.train_sizes=[40,30,20,10]", "dataset.test_size=5", "batch_size=20")
    return compose(*sizes, "epochs=3", "device=cpu", "threads=1", f"results_dir={folder}", *overrides)


def rewrite(config: RunConfig, **changes: object) -> None:
    """Change what ``run.json`` says."""
    file = RunDirectory(config).path / "run.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


def planned(*configs: RunConfig, workers: int = 1) -> str:
    return format_plan(plan((config, "") for config in configs), workers)


def test_without_finished_runs_there_is_no_estimate(tmp_path: Path) -> None:
    line = planned(*(small(tmp_path, f"seed={seed}") for seed in range(2)))
    assert line == "2 runs: 0 done, 0 failed, 2 to do, no finished run of mean_estimation to estimate the time from"
    assert not list(tmp_path.iterdir())


def test_the_time_left_is_estimated_from_finished_runs_of_the_strategy(tmp_path: Path) -> None:
    seconds = {"learn2mix": (30, 60, 300), "classical": (6000, 6000, 6000)}
    for strategy, each in seconds.items():
        for seed, took in enumerate(each):
            config = small(tmp_path, f"strategy={strategy}", f"seed={seed}")
            train(config)
            rewrite(config, seconds=took)
    sweep = [small(tmp_path, f"seed={seed}", "epochs=6") for seed in range(2)]
    assert planned(*sweep) == "2 runs: 0 done, 0 failed, 2 to do, about 4 min"
    assert planned(*sweep, workers=2) == "2 runs: 0 done, 0 failed, 2 to do, about 2 min"
    mixed = [*sweep, small(tmp_path), small(tmp_path, "strategy=balanced")]
    assert planned(*mixed) == "4 runs: 1 done, 0 failed, 3 to do, about 56 min"  # 52.5 of them by the median of all
    assert planned(small(tmp_path)) == "1 run: 1 done, 0 failed, 0 to do"


def test_records_without_seconds_give_an_estimate_as_well(tmp_path: Path) -> None:
    train(small(tmp_path))
    file = RunDirectory(small(tmp_path)).path / "run.json"
    info = json.loads(file.read_text())
    del info["seconds"]
    end = pd.Timestamp(info["start"]) + pd.Timedelta(seconds=300)
    file.write_text(json.dumps(info | {"end": end.isoformat()}))
    assert planned(small(tmp_path, "seed=1")) == "1 run: 0 done, 0 failed, 1 to do, about 5 min"


def test_failed_runs_are_named_with_their_reason_and_broken_ones_are_to_do(tmp_path: Path) -> None:
    failed = small(tmp_path, "learning_rate=1e30")
    with pytest.raises(UserError):
        train(failed)
    killed = small(tmp_path)
    train(killed)
    rewrite(killed, status="running")
    line = planned(failed, killed)
    assert line.startswith("2 runs: 0 done, 1 failed, 1 to do, ")
    assert f"failed: {RunDirectory(failed).path}\n  the loss is not finite in epoch " in line


def test_what_a_run_needs_is_planned_once(tmp_path: Path) -> None:
    digits = ("dataset=digits", "strategy=curriculum", "device=cpu", f"results_dir={tmp_path}")
    sweep = [compose(*digits, f"strategy.order={order}") for order in ("easiest", "random")]
    assert planned(*sweep).startswith("3 runs (1 that others need): 0 done, 0 failed, 3 to do")


def test_what_a_finished_run_needed_is_not_trained_again(tmp_path: Path) -> None:
    words = ("dataset=digits", "strategy=curriculum", "strategy.warm_up=1", "epochs=1", "device=cpu", "threads=1")
    config = compose(*words, f"results_dir={tmp_path}")
    train(config)
    shutil.rmtree(tmp_path / "runs" / "digits" / "classical")
    assert planned(config) == "1 run: 1 done, 0 failed, 0 to do"
    assert train_with_progress(config).startswith("digits curriculum seed 0: accuracy")
    assert not (tmp_path / "runs" / "digits" / "classical").exists()


def test_a_run_of_equal_seconds_ends_with_the_first_epoch_past_those_of_classical(tmp_path: Path) -> None:
    config = small(tmp_path, "equal_seconds=true", "epochs=20", "seed=3")
    records = train(config)
    (classical,) = needs(config)
    assert (classical.strategy, classical.equal_seconds) == (compose("strategy=classical").strategy, True)
    assert needs(classical) == []
    assert (classical.seed, classical.epochs, classical.model) == (3, 20, config.model)
    assert len(train(classical).metrics) == 20
    budget = train(classical).metrics["seconds"].iloc[-1]
    assert records.metrics["seconds"].iloc[-1] >= budget > records.metrics["seconds"].iloc[-2]
    assert records.metrics["epoch"].tolist() == list(range(1, len(records.metrics) + 1))
    assert config.digest() != compose(
        "dataset.train_sizes=[40,30,20,10]", "dataset.test_size=5", "batch_size=20", "epochs=20", "seed=3"
    ).digest()  # fmt: skip


def test_seconds_of_another_machine_are_refused(tmp_path: Path) -> None:
    config = small(tmp_path, "equal_seconds=true")
    (classical,) = needs(config)
    train(classical)
    rewrite(classical, device="Another")
    with pytest.raises(UserError, match=r"seconds of one machine: .*Another.*force=true"):
        train(config)
    assert RunDirectory(config).status() is None
