"""Made-up records in their real form, at the paper's settings: what the report makes of them is known beforehand."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
from made_up import record

from l2m.config.run import RunConfig
from l2m.paper.rows import BY_NAME
from l2m.records import EpochRow, GroupRow

SEEDS = (0, 1, 2)
FINAL = {
    "mnist": {  # the paper's at E
        "learn2mix": 0.9074,
        "classical": 0.8889,
        "focal": 0.885,
        "stratified": 0.8889,
        "balanced": 0.8889,
    },
    "wine_quality": {"learn2mix": 3.0, "classical": 4.0},  # better, but both far from the paper
    "mean_estimation": {"learn2mix": 1.1, "classical": 1.1},
}
VERDICTS = {"mnist": "confirmed", "wine_quality": "larger", "mean_estimation": "inconclusive"}
GROUPS = {"wine_quality": ("<script>alert('red')</script>", "white & $5 or $6")}


def configuration(row: str, strategy: str) -> RunConfig:
    """The row's own."""
    return BY_NAME[row].configurations[strategy]


def write(folder: Path, config: RunConfig, final: float) -> Path:
    """A run whose metric reaches ``final`` along an exponential, and a thousandth more a seed; its directory."""
    final *= 1 + config.seed / 1000
    accuracy = config.task == "classification"
    share = np.arange(1, config.epochs + 1) / config.epochs
    rise = (1 - np.exp(-4 * share)) / (1 - np.exp(-4))
    metric = final * rise if accuracy else final * 30 ** (1 - rise)
    names = GROUPS.get(config.dataset["name"], ("rare", "common", "frequent"))
    rows = []
    for epoch, value in enumerate(metric, start=1):
        worst = value * (0.8 if accuracy else 1.5)
        first = 0.1 + 0.5 * share[epoch - 1]
        others = (1 - first) / (len(names) - 1)
        groups = [
            GroupRow(epoch, i, name, others if i else first, 10, 1.0, worst if i else value)
            for i, name in enumerate(names)
        ]
        rows.append((EpochRow(epoch, epoch, config.batch_size * epoch, 1.0, 1.0, value, worst, 0.1 * epoch), groups))
    return record(folder, config, rows)


def copy_damaged(results: Path, folder: Path) -> Path:
    """Copy the runs of ``results`` into a folder and damage one of them; its directory."""
    shutil.copytree(results / "runs", folder / "runs")
    damaged = next(folder.glob("runs/mnist/focal/seed2-*"))
    (damaged / "metrics.csv").write_text("epoch\n1\n")
    return damaged


def write_all(folder: Path) -> Path:
    """Three seeds of each in ``FINAL``, four mixing rates on Wine Quality, three cadences on MNIST."""
    for row, strategies in FINAL.items():
        for strategy, final in strategies.items():
            for seed in SEEDS:
                write(folder, replace(configuration(row, strategy), seed=seed), final)
    for row, option, values in (
        ("wine_quality", "mixing_rate", (0.0, 0.2, 0.5)),
        ("mnist", "cadence", ("epoch_last", "batch")),
    ):
        own = configuration(row, "learn2mix")
        for i, value in enumerate(values):
            for seed in SEEDS:
                varied = replace(own, seed=seed, strategy=own.strategy | {option: value})
                write(folder, varied, FINAL[row]["learn2mix"] * (1 - 0.01 * i))
    return folder
