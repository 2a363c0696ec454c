"""Finished runs, read back strictly and put together by configuration.

A record that is damaged, of another schema or of a changed configuration is named and left out.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, get_type_hints

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from l2m.catalog import registries
from l2m.config.checking import read_config
from l2m.config.choices import GROUPS
from l2m.config.description import settings, subject_and_label
from l2m.config.run import RunConfig
from l2m.data.fingerprint import recorded
from l2m.errors import UserError, cause, shown
from l2m.files import read_bytes, read_text
from l2m.records import SCHEMA, EpochRow, GroupRow
from l2m.records.directory import RunDirectory
from l2m.tasks import TASKS, Task

CHECKPOINTS = (0.25, 0.5, 1.0)
"""Shares of E at which the paper's tables have numbers."""

UNKNOWN_CHOICE = re.compile(rf"\b({'|'.join(GROUPS)})=.* is not known")
"""The error for a record of a choice that this version does not have."""

EPOCHS = ["E" if share == 1 else f"{share:g}E" for share in CHECKPOINTS]
"""Their names."""


def checkpoint(share: float, epochs: int) -> int:
    """The epoch ⌊share · epochs⌋, counted from 1."""
    return max(int(share * epochs), 1)


@dataclass(frozen=True)
class Runs:
    """All finished runs of one configuration but for the seed, in the order of their seeds.

    Attributes:
        label: the strategy, and the settings that differ from its other configurations on the same subject.
        subject: the data set, and the options, or the part it is tested on, that differ from others of its name.
        settings: the scientific configuration without the seed, flat: ``{"strategy.mixing_rate": 0.1, ...}``.
        metrics, groups: by seed, as written.
        info: by seed, the content of ``run.json``.
    """

    dataset: str
    label: str
    subject: str
    settings: dict[str, Any]
    metrics: dict[int, pd.DataFrame]
    groups: dict[int, pd.DataFrame]
    info: dict[int, dict[str, Any]]

    @property
    def strategy(self) -> str:
        return str(self.settings["strategy.name"])

    def is_baseline_of(self, other: Runs) -> bool:
        """Whether this is shuffled classical training, all else as in ``other``."""
        rest = [{k: v for k, v in runs.settings.items() if not k.startswith("strategy.")} for runs in (self, other)]
        shuffled = self.settings.get("strategy.batches") == "shuffled"
        return self.strategy == "classical" and shuffled and self.dataset == other.dataset and rest[0] == rest[1]

    @property
    def task(self) -> Task:
        return TASKS[self.settings["dataset.task"]]

    @property
    def proportions(self) -> NDArray[np.float64]:
        """α̃ (k,): learn2mix starts from it, classical training keeps it."""
        first = next(iter(self.groups.values()))
        shares: NDArray[np.float64] = first.loc[first["epoch"] == 1, "proportion"].to_numpy()
        return shares

    def at(self, share: float, column: str = "test_metric") -> pd.Series[float]:
        """A column at epoch ⌊share · E⌋, by seed; E is the last epoch or, of an early stop, the best."""
        ends = {seed: info.get("best_epoch") for seed, info in self.info.items()}
        columns = {seed: table[column].iloc[: ends[seed]] for seed, table in self.metrics.items()}
        return pd.Series({seed: float(c.iloc[checkpoint(share, len(c)) - 1]) for seed, c in columns.items()})

    def curve(self, column: str = "test_metric") -> pd.DataFrame:
        """A column over epochs (rows) and seeds (columns)."""
        return pd.DataFrame({seed: table.set_index("epoch")[column] for seed, table in self.metrics.items()})


@dataclass(frozen=True)
class RunsRead:
    """The runs of a results folder.

    Attributes:
        runs: the finished runs, by data set and strategy.
        problems: a sentence for each record that was left out: the directory, what is wrong, the remedy.
        unfinished: the number of runs whose status is not ``done``, by data set, strategy and status.
    """

    runs: list[Runs]
    problems: list[str]
    unfinished: Counter[tuple[str, str, str]]


