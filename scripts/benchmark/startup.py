"""Seconds until a command starts training, and until a sweep ends."""

from __future__ import annotations

import json
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from loky import cpu_count
from sklearn.datasets import load_breast_cancer

from benchmark.timing import ratio, time_in_turns, time_once

CPU = torch.device("cpu")

FIRST_STEP = """
import os, sys
from l2m import optimizers
optimizers._Adam.step = lambda self: os._exit(0)
from l2m.run import main
main()
sys.exit("no step was taken")
"""
"""The command line, ended at its first step."""

STRATEGIES = (
    "learn2mix", "balanced", "class_weighted", "curriculum", "exp3", "focal", "group_dro", "importance_sampling",
    "ldam", "logit_adjusted", "smote",
)  # fmt: skip
"""Of a comparison, beside classical training."""

REGRESSION = (
    "dataset=mean_estimation,wine_quality,california_housing",
    "strategy=classical,learn2mix",
    "seed=range(5)",
)
"""All regression runs of Table 2: 96 000 steps."""


def measure(times: int, device: str = "auto") -> list[dict[str, Any]]:
    """Seconds of ``--help``, until MNIST's first step and a comparison's first run, and of 300 finished runs again."""
    with tempfile.TemporaryDirectory() as folder:
        finished = ("-m", "epochs=1", "dataset.train_sizes=[10,10,10,10]", "batch_size=40", "dataset.test_size=10")
        sweep = (*finished, "seed=range(300)", f"results_dir={folder}", f"device={device}")
        _seconds("-m", "l2m.run", *sweep)
        commands = {
            ("--help", 1.0): lambda: _seconds("-m", "l2m.run", "--help"),
            ("the first step on MNIST", 3.5): lambda: time_first_step("mnist", folder, device),
            ("the first run of a comparison", 10.0): lambda: time_first_result(device),
            ("300 finished runs", 15.0): lambda: _seconds("-m", "l2m.run", *sweep),
        }
        return [
            {"of": of, "asked": target, "seconds": _spread([run() for _ in range(1 if target > 10 else times)])}
            for (of, target), run in commands.items()
        ]


def time_first_step(dataset: str, folder: str, device: str = "auto") -> float:
    """Seconds until a command reaches the first step of a run."""
    return _seconds("-c", FIRST_STEP, f"dataset={dataset}", f"results_dir={folder}", f"device={device}")


def time_first_result(device: str = "auto") -> float:
    """Seconds until a comparison by default on a table of 569 rows shows the first finished run."""
    frame = load_breast_cancer(as_frame=True).frame
    with tempfile.TemporaryDirectory() as folder:
        table = Path(folder, "table.csv")
        frame.to_csv(table, index=False)
        command = [sys.executable, "-m", "l2m.compare", "dataset=csv", f"dataset.path={table}", "dataset.target=target",
                   f"results_dir={folder}", f"device={device}"]  # fmt: skip
        began = time.monotonic()
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
            assert process.stdout is not None
            shown = any("[1/" in line for line in process.stdout)
            seconds = time.monotonic() - began
            process.send_signal(signal.SIGINT)
            process.communicate()
    if not shown:
        raise RuntimeError(f"{' '.join(command)} showed no finished run")
    return seconds


def measure_regression(times: int, device: str = "auto") -> list[dict[str, Any]]:
    """Seconds of one command for Table 2's regression rows; of these, inside runs, and in their training."""
    rounds = []
    for _ in range(times):
        with tempfile.TemporaryDirectory() as folder:
            whole = _seconds("-m", "l2m.run", "-m", *REGRESSION, f"results_dir={folder}", f"device={device}")
            done = [file.parent for file in Path(folder).rglob("run.json")]
            infos = [json.loads((run / "run.json").read_text()) for run in done]
            inside = [info["seconds"] / info.get("together", 1) for info in infos]
            training = [pd.read_csv(run / "metrics.csv")["seconds"].iloc[-1] for run in done]
        rounds.append((whole, sum(inside) / cpu_count(), sum(training) / cpu_count()))
    wholes, insides, trainings = zip(*rounds, strict=True)
    return [
        {"of": "Table 2, regression", "asked": 40.0, "seconds": _spread(wholes), "goal": 20.0},
        {"of": "of these, inside runs", "asked": None, "seconds": _spread(insides)},
        {"of": "and in training", "asked": None, "seconds": _spread(trainings)},
    ]


def measure_side_by_side(rounds: int, device: str = "auto") -> dict[str, Any]:
    """Four runs of MNIST side by side with one thread each, against one after another with all threads."""
    shared = ("dataset=mnist", "epochs=5", "seed=range(4)", f"device={device}")

    def sweep(*overrides: str) -> None:
        with tempfile.TemporaryDirectory() as folder:
            _seconds("-m", "l2m.run", "-m", *shared, f"results_dir={folder}", *overrides)

    contenders = {"default": sweep, "one after another": lambda: sweep("workers=1", "threads=null")}
    seconds = time_in_turns(contenders, rounds, CPU)  # each command waits for its device
    return {"of": "one after another", "to": "default", "asked": 1.0, "at least": True} | ratio(
        seconds["one after another"], seconds["default"]
    )


def measure_comparison(rounds: int) -> dict[str, Any]:
    """``l2m compare`` by default on a made-up table, without other models; with runs together, against each alone."""
    with tempfile.TemporaryDirectory() as folder:
        table = Path(folder, "table.csv")
        draw_table().to_csv(table, index=False)
        words = ("dataset=csv", f"dataset.path={table}", "dataset.target=outcome", "opponents=[]", "device=cpu",
                 f"strategies=[{','.join(STRATEGIES)}]")  # fmt: skip

        def compare(*more: str) -> None:
            with tempfile.TemporaryDirectory() as results:
                _seconds("-m", "l2m.compare", *words, f"results_dir={results}", *more)

        seconds = time_in_turns({"together": compare, "alone": partial(compare, "together=1")}, rounds, CPU)
    return {"asked": 80.0, "seconds": _spread(seconds["together"]), **ratio(seconds["alone"], seconds["together"])}


def draw_table(rows: int = 6000, inputs: int = 11) -> pd.DataFrame:
    """Numbers, and an outcome that one row in ten has, which they decide in part."""
    numbers = np.random.default_rng(0).standard_normal((rows, inputs + 1))
    outcome = numbers[:, :3].sum(1) + numbers[:, -1]
    table = pd.DataFrame(numbers[:, :inputs]).add_prefix("x")
    return table.assign(outcome=np.where(outcome > np.quantile(outcome, 0.9), "yes", "no"))


def _seconds(*arguments: str) -> float:
    command = [sys.executable, *arguments]
    return time_once(lambda: subprocess.run(command, check=True, capture_output=True), CPU)[0]


def _spread(seconds: Sequence[float]) -> dict[str, float]:
    return {"median": statistics.median(seconds), "least": min(seconds), "most": max(seconds)}
