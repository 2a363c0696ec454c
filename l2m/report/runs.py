"""Finished runs, read back strictly and put together by configuration.

A record that is damaged, of another schema or of a changed configuration is named and left out.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from l2m.catalog import registries
from l2m.config.checking import read_config
from l2m.config.choices import GROUPS
from l2m.config.description import settings, subjects_and_labels
from l2m.config.run import RunConfig
from l2m.data.fingerprint import recorded
from l2m.errors import UserError, cause, shown
from l2m.records.directory import RunDirectory
from l2m.records.reading import NewerRecord, read_info, read_tables
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
        places: by seed, its directory in the results folder.
    """

    dataset: str
    label: str
    subject: str
    settings: dict[str, Any]
    metrics: dict[int, pd.DataFrame]
    groups: dict[int, pd.DataFrame]
    info: dict[int, dict[str, Any]]
    places: dict[int, str]

    @property
    def strategy(self) -> str:
        return str(self.settings["strategy.name"])

    @property
    def style_name(self) -> str:
        """The strategy, by which it is drawn: ``stratified`` for classical training with fixed proportions."""
        return "stratified" if self.settings.get("strategy.batches") == "stratified" else self.strategy

    def is_baseline_of(self, other: Runs) -> bool:
        """Whether this is shuffled classical training, all else as in ``other``."""
        if self.strategy != "classical" or self.settings.get("strategy.batches") != "shuffled":
            return False
        ours, theirs = (
            {k: v for k, v in runs.settings.items() if not k.startswith("strategy.")} for runs in (self, other)
        )
        return ours == theirs

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
        """A column at epoch ⌊share · E⌋ by seed, accuracies in %; E is the last epoch, or the best if stopped early."""
        ends = {seed: info.get("best_epoch") for seed, info in self.info.items()}
        columns = {seed: table[column].iloc[: ends[seed]] for seed, table in self.metrics.items()}
        values = pd.Series({seed: float(c.iloc[checkpoint(share, len(c)) - 1]) for seed, c in columns.items()})
        return values * 100 if self.task.higher_is_better else values

    def curve(self, column: str = "test_metric") -> pd.DataFrame:
        """A metric over epochs (rows) and seeds (columns), accuracies in %."""
        table = pd.DataFrame({seed: table.set_index("epoch")[column] for seed, table in self.metrics.items()})
        return table * 100 if self.task.higher_is_better else table


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


def read_runs(results_dir: Path, may_be_empty: bool = False, folders: Iterable[Path] | None = None) -> RunsRead:
    """The runs under ``results_dir``, all or those in ``folders``.

    No two directories hold the same run: one whose place is not that of its configuration and seed is left out.

    Raises:
        UserError: there is no finished run that can be read, unless it ``may_be_empty``; or choices of the user's own
            cannot be read.
    """
    if not results_dir.is_dir():
        state = "a file" if results_dir.exists() else "not there"
        raise UserError(f"{results_dir} is {state}: name the folder that holds runs/, which is outputs by default")
    registries()
    by_settings: dict[tuple[str, str], Runs] = {}
    files: dict[str, Counter[str | None]] = {}
    records: list[tuple[Path, RunConfig, dict[str, Any], pd.DataFrame, pd.DataFrame]] = []
    problems: list[str] = []
    unknown: dict[str, list[str]] = {}
    unfinished: Counter[tuple[str, str, str]] = Counter()
    for folder in _list_folders(results_dir / "runs", problems) if folders is None else folders:
        dataset, strategy = folder.parts[-3:-1]
        try:
            info = read_info(folder)
            for kind, name in (("dataset", dataset), ("strategy", strategy)):
                registries()[kind][name]  # an unknown choice is an error
            if info["status"] != "done":
                unfinished[dataset, strategy, info["status"]] += 1
                continue
            config = read_config(folder / "config.yaml")
            own = "/".join(RunDirectory(config).path.parts[-3:])
            if own != "/".join(folder.parts[-3:]):
                raise ValueError(f"its config.yaml is that of {own}")
            metrics, groups = read_tables(folder, config, info)
        except Exception as error:  # a damaged record may raise anything
            plain = type(error) in (ValueError, UserError, NewerRecord)
            text = "; ".join(str(error).splitlines()) if plain else cause(error)
            place = shown(folder, longest=len(str(folder)))
            if UNKNOWN_CHOICE.search(text):
                unknown.setdefault(shown(text), []).append(place)
            elif isinstance(error, OSError):
                problems.append(f"{place} is left out ({error.strerror}): make it readable")
            elif isinstance(error, NewerRecord):
                problems.append(f"{place} is left out ({text}): update l2m to read it")
            else:
                problems.append(f"{place} is left out ({shown(text)}): remove it, and repeat the run")
            continue
        records.append((folder, config, info, metrics, groups))
        files.setdefault(str(config.dataset), Counter())[recorded(config.dataset, info)] += 1
    for folder, config, info, metrics, groups in sorted(records, key=lambda record: record[1].seed):
        (most, count), *rest = files[str(config.dataset)].most_common(2)
        if recorded(config.dataset, info) != most:
            which = "as many other" if rest[0][1] == count else "most"
            problems.append(
                f"{folder} is left out (it was trained on other files than {which} runs of {config.dataset['name']}): "
                "remove those of one of the files, and repeat them on the other"
            )
            continue
        dataset, shared = config.dataset["name"], settings(config)
        runs = Runs(dataset, config.strategy["name"], dataset, shared, {}, {}, {}, {})
        runs = by_settings.setdefault((dataset, json.dumps(shared, sort_keys=True)), runs)
        runs.metrics[config.seed], runs.groups[config.seed], runs.info[config.seed] = metrics, groups, info
        runs.places[config.seed] = folder.relative_to(results_dir).as_posix()
    for text, (first, *others) in unknown.items():
        verb = f"and {len(others)} more are" if others else "is"
        own = "if it is your own, let L2M_CONFIG_DIR name its folder, else "
        problems.append(f"{first} {verb} left out ({text}): {own}remove it, and repeat the run")
    if not by_settings and not may_be_empty:
        within = [path.parent for path in (results_dir, *results_dir.parents) if path.name == "runs"]
        near = within or [path.parent for path in results_dir.glob("*/runs")]
        hint = f"name {near[0]}, which does" if near else f"train some with results_dir={results_dir}"
        which = "finished runs that can be read" if problems else "finished runs"
        raise UserError("\n".join([*problems, f"{results_dir}/runs holds no {which}: {hint}"]))
    ordered = sorted(by_settings.values(), key=lambda runs: (runs.dataset, runs.strategy))
    words = subjects_and_labels([runs.settings for runs in ordered])
    merged = [replace(runs, **each) for runs, each in zip(ordered, words, strict=True)]
    return RunsRead(merged, problems, unfinished)


def _list_folders(runs: Path, problems: list[str]) -> list[Path]:
    """The directories of runs, sorted; a folder that cannot be read is appended to ``problems``."""
    folders = [runs]
    for _ in range(3):
        above, folders = folders, []
        for folder in above:
            try:
                folders += [path for path in folder.iterdir() if path.is_dir()]
            except FileNotFoundError:
                continue
            except OSError as error:
                problems.append(f"{shown(folder)} cannot be read ({error.strerror}): make it readable")
    return sorted(folders)