def read_runs(results_dir: Path, may_be_empty: bool = False) -> RunsRead:
    """The runs under ``results_dir``.

    No two directories hold the same run: one whose place is not that of its configuration and seed is left out.

    Raises:
        UserError: there is no finished run that can be read, unless it ``may_be_empty``; or choices of the user's own
            cannot be read.
    """
    if not results_dir.is_dir():
        raise UserError(f"{results_dir} is not there: name the folder that holds runs/, which is outputs by default")
    registries()
    by_settings: dict[tuple[str, str], Runs] = {}
    files: dict[str, Counter[str | None]] = {}
    records: list[tuple[Path, RunConfig, dict[str, Any], pd.DataFrame, pd.DataFrame]] = []
    problems: list[str] = []
    unknown: dict[str, list[str]] = {}
    unfinished: Counter[tuple[str, str, str]] = Counter()
    for folder in sorted(path for path in results_dir.glob("runs/*/*/*") if path.is_dir()):
        dataset, strategy = folder.parts[-3:-1]
        try:
            info = _info(folder)
            if info["status"] != "done":
                unfinished[dataset, strategy, info["status"]] += 1
                continue
            config = _config(folder)
            metrics, groups = _metrics(folder, config, info), _groups(folder)
            _agree(metrics, groups, config)
        except Exception as error:  # a damaged record may raise anything
            text = "; ".join(str(error).splitlines()) if type(error) in (ValueError, UserError) else cause(error)
            place = shown(folder, longest=len(str(folder)))
            if UNKNOWN_CHOICE.search(text):
                unknown.setdefault(shown(text), []).append(place)
            else:
                problems.append(f"{place} is left out ({shown(text)}): remove it, and repeat the run")
            continue
        records.append((folder, config, info, metrics, groups))
        files.setdefault(str(config.dataset), Counter())[recorded(config.dataset, info)] += 1
    for folder, config, info, metrics, groups in records:
        (most, _), *_ = files[str(config.dataset)].most_common(1)
        if recorded(config.dataset, info) != most:
            problems.append(
                f"{folder} is left out (it was trained on other files than most runs of {config.dataset['name']}): "
                "remove it, and repeat the run on the same files"
            )
            continue
        dataset, shared = config.dataset["name"], settings(config)
        runs = Runs(dataset, config.strategy["name"], dataset, shared, {}, {}, {})
        runs = by_settings.setdefault((dataset, json.dumps(shared, sort_keys=True)), runs)
        runs.metrics[config.seed], runs.groups[config.seed], runs.info[config.seed] = metrics, groups, info
    for text, (first, *others) in unknown.items():
        verb = f"and {len(others)} more are" if others else "is"
        own = "if it is your own, let L2M_CONFIG_DIR name its folder, else "
        problems.append(f"{first} {verb} left out ({text}): {own}remove it, and repeat the run")
    if not by_settings and not may_be_empty:
        within = [path.parent for path in (results_dir, *results_dir.parents) if path.name == "runs"]
        near = within or [path.parent for path in results_dir.glob("*/runs")]
        hint = f"name {near[0]}, which does" if near else f"train some with results_dir={results_dir}"
        raise UserError("\n".join([*problems, f"{results_dir}/runs holds no finished runs: {hint}"]))
    merged = [
        replace(
            runs,
            **subject_and_label(
                runs.settings, [other.settings for other in by_settings.values() if other.dataset == runs.dataset]
            ),
            metrics=dict(sorted(runs.metrics.items())),
            groups=dict(sorted(runs.groups.items())),
            info=dict(sorted(runs.info.items())),
        )
        for runs in sorted(by_settings.values(), key=lambda runs: (runs.dataset, runs.strategy))
    ]
    return RunsRead(merged, problems, unfinished)


def _info(folder: Path) -> dict[str, Any]:
    """``run.json``, of a run in a directory that its data set and strategy give it."""
    try:
        info = json.loads(read_text(folder / "run.json"))
    except json.JSONDecodeError as error:
        raise ValueError(f"run.json is not JSON at line {error.lineno}, column {error.colno}") from error
    if not isinstance(info, dict) or not isinstance(info.get("status"), str):
        raise ValueError("run.json has no status")
    if info.get("schema") != SCHEMA:
        raise ValueError(f"run.json says schema {info.get('schema')}, this version reads {SCHEMA}")
    if not re.fullmatch("[a-z]+", info["status"]):
        raise ValueError(f"run.json has the status {info['status']}, which is not a word")
    for kind, name in zip(("dataset", "strategy"), folder.parts[-3:-1], strict=True):
        registries()[kind][name]
    return info


