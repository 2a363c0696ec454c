"""Makes configurations from plain values and checks them before any data is loaded."""

from collections.abc import Mapping
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any

import yaml

from l2m.config.choices import GROUPS, registries
from l2m.config.run import LATER_KEYS, METRICS, UNMIXED, RunConfig
from l2m.config.user_folders import describe_missing_file
from l2m.errors import UserError, describe_missing
from l2m.files import read_text
from l2m.registry import Registry, describe_unknown
from l2m.schema import coerce, format_value, options_of

LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""The parser in C, if PyYAML has it, is ten times as fast."""

MAX_CHARACTERS, MAX_DEPTH = 50_000, 4
"""Limits for a ``config.yaml``; ours have 600 characters and 3 levels."""


def check_fields(
    schema: type, groups: Mapping[str, Registry[Any]], raw: Mapping[str, Any], problems: list[str]
) -> dict[str, Any]:
    """Typed values of the fields of the dataclass ``schema``; those of ``groups`` are checked by their registry.

    Each error is appended to ``problems`` as a sentence, and its field gets no value.
    """
    hints = options_of(schema)
    problems += [describe_unknown("key", key, hints) for key in sorted(raw.keys() - hints.keys(), key=str)]
    values: dict[str, Any] = {}
    for field in fields(schema):
        key = field.name
        if key not in raw:
            if field.default is MISSING and field.default_factory is MISSING:
                problems.append(f"{key} is missing: give it a value")
        elif key in groups:
            if not isinstance(raw[key], Mapping):
                problems.append(f"{key}={raw[key]} must be a mapping with a name")
            elif problem := describe_missing_file(key, raw[key].get("name"), groups[key].names()):
                problems.append(problem)
            else:
                values[key] = groups[key].check(raw[key], problems)
        else:
            try:
                values[key] = coerce(raw[key], hints[key])
            except ValueError as rule:
                problems.append(f"{key}={format_value(raw[key])} {rule}")
    return values


def check(raw: Mapping[str, Any]) -> RunConfig:
    """A :class:`RunConfig` from plain values, defaults filled in.

    ``raw`` holds the keys of :class:`RunConfig`; a group is a mapping with ``name`` and options. The key ``row``,
    where YAML files of data sets keep the paper's settings, is dropped.

    Raises:
        UserError: all errors, a line each. No data has been loaded, nothing has been written.
    """
    registry = registries()
    problems: list[str] = []
    groups = {group: registry[group] for group in GROUPS}
    values = check_fields(RunConfig, groups, {key: value for key, value in raw.items() if key != "row"}, problems)
    if "logger" in values:
        values["logger"] = _check_loggers(values["logger"], registry["logger"], problems)
    dataset, strategy = values.get("dataset", {}), values.get("strategy", {}).get("name")
    if "task" not in dataset and not problems:
        problems.append(
            f"dataset={dataset['name']} has no task: add the option task: Literal['classification'] to its function"
        )
    if strategy in registry["strategy"].names() and "task" in dataset:
        tasks = registry["strategy"][strategy].tasks
        if dataset["task"] not in tasks:
            problems.append(
                f"strategy={strategy} is not defined for {dataset['task']}, the task of "
                f"dataset={dataset['name']}: it is for {', '.join(sorted(tasks))}"
            )
    if values.get("schedule") == "cosine" and values.get("equal_seconds"):
        problems.append("schedule=cosine ends with the last epoch, but equal_seconds=true has no last one: drop one")
    problems += _describe_stopping_problems(values)
    if values.get("validation_part") and not (values.get("validation_fraction") or values.get("early_stopping")):
        part = values["validation_part"]
        problems.append(f"validation_part={part} of no held-out samples: set validation_fraction=0.2, for example")
    problems = problems or _describe_unrepeatable(values, registry["strategy"])
    if problems:
        raise UserError("\n".join(problems))
    return RunConfig(**values)


def _describe_unrepeatable(values: Mapping[str, Any], registry: Registry[Any]) -> list[str]:
    """What a strategy that repeats its steps would not repeat."""
    name = values["strategy"]["name"]
    if not registry[name].rewinds or not registry.build(values["strategy"]).rewinds:  # a class has a property
        return []
    keys = {"mixing": values.get("mixing", UNMIXED)["name"], "warmup_steps": values.get("warmup_steps", 0),
            "max_gradient_norm": values.get("max_gradient_norm")}  # fmt: skip
    return [
        f"strategy={name} repeats the steps, but without {key}={value}: drop one of the two"
        for key, value in keys.items()
        if value not in ("none", 0, None)
    ]


def _describe_stopping_problems(values: Mapping[str, Any]) -> list[str]:
    """What is wrong with the keys of early stopping together."""
    if values.get("early_stopping") is None:
        return [
            f"{key}={values[key]} does nothing without early_stopping: set it, or drop {key}"
            for key, default in LATER_KEYS.items()
            if key.startswith("early_") and values.get(key, default) != default
        ]
    problems, task = [], values.get("dataset", {}).get("task")
    metric, known = values.get("early_stopping_metric"), METRICS.get(task, ())
    if metric and known and metric not in known:
        problems.append(f"early_stopping_metric={metric} is not for {task}: choose one of {', '.join(known)}")
    default = LATER_KEYS["early_stopping_fraction"]
    share = values.get("early_stopping_fraction", default)
    if values.get("validation_fraction") and share != default:
        problems.append(f"early_stopping_fraction={share} does nothing beside validation_fraction: drop one")
    if values.get("equal_seconds"):
        problems.append("early_stopping would end a run before its time, which equal_seconds=true sets: drop one")
    return problems


def _check_loggers(choices: Mapping[str, Any], registry: Registry[Any], problems: list[str]) -> dict[str, Any]:
    """Typed options of each logger, by name; each error is appended to ``problems``."""
    checked = {}
    for name, options in choices.items():
        wrong: list[str] = []
        checked[name] = registry.check({**(options or {}), "name": name}, wrong)
        del checked[name]["name"]
        if name in registry.names():
            wrong += describe_missing(f"logger={name}", "trackers", registry[name].package)
        problems += [problem.replace("logger.", f"logger.{name}.", 1) for problem in wrong]
    return checked


def read_config(file: Path) -> RunConfig:
    """The configuration in a ``config.yaml``, for the CPU and without loggers; a ValueError if it is not valid."""
    try:
        text = read_text(file)
        check_size(text, file.name)
        raw = yaml.load(text, LOADER)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" at line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise ValueError(f"{file.name} is not valid YAML{where}") from error
    if not isinstance(raw, dict):
        raise ValueError(f"{file.name} is not a configuration")
    return check({**raw, "device": "cpu", "logger": {}})


def check_size(text: str, name: str) -> None:
    """Raise a ValueError for a YAML that would keep its parser, in C, busy for minutes or exhaust the stack."""
    depth = 0
    if len(text) > MAX_CHARACTERS:
        raise ValueError(f"{name} has {len(text)} characters, at most {MAX_CHARACTERS} are allowed")
    for event in yaml.parse(text, LOADER):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > MAX_DEPTH or isinstance(event, yaml.AliasEvent):
            raise ValueError(f"{name} has an alias or more than {MAX_DEPTH} levels")
