"""The directory of one run."""

import contextlib
import json
import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import torch
import yaml

from l2m.config.checking import check_size, read_config
from l2m.config.description import differences
from l2m.config.run import RunConfig
from l2m.data.fingerprint import fingerprint, recorded
from l2m.errors import UserError, shown
from l2m.files import flush_to_disk, packed_path, reporting, write_whole
from l2m.records import SCHEMA, WRITE_REMEDY, EpochRow, GroupRow, Records
from l2m.records.checkpoint import Checkpoint, read_checkpoint, serialize
from l2m.records.lock import locked
from l2m.records.provenance import now, provenance
from l2m.records.reading import NewerRecord, read_info, read_tables

MODEL = "model.pt"
"""The file of the final parameters, which ``run.json`` names."""

TEMPORARY = ("checkpoint.pt", "log.txt")
"""Files that are removed when the run is done."""

RECORDS = ("config.yaml", "metrics.csv", "groups.csv")
"""Files that a finished run has beside ``run.json``, even where records are copied without models."""

READ_REMEDY = "make it readable, or choose another results_dir"

LOG = logging.getLogger(__name__)


class RunDirectory:
    """Reads and writes the directory of one run, which is created with its first file."""

    def __init__(self, config: RunConfig) -> None:
        self.config = config
        folder = Path(config.results_dir) / "runs" / config.dataset["name"] / config.strategy["name"]
        self.path = folder / f"seed{config.seed}-{config.digest()}"
        self._rows: list[EpochRow] = []
        self._groups: list[GroupRow] = []
        self._info: dict[str, Any] = {}
        self._described = b""  # what a user's own data were read as
        self._earlier_seconds = self._began = 0.0

    def status(self) -> str | None:
        """``done``, ``failed``, ``running`` (or killed), or None if the run never started; raises as `read_info`."""
        return self.read_info().get("status")

    def read_info(self) -> dict[str, Any]:
        """The content of ``run.json``, which has a ``status``; empty if the run never started.

        Raises:
            UserError: ``run.json`` cannot be read or is of a newer version, the directory belongs to another run, or
                the run is done, but lacks a file, or was trained on files that have changed since.
        """
        with reporting("read", self.path, READ_REMEDY):
            info = self._read_info()
            lost = [name for name in RECORDS if not self._has(name)] if info.get("status") == "done" else []
        if lost and not self.config.force:
            raise UserError(f"{self.path} is incomplete ({lost[0]} is missing): remove it to repeat the run")
        if info.get("status") == "done" and not self.config.force and self.data_changed(info):
            raise UserError(
                f"{self.path} was trained on other files than {self._data} has now: use force=true to train again, or "
                "another results_dir to keep both"
            )
        return info

    def start(
        self, device: torch.device, data: Mapping[str, Any] | None = None, processes: int = 1
    ) -> Mapping[str, Any] | None:
        """Start the run, or continue from its checkpoint; the state of that checkpoint.

        ``data`` is what a user's own data were read as, ``processes`` how many train the run. With ``force`` only a
        checkpoint of a run that was begun with ``force`` counts, so that a repetition that is interrupted continues
        too. A checkpoint that cannot be read, or is of other data, is reported, and the run starts from the beginning.

        Raises:
            UserError: the checkpoint belongs to another run, or the directory cannot be written to.
        """
        for part in self.path.glob("*.part"):  # of a process that was killed while writing
            part.unlink(missing_ok=True)
        self._began = time.monotonic()
        here = provenance(device) | ({"processes": processes} if processes > 1 else {})
        checkpoint = read_checkpoint(self.path / "checkpoint.pt")
        if self.config.force and checkpoint and (self.status() == "done" or not checkpoint.info.get("forced")):
            checkpoint = None
        if checkpoint:
            self._check_identity("checkpoint.pt", checkpoint.identity)
            if self.data_changed(checkpoint.info):
                LOG.warning("%s has other files now: %s starts from the beginning", self._data, self.path)
                checkpoint = None
        if checkpoint:
            if self.config.force:
                file = self.path / "checkpoint.pt"
                LOG.warning("continuing what force=true began: to start from the beginning, remove %s", file)
            self._rows, self._groups = checkpoint.metrics, checkpoint.groups
            resumed = [*checkpoint.info.get("resumed", []), {"epoch": len(self._rows), **here}]
            self._info = checkpoint.info | {"resumed": resumed}
        else:
            self._rows, self._groups = [], []
            more = {"command": self.config.command, "files": self._fingerprint(), "forced": self.config.force}
            self._info = {"schema": SCHEMA, **here, **{key: value for key, value in more.items() if value}}
        self._earlier_seconds = self._info.pop("seconds", 0.0)
        self._info["status"] = "running"
        self._write_config()
        if data:
            text = json.dumps(data, indent=1, ensure_ascii=False) + "\n"
            self._described = text.encode(errors="backslashreplace")  # of a name that is not text
            self._write("data.json", self._described)
        self._write_info()
        return checkpoint.state if checkpoint else None

    def add(self, row: EpochRow, groups: Sequence[GroupRow]) -> None:
        self._rows.append(row)
        self._groups += groups

    def save_checkpoint(self, state: Mapping[str, Any]) -> None:
        """Write ``checkpoint.pt``: the rows so far, and the trainer's state."""
        info = self._info | {"seconds": self._seconds()}
        checkpoint = Checkpoint(self.config.identity(), info, self._rows, self._groups, state)
        self._write("checkpoint.pt", checkpoint.to_bytes())

    def finish(self, model: torch.nn.Module, described: Mapping[str, Any], **info: Any) -> None:
        """Write the records of a finished run: tables, model with the content of ``Data.described``, and ``info``.

        All of them are on the disk before ``run.json`` says ``done``, even if the folder was removed meanwhile.
        """
        state = {name: value.cpu() for name, value in model.state_dict().items()}
        if not self._has("config.yaml"):
            self._write_config()
        if self._described and not self._has("data.json"):
            self._write("data.json", self._described)
        self._write_tables()
        self._write(MODEL, serialize({"parameters": state, **described}))
        with reporting("written", self.path, WRITE_REMEDY):
            for name in (*RECORDS, MODEL, *["data.json"] * bool(self._described), "."):
                flush_to_disk(self.path / name)
        self._info |= {**info, "end": now(), "seconds": self._seconds(), "model": MODEL, "status": "done"}
        self._write_info(flush=True)
        self._remove_temporary()

    def remove_leftovers(self) -> None:
        """Remove the files of a process that was killed after it finished the run and before it removed them."""
        if any((self.path / name).exists() for name in (*TEMPORARY, "lock")):
            with locked(self.path):
                if self.status() == "done":
                    self._remove_temporary()

    def fail(self, problem: str, log: str) -> None:
        """Write the records of a failed run, as far as the disk allows, and add to its log."""
        with contextlib.suppress(OSError, ValueError):
            self._write_tables()
            self._write_failure(problem, log, seconds=self._seconds())

    def mark_failed(self, problem: str, log: str) -> None:
        """Mark a run as failed whose process is gone; its rows are in its checkpoint, if it left one."""
        with contextlib.suppress(OSError, ValueError):
            self._info = read_info(self.path)
            if self._info["status"] != "done":  # it may have died when all was written
                self._write_failure(problem, log)

    def read(self) -> Records:
        """The records of a finished run; a UserError if one of its files is missing or cannot be read."""
        with reporting("read", self.path, READ_REMEDY):
            try:
                info = read_info(self.path)
                return Records(self.path, *read_tables(self.path, self.config, info), info)
            except ValueError as error:
                raise UserError(f"{self.path} is damaged ({shown(error)}): remove it to repeat the run") from error

    def _read_info(self) -> dict[str, Any]:
        file = self.path / "config.yaml"
        if file.exists():
            try:
                config = read_config(file)
            except ValueError as error:
                raise UserError(
                    f"{self.path} holds another run or a damaged one ({'; '.join(str(error).splitlines())}): remove it "
                    "to repeat the run"
                ) from error
            self._check_identity("config.yaml", config.identity())
        if not (self.path / "run.json").exists():
            return {}
        try:
            return read_info(self.path)
        except NewerRecord as error:
            raise UserError(
                f"{self.path} is of a newer version ({error}): update l2m, or choose another results_dir"
            ) from error
        except ValueError as error:
            raise UserError(
                f"{self.path / 'run.json'} is not a valid run record ({shown(error)}): remove it to repeat the run"
            ) from error

    def _has(self, name: str) -> bool:
        return (self.path / name).exists() or packed_path(self.path / name).exists()

    def _check_identity(self, name: str, identity: Mapping[str, Any]) -> None:
        """Raise a UserError, with the first value that differs, if a file has another run's identity."""
        if differing := differences(identity, self.config.identity()):
            raise UserError(
                f"{self.path / name} belongs to another run: it has {differing[0][0]}, this run has {differing[0][1]}: "
                f"move {self.path} away, or choose another results_dir"
            )

    @property
    def _data(self) -> str:
        data = str(self.config.dataset.get("path") or self.config.data_dir)
        return f"{data} or {self._weights}" if self._weights else data

    @property
    def _weights(self) -> str | None:
        """The file of weights that the model starts from, if it does."""
        weights = self.config.model.get("weights")
        return None if weights in (None, "none", "pretrained") else str(weights)

    def _fingerprint(self) -> str | None:
        return fingerprint(self.config.dataset, Path(self.config.data_dir), self._weights)

    def data_changed(self, info: Mapping[str, Any]) -> bool:
        """Whether the data set's files differ from those in ``run.json``; not if they are no longer here."""
        before, now = recorded(self.config.dataset, info), self._fingerprint()
        return None not in (before, now) and before != now

    def _seconds(self) -> float:
        """Since the run's start, without the time between processes."""
        return round(self._earlier_seconds + time.monotonic() - self._began, 3)

    def _write_tables(self) -> None:
        import pandas as pd  # not before the run ends

        for name, kind, rows in (("metrics.csv", EpochRow, self._rows), ("groups.csv", GroupRow, self._groups)):
            table = pd.DataFrame(list(map(vars, rows)), columns=[field.name for field in fields(kind)])
            text = table.to_csv(index=False, float_format="%.7g", lineterminator="\n")
            self._write(name, text.encode())
            packed_path(self.path / name).unlink(missing_ok=True)  # of the run that this one repeats

    def _write_failure(self, problem: str, log: str, **info: float) -> None:
        file = self.path / "log.txt"
        before = file.read_text(encoding="utf-8") if file.exists() else ""
        self._write("log.txt", f"{before}{now()}\n{log.rstrip()}\n\n".encode())
        self._info |= {"end": now(), **info, "status": "failed", "problem": problem}
        self._write_info()

    def _remove_temporary(self) -> None:
        for name in TEMPORARY:
            with contextlib.suppress(OSError):
                (self.path / name).unlink(missing_ok=True)

    def _write_config(self) -> None:
        once = {"force": False, "debug": False}  # for this time: the file may be the configuration of another run
        text = yaml.safe_dump(self.config.to_dict() | once, sort_keys=False)
        try:
            check_size(text, "config.yaml")
        except ValueError as error:
            raise UserError(f"{error}: use fewer or shorter options") from error
        self._write("config.yaml", text.encode())

    def _write_info(self, flush: bool = False) -> None:
        self._write("run.json", (json.dumps(self._info, indent=2) + "\n").encode(), flush)

    def _write(self, name: str, content: bytes | memoryview, flush: bool = False) -> None:
        write_whole(self.path / name, content, flush, WRITE_REMEDY)
