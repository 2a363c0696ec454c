"""Ends a command by one line if Ctrl-C comes before there is anything to continue. The commands import it first.

An exception could come up anywhere in an import, and its traceback would say nothing to the user.
"""

import os
import signal
import sys
from types import FrameType


def _end(number: int, frame: FrameType | None) -> None:
    print("\nstopped", file=sys.stderr, flush=True)
    os._exit(128 + number)


def end_quietly() -> None:
    """From here on Ctrl-C ends the program."""
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
        signal.signal(signal.SIGINT, _end)


def raise_again() -> None:
    """From here on Ctrl-C raises KeyboardInterrupt, as usual."""
    if signal.getsignal(signal.SIGINT) is _end:
        signal.signal(signal.SIGINT, signal.default_int_handler)


_program = getattr(sys.modules.get("__main__"), "__spec__", None)
if _program and _program.name.partition(".")[0] == "l2m":
    end_quietly()
