"""The one exception that is told to a person as a sentence, without a traceback."""

LONGEST = 300
"""Characters of what is quoted inside a sentence."""


class UserError(ValueError):
    """Something the caller can mend: the message says the value, the rule and the remedy."""


def cause(error: BaseException) -> str:
    """Another library's error in one line, to stand inside a sentence."""
    return shown(f"{type(error).__name__}: {error}")


def shown(value: object, longest: int = LONGEST) -> str:
    """What a file holds, in one printable line of at most ``longest`` characters, to stand inside a sentence."""
    text = " ".join(str(value)[: 2 * longest].split())
    text = "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text)
    return text if len(text) <= longest else f"{text[:longest]}…"
