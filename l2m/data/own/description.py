"""What a user's data were read as, in plain values for a file and in a few lines to print before training."""

import re
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from textwrap import shorten
from typing import Any

from l2m.errors import shown

WIDTH = 79

HEADING = 14
"""Characters before the text of a line."""


def number_value(text: str) -> Decimal | None:
    """The exact value of a number written as text; None if it is not one."""
    return Decimal(text) if re.fullmatch(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,3})?", text, re.ASCII) else None


def find_alike(names: Sequence[str]) -> list[list[str]]:
    """Names that are the same number, or differ in capitals alone, together."""
    alike: dict[object, list[str]] = {}
    for name in names:
        value = number_value(name)
        alike.setdefault(name.casefold() if value is None else value, []).append(name)
    return [together for together in alike.values() if len(together) > 1]


def format_description(description: Mapping[str, Any]) -> Iterator[str]:
    """At most twelve lines of ``WIDTH`` characters on what :func:`l2m.data.own.targets.assemble` describes."""
    samples, tested = description["samples"], description["test_samples"]
    yield shown(f"{description['place']}: {samples} samples, {tested} of them to test on", WIDTH - 1)
    for kind in ("parts", "skipped"):
        if counts := description.get(kind):
            yield _line(kind, ", ".join(f"{name}={count}" for name, count in counts.items()))
    for kind in ("words", "features"):
        if text := description.get(kind):
            yield _line(kind, text)
    for kind in ("numbers", "categories", "ignored"):
        if names := description.get(kind):
            values = names.items() if isinstance(names, dict) else ((name, None) for name in names)
            listed = (
                name if count is None else f"{name} ({count} value{'s' * (count != 1)})" for name, count in values
            )
            yield _line(kind, f"{len(names)}: {', '.join(listed)}")
    if missing := description.get("missing"):
        columns = ", ".join(f"{name}={count}" for name, count in missing.items())
        yield _line("missing", f"{sum(missing.values())} cells: {columns}")
    for kind in ("classes", "groups"):
        if counts := description.get(kind):
            names = sorted(counts, key=lambda name: -counts[name])
            shares = [f"{names[0]}={counts[names[0]]} ({counts[names[0]] / samples:.1%})"]
            shares += [f"{name}={counts[name]}" for name in names[1:]]
            yield _line(kind, f"{len(names)}: {', '.join(shares)}")
    if target := description.get("target"):
        yield _line("target", "from {from:.5g} to {to:.5g}, mean {mean:.5g}".format(**target))
    for names in description.get("alike", ())[:1]:
        yield _line("warning", f"fix the file if these are one: {', '.join(names)}")


def _line(heading: str, text: str) -> str:
    return f"  {heading:{HEADING - 2}}{shorten(shown(text, 10 * WIDTH), WIDTH - HEADING, placeholder=' …')}"
