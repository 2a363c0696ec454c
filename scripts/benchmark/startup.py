"""How soon a command begins, and how soon a sweep ends."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from loky import cpu_count

from benchmark.timing import in_turns, ratio

FIRST_STEP = """
import os, sys
from l2m import optimizers
optimizers._Fused.step = lambda self: os._exit(0)
from l2m.run import main
main()
sys.exit("no step was taken")
"""
"""The command line, until the first step is taken."""

REGRESSION = (
    "dataset=mean_estimation,wine_quality,california_housing",
    "strategy=classical,learn2mix",
    "seed=range(5)",
)
"""The regression rows of Table 2 whole: 96 000 steps."""


def measured(times: int, device: str = "auto") -> list[dict[str, Any]]:
    """Seconds of ``--help``, of MNIST until its first step, and of a sweep of 300 finished runs."""
    with tempfile.TemporaryDirectory() as folder:
        finished = ("-m", "epochs=1", "dataset.train_sizes=[10,10,10,10]", "batch_size=40", "dataset.test_size=10")
        sweep = (*finished, "seed=range(300)", f"results_dir={folder}", f"device={device}")
        _seconds("-m", "l2m.run", *sweep)
        told = {
            ("--help", 1.0): lambda: _seconds("-m", "l2m.run", "--help"),
            ("the first step on MNIST", 4.0): lambda: first_step("mnist", folder, device),
            ("300 finished runs", 60.0): lambda: _seconds("-m", "l2m.run", *sweep),
        }
        return [
            {"of": of, "asked": asked, "seconds": _spread([run() for _ in range(1 if asked > 10 else times)])}
            for (of, asked), run in told.items()
        ]


def first_step(dataset: str, folder: str, device: str = "auto") -> float:
    """Seconds until a command has taken the first step of a run."""
    return _seconds("-c", FIRST_STEP, f"dataset={dataset}", f"results_dir={folder}", f"device={device}")


def regression(times: int, device: str = "auto") -> list[dict[str, Any]]:
    """Seconds of Table 2's regression rows, by one command; of these, inside runs, and in their training."""
    told: dict[str, list[float]] = {"Table 2, regression": [], "of these, inside runs": [], "and in training": []}
    for _ in range(times):
        with tempfile.TemporaryDirectory() as folder:
            whole = _seconds("-m", "l2m.run", "-m", *REGRESSION, f"results_dir={folder}", f"device={device}")
            done = [file.parent for file in Path(folder).rglob("run.json")]
            inside = [json.loads((run / "run.json").read_text())["seconds"] for run in done]
            training = [pd.read_csv(run / "metrics.csv")["seconds"].iloc[-1] for run in done]
        for each, seconds in zip(
            told.values(), (whole, sum(inside) / cpu_count(), sum(training) / cpu_count()), strict=True
        ):
            each.append(seconds)
    first, *parts = ({"of": of, "asked": None, "seconds": _spread(seconds)} for of, seconds in told.items())
    return [first | {"asked": 40.0, "goal": 20.0}, *parts]


def side_by_side(rounds: int, device: str = "auto") -> dict[str, Any]:
    """A sweep of four runs of MNIST, one a core with one thread, against one after another with a thread a core."""

    words = ("dataset=mnist", "epochs=5", "seed=range(4)", f"device={device}")

    def sweep(*how: str) -> None:
        with tempfile.TemporaryDirectory() as folder:
            _seconds("-m", "l2m.run", "-m", *words, f"results_dir={folder}", *how)

    contenders = {"default": lambda: sweep(), "one after another": lambda: sweep("workers=1", "threads=null")}
    seconds = in_turns(contenders, rounds, torch.device("cpu"))  # each command waits for its own device
    return {"of": "one after another", "to": "default", "asked": 1.0, "at least": True} | ratio(
        seconds["one after another"], seconds["default"]
    )


def _seconds(*arguments: str) -> float:
    began = time.perf_counter()
    subprocess.run([sys.executable, *arguments], check=True, capture_output=True)
    return time.perf_counter() - began


def _spread(seconds: list[float]) -> dict[str, float]:
    return {"median": statistics.median(seconds), "least": min(seconds), "most": max(seconds)}
