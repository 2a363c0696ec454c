"""Named things to choose from: data sets, recipes, models, strategies, optimizers.

An entry is a function or a dataclass; its keyword-only parameters are its options, their annotations the
options' types and ranges. A name is taken once; an unknown one is answered with the choices.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from typing import Any, Generic, TypeVar, get_type_hints

from l2m.errors import UserError, did_you_mean
from l2m.schema import coerce

T = TypeVar("T", bound=Callable[..., Any])


def unknown(kind: str, name: object, choices: Iterable[str]) -> str:
    """The sentence that answers an unknown name."""
    known = sorted(choices)
    said = f"key {name}" if kind == "key" else f"{kind}={name}"
    return f"{said} is not known{did_you_mean(name, known)}: choose one of {', '.join(known)}"


class Registry(Generic[T]):
    """Entries of one kind, by name.

    Args:
        kind: what an entry is, as it is called in configurations and messages.
        package: whose modules register the entries; they are imported when the registry is first looked into.
    """

    def __init__(self, kind: str, package: str | None = None) -> None:
        self.kind = kind
        self._package = package
        self._entries: dict[str, T] = {}
        self._revisions: dict[str, int] = {}

    def register(self, name: str, revision: int = 1) -> Callable[[T], T]:
        """Decorator that enters a function or class under ``name``; a name that another one has is refused.

        A ``revision`` above 1 says that the entry gave other numbers under the same options before: runs of it are
        not those of the earlier ones.
        """

        def enter(entry: T) -> T:
            if name in self._entries and _place(self._entries[name]) != _place(entry):
                raise ValueError(f"{self.kind} {name} is registered already, by {self._entries[name]!r}")
            self._entries[name], self._revisions[name] = entry, revision
            return entry

        return enter

    def names(self) -> list[str]:
        """The registered names, sorted."""
        self._fill()
        return sorted(self._entries)

    def __getitem__(self, name: str) -> T:
        if name not in self.names():
            raise UserError(unknown(self.kind, name, self._entries))
        return self._entries[name]

    def _fill(self) -> None:
        """Import the modules of the package, once, so that their entries register themselves."""
        if self._package:
            path = importlib.import_module(self._package).__path__
            for module in pkgutil.walk_packages(path, f"{self._package}."):
                importlib.import_module(module.name)
            self._package = None

    def revision(self, name: str) -> int:
        """How often the meaning of an entry has changed, counted from 1."""
        self._fill()
        return self._revisions[name]

    def defaults(self, name: str) -> dict[str, Any]:
        """Options of an entry that have a default, with it; those without are left out."""
        options = self._options(name)
        return {key: p.default for key, p in options.items() if p.default is not inspect.Parameter.empty}

    def check(self, choice: Mapping[str, Any], problems: list[str]) -> dict[str, Any]:
        """``{name, option: value, ...}`` with typed values and defaults filled in.

        What is wrong is appended to ``problems``, a sentence each.
        """
        name = choice.get("name")
        if name not in self.names():
            problems.append(unknown(self.kind, name, self._entries))
            return dict(choice)
        hints = _hints(self._entries[name])
        checked: dict[str, Any] = {"name": name}
        options = self._options(name)
        for key in sorted(choice.keys() - options.keys() - {"name"}, key=str):
            near = f"its options are {', '.join(sorted(options))}" if options else "it has no options"
            problems.append(f"{self.kind}.{key} is not an option of {self.kind}={name}: {near}")
        for key, parameter in options.items():
            if key in choice:
                try:
                    checked[key] = coerce(choice[key], hints[key])
                except ValueError as rule:
                    problems.append(f"{self.kind}.{key}={choice[key]} {rule}")
            elif parameter.default is inspect.Parameter.empty:
                problems.append(f"{self.kind}.{key} has no value: {self.kind}={name} needs one")
            else:
                checked[key] = parameter.default
        return checked

    def build(self, choice: Mapping[str, Any], *arguments: Any) -> Any:
        """Call the entry that ``choice`` names with ``arguments`` and its options."""
        options = {key: value for key, value in choice.items() if key != "name"}
        return self[choice["name"]](*arguments, **options)

    def _options(self, name: str) -> dict[str, inspect.Parameter]:
        parameters = inspect.signature(self[name]).parameters
        return {key: p for key, p in parameters.items() if p.kind is inspect.Parameter.KEYWORD_ONLY}


def _place(entry: Callable[..., Any]) -> tuple[str, str]:
    """Where it is defined: a module that is run again, or a notebook's cell, replaces what it has registered."""
    return entry.__module__, entry.__qualname__


@cache
def _hints(entry: Callable[..., Any]) -> dict[str, Any]:
    """Types of the options, evaluated once for the hundreds of records that a report checks."""
    return get_type_hints(entry, include_extras=True)
