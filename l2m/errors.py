"""The exception that users see as one sentence, without a traceback, and what helps to write it."""

from collections.abc import Iterable
from difflib import get_close_matches

QUOTED_LENGTH = 300
"""Characters of quoted text in an error message, at most."""


class UserError(ValueError):
    """An error that the user can fix: the message gives the value, the rule and the remedy."""


def cause(error: BaseException) -> str:
    """Another library's error in one line, to quote in a message."""
    return shown(f"{type(error).__name__}: {error}")


def shown(value: object, longest: int = QUOTED_LENGTH) -> str:
    """A value in one printable line of at most ``longest`` characters, to quote in a message."""
    text = " ".join(str(value)[: 2 * longest].split())
    text = "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text)
    return text if len(text) <= longest else f"{text[:longest]}…"


def closest(name: object, choices: Iterable[str]) -> str | None:
    """The choice that was probably meant by ``name``."""
    by_lower = {str(each).lower(): str(each) for each in choices}
    near = get_close_matches(str(name).lower(), by_lower, 1)
    return by_lower[near[0]] if near else None


def did_you_mean(name: object, choices: Iterable[str]) -> str:
    """`` (did you mean age?)``, or nothing if no choice is like ``name``."""
    near = closest(name, choices)
    return f" (did you mean {near}?)" if near else ""
