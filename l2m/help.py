"""The text of ``--help``: choices and their options from YAML files, keys and ranges from the schema."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Callable, Sequence
from dataclasses import fields
from functools import partial
from pathlib import Path
from typing import get_type_hints

from hydra.core.config_store import ConfigStore

from l2m.folders import conf_dir
from l2m.schema import type_name

_STORED: list[Callable[[Sequence[Path]], None]] = []


def write_help(folders: Sequence[Path]) -> None:
    """Write every stored text anew, with the choices that lie in ``folders``."""
    for write in _STORED:
        write(folders)


def store_help(
    name: str, about: Sequence[str], keys: type, groups: Sequence[str], optional: Sequence[str], example: str
) -> None:
    """Give Hydra the text of ``--help``, in its template language.

    Args:
        name: what ``hydra/help`` calls it.
        about: what the command does, and how to call it.
        keys: the dataclass of the keys.
        groups: those whose choices are listed.
        optional: those whose choices' options are listed.
        example: an option of a choice with a value.
    """
    write = partial(_write_help, name, about, keys, groups, optional, example)
    write([conf_dir()])
    _STORED.append(write)


def _write_help(
    name: str,
    about: Sequence[str],
    keys: type,
    groups: Sequence[str],
    optional: Sequence[str],
    example: str,
    folders: Sequence[Path],
) -> None:
    def choices(group: str) -> list[Path]:
        return sorted((file for f in folders for file in (f / group).glob("*.yaml")), key=lambda file: file.stem)

    hints = get_type_hints(keys, include_extras=True)
    lines = [*about, "", "Choices", ""]
    for group in groups:
        names = ", ".join(file.stem for file in choices(group))
        label = ("+" if group == "experiment" else "") + group + "="
        lines += textwrap.wrap(names, 79, initial_indent=f"  {label:13}", subsequent_indent=" " * 15)
    lines += ["", "Keys", ""]
    for field in fields(keys):
        if field.name not in groups:
            note = next(n for n in hints[field.name].__metadata__[::-1] if isinstance(n, str))
            lines += textwrap.wrap(f"  {field.name:14} {type_name(hints[field.name])}", 79, subsequent_indent=" " * 17)
            lines += textwrap.wrap(note, 79, initial_indent=" " * 17, subsequent_indent=" " * 17)
    lines += ["", f"Options of choices, as {example}", ""]
    for group in optional:
        for file in choices(group):
            content = [
                line for line in file.read_text().splitlines() if not line.startswith(("#", "name:", "_target_", "{}"))
            ]
            if content:
                lines += [f"  {group}={file.stem}", *(f"    {option}" for option in content)]
    text = re.sub(r"\$\{row\.\w+\}", "the data set's", "\n".join(lines)).replace("$", "")
    page = {"app_name": "l2m", "header": "", "footer": "", "template": f"{text}\n\nThis command line gives\n\n$CONFIG"}
    ConfigStore.instance().store(name, page, "hydra/help")