def _config(folder: Path) -> RunConfig:
    """``config.yaml``, of a run on any device, in the directory that is its own."""
    config = read_config(folder / "config.yaml")
    own, here = ("/".join(path.parts[-3:]) for path in (RunDirectory(config).path, folder))
    if own != here:
        raise ValueError(f"its config.yaml is that of {own}")
    return config


def _metrics(folder: Path, config: RunConfig, info: Mapping[str, Any]) -> pd.DataFrame:
    """``metrics.csv``: epochs 1 to E, or to the last one where seconds were shared out equally, or it stopped early."""
    table = _table(folder / "metrics.csv", EpochRow)
    epochs = len(table) if config.equal_seconds or config.early_stopping else config.epochs
    if not epochs or len(table) != epochs or table["epoch"].tolist() != list(range(1, epochs + 1)):
        raise ValueError(f"metrics.csv does not hold epochs 1 to {max(epochs, 1)}, each once and in order")
    best = info.get("best_epoch", None if config.early_stopping else epochs)
    if type(best) is not int or not 1 <= best <= epochs:
        raise ValueError(f"run.json has the best_epoch {best}, metrics.csv epochs 1 to {epochs}")
    return table


def _groups(folder: Path) -> pd.DataFrame:
    """``groups.csv``: epochs from 1 on, and in each the same k groups in their order."""
    table = _table(folder / "groups.csv", GroupRow, may_lack="train_loss")
    k = int((table["epoch"] == 1).sum())
    whole = k and not len(table) % k
    if not whole or table["epoch"].tolist() != np.arange(1, len(table) // k + 1).repeat(k).tolist():
        raise ValueError("groups.csv does not hold the same number of groups for each epoch from 1 on")
    first = table[["group", "name"]].iloc[:k]
    if not all(name.isprintable() for name in first["name"]):
        raise ValueError("groups.csv has a group's name that cannot be printed")
    same = (table[["group", "name"]].to_numpy().reshape(-1, k, 2) == first.to_numpy()).all()
    if first["group"].tolist() != list(range(k)) or not same:
        raise ValueError(f"groups.csv does not name groups 0 to {k - 1} alike in each epoch")
    return table


def _agree(metrics: pd.DataFrame, groups: pd.DataFrame, config: RunConfig) -> None:
    """Whether both tables can be of one run of ``config``: epochs, steps, samples, range, worst group."""
    if groups["epoch"].nunique() != len(metrics):
        raise ValueError(f"groups.csv has {groups['epoch'].nunique()} epochs, metrics.csv {len(metrics)}")
    steps, task = metrics["steps"], TASKS[config.task]
    if (steps != metrics["epoch"] * steps[0]).any() or (metrics["samples"] != steps * config.batch_size).any():
        raise ValueError("metrics.csv counts other steps or samples than epochs and batch_size give")
    by_epoch = groups.groupby("epoch")["test_metric"]
    worst = (by_epoch.min() if task.higher_is_better else by_epoch.max()).to_numpy()
    if not np.allclose(metrics["worst_group"], worst, rtol=1e-5, atol=1e-9):
        raise ValueError("metrics.csv has another worst_group than groups.csv")
    if task.higher_is_better and not metrics["test_metric"].between(0, 1).all():
        raise ValueError("metrics.csv has an accuracy outside 0 to 1")


def _table(file: Path, kind: type, may_lack: str | None = None) -> pd.DataFrame:
    """A CSV whose columns are the fields of ``kind``, all there and finite but for those empty in ``may_lack``."""
    hints = _hints(kind)
    content = io.BytesIO(read_bytes(file))
    try:
        table = pd.read_csv(content, dtype=hints, keep_default_na=False, na_values=[""])
    except Exception as error:  # pandas raises many kinds for a damaged table
        raise ValueError(f"{file.name} {_fault(read_text(file), hints)}") from error
    if list(table.columns) != list(hints):
        raise ValueError(f"{file.name} has the columns {', '.join(table.columns)}, not {', '.join(hints)}")
    for column, values in table.items():
        required = values.dropna() if column == may_lack else values
        valid = required.notna().to_numpy() if hints[str(column)] is str else np.isfinite(required.to_numpy())
        if not valid.all():
            line = required.index[~valid][0] + 2
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


@cache
def _hints(kind: type) -> dict[str, type]:
    """The fields of a row and their types, in order."""
    return get_type_hints(kind)
