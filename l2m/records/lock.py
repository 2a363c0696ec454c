"""The lock of a run's directory: one process trains it at a time."""

import contextlib
import logging
import os
import platform
import warnings
from collections.abc import Iterator
from pathlib import Path

from filelock import BaseFileLock, FileLock, SoftFileLock, Timeout

from l2m.errors import UserError, shown
from l2m.files import reporting
from l2m.records import WRITE_REMEDY

WAIT = 600.0
"""Seconds to wait for a lock that a process on another host may have left behind."""

LOG = logging.getLogger(__name__)


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Lock a run's directory, after waiting for a process that has; the kernel frees the lock of one that dies.

    A file system without such locks has a file instead, which a process that is killed leaves behind. On the same host
    it is then removed; on others it is waited for during ``WAIT`` seconds.

    Raises:
        UserError: the directory cannot be written to, better now than after hours of training; or a process on another
            host holds the lock, or left it behind.
    """
    file = folder / "lock"
    lock: BaseFileLock = FileLock(file)
    with reporting("written", file, WRITE_REMEDY), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "flock not supported")
        folder.mkdir(parents=True, exist_ok=True)
        try:
            lock.acquire(blocking=False)
        except Timeout:
            LOG.warning("%s is being trained by %s: waiting for it", folder, _holder(file))
            try:
                lock.acquire(WAIT if isinstance(lock, SoftFileLock) else -1, poll_interval=0.5)
            except Timeout:
                raise UserError(
                    f"{file} has been held by {_holder(file)} for {WAIT:g} seconds, and its file system cannot say "
                    "whether that process still trains: wait until it has ended, or remove the file if it has"
                ) from None
    try:
        if not isinstance(lock, SoftFileLock):  # which has written the same
            with reporting("written", file, WRITE_REMEDY):
                file.write_text(f"{os.getpid()}\n{platform.node()}\n", encoding="utf-8")
        yield
    finally:
        with contextlib.suppress(OSError):
            file.unlink()  # before the release: a waiting process sees that it is gone
        lock.release()
        with contextlib.suppress(OSError):
            folder.rmdir()  # if nothing was written


def _holder(file: Path) -> str:
    """The process and host in a lock's file."""
    with contextlib.suppress(OSError, ValueError):
        pid, host, *_ = file.read_text(encoding="utf-8").split()
        return f"process {int(pid)} on {shown(host, 60)}"
    return "another process"
