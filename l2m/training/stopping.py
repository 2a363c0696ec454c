"""Signals that end a run after the current epoch: SIGINT (Ctrl-C) and SIGTERM."""

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType

_has_parent = False
"""Whether the parent process talks to the user."""


class Stopped(KeyboardInterrupt):
    """The ``signal`` of this number ended the run, which left a checkpoint or is done; exit with 128 + ``signal``."""

    def __init__(self, signal: int, message: str, is_done: bool = False) -> None:
        super().__init__(message)
        self.signal, self.is_done = signal, is_done


def end_with_parent(parent: int) -> None:
    """End this process when its parent dies, and leave Ctrl-C, which a terminal sends to both, to the parent.

    This process then gets a SIGTERM, which ends it at once if it is idle, and after the epoch if it trains.
    """
    global _has_parent
    _has_parent = True
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, daemon=True).start()


@contextmanager
def handled_by(handler: Callable[[int, FrameType | None], None]) -> Iterator[Callable[[], None]]:
    """Handle SIGINT and SIGTERM inside, unless they are ignored; the yielded function restores their handlers early.

    Inside, SIGHUP is ignored: a terminal that is closed takes its output with it, and nothing else. Outside the main
    thread, where signals are not delivered, nothing is handled.
    """
    if threading.current_thread() is not threading.main_thread():
        yield lambda: None
        return
    handled = [each for each in (signal.SIGINT, signal.SIGTERM) if signal.getsignal(each) not in (signal.SIG_IGN, None)]
    before = {each: signal.signal(each, handler) for each in handled}
    hangup = signal.signal(signal.SIGHUP, signal.SIG_IGN)

    def restore() -> None:
        for each, handler in before.items():
            signal.signal(each, handler)

    try:
        yield restore
    finally:
        restore()
        signal.signal(signal.SIGHUP, hangup)


@contextmanager
def stop_between_epochs(signals: list[int]) -> Iterator[None]:
    """Only add the first signal inside to ``signals``; a second one ends the process as usual.

    None is added outside the main thread, where signals are not delivered.
    """

    def record(number: int, frame: FrameType | None) -> None:
        signals.append(number)
        if not _has_parent:
            with suppress(OSError):  # the terminal may be closed
                print("\nstopping after this epoch (once more: at once)", file=sys.stderr, flush=True)
        restore()

    with handled_by(record) as restore:
        yield
