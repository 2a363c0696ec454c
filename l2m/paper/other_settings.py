"""A row under other settings, one or two of them changed, beside the paper's numbers: which come closest?"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from l2m.catalog import registries
from l2m.config.description import settings
from l2m.paper import markdown, published
from l2m.paper.rows import Row
from l2m.paper.speed import first_epochs, or_never
from l2m.report.runs import CHECKPOINTS, EPOCHS, Runs, checkpoint
from l2m.report.statistics import significant, spread

VARIED = {
    "mnist": ("strategy.cadence",),
    "cifar10": ("learning_rate", "dataset.augmentation"),
    "mnist_reconstruction": ("learning_rate", "optimizer.name", "model.noise"),
    "cifar10_reconstruction": ("model.noise",),
    "cifar100_v1": ("strategy.weight_inside",),
}
"""By row, the keys that may differ from its configuration; epochs may be fewer."""

OPPONENTS = {"cifar100_v1": "focal"}
"""By row, the strategy beside learn2mix; else classical."""

CAPTION = (
    "Mean ± sd (ddof 1) over n seeds. Distance: our mean − the paper's in the paper's standard deviations, root mean "
    "square over both strategies at the checkpoints that all settings of a row have; the closest is bold. Epochs to a "
    "level: of the seeds that reach it. A strategy without the option is the same beside all its values."
)


def pair(row: Row) -> tuple[str, str]:
    return "learn2mix", OPPONENTS.get(row.name, "classical")


class Alternative(NamedTuple):
    """A row's runs under one setting."""

    setting: tuple[Any, ...]  # the values of the row's varied keys
    runs: Mapping[str, Runs]  # by strategy
    # by strategy and checkpoint of the row's own E, the metric by seed; no key for epochs not reached
    values: Mapping[tuple[str, int], pd.Series[float]]
    distance: float  # see ``CAPTION``; NaN where nothing can be compared


def alternatives(row: Row, all_runs: Iterable[Runs]) -> list[Alternative]:
    """A row under its own setting and under others, the closest to the paper first; empty if only one has runs."""
    if row.name not in VARIED:
        return []
    by_setting = {setting: runs for setting, runs in _by_setting(row, all_runs).items() if len(runs) == len(pair(row))}
    if len(by_setting) < 2:
        return []
    epochs = [checkpoint(share, row.configurations["learn2mix"].epochs) for share in CHECKPOINTS]
    values = {
        setting: {
            (strategy, i): run.curve().T[epoch]
            for strategy, run in runs.items()
            for i, epoch in enumerate(epochs)
            if epoch <= run.settings["epochs"]
        }
        for setting, runs in by_setting.items()
    }
    printed = published.cells(row.name)
    shared = set.intersection(*(set(cells) for cells in values.values()))
    made = []
    for setting, cells in values.items():
        numbers = {key: printed[key[0]][key[1]] for key in cells if key in shared}
        off = [(cells[key].mean() - number.mean) / (number.sd or math.nan) for key, number in numbers.items()]
        distance = math.sqrt(np.mean(np.square(off))) if off else math.nan
        made.append(Alternative(setting, by_setting[setting], cells, distance))
    return sorted(made, key=lambda one: one.distance)


def _by_setting(row: Row, all_runs: Iterable[Runs]) -> dict[tuple[Any, ...], dict[str, Runs]]:
    """By setting and strategy, the longest runs; a strategy without the varied option is the same beside all."""
    keys, configurations = VARIED[row.name], row.configurations
    wanted = {strategy: _fixed(settings(configurations[strategy]), keys) for strategy in pair(row)}
    made: dict[tuple[Any, ...], dict[str, Runs]] = {}
    for run in sorted(all_runs, key=lambda run: -run.settings["epochs"]):
        fixed = _fixed(run.settings, keys)
        for strategy in wanted:
            if fixed == wanted[strategy] and run.settings["epochs"] <= configurations[strategy].epochs:
                made.setdefault(tuple(run.settings.get(key) for key in keys), {}).setdefault(strategy, run)
    for setting, runs in made.items():
        for other, theirs in made.items():
            if all(value in (None, mine) for value, mine in zip(other, setting, strict=True)):
                made[setting] = theirs | runs
    return made


def varied_names(row: Row) -> list[str]:
    return [key.removesuffix(".name").rpartition(".")[2].replace("_", " ") for key in VARIED[row.name]]


def table(row: Row, made: list[Alternative]) -> list[str]:
    """The lines of a table in Markdown, a line a setting and strategy."""
    names = varied_names(row)
    claims = [claim for claim in published.claims("thresholds") if claim.row == row.name and claim.at is not None]
    head = [*names, "strategy", "n", *EPOCHS, "distance", *(f"epochs to {claim.at:g}" for claim in claims)]
    lines = []
    for strategy in pair(row):
        numbers = [number.text for number in published.cells(row.name)[strategy]]
        epochs = [number.text for claim in claims if (number := claim.values[strategy])]
        words = [f"{strategy}, the paper", str(published.RUNS), *numbers, "", *epochs]
        lines.append([""] * len(names) + words)
    for one in made:
        for strategy, run in ((strategy, one.runs[strategy]) for strategy in pair(row)):
            words = [f"{value:g}" if isinstance(value, float) else str(value) for value in one.setting]
            words += [strategy, str(len(run.metrics))]
            for i in range(len(EPOCHS)):
                cell = one.values.get((strategy, i))
                words.append("" if cell is None else spread(cell, significant(cell, row.is_percent)))
            distance = f"**{one.distance:.1f}**" if one is made[0] else f"{one.distance:.1f}"
            words.append(distance if strategy == pair(row)[0] else "")
            for claim in claims:
                epochs_to = first_epochs(run.curve(), row, claim.at)
                words.append(or_never(epochs_to, never=f"not in {run.settings['epochs']}"))
            lines.append(words)
    return markdown.table(head, "l" * (len(names) + 1) + "r" * (len(head) - len(names) - 1), lines)


def _fixed(flat: Mapping[str, Any], keys: Iterable[str]) -> dict[str, Any]:
    """Settings without epochs, the varied keys, and options at their defaults of a choice that is varied."""
    left = {key: value for key, value in flat.items() if key != "epochs" and key not in keys}
    for group in (key.removesuffix(".name") for key in keys if key.endswith(".name")):
        for option, default in registries()[group].defaults(flat[f"{group}.name"]).items():
            if left.get(f"{group}.{option}") == default:
                del left[f"{group}.{option}"]
    return left
