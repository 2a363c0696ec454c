"""Runs in processes of their own, which die at a moment of the test's choice."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
from collections.abc import Callable
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from l2m import UserError
from l2m.catalog import registries
from l2m.config.run import RunConfig
from l2m.training.run import train

registries()
CONTEXT = multiprocessing.get_context("forkserver")  # whose server has imported all that a run needs
CONTEXT.set_forkserver_preload([name for name in sys.modules if name.startswith("l2m.")])


def begin(config: RunConfig, prepare: Callable[..., None] | None = None, *arguments: Any) -> BaseProcess:
    """A process that calls ``prepare(*arguments)`` and trains; exit status 1 for a user's error."""
    process = CONTEXT.Process(target=_train, args=(config, prepare, arguments))
    process.start()
    return process


def _train(config: RunConfig, prepare: Callable[..., None] | None, arguments: tuple[Any, ...]) -> None:
    if prepare:
        prepare(*arguments)
    try:
        train(config)
    except UserError as error:
        sys.exit(str(error))


def end(process: BaseProcess) -> int:
    """Its exit status, awaited; minus the signal's number if one ended it."""
    process.join(120)
    assert process.exitcode is not None, "it hangs"
    return process.exitcode


STAGES = ("half written", "written", "renamed")


def die_in_write(number: int, stage: str) -> None:
    """Let the process end itself, by SIGKILL, at a stage of the ``number``-th file that it writes to its records."""
    write, rename, left = Path.write_bytes, Path.replace, [number]

    def write_bytes(self: Path, content: bytes) -> int:
        left[0] -= 1
        dies = left[0] < 0
        if dies and stage == "half written":
            write(self, content[: len(content) // 2])
        else:
            write(self, content)
        if dies and stage != "renamed":
            os.kill(os.getpid(), signal.SIGKILL)
        return len(content)

    def replace(self: Path, target: Path) -> Path:
        result = rename(self, target)
        if left[0] < 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    Path.write_bytes, Path.replace = write_bytes, replace  # type: ignore[assignment, method-assign]
