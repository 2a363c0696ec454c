"""What tells configurations apart, in words."""

from __future__ import annotations

from typing import Any

from l2m.config import GROUPS, RunConfig


def settings(config: RunConfig) -> dict[str, Any]:
    """The scientific configuration but for the seed, flat, every option of every group in it."""
    plain, science = config.to_dict(), config.identity()
    flat = {f"{group}.{key}": value for group in GROUPS if group in science
            for key, value in plain[group].items()}  # fmt: skip
    return flat | {key: value for key, value in science.items() if key not in (*GROUPS, "seed")}


def named(settings: dict[str, Any], of_dataset: list[dict[str, Any]]) -> dict[str, Any]:
    """``subject`` and ``label`` of a configuration among all of its data set."""
    same = [other for other in of_dataset if _subject(other) == _subject(settings)]
    subject = [settings["dataset.name"], *_differing(_subject(settings), of_dataset)]
    return {"subject": " ".join(subject), "label": label(settings, same)}


def _subject(settings: dict[str, Any]) -> dict[str, Any]:
    """What metrics are of: runs that differ here were tested on different samples."""
    return {k: v for k, v in settings.items() if k.startswith("dataset.") or k in ("data_seed", "validation_fraction")}


def label(settings: dict[str, Any], all_settings: list[dict[str, Any]]) -> str:
    """The strategy's name, and what else tells a configuration from the others."""
    return " ".join([settings["strategy.name"], *_differing(settings, all_settings)])


def _differing(settings: dict[str, Any], all_settings: list[dict[str, Any]]) -> list[str]:
    """Choices that differ among the configurations, and options of the same choice, but for those without a value."""
    told = []
    for key, value in settings.items():
        group, _, option = key.partition(".")
        if option == "name":
            differs = group != "strategy" and any(other.get(key) != value for other in all_settings)
        else:
            same = [s for s in all_settings if s.get(f"{group}.name") == settings.get(f"{group}.name")]
            differs = any(other.get(key) != value for other in same)
        if differs and value not in (None, []):
            told.append(f"{group if option in ('name', '') else option}={value}")
    return told
