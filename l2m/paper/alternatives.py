"""Other settings of a row, one or two at a time, beside the paper's numbers: which come closest?"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import pandas as pd

from l2m.catalog import registries
from l2m.config.description import settings
from l2m.paper import published
from l2m.paper.cells import is_percent, scaled
from l2m.paper.epochs_to_level import first_epochs
from l2m.paper.rows import Row
from l2m.report.runs import CHECKPOINTS, EPOCHS, Runs, checkpoint
from l2m.report.statistics import significant, spread

SUSPECTS = {
    "mnist": ("strategy.cadence",),
    "cifar10": ("learning_rate", "dataset.augmentation"),
    "mnist_reconstruction": ("learning_rate", "optimizer.name", "model.noise"),
    "cifar10_reconstruction": ("model.noise",),
}
"""By row, what may differ from its configuration; epochs may be fewer."""

PAIR = ("learn2mix", "classical")

CAPTION = (
    "Mean ± sd (ddof 1) over n seeds. Distance: our mean − the paper's in the paper's standard deviations, root mean "
    "square over both strategies at the checkpoints that all settings of a row have; the closest is bold. Epochs to a "
    "level: of the seeds that reach it. Classical training has no cadence, and is the same beside all."
)


class Alternative(NamedTuple):
    """A row's runs under one setting.

    Attributes:
        setting: the values of the row's suspects.
        runs: learn2mix's and classical's; both there.
        values: by strategy and checkpoint, those of the row's own E, the metric by seed; epochs not reached: no key.
        distance: see ``CAPTION``; NaN where nothing can be compared.
    """

    setting: tuple[Any, ...]
    runs: Mapping[str, Runs]
    values: Mapping[tuple[str, int], pd.Series[float]]
    distance: float


def alternatives(row: Row, found: Iterable[Runs]) -> list[Alternative]:
    """What there is of a row under its own setting and under others, the closest to the paper first.

    Empty if the row has no suspects, or runs under its own setting alone.
    """
    if row.name not in SUSPECTS:
        return []
    by_setting: dict[tuple[Any, ...], dict[str, Runs]] = {}
    keys = SUSPECTS[row.name]
    own = {strategy: settings(row.configurations()[strategy]) for strategy in PAIR}
    for run in found:
        for strategy, wanted in own.items():
            alike = _besides(run.settings, keys) == _besides(wanted, keys)
            if alike and run.settings["epochs"] <= wanted["epochs"]:
                setting = tuple(run.settings.get(key) for key in keys)
                known = by_setting.setdefault(setting, {}).get(strategy)
                if known is None or known.settings["epochs"] < run.settings["epochs"]:
                    by_setting[setting][strategy] = run
    for setting, runs in by_setting.items():
        for other, theirs in by_setting.items():
            if all(value in (None, mine) for value, mine in zip(other, setting, strict=True)):
                by_setting[setting] = theirs | runs  # what has no such key is the same beside all its values
    whole = {setting: runs for setting, runs in by_setting.items() if len(runs) == len(PAIR)}
    if len(whole) < 2:
        return []
    epochs = [checkpoint(share, own["learn2mix"]["epochs"]) for share in CHECKPOINTS]
    values = {
        setting: {
            (strategy, i): scaled(run.curve().T[epoch], row)
            for strategy, run in runs.items()
            for i, epoch in enumerate(epochs)
            if epoch <= run.settings["epochs"]
        }
        for setting, runs in whole.items()
    }
    shared = set.intersection(*(set(cells) for cells in values.values()))
    printed = published.cells(row.name)
    told = [
        Alternative(setting, whole[setting], cells, _distance({key: cells[key] for key in shared}, printed))
        for setting, cells in values.items()
    ]
    return sorted(told, key=lambda one: one.distance)


def suspects(row: Row) -> list[str]:
    """What may differ, in words."""
    return [key.removesuffix(".name").rpartition(".")[2].replace("_", " ") for key in SUSPECTS[row.name]]


def markdown(row: Row, told: list[Alternative]) -> list[str]:
    """The lines of a table, a line a setting and strategy."""
    names = suspects(row)
    claims = [claim for claim in published.thresholds() if claim.row == row.name and claim.level is not None]
    levels = [f"epochs to {claim.level:g}" for claim in claims]
    head = [*names, "strategy", "n", *EPOCHS, "distance", *levels]
    lines = [f"| {' | '.join(head)} |", "|" + "---|" * (len(names) + 1) + "--:|" * (len(head) - len(names) - 1)]
    printed = published.cells(row.name)
    for strategy in PAIR:
        words = [
            *[""] * len(names),
            f"{strategy}, the paper",
            str(published.RUNS),
            *(number.text for number in printed[strategy]),
            "",
            *(claim.epochs[strategy].text for claim in claims),
        ]
        lines.append(f"| {' | '.join(words)} |")
    for i, one in enumerate(told):
        for strategy in PAIR:
            words = [f"{value:g}" if isinstance(value, float) else str(value) for value in one.setting]
            words += [strategy, str(len(one.runs[strategy].metrics))]
            for at in range(len(EPOCHS)):
                cell = one.values.get((strategy, at))
                words.append("" if cell is None else spread(cell, significant(cell, is_percent(row))))
            distance = f"{one.distance:.1f}" if strategy == PAIR[0] else ""
            words.append(f"**{distance}**" if distance and not i else distance)
            for claim in claims:
                run = one.runs[strategy]
                epochs = first_epochs(run, row, claim.level or 0.0).dropna()
                words.append(spread(epochs, 1) if len(epochs) else f"not in {run.settings['epochs']}")
            lines.append(f"| {' | '.join(words)} |")
    return lines


def _besides(flat: Mapping[str, Any], keys: Iterable[str]) -> dict[str, Any]:
    """Settings without epochs, the suspects, and options of what a suspect names that stand at their defaults."""
    left = {key: value for key, value in flat.items() if key != "epochs" and key not in keys}
    for group in (key.removesuffix(".name") for key in keys if key.endswith(".name")):
        for option, default in registries()[group].defaults(flat[f"{group}.name"]).items():
            if left.get(f"{group}.{option}") == default:
                del left[f"{group}.{option}"]
    return left


def _distance(
    cells: Mapping[tuple[str, int], pd.Series[float]], printed: Mapping[str, tuple[published.Printed, ...]]
) -> float:
    apart = [
        (float(values.mean()) - printed[strategy][i].mean) / (printed[strategy][i].sd or math.nan)
        for (strategy, i), values in cells.items()
    ]
    return math.sqrt(sum(value**2 for value in apart) / len(apart)) if apart else math.nan
