"""Checks configuration values against their annotations. Does not import torch."""

import math
import re
import sys
import types
from dataclasses import dataclass
from functools import cache
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from l2m.errors import UserError, did_you_mean


@dataclass(frozen=True)
class Range:
    """A closed interval; ``above`` excludes the lower end, ``below`` the upper one.

    Examples:
        >>> 0 in Range(0, 1, above=True), 1 in Range(0, 1, above=True)
        (False, True)
    """

    low: float
    high: float = math.inf
    above: bool = False
    below: bool = False

    def __contains__(self, value: float) -> bool:
        return (self.low < value if self.above else self.low <= value) and (
            value < self.high if self.below else value <= self.high
        )

    def __str__(self) -> str:
        if self.high == math.inf:
            return f"{'above' if self.above else 'at least'} {self.low}"
        return f"in {'(' if self.above else '['}{self.low}, {self.high}{')' if self.below else ']'}"


@dataclass(frozen=True)
class Pattern:
    """Text that matches a whole regular expression; ``rule`` describes it in words, after "must be "."""

    expression: str
    rule: str

    def __contains__(self, value: str) -> bool:
        return re.fullmatch(self.expression, value) is not None

    def __str__(self) -> str:
        return self.rule


@cache
def options_of(entry: Any) -> dict[str, Any]:
    """The annotations of a dataclass's fields, or of a function's parameters; cached for the records of a report."""
    return get_type_hints(entry, include_extras=True)


def coerce(value: Any, annotation: Any) -> Any:
    """``value`` converted to the type of the annotation.

    Supports bool, int, float, str, ``Literal``, ``X | None``, ``tuple[X, ...]``, ``dict`` and ``Annotated`` with
    a :class:`Range` or a :class:`Pattern`. Whole floats pass as int, int as float, lists as tuples, and scalars of
    numpy and torch as numbers.

    Raises:
        ValueError: the broken rule, as the end of a sentence ("must be ...").
    """
    origin, arguments = get_origin(annotation), get_args(annotation)
    value = value.item() if getattr(value, "ndim", None) == 0 else value
    if origin is Annotated:
        value = coerce(value, arguments[0])
        for note in arguments[1:]:
            if isinstance(note, (Range, Pattern)) and value is not None and value not in note:
                raise ValueError(f"must be {note}")
        return value
    if origin is Literal:
        if value not in arguments:
            raise ValueError(f"must be one of {', '.join(map(str, arguments))}{did_you_mean(value, arguments)}")
        return value
    if origin in (Union, types.UnionType):
        if value is None:
            return None
        return coerce(value, next(a for a in arguments if a is not type(None)))
    if origin is tuple:
        if not isinstance(value, (list, tuple)):
            raise ValueError("must be a list, like [0,1]")
        return tuple(coerce(item, arguments[0]) for item in value)
    if origin is dict:
        if not isinstance(value, dict):
            raise ValueError("must be a mapping, like {key:value}")
        return value
    if annotation is bool:
        if not isinstance(value, bool):
            raise ValueError("must be true or false")
    elif annotation is int:
        whole = isinstance(value, int) or (isinstance(value, float) and value.is_integer())
        if isinstance(value, bool) or not whole:
            raise ValueError("must be a whole number")
        return int(value)
    elif annotation is float:
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not abs(value) <= sys.float_info.max:
            raise ValueError("must be a finite number")
        return float(value)
    elif annotation is str:
        value = str(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else value
        if not isinstance(value, str) or not value:
            raise ValueError("must be text")
        if any("\ud800" <= each <= "\udfff" for each in value):  # bytes of a path, which no record could hold
            raise ValueError("must be text in UTF-8")
    else:
        raise TypeError(f"the annotation {annotation} is not supported")
    return value


def format_value(value: object) -> str:
    """A value as the command line writes it."""
    return "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def check_argument(name: str, value: Any, annotation: Any, remedy: str) -> Any:
    """The argument converted to its annotation; a UserError if it breaks a rule of the annotation."""
    try:
        return coerce(value, annotation)
    except ValueError as rule:
        raise UserError(f"{name}={value!r} {rule} ({remedy})") from None


def type_name(annotation: Any) -> str:
    """Format an annotation for ``--help``: ``int, at least 1``."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return ", ".join([type_name(arguments[0]), *(str(n) for n in arguments[1:] if isinstance(n, (Range, Pattern)))])
    if origin is Literal:
        return " or ".join(map(str, arguments))
    if origin in (Union, types.UnionType):
        return " or ".join("null" if a is type(None) else type_name(a) for a in arguments)
    return str(getattr(annotation, "__name__", annotation))
