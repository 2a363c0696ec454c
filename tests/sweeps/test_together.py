"""Runs of a sweep that train together: which they are, and what becomes of them in processes that may die."""

from __future__ import annotations

import json
import os
import signal
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from loky import ProcessPoolExecutor
from test_sweep import await_true, begin, checkpoints, end, ended_by, statuses, workers

from l2m import compose, train
from l2m.config.run import RunConfig
from l2m.records.directory import RunDirectory
from l2m.sweeps.launchers import processes
from l2m.sweeps.launchers.processes import Processes
from l2m.sweeps.together import groups
from l2m.training.stack import most_together

AUTOMATIC = "together=null"


CPU, GPU = torch.device("cpu"), torch.device("cuda")


def sizes(configs: list[RunConfig], workers: int = 1) -> list[int]:
    made = groups(configs, workers, CPU)
    assert sorted(number for group in made for number in group) == list(range(len(configs)))
    return sorted(map(len, made), reverse=True)


def seeds(count: int, *words: str) -> list[RunConfig]:
    one = compose("dataset=digits", *words)
    return [replace(one, seed=seed) for seed in range(count)]


def test_runs_that_can_train_together_are_shared_out_to_all_workers() -> None:
    assert sizes(seeds(30)) == [30]
    assert sizes(seeds(30), workers=2) == [15, 15]
    assert sizes(seeds(30), workers=4) == [8, 8, 7, 7]
    assert sizes(seeds(3), workers=4) == [1, 1, 1]
    assert sizes(seeds(3, "model.hidden=16384")) == [1, 1, 1]
    assert sizes(seeds(300)) == [150, 150], "their results come together"


def test_as_many_runs_train_together_as_stay_in_the_cache() -> None:
    (one,) = seeds(1)
    (large,) = seeds(1, "batch_size=500")
    assert most_together(one, CPU) == 64
    assert most_together(large, CPU) == 2**19 // (500 * 64)
    assert most_together(large, GPU) == 64


def test_together_is_an_upper_bound() -> None:
    assert sizes(seeds(6, "together=1")) == [1] * 6
    assert sizes(seeds(6, "together=4")) == [6]
    assert sizes(seeds(6, "together=4"), workers=3) == [2, 2, 2]
    assert [most_together(*seeds(1, f"together={most}"), CPU) for most in (1, 4, 100)] == [1, 4, 100]
    assert sizes(seeds(4, "model=lenet5", "together=4")) == [4], "and a process trains them one after another"


@pytest.mark.parametrize(
    "words",
    [
        ("mixing=mixup",),
        ("equal_seconds=true",),
        ("model=lenet5",),
        pytest.param(("logger=tensorboard",), marks=pytest.mark.extras),
    ],
    ids=" ".join,
)
def test_runs_that_cannot_be_stacked_are_sent_alone(words: tuple[str, ...]) -> None:
    assert sizes(seeds(4, *words)) == [1] * 4


def test_runs_of_other_data_or_models_train_apart() -> None:
    mixed = [*seeds(2), *seeds(2, "model.hidden=32"), *seeds(2, "imbalance.factor=0.2"), *seeds(2, "batch_size=40")]
    assert sizes(mixed) == [2, 2, 2, 2]
    same = [*seeds(2), *seeds(2, "strategy=focal"), *seeds(2, "learning_rate=0.01"), *seeds(2, "epochs=7")]
    assert sizes(same) == [8]


def test_each_worker_gets_all_strategies_and_rates() -> None:
    configs = [
        compose("dataset=digits", f"strategy={strategy}", f"learning_rate={rate}", f"seed={seed}")
        for seed in (0, 1)
        for strategy in ("focal", "classical")
        for rate in (0.01, 0.001)
    ]
    made = [
        [(configs[n].strategy["name"], configs[n].learning_rate) for n in group] for group in groups(configs, 2, CPU)
    ]
    assert sorted(made[0]) == sorted(made[1])
    assert len(set(made[0])) == 4


def records(folder: Path) -> list[dict[str, object]]:
    return [json.loads(file.read_text()) for file in sorted(folder.rglob("run.json"))]


