"""The paper's numbers, from ``published.yaml``: as printed, and as numbers."""

from collections import ChainMap
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, Literal, NamedTuple

import yaml

RUNS = 5
"""Runs behind each of the paper's means (section 4)."""


class Printed(NamedTuple):
    text: str  # as printed, ``74.16 ± 2.79`` or ``< 2.0``
    mean: float  # in the unit of its table: % or the square of the target's unit
    sd: float | None  # standard deviation of five runs, ddof 0; None where none is printed
    below: bool  # the paper only says that it is below ``mean``


class Claim(NamedTuple):
    """A claim that is not in Tables 1 and 2, on one row."""

    row: str
    source: str
    # where the values are taken: a level of the test metric, which is None where it is lost in the text; an epoch; or
    # seconds of training
    at: Any
    values: Mapping[str, Printed | None]  # by strategy; None is lost in the text


def cells(row: str) -> dict[str, tuple[Printed, ...]]:
    """By strategy, the paper's table at .25E, .5E and E; empty where none belongs to the row's settings."""
    rows = ChainMap(*(block["rows"] for block in _content()["tables"]))
    return {strategy: tuple(map(_printed, texts)) for strategy, texts in rows.get(row, {}).items()}


def claims(kind: Literal["thresholds", "at_epoch", "equal_seconds"]) -> list[Claim]:
    """Claims in prose (sections 4.1 to 4.3): epochs to a level, the test metric at an epoch; or the test accuracy in %
    after the same time for every strategy, the last checkpoint of the third version's Table 1."""
    return [
        Claim(entry["row"], entry["source"], entry["at"], {s: v and _printed(v) for s, v in entry["values"].items()})
        for entry in _content()[kind]
    ]


def settings(row: str) -> dict[str, Any]:
    """Table 3 and sections 4 and B: epochs, batch_size, learning_rate, mixing_rate, train_size, model, recipe and,
    where they are printed, proportions."""
    return dict(_content()["settings"][row])


@cache
def _content() -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load(Path(__file__).with_suffix(".yaml").read_text(encoding="utf-8"))
    return content


def _printed(value: str | float) -> Printed:
    text = str(value)
    mean, _, sd = text.removeprefix("< ").partition(" ± ")
    return Printed(text, float(mean), float(sd) if sd else None, text.startswith("< "))
