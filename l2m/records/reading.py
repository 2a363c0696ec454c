"""Reads the files of a finished run strictly: what is damaged, or cannot be of its configuration, is refused."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import Tensor

from l2m.config.run import RunConfig
from l2m.errors import printable
from l2m.files import read_bytes, read_text
from l2m.records import SCHEMA, EpochRow, GroupRow
from l2m.records.checkpoint import load_whole
from l2m.schema import options_of
from l2m.tasks import TASKS

if TYPE_CHECKING:
    import pandas as pd  # which training does without until it reads


class NewerRecord(ValueError):
    """A record of a newer schema, which is left alone."""


def read_info(folder: Path) -> dict[str, Any]:
    """The content of ``run.json``, which has a ``status``; a ValueError if it is missing or damaged, or NewerRecord."""
    try:
        info = json.loads(read_text(folder / "run.json"))
    except json.JSONDecodeError as error:
        raise ValueError(f"run.json is not JSON at line {error.lineno}, column {error.colno}") from error
    except RecursionError as error:
        raise ValueError("run.json has too many levels") from error
    if not isinstance(info, dict) or not isinstance(info.get("status"), str):
        raise ValueError("run.json has no status")
    if (schema := info.get("schema")) != SCHEMA:
        newer = isinstance(schema, int) and schema > SCHEMA
        raise (NewerRecord if newer else ValueError)(f"run.json says schema {schema}, this version reads {SCHEMA}")
    if not re.fullmatch("[a-z]+", info["status"]):
        raise ValueError(f"run.json has the status {info['status']}, which is not a word")
    return info


def read_tables(folder: Path, config: RunConfig, info: Mapping[str, Any]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """``metrics.csv`` and ``groups.csv``, as a run of ``config`` with ``info`` in ``run.json`` can have written them.

    A ValueError is raised if one is missing or damaged, or they do not agree with each other or with ``config``.
    """
    metrics, groups = _read_metrics(folder, config, info), _read_groups(folder)
    _check_agreement(metrics, groups, config)
    return metrics, groups


def read_model(file: Path) -> dict[str, Any]:
    """The content of ``model.pt``, with its ``parameters`` by name; a ValueError if it is damaged."""
    try:
        content = load_whole(file)
        whole = all(isinstance(value, Tensor) for value in content["parameters"].values())
    except (OSError, MemoryError):
        raise
    except Exception as error:  # torch.load raises many types, with advice for programmers
        raise ValueError(f"{file.name} is damaged") from error
    if not whole:
        raise ValueError(f"{file.name} holds other things than parameters")
    return content


def _read_metrics(folder: Path, config: RunConfig, info: Mapping[str, Any]) -> pd.DataFrame:
    """Epochs 1 to E, or to the last one where seconds were shared out equally, or it stopped early."""
    table = _read_table(folder / "metrics.csv", EpochRow)
    epochs = len(table) if config.equal_seconds or config.early_stopping else config.epochs
    if not epochs or len(table) != epochs or table["epoch"].tolist() != list(range(1, epochs + 1)):
        raise ValueError(f"metrics.csv does not hold epochs 1 to {max(epochs, 1)}, each once and in order")
    best = info.get("best_epoch", None if config.early_stopping else epochs)
    if type(best) is not int or not 1 <= best <= epochs:
        raise ValueError(f"run.json has the best_epoch {best}, metrics.csv epochs 1 to {epochs}")
    return table


def _read_groups(folder: Path) -> pd.DataFrame:
    """Epochs from 1 on, and in each the same k groups in their order; their names are printable."""
    table = _read_table(folder / "groups.csv", GroupRow, may_lack="train_loss")
    epoch, group, name = (table[column].to_numpy() for column in ("epoch", "group", "name"))
    k = int((epoch == 1).sum())
    if not k or len(table) % k or (epoch != np.arange(1, len(table) // k + 1).repeat(k)).any():
        raise ValueError("groups.csv does not hold the same number of groups for each epoch from 1 on")
    if (group.reshape(-1, k) != np.arange(k)).any() or (name.reshape(-1, k) != name[:k]).any():
        raise ValueError(f"groups.csv does not name groups 0 to {k - 1} alike in each epoch")
    table["name"] = [printable(each) for each in name[:k]] * (len(table) // k)
    return table


def _check_agreement(metrics: pd.DataFrame, groups: pd.DataFrame, config: RunConfig) -> None:
    """Whether both tables can be of one run of ``config``: epochs, steps, samples, range, worst group."""
    if (epochs := int(groups["epoch"].iloc[-1])) != len(metrics):
        raise ValueError(f"groups.csv has {epochs} epochs, metrics.csv {len(metrics)}")
    steps, task = metrics["steps"], TASKS[config.task]
    if (steps != metrics["epoch"] * steps[0]).any() or (metrics["samples"] != steps * config.batch_size).any():
        raise ValueError("metrics.csv counts other steps or samples than epochs and batch_size give")
    by_epoch = groups["test_metric"].to_numpy().reshape(epochs, -1)
    worst = by_epoch.min(1) if task.higher_is_better else by_epoch.max(1)
    if not np.allclose(metrics["worst_group"], worst, rtol=1e-5, atol=1e-9):
        raise ValueError("metrics.csv has another worst_group than groups.csv")
    if task.higher_is_better and not metrics["test_metric"].between(0, 1).all():
        raise ValueError("metrics.csv has an accuracy outside 0 to 1")


def _read_table(file: Path, kind: type, may_lack: str | None = None) -> pd.DataFrame:
    """A CSV whose columns are the fields of ``kind``, all there and finite but for those empty in ``may_lack``."""
    import pandas as pd

    hints = options_of(kind)
    content = io.BytesIO(read_bytes(file))
    try:
        table = pd.read_csv(content, dtype=hints, keep_default_na=False, na_values=[""])
    except Exception as error:  # pandas raises many kinds for a damaged table
        raise ValueError(f"{file.name} {_fault(read_text(file), hints)}") from error
    if list(table.columns) != list(hints):
        raise ValueError(f"{file.name} has the columns {', '.join(table.columns)}, not {', '.join(hints)}")
    for column, kind_of_value in hints.items():
        values = table[column].to_numpy()
        empty = pd.isna(values)
        valid = ~empty if kind_of_value is str else np.isfinite(values) | (empty if column == may_lack else False)
        if not valid.all():
            line = np.flatnonzero(~valid)[0] + 2
            raise ValueError(f"{file.name} has a value of {column} that is missing or not finite in line {line}")
    return table


def _fault(text: str, hints: dict[str, type]) -> str:
    """What is wrong with a CSV that pandas cannot read, and where, as the end of a sentence."""
    head, *lines = csv.reader(text.replace("\0", "").splitlines()) if text else [[]]
    if not head:
        return "is empty"
    for number, fields in enumerate(lines, start=2):
        if len(fields) != len(head):
            return f"has {len(fields)} values in line {number}, not {len(head)}"
        for column, value in zip(head, fields, strict=True):
            try:
                hints.get(column, str)(value)
            except ValueError:
                return f"has the value {value!r} of {column} in line {number}, which is not a number of its kind"
    return "cannot be read as a table"
