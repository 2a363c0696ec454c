"""Signals that end a run: SIGINT (Ctrl-C) and SIGTERM, kept until the epoch is over."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM)

_has_parent = False
"""Whether another process reports on this one to the user."""


class Stopped(KeyboardInterrupt):
    """A run that a signal ended, with a checkpoint to go on from.

    Attributes:
        signal: the signal's number; a process that ends by it has the exit status 128 + ``signal``.
    """

    def __init__(self, signal: int, message: str) -> None:
        super().__init__(message)
        self.signal = signal


def end_with_parent(parent: int) -> None:
    """Let this process end with its parent, and leave Ctrl-C, which a terminal sends to both, to that one to tell.

    Should the parent die, however it does, a SIGTERM follows: at once for a process that is idle, after the epoch for
    one that trains.
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
    """Inside, SIGINT and SIGTERM are the handler's, unless they are ignored; the function given ends that earlier."""
    heard = [each for each in SIGNALS if signal.getsignal(each) not in (signal.SIG_IGN, None)]
    before = {each: signal.signal(each, handler) for each in heard}

    def put_back() -> None:
        for each, handler in before.items():
            signal.signal(each, handler)

    try:
        yield put_back
    finally:
        put_back()


@contextmanager
def stop_between_epochs() -> Iterator[list[int]]:
    """Inside, the first signal is only noted, in the list that is given; a second one ends the process as ever.

    Outside a process's main thread, where signals are not delivered, the list stays empty.
    """
    asked: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield asked
        return

    def note(number: int, frame: FrameType | None) -> None:
        asked.append(number)
        if not _has_parent:
            print("\nstopping after this epoch (once more: at once)", file=sys.stderr, flush=True)
        put_back()

    with handled_by(note) as put_back:
        yield asked
