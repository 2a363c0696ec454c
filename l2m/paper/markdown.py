"""Markdown of the tables: rows of cells, and the commands that train what is missing."""

from collections.abc import Iterable, Mapping, Sequence

from l2m.paper.rows import commands


def table(head: Sequence[str], align: str, rows: Iterable[Sequence[str]]) -> list[str]:
    """The lines of a table; ``align`` has a letter a column, l for left or r for right."""
    marks = {"l": "---", "r": "--:"}
    lines = (f"| {' | '.join(cells)} |" for cells in (head, *rows))
    return [next(lines), f"|{'|'.join(marks[letter] for letter in align)}|", *lines]


def page(lines: Iterable[str], caption: str, command: str = "") -> str:
    """A table with its caption below and, if there is one, the command that trains its runs."""
    return "\n".join([*lines, "", caption, "", *(code([command]) if command else [])])


def code(lines: Iterable[str]) -> list[str]:
    return ["```sh", *lines, "```", ""]


def training(lacking: Mapping[str, Mapping[str, tuple[int, ...]]]) -> list[str]:
    """How to train what :func:`~l2m.paper.rows.missing` found by row; nothing if nothing is missing."""
    if not lacking:
        return []
    return ["What is not run, or has fewer than five seeds, is trained by", "", *code(commands(lacking))]
