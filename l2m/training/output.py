"""Output that cannot end a training: records are what counts."""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout, suppress
from typing import Any, TextIO


class LastingStream:
    """A stream that falls silent where the other would raise: its reader or terminal has gone, or its disk is full."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        """Write text, or drop it; a character that the stream has not is escaped."""
        try:
            self._do(self._stream.write, text)
        except UnicodeEncodeError as error:
            self._do(self._stream.write, text.encode(error.encoding, "backslashreplace").decode(error.encoding))
        return len(text)

    def flush(self) -> None:
        """Pass on what was written, or drop it."""
        self._do(self._stream.flush)

    def _do(self, method: Callable[..., object], *arguments: str) -> None:
        try:
            method(*arguments)
        except OSError:
            with suppress(OSError):  # what is left in the buffer must not fail when Python ends either
                nowhere = os.open(os.devnull, os.O_WRONLY)
                os.dup2(nowhere, self._stream.fileno())
                os.close(nowhere)


@contextmanager
def lasting_output() -> Iterator[None]:
    """Let trouble with standard output and error end nothing inside."""
    streams: Any = LastingStream(sys.stdout), LastingStream(sys.stderr)
    with redirect_stdout(streams[0]), redirect_stderr(streams[1]):
        try:
            yield
        finally:
            for stream in streams:
                stream.flush()
