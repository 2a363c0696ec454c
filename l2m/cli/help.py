"""Writes the text of ``--help``: choices and options from YAML files, keys and ranges from the schema."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path

from hydra.core.config_store import ConfigStore

from l2m.schema import options_of, type_name


@dataclass(frozen=True)
class Help:
    """The ``--help`` page of one command.

    Attributes:
        about: what the command does, and examples.
        keys: the dataclass of the keys.
        groups: the keys that have choices.
        listed: the groups whose choices' options are listed.
        example: an option of a choice, with a value.
        added: groups that a command line adds with ``+``.
    """

    about: Sequence[str]
    keys: type
    groups: Sequence[str]
    listed: Sequence[str]
    example: str
    added: Sequence[str] = ()

    def text(self, folders: Sequence[Path]) -> str:
        """The page, with the choices in ``folders``, in Hydra's template language."""

        def choices(group: str) -> list[Path]:
            return sorted((file for f in folders for file in (f / group).glob("*.yaml")), key=lambda file: file.stem)

        hints = options_of(self.keys)
        lines = [*self.about, "", "Choices", ""]
        for group in (*self.groups, *self.added):
            names = ", ".join(file.stem for file in choices(group))
            label = f"{'+' if group in self.added else ''}{group}="
            lines += textwrap.wrap(names, 79, initial_indent=f"  {label:13}", subsequent_indent=" " * 15)
        lines += ["", "Keys", ""]
        for field in fields(self.keys):
            if field.name not in (*self.groups, "command"):
                note = next(n for n in hints[field.name].__metadata__[::-1] if isinstance(n, str))
                kind = f"  {field.name:14} {type_name(hints[field.name])}"
                lines += textwrap.wrap(kind, 79, subsequent_indent=" " * 17)
                lines += textwrap.wrap(note, 79, initial_indent=" " * 17, subsequent_indent=" " * 17)
        lines += ["", f"Options of choices, as {self.example}", ""]
        for group in self.listed:
            for file in choices(group):
                content = file.read_text().splitlines()
                options = [line for line in content if not line.startswith(("#", "name:", "_target_", "{}"))]
                if options:
                    lines += [f"  {group}={file.stem}", *(f"    {option}" for option in options)]
        text = re.sub(r"\$\{row\.\w+\}", "the data set's", "\n".join(lines)).replace("$", "")
        return f"{text}\n\nThis command line gives\n\n$CONFIG"


def store_help(page: Help, folders: Sequence[Path]) -> str:
    """Store the page in Hydra and return the override that selects it."""
    node = {"app_name": "l2m", "header": "", "footer": "", "template": page.text(folders)}
    ConfigStore.instance().store("l2m", node, "hydra/help")
    return "hydra/help=l2m"
