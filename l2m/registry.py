"""Named choices: data sets, recipes, models, strategies, optimizers.

An entry is a function or a dataclass. Its keyword-only parameters are its options, and their annotations the types
and ranges of these. A name can be registered once; an unknown name is an error that lists the choices.
"""

import importlib
import inspect
import pkgutil
from collections.abc import Callable, Iterable, Mapping
from difflib import get_close_matches
from functools import cache
from typing import Any, Generic, TypeVar

from l2m.errors import UserError, did_you_mean
from l2m.schema import coerce, format_value, options_of

LISTED = 8  # choices that an error message lists, at most

T = TypeVar("T", bound=Callable[..., Any])


def describe_unknown(kind: str, name: object, choices: Iterable[str]) -> str:
    """Format the error message for an unknown name: of many choices it lists those that are most like it."""
    names = sorted(choices)
    subject = f"key {name}" if kind == "key" else f"{kind}={name}"
    listed, more = names, ""
    if len(names) > LISTED:
        near = get_close_matches(str(name), names, LISTED, cutoff=0)
        listed, more = sorted(near), f" and {len(names) - LISTED} more, which --help lists"
    return f"{subject} is not known{did_you_mean(name, names)}: choose one of {', '.join(listed)}{more}"


class Registry(Generic[T]):
    """Entries of one kind, by name.

    Args:
        kind: what an entry is, as named in configurations and messages.
        package: its modules register the entries; they are imported when the registry is first read.
    """

    def __init__(self, kind: str, package: str | None = None) -> None:
        self.kind = kind
        self._package = package
        self._entries: dict[str, T] = {}
        self._revisions: dict[str, int] = {}

    def register(self, name: str, revision: int = 1) -> Callable[[T], T]:
        """Decorator that registers a function or class under a ``name`` that no other entry has.

        Raise ``revision`` when the entry gives other numbers under the same options than before: its runs then
        differ from the earlier ones.
        """

        def enter(entry: T) -> T:
            if name in self._entries and _place(self._entries[name]) != _place(entry):
                raise ValueError(f"{self.kind} {name} is already registered by {self._entries[name]!r}")
            self._entries[name], self._revisions[name] = entry, revision
            return entry

        return enter

    def names(self) -> list[str]:
        """The registered names, sorted."""
        self._fill()
        return sorted(self._entries)

    def __getitem__(self, name: str) -> T:
        self._fill()
        if name not in self._entries:
            raise UserError(describe_unknown(self.kind, name, self._entries))
        return self._entries[name]

    def _fill(self) -> None:
        """Import the package's modules, once, so that their entries register themselves."""
        if self._package:
            path = importlib.import_module(self._package).__path__
            for module in pkgutil.walk_packages(path, f"{self._package}."):
                importlib.import_module(module.name)
            self._package = None

    def revision(self, name: str) -> int:
        """The entry's revision, counted from 1."""
        self._fill()
        return self._revisions[name]

    def defaults(self, name: str) -> dict[str, Any]:
        """Default values of an entry's options; options without one are left out."""
        return {key: p.default for key, p in _options(self[name]).items() if p.default is not p.empty}

    def check(self, choice: Mapping[str, Any], problems: list[str]) -> dict[str, Any]:
        """``{name, option: value, ...}`` with typed values and defaults filled in.

        Each error is appended to ``problems`` as a sentence.
        """
        name = choice.get("name")
        if name not in self.names():
            problems.append(describe_unknown(self.kind, name, self._entries))
            return dict(choice)
        hints = options_of(self._entries[name])
        checked: dict[str, Any] = {"name": name}
        options = _options(self[name])
        for key in sorted(choice.keys() - options.keys() - {"name"}, key=str):
            near = f"its options are {', '.join(sorted(options))}" if options else "it has no options"
            problems.append(f"{self.kind}.{key} is not an option of {self.kind}={name}: {near}")
        for key, parameter in options.items():
            if key in choice:
                try:
                    checked[key] = coerce(choice[key], hints[key])
                except ValueError as rule:
                    problems.append(f"{self.kind}.{key}={format_value(choice[key])} {rule}")
            elif parameter.default is parameter.empty:
                problems.append(f"{self.kind}.{key} has no value: {self.kind}={name} needs one")
            else:
                checked[key] = parameter.default
        return checked

    def build(self, choice: Mapping[str, Any], *arguments: Any) -> Any:
        """Call the entry named in ``choice`` with ``arguments`` and its options."""
        options = {key: value for key, value in choice.items() if key != "name"}
        return self[choice["name"]](*arguments, **options)


@cache
def _options(entry: Callable[..., Any]) -> Mapping[str, inspect.Parameter]:
    return {key: p for key, p in inspect.signature(entry).parameters.items() if p.kind is p.KEYWORD_ONLY}


def _place(entry: Callable[..., Any]) -> tuple[str, str]:
    """Where it is defined: re-running a module or a notebook's cell replaces its own entries."""
    return entry.__module__, entry.__qualname__
