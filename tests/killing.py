"""Runs in their own processes, which die at a moment that the test chooses."""

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
from l2m.training.engine import Trainer
from l2m.training.run import train

DURING_A_RUN = ("rich.console", "scipy.special", "sklearn.datasets", "sklearn.model_selection")
"""Imported only by a run that begins, which takes more than a second."""

registries()
CONTEXT = multiprocessing.get_context("forkserver")  # the server has imported all that a run needs
CONTEXT.set_forkserver_preload([*(name for name in sys.modules if name.startswith("l2m.")), *DURING_A_RUN])


def begin(config: RunConfig, prepare: Callable[..., None] | None = None, *arguments: Any) -> BaseProcess:
    """Start a process that calls ``prepare(*arguments)`` and trains; it exits with 1 for a user's error."""
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
    """Wait for its exit status: minus the signal's number if a signal ended it."""
    process.join(120)
    assert process.exitcode is not None, "it hangs"
    return process.exitcode


def die_after(seconds: float) -> None:
    """Let SIGPROF kill the process, wherever it is, once it has used that much CPU time after its first epoch."""
    run_epoch = Trainer.run_epoch

    def watched(self: Trainer) -> Any:
        row = run_epoch(self)
        signal.setitimer(signal.ITIMER_PROF, seconds)
        Trainer.run_epoch = run_epoch  # type: ignore[method-assign]
        return row

    Trainer.run_epoch = watched  # type: ignore[method-assign]


def die_in_write(number: int, stage: str) -> None:
    """Let SIGKILL end the process when file ``number`` of its records is "half written", "written" or "renamed"."""
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
