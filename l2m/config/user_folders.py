"""Where configuration lies: in the suite's own folder ``conf``, and in folders of its users that are laid out alike.

``strategy/hardest.yaml`` in a user's folder is a choice like the suite's own, and ``strategy/hardest.py`` beside it
registers what the YAML names; so for each group. A folder is named by ``--config-dir``, by the variable
``L2M_CONFIG_DIR``, which processes begun later inherit, or by an installed package: the value of an entry point of the
group ``l2m`` is the package whose folder it is. Python files elsewhere in a folder are not imported.
"""

from __future__ import annotations

import importlib.util
import os
import sys
import traceback
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from importlib.metadata import entry_points
from pathlib import Path

from l2m.errors import UserError, cause

VARIABLE = "L2M_CONFIG_DIR"


def conf_dir() -> Path:
    """The folder ``conf``: beside the package in a checkout, inside it in a wheel."""
    package = Path(__file__).resolve().parents[1]
    inside = package / "conf"
    return inside if inside.is_dir() else package.parent / "conf"


def files(group: str) -> list[Path]:
    """The YAML files of a group's choices: the suite's own, then its users'."""
    return [file for folder in (conf_dir(), *added()) for file in sorted((folder / group).glob("*.yaml"))]


def added() -> dict[Path, str]:
    """The users' folders, absolute, and the name of the package that each is.

    Raises:
        UserError: one is no folder, is laid out otherwise, or has a choice under the name of one of the suite's own.
    """
    found = dict(_packages())
    if named := os.environ.get(VARIABLE):
        found.setdefault(Path(named).resolve(), "l2m_config_dir")
    for folder in found:
        _check(folder)
    return found


def missing_half(group: str, name: object, known: Iterable[object] = ()) -> str:
    """The sentence about a choice of a user's own that lacks one of its two files; empty for one that is ``known``."""
    if name in known:
        return ""
    for folder in added():
        files = {file.suffix: file for file in (folder / group).glob("*") if file.stem == name}
        if ".yaml" in files:
            return f"{group}={name} is not known: no Python file beside {files['.yaml']} registers {name}"
        if ".py" in files:
            return f"{group}={name} is not known: {files['.py']} has no {name}.yaml beside it"
    return ""


@contextmanager
def using(folder: str | os.PathLike[str] | None) -> Iterator[None]:
    """Let ``L2M_CONFIG_DIR`` name ``folder``, for processes begun meanwhile too; None changes nothing."""
    before = os.environ.get(VARIABLE)
    try:
        if folder is not None:
            os.environ[VARIABLE] = str(Path(folder).resolve())
        yield
    finally:
        os.environ.pop(VARIABLE, None)
        if before is not None:
            os.environ[VARIABLE] = before


def load(groups: Iterable[str]) -> None:
    """Import the Python files of the users' groups, each once, so that their entries register themselves.

    Raises:
        UserError: one can't be imported; the next call tries it again.
    """
    for folder, package in added().items():
        for group in groups:
            for file in sorted((folder / group).glob("*.py")):
                name = f"{package}.{group}.{file.stem}"
                if getattr(sys.modules.get(name), "__file__", None) != str(file):
                    _import(name, file)


def _import(name: str, file: Path) -> None:
    spec = importlib.util.spec_from_file_location(name, file)
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[name]
        lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(file)]
        where = f"{file}, line {lines[-1]}," if lines else str(file)
        raise UserError(f"{where} can't be imported ({cause(error)}): mend it, or take it out of there") from error


def _check(folder: Path) -> None:
    own = conf_dir()
    groups = sorted(path.name for path in own.iterdir() if path.is_dir())
    if not folder.is_dir():
        raise UserError(f"{folder} is no folder: let --config-dir, or {VARIABLE}, name one that holds yours")
    if not any((folder / group).is_dir() for group in groups):
        raise UserError(
            f"{folder} holds none of the folders {', '.join(groups)}: put what is yours into these, as "
            "strategy/mine.yaml, and name the folder that they are in"
        )
    for file in sorted(folder.rglob("*.yaml")):
        if (own / file.relative_to(folder)).exists():
            raise UserError(f"{file} has the name of one of the suite's own: give it another")


@cache
def _packages() -> tuple[tuple[Path, str], ...]:
    """The folders of installed packages, with their names."""
    found = []
    for point in sorted(entry_points(group="l2m"), key=lambda point: point.value):
        try:
            spec = importlib.util.find_spec(point.value)
            problem = "there is no such package"
        except Exception as error:  # one that it lies in can't be imported
            spec, problem = None, cause(error)
        places = [Path(place) for place in (spec and spec.submodule_search_locations) or ()]
        there = [place.resolve() for place in places if place.is_dir()]  # an editable install may add what is none
        if not there:
            raise UserError(
                f"the package {point.value}, which the entry point {point.name} of the group l2m names, can't be "
                f"found ({problem}): install it anew, or uninstall it"
            )
        found += [(place, point.value) for place in there]
    return tuple(found)
