"""Configurations from plain values, checked whole before any data is read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, fields
from importlib.util import find_spec
from pathlib import Path
from typing import Any, get_type_hints

import yaml

from l2m.config.choices import GROUPS, registries
from l2m.config.run import RunConfig
from l2m.config.user_folders import missing_half
from l2m.errors import UserError
from l2m.files import read_text
from l2m.registry import Registry, unknown
from l2m.schema import coerce

LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""The parser in C is ten times as fast, where PyYAML was built with it."""

LONGEST, DEEPEST = 50_000, 4
"""Characters and levels of a ``config.yaml``, far more than one needs: ours have 600 and 3."""


def check_fields(
    kind: type, known: Mapping[str, Registry[Any]], given: Mapping[str, Any], problems: list[str]
) -> dict[str, Any]:
    """Typed values of the fields of ``kind``; those that are groups are checked by the registry of their name.

    What is wrong is appended to ``problems``, a sentence each, and has no value.
    """
    hints = get_type_hints(kind, include_extras=True)
    problems += [unknown("key", key, hints) for key in sorted(given.keys() - hints.keys(), key=str)]
    values: dict[str, Any] = {}
    for key in fields(kind):
        if key.name not in given:
            if key.default is MISSING and key.default_factory is MISSING:
                problems.append(f"{key.name} is missing: give it a value")
        elif key.name in known:
            choice = given[key.name]
            if not isinstance(choice, Mapping):
                problems.append(f"{key.name}={choice} must be a mapping with a name")
            elif lacking := missing_half(key.name, choice.get("name"), known[key.name].names()):
                problems.append(lacking)
            else:
                values[key.name] = known[key.name].check(choice, problems)
        else:
            try:
                values[key.name] = coerce(given[key.name], hints[key.name])
            except ValueError as rule:
                problems.append(f"{key.name}={given[key.name]} {rule}")
    return values


def check(raw: Mapping[str, Any]) -> RunConfig:
    """A :class:`RunConfig` from plain values, defaults filled in.

    ``raw`` holds the keys of :class:`RunConfig`; a group is a mapping with ``name`` and options. The key
    ``row``, where data sets keep the paper's settings for others to refer to, is dropped.

    Raises:
        UserError: everything that is wrong, a line each. No data has been read, nothing has been written.
    """
    known = registries()
    problems: list[str] = []
    groups = {group: known[group] for group in GROUPS}
    values = check_fields(RunConfig, groups, {key: value for key, value in raw.items() if key != "row"}, problems)
    if "logger" in values:
        values["logger"] = _check_loggers(values["logger"], known["logger"], problems)
    dataset, strategy = values.get("dataset", {}), values.get("strategy", {}).get("name")
    if "task" not in dataset and not problems:
        problems.append(
            f"dataset={dataset['name']} has no task: give its function the option task: Literal['classification']"
        )
    if strategy in known["strategy"].names() and "task" in dataset:
        tasks = known["strategy"][strategy].tasks
        if dataset["task"] not in tasks:
            problems.append(
                f"strategy={strategy} is not defined for {dataset['task']}, the task of "
                f"dataset={dataset['name']}: it is for {', '.join(sorted(tasks))}"
            )
    if values.get("schedule") == "cosine" and values.get("equal_seconds"):
        problems.append("schedule=cosine ends with the last epoch, which equal_seconds=true leaves open: drop one")
    if problems:
        raise UserError("\n".join(problems))
    return RunConfig(**values)


def _check_loggers(choices: Mapping[str, Any], known: Registry[Any], problems: list[str]) -> dict[str, Any]:
    """Typed options of each logger, by name; what is wrong is appended to ``problems``, a sentence each."""
    checked = {}
    for name, options in choices.items():
        wrong: list[str] = []
        checked[name] = known.check({**(options or {}), "name": name}, wrong)
        del checked[name]["name"]
        if name in known.names() and find_spec(package := known[name].package) is None:
            wrong.append(f"logger={name} needs {package}: pip install 'l2m[trackers]'")
        problems += [problem.replace("logger.", f"logger.{name}.", 1) for problem in wrong]
    return checked


def read_config(file: Path) -> RunConfig:
    """The run that a ``config.yaml`` is of, whatever the device it was trained on, and without its loggers.

    Raises:
        ValueError: what is wrong with it.
    """
    try:
        text = read_text(file)
        _refuse_mazes(text, file.name)
        raw = yaml.load(text, LOADER)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" at line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise ValueError(f"{file.name} is no YAML{where}") from error
    if not isinstance(raw, dict):
        raise ValueError(f"{file.name} holds no configuration")
    return check({**raw, "device": "cpu", "logger": {}})


def _refuse_mazes(text: str, name: str) -> None:
    """Refuse a YAML whose parser, in C, would be at it for minutes or run out of stack."""
    depth = 0
    if len(text) > LONGEST:
        raise ValueError(f"{name} has {len(text)} characters, more than any configuration")
    for event in yaml.parse(text, LOADER):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > DEEPEST or isinstance(event, yaml.AliasEvent):
            raise ValueError(f"{name} refers to itself or is nested deeper than any configuration")
