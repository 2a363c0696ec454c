"""The exception that is shown to users as one sentence, without a traceback."""

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
