"""The paper's numbers, from ``published.yaml``: as printed, and as numbers."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import yaml

RUNS = 5
"""Runs behind each of the paper's means (section 4)."""


class Printed(NamedTuple):
    """A number of the paper.

    Attributes:
        text: as printed, ``74.16 ± 2.79`` or ``< 2.0``.
        mean: in the unit of its table: % or the square of the target's unit.
        sd: standard deviation of five runs, ddof 0; None where none is printed.
        below: the paper only says that it is below ``mean``.
    """

    text: str
    mean: float
    sd: float | None
    below: bool


class Threshold(NamedTuple):
    """Epochs to a level of the test metric, by strategy; a level of None is lost in the text."""

    row: str
    source: str
    level: float | None
    epochs: Mapping[str, Printed]


class AtEpoch(NamedTuple):
    """The test metric at an epoch, by strategy; None is lost in the text."""

    row: str
    source: str
    epoch: int
    values: Mapping[str, Printed | None]


class EqualSeconds(NamedTuple):
    """Test accuracy in % when every strategy has trained for the same time, by strategy."""

    row: str
    source: str
    seconds: int
    values: Mapping[str, Printed]


def cells(row: str) -> dict[str, tuple[Printed, ...]]:
    """By strategy, the paper's table at .25E, .5E and E; empty where none belongs to the row's settings."""
    for block in _content()["tables"]:
        if row in block["rows"]:
            return {strategy: tuple(map(_printed, texts)) for strategy, texts in block["rows"][row].items()}
    return {}


def thresholds() -> list[Threshold]:
    """What the prose of sections 4.1 and 4.3 says of epochs to a level."""
    return [
        Threshold(claim["row"], claim["source"], claim["level"], _by_strategy(claim["epochs"]))
        for claim in _content()["thresholds"]
    ]


def at_epoch() -> list[AtEpoch]:
    """What the prose of sections 4.1 and 4.2 says of the test metric at an epoch."""
    return [
        AtEpoch(
            claim["row"],
            claim["source"],
            claim["epoch"],
            {strategy: None if value is None else _printed(value) for strategy, value in claim["values"].items()},
        )
        for claim in _content()["at_epoch"]
    ]


def equal_seconds() -> list[EqualSeconds]:
    """The last checkpoint of the third version's Table 1."""
    return [
        EqualSeconds(claim["row"], claim["source"], claim["seconds"], _by_strategy(claim["values"]))
        for claim in _content()["equal_seconds"]
    ]


def settings(row: str) -> dict[str, Any]:
    """Table 3 and sections 4 and B: epochs, batch_size, learning_rate, mixing_rate, train_size, model, recipe and,
    where they are printed, proportions."""
    return dict(_content()["settings"][row])


@cache
def _content() -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load(Path(__file__).with_suffix(".yaml").read_text(encoding="utf-8"))
    return content


def _by_strategy(values: Mapping[str, Any]) -> dict[str, Printed]:
    return {strategy: _printed(value) for strategy, value in values.items()}


def _printed(value: str | float) -> Printed:
    text = str(value)
    mean, _, sd = text.removeprefix("< ").partition(" ± ")
    return Printed(text, float(mean), float(sd) if sd else None, text.startswith("< "))
