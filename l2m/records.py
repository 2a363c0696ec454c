"""Records: one directory a run, and in it all that the reports read.

    <results_dir>/runs/<dataset>/<strategy>/seed<k>-<digest>/
        config.yaml   the configuration whole; the digest is that of its scientific part
        metrics.csv   a row an epoch: the fields of EpochRow
        groups.csv    a row an epoch and group: the fields of GroupRow
        run.json      schema, version, commit, torch, device, threads, start, end, status, and why it failed
        model.pt      parameters and fitted preprocessing; loads with ``weights_only=True``

Files are written beside their place and renamed into it; ``run.json`` with the status ``done`` comes last.
"""

from __future__ import annotations

import io
import json
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from datetime import datetime, timezone
from functools import cache
from pathlib import Path
from typing import Any

import pandas as pd
import torch
import yaml

import l2m
from l2m.config import RunConfig
from l2m.device import device_name
from l2m.errors import UserError
from l2m.files import write_whole

SCHEMA = 1
"""Version of the layout above; raised when a reader of the old one would misread the new."""


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


class RunDirectory:
    """The directory of one run: what is in it, and how it gets there. Made with its first file."""

    def __init__(self, config: RunConfig) -> None:
        self.config = config
        self.path = (
            Path(config.results_dir) / "runs" / config.dataset["name"] / config.strategy["name"]
        ) / f"seed{config.seed}-{config.digest()}"
        self._rows: list[EpochRow] = []
        self._groups: list[GroupRow] = []
        self._info: dict[str, Any] = {}

    def status(self) -> str | None:
        """``done``, ``failed``, ``running`` (or killed), or None if the run never started.

        Raises:
            UserError: ``run.json`` can't be read.
        """
        file = self.path / "run.json"
        if not file.exists():
            return None
        try:
            return str(json.loads(file.read_text())["status"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise UserError(
                f"{file} can't be read as a record (it must be JSON with a status): remove it, and the run is repeated"
            ) from error

    def start(self, device: torch.device) -> None:
        """Make the directory, with what the run starts with.

        Raises:
            UserError: it can't be written to; better now than after hours of training.
        """
        self._info = {
            "schema": SCHEMA,
            "version": l2m.__version__,
            "commit": _commit(),
            "torch": torch.__version__,
            "device": device_name(device),
            "threads": torch.get_num_threads(),
            "start": _now(),
            "status": "running",
        }
        self._write_info()

    def add(self, row: EpochRow, groups: Sequence[GroupRow]) -> None:
        """Keep an epoch's rows."""
        self._rows.append(row)
        self._groups += groups

    def save_model(self, model: torch.nn.Module, preprocessing: Mapping[str, Sequence[float] | Sequence[str]]) -> None:
        """Write ``model.pt``."""
        buffer = io.BytesIO()
        state = {name: value.cpu() for name, value in model.state_dict().items()}
        torch.save({"parameters": state, "preprocessing": dict(preprocessing)}, buffer)
        self._write("model.pt", buffer.getvalue())

    def finish(self, status: str, problem: str | None = None) -> None:
        """Write the records, ``run.json`` last."""
        for name, kind, rows in (("metrics.csv", EpochRow, self._rows), ("groups.csv", GroupRow, self._groups)):
            table = pd.DataFrame([asdict(row) for row in rows], columns=[field.name for field in fields(kind)])
            self._write(name, table.to_csv(index=False, float_format="%.7g", lineterminator="\n").encode())
        self._write("config.yaml", yaml.safe_dump(self.config.to_dict(), sort_keys=False).encode())
        self._info |= {"end": _now(), "status": status} | ({"problem": problem} if problem else {})
        self._write_info()

    def read(self) -> Records:
        """The records of a finished run.

        Raises:
            UserError: one of its files is missing or can't be read.
        """
        try:
            metrics, groups = (pd.read_csv(self.path / name) for name in ("metrics.csv", "groups.csv"))
        except (OSError, ValueError) as error:
            raise UserError(
                f"{self.path} is not whole (metrics.csv or groups.csv is missing, or no table): remove it, and the run "
                "repeats"
            ) from error
        return Records(self.path, metrics, groups, json.loads((self.path / "run.json").read_text()))

    def _write_info(self) -> None:
        self._write("run.json", (json.dumps(self._info, indent=2) + "\n").encode())

    def _write(self, name: str, content: bytes) -> None:
        try:
            write_whole(self.path / name, content)
        except OSError as error:
            raise UserError(
                f"{self.path / name} can't be written ({error.strerror}): choose a results_dir that can be"
            ) from error


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="seconds")


@cache  # as the code was when it was loaded, though a sweep goes on for hours
def _commit() -> str | None:
    """The commit of the checkout the package runs from, ``-dirty`` if its code was changed; None outside one."""
    home = Path(__file__).resolve().parents[1]
    if not (home / ".git").exists():
        return None
    try:
        commit, changes = (
            subprocess.run(["git", *question.split()], cwd=home, capture_output=True, text=True).stdout.strip()
            for question in ("rev-parse HEAD", "status --porcelain -- l2m conf")
        )
    except OSError:  # no git
        return None
    return f"{commit}-dirty" if commit and changes else commit or None
