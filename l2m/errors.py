"""The exception that users see as one sentence, without a traceback, and what helps to write it."""

import errno
import os
import re
import signal
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from difflib import get_close_matches
from importlib.util import find_spec

DENIED = (errno.EACCES, errno.EPERM, errno.EROFS)
TOO_MANY_FILES = (errno.EMFILE, errno.ENFILE)


class UserError(ValueError):
    """An error that the user can fix: the message, in printable lines, gives the value, the rule and the remedy."""

    def __init__(self, message: str) -> None:
        super().__init__("\n".join(map(printable, message.split("\n"))))


def describe_error(error: Exception) -> str | None:
    """What to print of an error of the user or the operating system; None for any other."""
    if isinstance(error, UserError):
        return str(error)
    if not (isinstance(error, OSError) and error.errno):
        return None
    space = "free some space, or set TMPDIR to another folder"
    remedies = {
        **dict.fromkeys((errno.ENOSPC, errno.EDQUOT, errno.EFBIG), space),
        **dict.fromkeys(DENIED, "change its permissions, or use another place"),
        **dict.fromkeys(TOO_MANY_FILES, "raise the limit on open files (ulimit -n), or use fewer workers"),
        errno.ENAMETOOLONG: "use a shorter name",
    }
    without = "temporary directory" in str(error)  # ENOENT, where none can be written to
    remedy = remedies.get(error.errno, space if without else "check that it is there and that its disk works")
    place = "a file" if error.filename is None else shown(error.filename)
    return f"{place} cannot be used ({error.strerror or shown(error)}): {remedy}"


def print_error(problem: str, before: str = "") -> None:
    """Print the lines of a problem as errors; an indented one belongs to the line above it."""
    for line in problem.splitlines():
        print(line if line.startswith(" ") else f"error: {before}{line}", file=sys.stderr)


@contextmanager
def exit_on_error(debug: bool = False) -> Iterator[None]:
    """End the program with status 1 and a sentence after an error of the user or the system, unless in ``debug``."""
    try:
        yield
        sys.stdout.flush()
    except BrokenPipeError:  # the reader has left, as head does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(128 + signal.SIGPIPE)
    except (UserError, OSError) as error:
        problem = describe_error(error)
        if debug or not problem:
            raise
        print_error(problem)
        sys.exit(1)


def describe_missing(asked: str, extra: str, *packages: str) -> list[str]:
    """A sentence for each package that ``asked`` needs, ``extra`` of this one brings, and that is not installed."""
    lacking = [package for package in packages if find_spec(package) is None]
    return [f"{asked} needs {package}: pip install 'learn2mix[{extra}]'" for package in lacking]


def require(asked: str, extra: str, *packages: str) -> None:
    """Raise a UserError if one of the packages that ``asked`` needs is not installed."""
    if problems := describe_missing(asked, extra, *packages):
        raise UserError(problems[0])


def printable(text: str) -> str:
    """Text on one printable line: blanks are spaces, other signs that cannot be printed their escape, as ``\\x1b``."""
    return "".join(each if each.isprintable() else " " if each.isspace() else ascii(each)[1:-1] for each in text)


def cause(error: BaseException) -> str:
    """Another library's error in one line, to quote in a message."""
    return shown(f"{type(error).__name__}: {error}")


def shown(value: object, longest: int = 300) -> str:
    """A value in one printable line of at most ``longest`` characters, to quote in a message."""
    text = " ".join(str(value)[: 2 * longest].split())
    text = "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text)
    return text if len(text) <= longest else f"{text[:longest]}…"


def closest(name: object, choices: Iterable[str]) -> str | None:
    """The choice that was probably meant by ``name``: a similar one, one that begins so, or one with these initials."""
    by_lower = {str(each).lower(): str(each) for each in choices}
    near = get_close_matches(str(name).lower(), by_lower, 1)
    near += [each for each in by_lower if len(str(name)) > 2 and each.startswith(str(name).lower())]
    near += [each for each in by_lower if str(name).lower() == "".join(re.findall(r"(?:^|_)(\w)", each))]
    return by_lower[near[0]] if near else None


def did_you_mean(name: object, choices: Iterable[str]) -> str:
    """`` (did you mean age?)``, or nothing if no choice is like ``name``."""
    near = closest(name, choices)
    return f" (did you mean {near}?)" if near else ""
