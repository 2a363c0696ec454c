"""Describes in words how configurations differ."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import PurePath
from typing import Any

from l2m.config.choices import GROUPS
from l2m.config.run import RunConfig
from l2m.errors import printable


def settings(config: RunConfig) -> dict[str, Any]:
    """The scientific configuration without the seed, flat, with every option of every group."""
    plain, science = config.to_dict(), config.identity()
    flat = {f"{group}.{key}": value for group in GROUPS if group in science
            for key, value in plain[group].items()}  # fmt: skip
    return flat | {key: value for key, value in science.items() if key not in (*GROUPS, "seed")}


def subjects_and_labels(of_all: Sequence[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """``subject`` and ``label`` of each configuration among all, of any data set."""
    subjects, titles = [_test_settings(each) for each in of_all], [title(each) for each in of_all]
    for settings, subject, named in zip(of_all, subjects, titles, strict=True):
        same = [other for other, of_other in zip(of_all, subjects, strict=True) if of_other == subject]
        namesakes = [other for other, of_other in zip(of_all, titles, strict=True) if of_other == named]
        words = [named, *_differing(subject, namesakes)]
        yield {"subject": " ".join(words), "label": label(settings, same)}


def title(settings: Mapping[str, Any]) -> str:
    """The data set as a heading has it: its name or, of one's own data, ``patients.csv, target outcome``."""
    column = settings.get("dataset.target") or settings.get("dataset.label")
    name = data_name(settings["dataset.name"], settings.get("dataset.path"))
    return f"{name}, target {printable(column)}" if column else name


def data_name(name: str, path: str | None) -> str:
    """The data set's name or, of one's own data, that of the file or folder."""
    return printable(PurePath(path).name) if path else name


def _test_settings(settings: dict[str, Any]) -> dict[str, Any]:
    """The settings that choose the test samples: metrics of runs that differ here are not comparable."""
    keys = ("data_seed", "validation_fraction", "validation_part")
    return {key: value for key, value in settings.items() if key.startswith("dataset.") or key in keys}


def label(settings: dict[str, Any], all_settings: list[dict[str, Any]]) -> str:
    """The strategy's name, and what distinguishes the configuration from the others."""
    return " ".join([settings["strategy.name"], *_differing(settings, all_settings)])


def _differing(settings: dict[str, Any], all_settings: list[dict[str, Any]]) -> list[str]:
    """Choices that differ among the configurations, and options of the same choice, except those without a value."""
    words = []
    for key, value in settings.items():
        group, _, option = key.partition(".")
        if option == "name":
            differs = group != "strategy" and any(other.get(key) != value for other in all_settings)
        else:
            same = [s for s in all_settings if s.get(f"{group}.name") == settings.get(f"{group}.name")]
            differs = any(other.get(key) != value for other in same)
        if differs and value not in (None, []):
            words.append(printable(f"{group if option in ('name', '') else option}={value}"))
    return words


def differences(first: Mapping[str, Any], second: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """The values of two identities where they differ, as ``strategy.mixing_rate=0.1``."""
    flat = flatten(first), flatten(second)
    return [
        tuple(f"{key}={values[key]}" if key in values else f"{key} at its default" for values in flat)
        for key in sorted(flat[0].keys() | flat[1].keys())
        if flat[0].get(key) != flat[1].get(key)
    ]


def flatten(plain: Mapping[str, Any]) -> dict[str, Any]:
    """The options of a configuration as ``strategy.mixing_rate``, and ``strategy`` for the name."""
    pairs = ((key, value if isinstance(value, Mapping) else {"name": value}) for key, value in plain.items())
    return {key if name == "name" else f"{key}.{name}": each for key, own in pairs for name, each in own.items()}
