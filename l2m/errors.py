"""The one exception that is told to a person as a sentence, without a traceback."""


class UserError(ValueError):
    """Something the caller can mend: the message says the value, the rule and the remedy."""
