"""Writes the text of ``--help``: choices and options from YAML files, keys and ranges from the schema."""

import re
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

from hydra.core.config_store import ConfigStore

from l2m.config.user_folders import list_yaml_files
from l2m.errors import UserError
from l2m.registry import describe_unknown
from l2m.schema import options_of, type_name

WIDTH = 79

MORE = (
    "--help all lists every key and option; --help KEY, --help GROUP or --help",
    "GROUP=CHOICE describes one: --help seed, --help dataset, --help strategy=focal.",
)


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
        common: the keys that the first screen explains; all if empty.
    """

    about: Sequence[str]
    keys: type
    groups: Sequence[str]
    listed: Sequence[str]
    example: str
    added: Sequence[str] = ()
    common: Sequence[str] = ()

    def text(self, topics: Sequence[str] = ()) -> str:
        """The page in Hydra's template language.

        Args:
            topics: words of the command line. Without any the page fits a screen; ``all`` has everything; a key, a
                group or ``GROUP=CHOICE`` has its own. With one of the last kind the page ends with the configuration.

        Raises:
            UserError: a topic is not known.
        """
        groups = (*self.groups, *self.added)
        lines: list[str] = []
        for topic in topics:
            group, _, choice = topic.lstrip("+~").partition("=")
            if topic == "all":
                lines += [*self.about, *self._choices(), "", "Keys", "", *self._keys(self._names())]
                lines += ["", f"Options of choices, as {self.example}", ""]
                lines += [line for each in self.listed for line in self._options(each)]
            elif group in groups:
                lines += self._options(group, choice)
            elif group in self._names():
                lines += self._keys([group])
            elif not choice:
                raise UserError(describe_unknown("help topic", topic, ["all", *groups, *self._names()]))
        if not topics:
            lines = [*self.about, "", "Keys", "", *self._overview(), *self._choices(3), "", *MORE]
        text = re.sub(r"\$\{row\.\w+\}", "the data set's", "\n".join(lines)).replace("$", "")
        given = any("=" in topic for topic in topics)
        return text + "\n\nThis command line gives\n\n$CONFIG" * given

    def _names(self) -> list[str]:
        """Keys that are no groups."""
        return [field.name for field in fields(self.keys) if field.name not in (*self.groups, "command")]

    def _note(self, name: str) -> tuple[str, str]:
        """The type of a key, and what it does."""
        hint = options_of(self.keys)[name]
        return type_name(hint), next(note for note in hint.__metadata__[::-1] if isinstance(note, str))

    def _keys(self, names: Sequence[str]) -> Iterator[str]:
        for name in names:
            kind, note = self._note(name)
            yield from textwrap.wrap(f"  {name:14} {kind}", WIDTH, subsequent_indent=" " * 17)
            yield from textwrap.wrap(note, WIDTH, initial_indent=" " * 17, subsequent_indent=" " * 17)

    def _overview(self) -> Iterator[str]:
        """The common keys, a line each, and the names of the others."""
        common = self.common or self._names()
        for name in common:
            yield f"  {name:14} {textwrap.shorten(self._note(name)[1], WIDTH - 17, placeholder=' …')}"
        if others := [name for name in self._names() if name not in common]:
            yield from textwrap.wrap(f"also {', '.join(others)}", WIDTH, initial_indent="  ", subsequent_indent="  ")

    def _choices(self, most: int | None = None) -> Iterator[str]:
        """The names of each group's choices, in so many lines at most."""
        yield from ("", "Choices", "")
        for group in (*self.groups, *self.added):
            names = ", ".join(file.stem for file in _files(group))
            label = f"  {'+' * (group in self.added) + group + '=':13}"
            yield from textwrap.wrap(
                names, WIDTH, initial_indent=label, subsequent_indent=" " * 15, max_lines=most, placeholder=" …"
            )

    def _options(self, group: str, choice: str = "") -> Iterator[str]:
        """The options of a choice, with what its file says of it; or all choices, with the options that are theirs."""
        for file in _files(group):
            content = file.read_text(encoding="utf-8").splitlines()
            options = [line for line in content if not line.startswith(("#", "name:", "_target_", "{}"))]
            about = [f"    {line}" for line in content if line.startswith("# ") and "@package" not in line]
            is_whole_run = "# @package _global_" in content
            if choice in ("", file.stem):
                yield f"  {group}={file.stem}"
                yield from about if choice else about[:1]
                yield from (f"    {option}" for option in options if choice or not is_whole_run)


def _files(group: str) -> list[Path]:
    """The YAML files of a group's choices, by name."""
    return sorted(list_yaml_files(group), key=lambda file: file.stem)


def store_help(page: Help, topics: Sequence[str]) -> str:
    """Store the page in Hydra and return the override that selects it."""
    node = {"app_name": "l2m", "header": "", "footer": "", "template": page.text(topics)}
    ConfigStore.instance().store("l2m", node, "hydra/help")
    return "hydra/help=l2m"
