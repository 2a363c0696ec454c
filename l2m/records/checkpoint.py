"""The file ``checkpoint.pt`` of an unfinished run."""

import io
import logging
from collections.abc import Mapping
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import torch

from l2m.errors import UserError
from l2m.files import reporting
from l2m.records import SCHEMA, EpochRow, GroupRow

LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Checkpoint:
    """A run after some epochs: ``info`` is the content of ``run.json``, ``state`` the trainer's ``state_dict``."""

    identity: dict[str, Any]
    info: dict[str, Any]
    metrics: list[EpochRow]
    groups: list[GroupRow]
    state: Mapping[str, Any]

    def to_bytes(self) -> memoryview:
        rows = {"metrics": [astuple(row) for row in self.metrics], "groups": [astuple(row) for row in self.groups]}
        return serialize({"schema": SCHEMA, **vars(self), **rows})


def read_checkpoint(file: Path) -> Checkpoint | None:
    """The checkpoint; None if there is none or, with a warning, if it is damaged.

    Raises:
        UserError: the system refuses to read it: it may be whole.
        MemoryError: there is too little memory for it.
    """
    if not file.exists():
        return None
    try:
        with reporting("read", file, "make it readable, or remove it to start the run from the beginning"):
            content = load_whole(file)
        if (schema := content.pop("schema")) != SCHEMA:
            raise ValueError(f"schema {schema}, this version reads {SCHEMA}")
        content["metrics"] = [EpochRow(*row) for row in content["metrics"]]
        content["groups"] = [GroupRow(*row) for row in content["groups"]]
        return Checkpoint(**content)
    except (UserError, MemoryError):
        raise
    except Exception as error:  # torch.load has no exception of its own
        why = error if isinstance(error, ValueError) else type(error).__name__
        LOG.warning("%s cannot be read (%s): the run starts from the beginning", file, why)
        return None


def load_whole(file: Path) -> dict[str, Any]:
    """What :func:`serialize` wrote to a file, on the CPU; nothing in it is executed.

    An OSError is raised if it cannot be opened, a ValueError if a part of it has another checksum than was written, and
    many types if it is damaged, by ``torch.load`` and ``zipfile``.
    """
    with file.open("rb") as stream:
        if part := ZipFile(stream).testzip():
            raise ValueError(f"{part} is damaged")
        stream.seek(0)
        return dict(torch.load(stream, map_location="cpu", weights_only=True))


def serialize(content: Mapping[str, Any]) -> memoryview:
    """The bytes that ``torch.save`` writes."""
    buffer = io.BytesIO()
    torch.save(content, buffer)
    return buffer.getbuffer()
