"""Finished runs, read back and put together by configuration."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from l2m.catalog import registries
from l2m.config import GROUPS, SCIENTIFIC
from l2m.errors import UserError, cause
from l2m.tasks import TASKS, Task

CHECKPOINTS = (0.25, 0.5, 1.0)
"""Shares of E at which the paper's tables stand."""


@dataclass(frozen=True)
class Runs:
    """All finished runs of one configuration but for the seed, in the order of their seeds.

    Attributes:
        label: the strategy, and what else tells it from the data set's other configurations of that strategy.
        settings: the scientific configuration without the seed, flat: ``{"strategy.mixing_rate": 0.1, ...}``.
        metrics, groups: by seed, as written.
    """

    dataset: str
    label: str
    settings: dict[str, Any]
    metrics: dict[int, pd.DataFrame]
    groups: dict[int, pd.DataFrame]

    @property
    def strategy(self) -> str:
        return str(self.settings["strategy.name"])

    def is_baseline_of(self, other: Runs) -> bool:
        """Whether this is shuffled classical training, all else as in ``other``."""
        apart = [{k: v for k, v in runs.settings.items() if not k.startswith("strategy.")} for runs in (self, other)]
        shuffled = self.settings.get("strategy.batches") == "shuffled"
        return self.strategy == "classical" and shuffled and self.dataset == other.dataset and apart[0] == apart[1]

    @property
    def task(self) -> Task:
        return TASKS[self.settings["dataset.task"]]

    def at(self, share: float, column: str = "test_metric") -> pd.Series[float]:
        """A column at epoch ⌊share · E⌋, the paper's checkpoint, indexed by seed."""
        epoch = max(int(share * self.settings["epochs"]), 1)
        return pd.Series({seed: float(table[column].iloc[epoch - 1]) for seed, table in self.metrics.items()})

    def curve(self, column: str = "test_metric") -> pd.DataFrame:
        """A column over epochs (rows) and seeds (columns)."""
        return pd.DataFrame({seed: table.set_index("epoch")[column] for seed, table in self.metrics.items()})


def read(results_dir: Path) -> list[Runs]:
    """The finished runs under ``results_dir``, by data set and strategy.

    Raises:
        UserError: there is none, or a record can't be read.
    """
    found: dict[tuple[str, str], Runs] = {}
    for file in sorted(results_dir.glob("runs/*/*/*/run.json")):
        folder, dataset = file.parent, file.parents[2].name
        try:
            if json.loads(file.read_text())["status"] != "done":
                continue
            config = yaml.safe_load((folder / "config.yaml").read_text())
            settings, seed = _settings(config), int(config["seed"])
            runs = Runs(dataset, config["strategy"]["name"], settings, {}, {})
            runs = found.setdefault((dataset, json.dumps(settings, sort_keys=True)), runs)
            runs.metrics[seed], runs.groups[seed] = (
                pd.read_csv(folder / name) for name in ("metrics.csv", "groups.csv")
            )
        except (OSError, ValueError, KeyError, TypeError, yaml.YAMLError) as error:
            raise UserError(f"{folder} can't be read as a record ({cause(error)}): remove it, and repeat it") from error
    if not found:
        near = [results_dir.parent] if results_dir.name == "runs" else [p.parent for p in results_dir.glob("*/runs")]
        hint = f"name {near[0]}, which does" if near else f"train some with results_dir={results_dir}"
        raise UserError(f"{results_dir}/runs holds no finished runs: {hint}")
    return [
        replace(
            runs,
            label=_label(runs.settings, [other.settings for other in found.values() if other.dataset == runs.dataset]),
            metrics=dict(sorted(runs.metrics.items())),
            groups=dict(sorted(runs.groups.items())),
        )
        for _, runs in sorted(found.items(), key=lambda item: (item[1].dataset, item[1].strategy))
    ]


def _settings(config: dict[str, Any]) -> dict[str, Any]:
    """The scientific configuration but for the seed, with the defaults that a record of an older version lacks."""
    flat: dict[str, Any] = {}
    for group in GROUPS:
        choice, registry = config[group], registries()[group]
        defaults = registry.defaults(choice["name"]) if choice["name"] in registry.names() else {}
        flat |= {f"{group}.{key}": value for key, value in (defaults | choice).items()}
    return flat | {key: config[key] for key in ("data_seed", *SCIENTIFIC)}


def _label(settings: dict[str, Any], all_settings: list[dict[str, Any]]) -> str:
    """The strategy's name, then choices that differ among the data set's configurations, and options of the same."""
    told = [settings["strategy.name"]]
    for key, value in settings.items():
        group, _, option = key.partition(".")
        if option == "name":
            differs = group != "strategy" and any(other[key] != value for other in all_settings)
        else:
            same = [s for s in all_settings if s.get(f"{group}.name") == settings.get(f"{group}.name")]
            differs = any(other.get(key) != value for other in same)
        if differs:
            told.append(f"{group if option in ('name', '') else option}={value}")
    return " ".join(told)
