"""Configuration folders: the suite's own ``conf``, and users' folders with the same layout.

``strategy/hardest.yaml`` in a user's folder is a choice like the suite's own, and ``strategy/hardest.py`` beside it
registers the name in the YAML; likewise for each group. ``--config-dir`` names a folder, or the variable
``L2M_CONFIG_DIR``, which child processes inherit, or an installed package: the value of an entry point of the group
``l2m`` is the package whose folder is used. Python files elsewhere in a folder are not imported.
"""

import importlib.util
import os
import sys
import traceback
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
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


def list_yaml_files(group: str) -> list[Path]:
    """The YAML files of a group's choices: the suite's own, then its users'."""
    return [file for folder in (conf_dir(), *find_user_folders()) for file in sorted((folder / group).glob("*.yaml"))]


def find_user_folders() -> dict[Path, str]:
    """The users' folders, absolute, each with the name of the package that its files are imported into.

    Raises:
        UserError: one is not a directory, has another layout, or reuses the name of one of the suite's own choices.
    """
    folders = dict(_find_packages())
    if named := os.environ.get(VARIABLE):
        folders.setdefault(Path(named).resolve(), "l2m_config_dir")
    for folder in folders:
        _check(folder)
    return folders


def describe_missing_file(group: str, name: object, registered: Iterable[object] = ()) -> str:
    """The error message for a user's choice without its YAML or Python file; empty if ``name`` is registered."""
    if name in registered:
        return ""
    for folder in find_user_folders():
        files = {file.suffix: file for file in (folder / group).glob("*") if file.stem == name}
        if ".yaml" in files:
            return f"{group}={name} is not known: no Python file beside {files['.yaml']} registers {name}"
        if ".py" in files:
            return f"{group}={name} is not known: {files['.py']} has no {name}.yaml beside it"
    return ""


def use_folder(folder: str | os.PathLike[str] | None) -> AbstractContextManager[None]:
    """Set ``L2M_CONFIG_DIR`` to ``folder`` inside, for child processes too; None changes nothing."""
    return set_variable(VARIABLE, None if folder is None else str(Path(folder).resolve()))


@contextmanager
def set_variable(name: str, value: str | None) -> Iterator[None]:
    """Set an environment variable inside; None changes nothing."""
    before = os.environ.get(name)
    try:
        if value is not None:
            os.environ[name] = value
        yield
    finally:
        os.environ.pop(name, None)
        if before is not None:
            os.environ[name] = before


def import_user_files(groups: Iterable[str]) -> None:
    """Import the Python files of the users' groups, each once, so that their entries register themselves.

    Raises:
        UserError: one cannot be imported; the next call tries it again.
    """
    for folder, package in find_user_folders().items():
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
        raise UserError(f"{where} cannot be imported ({cause(error)}): fix or remove it") from error


def _check(folder: Path) -> None:
    own = conf_dir()
    groups = sorted(path.name for path in own.iterdir() if path.is_dir())
    if not folder.is_dir():
        raise UserError(f"{folder} is not a directory: point --config-dir or {VARIABLE} at your configuration folder")
    if not any((folder / group).is_dir() for group in groups):
        raise UserError(
            f"{folder} has none of the folders {', '.join(groups)}: put your files into these, for example as "
            "strategy/mine.yaml, and name the folder that contains them"
        )
    for file in sorted(folder.rglob("*.yaml")):
        if (own / file.relative_to(folder)).exists():
            raise UserError(f"{file} has the name of one of the suite's own choices: rename it")


@cache
def _find_packages() -> tuple[tuple[Path, str], ...]:
    """The folders of installed packages, with their names."""
    folders = []
    for point in sorted(entry_points(group="l2m"), key=lambda point: point.value):
        try:
            spec = importlib.util.find_spec(point.value)
            problem = "there is no such package"
        except Exception as error:  # its parent package cannot be imported
            spec, problem = None, cause(error)
        places = [Path(place) for place in (spec and spec.submodule_search_locations) or ()]
        existing = [place.resolve() for place in places if place.is_dir()]  # an editable install may list others
        if not existing:
            raise UserError(
                f"the package {point.value}, named by the entry point {point.name} of the group l2m, cannot be found "
                f"({problem}): reinstall or uninstall it"
            )
        folders += [(place, point.value) for place in existing]
    return tuple(folders)
