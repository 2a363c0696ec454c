"""The directory of one run: what is in it, and how it gets there."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import astuple, fields
from pathlib import Path
from typing import Any

import torch
import yaml
from filelock import FileLock, Timeout

from l2m.config.checking import read_config
from l2m.config.description import differences
from l2m.config.run import RunConfig
from l2m.data.fingerprint import fingerprint, recorded
from l2m.errors import UserError
from l2m.files import packed_path, read_bytes, read_text, write_whole
from l2m.records import EpochRow, GroupRow, Records
from l2m.records.provenance import now, provenance

SCHEMA = 1
"""Version of the layout above; raised when a reader of the old one would misread the new."""

MODEL = "model.pt"
"""The final checkpoint, which ``run.json`` names."""

PASSING = ("checkpoint.pt", "log.txt")
"""What a run has only until it is done."""

LOG = logging.getLogger(__name__)


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
        self._spent = self._began = 0.0

    def status(self) -> str | None:
        """``done``, ``failed``, ``running`` (or killed), or None if the run never started.

        Raises:
            UserError: ``run.json`` can't be read, the directory holds another run, or it is done on files that have
                changed since.
        """
        self._refuse_another()
        file = self.path / "run.json"
        if not file.exists():
            return None
        try:
            info = json.loads(read_text(file))
            status = str(info["status"])
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise UserError(
                f"{file} can't be read as a record (it must be JSON with a status): remove it, and the run is repeated"
            ) from error
        if status == "done" and not self.config.force and self._changed(info):
            raise UserError(
                f"{self.path} was trained on other files than {self._data} has now: use force=true to train again, or "
                "another results_dir to keep both"
            )
        return status

    @property
    def _data(self) -> str:
        """Where the data set's files are."""
        return str(self.config.dataset.get("path") or self.config.data_dir)

    def _files(self) -> str | None:
        return fingerprint(self.config.dataset, Path(self.config.data_dir))

    def _changed(self, info: Mapping[str, Any]) -> bool:
        """Whether the data set's files are others now than ``run.json`` says; not if they are no longer here."""
        before, now = recorded(self.config.dataset, info), self._files()
        return None not in (before, now) and before != now

    @contextlib.contextmanager
    def claimed(self) -> Iterator[None]:
        """Inside, no other process that asks is here; one that is, is waited for. The kernel frees what dies.

        Raises:
            UserError: the directory can't be written to; better now than after hours of training.
        """
        lock = FileLock(self.path / "lock")
        with self._telling("lock"):
            self.path.mkdir(parents=True, exist_ok=True)
            try:
                lock.acquire(blocking=False)
            except Timeout:
                LOG.warning("%s is being trained by another process: waiting for it", self.path)
                lock.acquire(poll_interval=0.5)
        try:
            yield
        finally:
            (self.path / "lock").unlink(missing_ok=True)  # whoever waits for it sees that it is gone
            lock.release()
            with contextlib.suppress(OSError):
                self.path.rmdir()  # if nothing was written

    def start(self, device: torch.device) -> dict[str, Any] | None:
        """Begin, or go on: the state of a checkpoint that is there, of a run that is not to be forced.

        A checkpoint that can't be read is told, and the run begins anew.

        Raises:
            UserError: the checkpoint is of another run, or the directory can't be written to.
        """
        for part in self.path.glob("*.part"):  # of a process that was killed as it wrote
            part.unlink(missing_ok=True)
        self._began = time.monotonic()
        self._rows, self._groups, self._info = [], [], {"schema": SCHEMA, **provenance(device)}
        if files := self._files():
            self._info["files"] = files
        found = None if self.config.force else self._checkpoint()
        if found and self._changed(found["info"]):
            LOG.warning("%s has other files now: %s begins anew", self._data, self.path)
            found = None
        if found:
            self._rows, self._groups = found["metrics"], found["groups"]
            here = {"epoch": len(self._rows), **provenance(device)}
            self._info = found["info"] | {"resumed": [*found["info"].get("resumed", []), here]}
        self._spent = self._info.pop("seconds", 0.0)
        self._info["status"] = "running"
        self._write("config.yaml", yaml.safe_dump(self.config.to_dict(), sort_keys=False).encode())
        self._write_info()
        return found and found["state"]

    def add(self, row: EpochRow, groups: Sequence[GroupRow]) -> None:
        """Keep an epoch's rows."""
        self._rows.append(row)
        self._groups += groups

    def save_checkpoint(self, state: Mapping[str, Any]) -> None:
        """Write ``checkpoint.pt``: the rows there are, and the state to go on from."""
        content = {
            "schema": SCHEMA,
            "identity": self.config.identity(),
            "info": self._info | {"seconds": self._seconds()},
            "metrics": [astuple(row) for row in self._rows],
            "groups": [astuple(row) for row in self._groups],
            "state": state,
        }
        self._write("checkpoint.pt", _saved(content))

    def finish(self, model: torch.nn.Module, described: Mapping[str, Any], **info: Any) -> None:
        """Write the records of a run that is done: its model, with what ``Data.described`` says, ``info``, its end."""
        state = {name: value.cpu() for name, value in model.state_dict().items()}
        self._write_tables()
        self._write(MODEL, _saved({"parameters": state, **described}))
        self._info |= {**info, "end": now(), "seconds": self._seconds(), "model": MODEL, "status": "done"}
        self._write_info()
        self._clear()

    def tidy(self) -> None:
        """Remove what a process left of a run that is done, if it was killed before it could."""
        if any((self.path / name).exists() for name in (*PASSING, "lock")):
            with self.claimed():
                if self.status() == "done":
                    self._clear()

    def fail(self, problem: str, log: str) -> None:
        """Write the records of a run that failed, as far as the disk lets us, and add to its log."""
        with contextlib.suppress(UserError):
            self._write_tables()
            self._add_to_log(log)
            self._info |= {"end": now(), "seconds": self._seconds(), "status": "failed", "problem": problem}
            self._write_info()

    def mark_failed(self, problem: str, log: str) -> None:
        """The same of a run whose process is gone; its rows are in its checkpoint, if it left one."""
        with contextlib.suppress(OSError, ValueError):
            self._info = json.loads((self.path / "run.json").read_text())
            self._add_to_log(log)
            self._info |= {"end": now(), "status": "failed", "problem": problem}
            self._write_info()

    def read(self) -> Records:
        """The records of a finished run.

        Raises:
            UserError: one of its files is missing or can't be read.
        """
        import pandas as pd  # which training does without

        try:
            tables = (read_bytes(self.path / name) for name in ("metrics.csv", "groups.csv"))
            metrics, groups = (pd.read_csv(io.BytesIO(table)) for table in tables)
        except ValueError as error:
            raise UserError(
                f"{self.path} is not whole (metrics.csv or groups.csv is missing, or no table): remove it, and the run "
                "repeats"
            ) from error
        return Records(self.path, metrics, groups, json.loads((self.path / "run.json").read_text()))

    def _checkpoint(self) -> dict[str, Any] | None:
        """What ``checkpoint.pt`` holds, if it is there and can be read."""
        file = self.path / "checkpoint.pt"
        if not file.exists():
            return None
        try:
            found: dict[str, Any] = torch.load(file, map_location="cpu", weights_only=True)
            if found["schema"] != SCHEMA:
                raise ValueError(f"schema {found['schema']}, this version reads {SCHEMA}")
            if found.keys() != {"schema", "identity", "info", "metrics", "groups", "state"}:
                raise ValueError("it lacks a part")
            rows, groups = [EpochRow(*row) for row in found["metrics"]], [GroupRow(*row) for row in found["groups"]]
        except Exception as error:  # torch.load has no exception of its own
            why = error if isinstance(error, (OSError, ValueError)) else type(error).__name__
            LOG.warning("%s can't be read (%s): the run begins anew", file, why)
            return None
        self._refuse(file, found["identity"])
        return found | {"metrics": rows, "groups": groups}

    def _refuse_another(self) -> None:
        """Nothing, if ``config.yaml`` is not there or is of this run."""
        file = self.path / "config.yaml"
        if file.exists():
            try:
                found = read_config(file)
            except ValueError as error:
                raise UserError(
                    f"{self.path} holds another run, or a damaged one ({'; '.join(str(error).splitlines())}): remove "
                    "it, and the run is repeated"
                ) from error
            self._refuse(file, found.identity())

    def _refuse(self, file: Path, identity: Mapping[str, Any]) -> None:
        """Say which value another run's ``identity`` has."""
        if differing := differences(identity, self.config.identity()):
            raise UserError(
                f"{file} is of another run: it has {differing[0][0]}, this run has {differing[0][1]}: move {self.path} "
                "away, or choose another results_dir"
            )

    def _seconds(self) -> float:
        """Since the run's start, without the time between processes."""
        return round(self._spent + time.monotonic() - self._began, 3)

    def _write_tables(self) -> None:
        for name, kind, rows in (("metrics.csv", EpochRow, self._rows), ("groups.csv", GroupRow, self._groups)):
            text = io.StringIO(newline="")
            table = csv.writer(text, lineterminator="\n")
            table.writerow(field.name for field in fields(kind))
            table.writerows(map(_cells, rows))
            self._write(name, text.getvalue().encode())
            packed_path(self.path / name).unlink(missing_ok=True)  # of the run that this one repeats

    def _clear(self) -> None:
        for name in PASSING:
            (self.path / name).unlink(missing_ok=True)

    def _add_to_log(self, text: str) -> None:
        file = self.path / "log.txt"
        before = file.read_text() if file.exists() else ""
        self._write("log.txt", f"{before}{now()}\n{text.rstrip()}\n\n".encode())

    def _write_info(self) -> None:
        self._write("run.json", (json.dumps(self._info, indent=2) + "\n").encode())

    def _write(self, name: str, content: bytes | memoryview) -> None:
        with self._telling(name):
            write_whole(self.path / name, content)

    @contextlib.contextmanager
    def _telling(self, name: str) -> Iterator[None]:
        """A file that can't be written, as a user's error."""
        try:
            yield
        except OSError as error:
            raise UserError(
                f"{self.path / name} can't be written ({error.strerror}): choose a results_dir that can be"
            ) from error


def _cells(row: EpochRow | GroupRow) -> list[str]:
    """A row of a table as text; a number that is missing is empty."""
    numbers = (f"{value:.7g}" if isinstance(value, float) else str(value) for value in astuple(row))
    return ["" if text == "nan" else text for text in numbers]


def _saved(content: Mapping[str, Any]) -> memoryview:
    buffer = io.BytesIO()
    torch.save(content, buffer)
    return buffer.getbuffer()
