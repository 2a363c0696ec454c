"""The one exception that is told to a person as a sentence, without a traceback."""


class UserError(ValueError):
    """Something the caller can mend: the message says the value, the rule and the remedy."""


def cause(error: BaseException) -> str:
    """Another library's error in one line, to stand inside a sentence."""
    return " ".join(f"{type(error).__name__}: {error}".split())
