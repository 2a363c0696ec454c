"""Records made up by a test, in their real form: a real configuration, its real place, all columns."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import torch

import l2m
from l2m import RunConfig
from l2m.records import EpochRow, GroupRow
from l2m.records.directory import RunDirectory

OWN = {"results_dir": str, "data_dir": str, "seed": int}


def compose(*overrides: str) -> RunConfig:
    """What ``l2m.compose`` gives; where overrides differ in folders and seed alone, it is asked once.

    Hydra takes a tenth of a second for each configuration, and would take a third of the time of all tests.
    """
    own: dict[str, Any] = {}
    shared = []
    for override in overrides:
        key, _, value = override.partition("=")
        if key in OWN and re.fullmatch(r"/[\w./-]+|\d{1,3}", value):
            own[key] = OWN[key](value)
        else:
            shared.append(override)
    return replace(_composed(os.environ.get("L2M_DATA_DIR"), *shared), **own)


@cache
def _composed(data_dir: str | None, *overrides: str) -> RunConfig:
    return l2m.compose(*overrides)


def record(
    folder: Path, config: RunConfig, rows: Iterable[tuple[EpochRow, Sequence[GroupRow]]], status: str = "done"
) -> Path:
    """Write these rows as the record of a run of ``config`` on the CPU; its directory."""
    run = RunDirectory(replace(config, results_dir=str(folder), device="cpu"))
    run.start(torch.device("cpu"))
    for row in rows:
        run.add(*row)
    run.finish(torch.nn.Linear(1, 1), {})
    if status != "done":
        file = run.path / "run.json"
        file.write_text(json.dumps(json.loads(file.read_text()) | {"status": status}))
    return run.path


def write(
    folder: Path,
    config: RunConfig,
    metric: Callable[[int], float],
    *,
    seed: int = 0,
    status: str = "done",
    apart: float = 0.1,
    loss: float = 0.5,
    epochs: int | None = None,
    shares: Sequence[float] = (0.25, 0.75),
) -> Path:
    """A run whose test metric at an epoch is ``metric(epoch)``; its first group lies ``apart`` below, the others above.

    Group i has a share of ``shares[i]`` and a training loss of 0.2 (i + 1); the test loss is ``loss``.
    """
    rows = []
    for epoch in range(1, (epochs or config.epochs) + 1):
        value, size = metric(epoch), config.batch_size
        worst = value - apart if config.task == "classification" else value + apart
        rows.append((
            EpochRow(epoch, epoch * 10, epoch * 10 * size, 0.35, loss, value, worst, epoch * 0.5),
            [
                GroupRow(
                    epoch, i, str(i), share, int(share * size * 10), 0.2 * (i + 1), value + (apart if i else -apart)
                )
                for i, share in enumerate(shares)
            ],
        ))  # fmt: skip
    return record(folder, replace(config, seed=seed), rows, status)
