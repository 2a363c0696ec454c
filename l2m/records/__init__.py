"""Records: one directory a run, and in it all that the reports read.

    <results_dir>/runs/<dataset>/<strategy>/seed<k>-<digest>/
        config.yaml   the configuration whole; the digest is that of its scientific part
        metrics.csv   a row an epoch: the fields of EpochRow
        groups.csv    a row an epoch and group: the fields of GroupRow; or groups.csv.gz, packed by scripts/pack.py
        run.json      schema, version, commit, torch, device, threads, start, end, seconds, status; its model; why it
                      failed, and where it was resumed; of own data and CIFAR, a fingerprint of the files; of a GPU,
                      versions of CUDA, cuDNN and the driver, and whether steps were replayed as CUDA graphs
        model.pt      parameters, shapes, names and fitted preprocessing: :mod:`l2m.trained` reads it; loads with
                      ``weights_only=True``
        log.txt       of a run that failed: when, and the traceback
        checkpoint.pt while the run is not done: all that it goes on from; loads with ``weights_only=True``
        lock          while a process trains it, or was killed in doing so

Files are written beside their place and renamed into it; ``run.json`` with the status ``done`` comes last.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class EpochRow:
    """A row of ``metrics.csv``. Counts and seconds are totals since the run's start."""

    epoch: int
    steps: int
    samples: int
    train_loss: float
    """Mean over the epoch's batches of what was descended: not comparable across strategies."""
    test_loss: float
    test_metric: float
    """Accuracy in [0, 1], mean squared error in the target's unit squared, or squared error summed over an image."""
    worst_group: float
    """The worst of ``test_metric`` over the groups."""
    seconds: float
    """Training time without evaluation."""


@dataclass(frozen=True)
class GroupRow:
    """A row of ``groups.csv``."""

    epoch: int
    group: int
    name: str
    proportion: float
    """α_i as the epoch began."""
    count: int
    """Samples of the group in the epoch's batches."""
    train_loss: float
    """L_i of eq. 10: the task's loss, whatever the strategy descends; empty if no batch held the group."""
    test_metric: float


@dataclass(frozen=True)
class Records:
    """A run as it was written."""

    path: Path
    metrics: pd.DataFrame
    groups: pd.DataFrame
    info: dict[str, Any]
