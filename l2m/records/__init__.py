"""Records: one directory a run, with everything that the reports read.

    <results_dir>/runs/<dataset>/<strategy>/seed<k>-<digest>/
        config.yaml   the whole configuration; the digest is the hash of its scientific part
        data.json     of a user's own data: what columns were read as, and how many samples each class has
        metrics.csv   a row an epoch: the fields of EpochRow
        groups.csv    a row an epoch and group: the fields of GroupRow; or groups.csv.gz, packed by ``l2m pack``
        run.json      schema, version, commit, torch, device, threads, start, end, seconds, status; its model; of a run
                      from the command line, the command that repeats it; why it failed, where it was resumed, and
                      whether it was forced; with early stopping the best epoch, that of ``model.pt``, and the held-out
                      metric of each; ``together``, with how many runs it was trained, itself included: its ``seconds``
                      are those of all of them, metrics.csv has its share; for own data and CIFAR, a fingerprint of the
                      files; for a GPU, versions of CUDA, cuDNN and the driver, and whether steps were replayed as CUDA
                      graphs
        model.pt      parameters, shapes, names and fitted preprocessing, which :mod:`l2m.trained` reads; loads with
                      ``weights_only=True``
        log.txt       of a failed run: the time and the traceback
        checkpoint.pt until the run is done: all that is needed to continue; loads with ``weights_only=True``
        lock          process and host, while a process trains the run, or after that process was killed

Each file is written to a temporary name and then renamed; ``run.json`` with the status ``done`` comes last, when all
others have been flushed to the disk. :mod:`l2m.records.reading` reads them strictly.
"""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

WRITE_REMEDY = "choose a results_dir that can be"
"""What to do about a results folder that cannot be written."""

SCHEMA = 1
"""Version of this layout; raised when a reader of the old one would misread the new."""


@dataclass(frozen=True)
class EpochRow:
    """A row of ``metrics.csv``. Counts and seconds are totals since the start of the run."""

    epoch: int
    steps: int
    samples: int
    train_loss: float
    """Mean training objective over the epoch's batches: not comparable across strategies."""
    test_loss: float
    test_metric: float
    """Accuracy in [0, 1], mean squared error in the target's unit squared, or squared error summed over an image."""
    worst_group: float
    """The worst of ``test_metric`` over the groups."""
    seconds: float
    """Training time without evaluation; of runs that train together each one's share."""


@dataclass(frozen=True)
class GroupRow:
    """A row of ``groups.csv``."""

    epoch: int
    group: int
    name: str
    proportion: float
    """α_i at the start of the epoch."""
    count: int
    """Samples of the group in the epoch's batches."""
    train_loss: float
    """L_i of eq. 10: the task's loss, whatever the training objective; empty if no batch had the group."""
    test_metric: float


@dataclass(frozen=True)
class Records:
    """The records of a finished run."""

    path: Path
    metrics: pd.DataFrame
    groups: pd.DataFrame
    info: dict[str, Any]

    @property
    def final(self) -> pd.Series[Any]:
        """The row of ``metrics`` for the parameters in ``model.pt``: the last or, with early stopping, the best."""
        row: pd.Series[Any] = self.metrics.iloc[self.info.get("best_epoch", 0) - 1]
        return row

    def plot(self) -> Axes:
        """Draw ``test_metric`` and ``worst_group`` over epochs; the axes, to be changed or saved (``.figure``)."""
        columns = ["test_metric", "worst_group"]
        axes: Axes = self.metrics.plot(x="epoch", y=columns, title="/".join(self.path.parts[-3:]))
        return axes

    def _repr_html_(self) -> str:
        """What a notebook shows: the directory, and the epoch of ``final`` as a whole and by group."""
        last = self.groups[self.groups["epoch"] == self.final["epoch"]]
        tables = (self.final.to_frame().T, last)
        return f"<p>{escape(str(self.path))}</p>" + "".join(table.to_html(index=False) for table in tables)
