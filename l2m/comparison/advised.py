"""The model that a finished comparison advises, for ``python -m l2m.predict``."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from os.path import abspath
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from torch import Tensor

from l2m.comparison.config import BASELINE
from l2m.comparison.opponents import predict_values
from l2m.comparison.thresholds import MOVED, moved_rows
from l2m.config.checking import read_config
from l2m.config.run import RunConfig
from l2m.data import Data, load
from l2m.errors import UserError, cause
from l2m.records.directory import RunDirectory
from l2m.records.reading import read_info
from l2m.tasks import TASKS, Task
from l2m.training.results import Floats

if TYPE_CHECKING:
    from l2m.comparison.report import Report


@dataclass(frozen=True)
class Advised:
    """What a comparison advises: a run, or a model of scikit-learn, which alone has more than the attributes.

    Attributes:
        run: directory of a run on the whole training set: the strategy's or, where ``model`` is given, classical's.
        model: one of scikit-learn's models, as ``boosted_trees_balanced``; it is fitted when it predicts.
        setting: its setting.
        thresholds: of the k classes, in (0, 1): the class with the largest p / threshold is predicted; empty if the
            thresholds are not moved.
    """

    run: Path
    model: str | None
    setting: Mapping[str, float]
    thresholds: tuple[float, ...]

    @property
    def folder(self) -> str:
        """How the model is called in messages."""
        return f"scikit-learn's {self.model}, fitted on the data of {self.run}"

    @cached_property
    def config(self) -> RunConfig:
        """Of a run on the same data."""
        return read_config(self.run / "config.yaml")

    @cached_property
    def data(self) -> Data:
        """What the model is fitted on; a UserError if the files have changed."""
        if RunDirectory(self.config).data_changed(read_info(self.run)):
            raise UserError(
                f"the files of {self.run} have changed since the comparison: put the old ones back, or repeat its "
                "command"
            )
        return load(self.config)

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the classes; empty for a regression."""
        return self.data.labels

    @property
    def task(self) -> Task:
        """Its metric."""
        return TASKS[self.config.task]

    def values(self, inputs: Tensor) -> Floats:
        """Class probabilities (N, k), or values (N, 1), of prepared inputs (N, d)."""
        return predict_values(str(self.model), self.setting, self.config, self.data, inputs.numpy())

    @property
    def is_skewed(self) -> bool:
        """Whether its probabilities are those of a population with other shares of the classes."""
        return str(self.model).endswith("_balanced")

    def shares(self) -> Floats:
        """The shares (k,) of the classes that its probabilities are for."""
        if self.is_skewed:
            return np.full(len(self.class_names), 1 / len(self.class_names))
        counts = np.bincount(np.asarray(self.data.train.targets), minlength=len(self.class_names))
        return np.asarray(counts / counts.sum())


def describe(report: Report, name: str) -> dict[str, Any]:
    """A candidate as in ``comparison.json``; ``report`` is of one split."""
    rates, runs = dict(report.protocol.rates[name]), report.findings.runs.groupby("strategy")["run"].first()
    model = next((each for each in MOVED if name in moved_rows(each)), name)
    rule, threshold = name.removeprefix(model), rates.pop("threshold", 0)
    is_strategy = model in runs.index and pd.notna(runs[model])
    return {
        "run": runs[model if is_strategy else BASELINE],
        "model": None if is_strategy else model,
        "setting": {} if is_strategy else rates,
        "thresholds": {"_by_threshold": (1 - threshold, threshold), "_by_prior": report.protocol.shares}.get(rule, ()),
    }


def read(folder: Path) -> Advised | None:
    """What the comparison in a folder advises, None if the folder has none; a UserError if its file cannot be read.

    The run is looked for beside the folder as it is given and, where a link leads elsewhere, beside the link's target.
    """
    file = folder / "comparison.json"
    try:
        content = json.loads(file.read_text(encoding="utf-8"))["advised"]
        beside = [path.parents[1] / "runs" / content["run"] for path in (Path(abspath(folder)), folder.resolve())]
        run = next((run for run in beside if (run / "config.yaml").is_file()), beside[0])
        advised = Advised(run, content["model"], dict(content["setting"]), tuple(map(float, content["thresholds"])))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise UserError(f"{file} cannot be read ({cause(error)}): repeat the comparison's command") from error
    if not (run / "config.yaml").is_file():
        raise UserError(
            f"{run}, which {folder} advises, is not there: put the comparison back beside its runs, or repeat "
            "its command"
        )
    return advised
