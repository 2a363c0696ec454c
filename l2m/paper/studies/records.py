"""The directory of a study: ``<results_dir>/studies/<name>-<hash>``, with a CSV for each table."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import pandas as pd
import yaml

from l2m.config.checking import LOADER, check_fields, check_size
from l2m.config.run import Choice, Threads, short_hash
from l2m.errors import UserError, cause
from l2m.files import read_text, reporting, write_whole
from l2m.paper.studies import STUDIES, Claim, Study, Tables
from l2m.records import SCHEMA, WRITE_REMEDY
from l2m.records.reading import NewerRecord, read_info

if TYPE_CHECKING:
    from matplotlib.figure import Figure

NEEDED = {"seeds", "conditions", "learning_rates", "mixing_rates"}
"""Lists that a study goes through; others are variations, of which there may be none."""


@dataclass(frozen=True, kw_only=True)
class StudyConfig:
    """One study. The text beside a field is what ``--help`` prints."""

    study: Choice
    threads: Annotated[Threads | None, "CPU threads; null is torch's choice"] = None
    data_dir: Annotated[str, "where data sets lie; the default is L2M_DATA_DIR, or data"] = "data"
    results_dir: Annotated[str, "where records are written, under studies/"] = "outputs"
    force: Annotated[bool, "repeat and overwrite finished studies"] = False
    debug: Annotated[bool, "show the traceback of an error"] = False

    @property
    def path(self) -> Path:
        return Path(self.results_dir) / "studies" / f"{self.study['name']}-{digest(self.study)}"


class Recorded(NamedTuple):
    study: Study
    path: Path
    tables: dict[str, pd.DataFrame]
    options: dict[str, Any]  # those that are not at their default
    claims: list[Claim]

    @property
    def name(self) -> str:
        return self.path.name.rpartition("-")[0]

    def figures(self) -> dict[str, Figure]:
        """By file name, drawn with the current settings of Matplotlib."""
        stem = f"study_{self.path.name if self.options else self.name}"
        return {f"{stem}_{name}": figure for name, figure in self.study.figures(self.tables).items()}


def changed_options(choice: Mapping[str, Any]) -> dict[str, Any]:
    defaults = STUDIES.defaults(choice["name"])
    return {key: value for key, value in choice.items() if key != "name" and defaults.get(key) != value}


def digest(choice: Mapping[str, Any]) -> str:
    """Eight hexadecimal digits that identify a study's name and its options that are not at their default."""
    return short_hash({"name": choice["name"], **changed_options(choice)})


def check(raw: Mapping[str, Any]) -> StudyConfig:
    """A :class:`StudyConfig` from plain values; a UserError has a line for each that is wrong."""
    problems: list[str] = []
    values = check_fields(StudyConfig, {"study": STUDIES}, raw, problems)
    for key, value in values.get("study", {}).items():
        if not isinstance(value, tuple):
            continue
        if len(set(value)) < len(value) or (key in NEEDED and not value):
            problems.append(f"study.{key}={list(value)} must have different values{', one at least' * (key in NEEDED)}")
        elif key == "learning_rates" and min(value) >= 1:
            problems.append(f"study.{key}={list(value)} has none below 1, of which the claims are: add one")
    if problems:
        raise UserError("\n".join(problems))
    return StudyConfig(**values)


def is_finished(path: Path) -> bool:
    """Whether a study's directory is complete; raises as :func:`l2m.records.reading.read_info`."""
    return (path / "run.json").exists() and bool(read_info(path)["status"] == "done")


def write(config: StudyConfig, tables: Tables, info: Mapping[str, Any]) -> None:
    """Write a study's records, ``run.json`` last; a UserError if they cannot be written."""
    choice = json.loads(json.dumps(config.study))  # YAML has no tuples
    with reporting("written", config.path, WRITE_REMEDY):
        (config.path / "run.json").unlink(missing_ok=True)
        write_whole(config.path / "config.yaml", yaml.safe_dump(choice, sort_keys=False).encode())
        for name, table in tables.items():
            text = table.to_csv(index=False, float_format="%.7g", lineterminator="\n")
            write_whole(config.path / f"{name}.csv", text.encode())
        content = {"schema": SCHEMA, **info, "status": "done", "tables": list(tables)}
        write_whole(config.path / "run.json", (json.dumps(content, indent=2) + "\n").encode())


def read(path: Path) -> Recorded:
    """Read a study's directory and judge its claims.

    Raises:
        ValueError: says what is wrong with it; tables that are damaged may raise anything.
    """
    info, text = read_info(path), read_text(path / "config.yaml")
    if info["status"] != "done":
        raise ValueError(f"run.json has the status {info['status']}, not done")
    check_size(text, "config.yaml")
    choice = check({"study": yaml.load(text, LOADER)}).study
    if path.name != f"{choice['name']}-{digest(choice)}":
        raise ValueError("its directory is not the one of its configuration")
    tables = {}
    for name in info["tables"]:
        if not (isinstance(name, str) and name.isidentifier()):
            raise ValueError(f"run.json names a table {name!r}")
        tables[name] = pd.read_csv(path / f"{name}.csv")
    study: Study = STUDIES.build(choice)
    return Recorded(study, path, tables, changed_options(choice), study.claims(tables))


def read_all(results_dir: Path) -> tuple[list[Recorded], list[str]]:
    """The studies in a results folder, each at its defaults first, and a sentence for each one left out."""
    studies, problems = [], []
    for path in sorted(path for path in results_dir.glob("studies/*") if path.is_dir()):
        try:
            if is_finished(path):
                studies.append(read(path))
        except NewerRecord as error:
            problems.append(f"{path} is left out ({error}): update l2m to read it")
        except Exception as error:  # a damaged record may raise anything
            reason = "; ".join((str(error) if isinstance(error, ValueError) else cause(error)).splitlines())
            problems.append(f"{path} is left out ({reason}): remove it and run the study again")
    return sorted(studies, key=lambda one: (one.name, len(one.options))), problems