def test_a_sweep_trains_together_and_ends_as_alone(tmp_path: Path) -> None:
    words = ("strategy=learn2mix,curriculum", "seed=range(2)", "epochs=3", "workers=1", AUTOMATIC)
    status, out, err = end(begin(tmp_path, *words))
    assert (status, err) == (0, "")
    assert "4 runs: 4 done, 0 skipped (done before), 0 failed" in out
    assert "done before: " not in out
    assert [info["together"] for info in records(tmp_path)] == [2, 2, 4, 4, 4, 4], "warm-ups, then all"
    alone = compose("dataset=digits", "device=cpu", "threads=1", "epochs=3", f"results_dir={tmp_path}/alone")
    ours = RunDirectory(RunConfig(**(vars(alone) | {"results_dir": f"{tmp_path}/outputs"}))).read()
    numbers = ["train_loss", "test_loss", "test_metric", "worst_group"]
    np.testing.assert_allclose(ours.metrics[numbers], train(alone).metrics[numbers], rtol=1e-5)
    status, out, _ = end(begin(tmp_path, *words))
    assert (status, "4 runs: 0 done, 4 skipped" in out) == (0, True)


def test_a_result_comes_as_its_run_ends_and_workers_stay_until_closed(tmp_path: Path) -> None:
    one = compose("dataset=digits", "device=cpu", "threads=1", "workers=1", f"results_dir={tmp_path}")
    short, long = (replace(one, epochs=epochs) for epochs in (2, 500))
    with closing(Processes()) as launcher:
        launcher.submit([long, short])
        outcomes = launcher.outcomes()
        number, outcome = next(outcomes)
        assert (number, outcome.status, RunDirectory(long).status()) == (1, "done", "running")
        assert [number for number, _ in outcomes] == [0]
        pids = [worker.pid for worker in launcher._workers]
        launcher.submit([replace(short, seed=1)])
        assert [outcome.status for _, outcome in launcher.outcomes()] == ["done"]
        assert [worker.pid for worker in launcher._workers] == pids
    with pytest.raises(ProcessLookupError):
        os.kill(int(str(pids[0])), 0)


def test_a_worker_that_the_pool_replaces_between_sweeps_trains_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the pool does where a process has more memory than it expects, which it may notice between any two runs."""
    monkeypatch.setattr(processes, "ProcessPoolExecutor", partial(ProcessPoolExecutor, timeout=0.2))
    one = compose("dataset=digits", "device=cpu", "threads=1", "workers=1", "epochs=1", f"results_dir={tmp_path}")
    pids = set[int]()
    with closing(Processes()) as launcher:
        for seed in range(2):
            launcher.submit([replace(one, seed=seed)])
            assert [outcome.status for _, outcome in launcher.outcomes()] == ["done"]
            pids.add(pid := int(str(launcher._workers[0].pid)))
            await_true(lambda pid=pid: not Path(f"/proc/{pid}").exists())
    assert len(pids) == 2


def test_runs_of_a_worker_that_is_killed_train_on_alone(tmp_path: Path) -> None:
    sweep = begin(tmp_path, "seed=range(3)", "epochs=100", "workers=1", AUTOMATIC)
    await_true(lambda: len(checkpoints(tmp_path)) == 3)
    os.kill(workers(sweep)[0], signal.SIGKILL)
    status, out, err = end(sweep)
    assert (status, err) == (0, "")
    assert out.count("continues after epoch") == 3
    assert statuses(tmp_path) == ["done"] * 3


def test_a_signal_leaves_a_checkpoint_of_each(tmp_path: Path) -> None:
    sweep = begin(tmp_path, "seed=range(2)", "epochs=100000", "workers=1", AUTOMATIC)
    await_true(lambda: len(checkpoints(tmp_path)) == 2)
    sweep.send_signal(signal.SIGTERM)
    ended_by(signal.SIGTERM, sweep, tmp_path, 2)


def test_one_that_fails_is_reported_and_others_are_done(tmp_path: Path) -> None:
    words = ("learning_rate=0.001,1e30", "seed=range(2)", "epochs=2", "workers=1", AUTOMATIC)
    status, out, err = end(begin(tmp_path, *words))
    assert status == 1
    assert err.count("the loss is not finite in epoch") == 2
    assert "4 runs: 2 done, 0 skipped (done before), 2 failed" in out
    assert statuses(tmp_path) == ["done", "done", "failed", "failed"]
