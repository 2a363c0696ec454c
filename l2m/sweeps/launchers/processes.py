"""Processes of this machine: the default launcher, each process beside the others and able to die without harm to them.

A slot is a thread of this process with a worker process of its own (loky), so that one that runs out of memory or is
killed takes nothing with it. A worker does one run after another and keeps the data set it has loaded.
"""

from __future__ import annotations

import os
import signal
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from queue import SimpleQueue
from typing import ClassVar

import torch
from loky import ProcessPoolExecutor, cpu_count
from loky.process_executor import BrokenProcessPool

from l2m.config.run import RunConfig
from l2m.sweeps.launchers import Launcher, Outcome, train_and_report
from l2m.training.device import keep_memory
from l2m.training.stopping import end_with_parent


def count_workers(configs: Sequence[RunConfig]) -> int:
    """How many runs side by side: as ``workers`` says; else one where seconds are compared, one a GPU, or one a core.

    Two to four share a single GPU if they are small: if each takes one CPU thread. They leave it idle between steps.
    """
    asked = next((config.workers for config in configs if config.workers), None)
    if asked is None and any(config.equal_seconds for config in configs):
        asked = 1
    if asked is None and (gpus := visible_gpus(configs)):
        shared = min(4, max(2, cpu_count())) if all(config.threads == 1 for config in configs) else 1
        asked = len(gpus) if len(gpus) > 1 else shared
    asked = asked or cpu_count() // max((config.threads or 1 for config in configs), default=1)
    return max(1, min(asked, len(configs)))


def visible_gpus(configs: Sequence[RunConfig]) -> list[str]:
    """The GPUs that slots take in turns, as ``CUDA_VISIBLE_DEVICES`` names them; where runs name one, that alone."""
    devices: set[str] = {config.device for config in configs}
    if named := [device for device in devices if device.startswith("cuda:")]:
        return named[:1]
    count = torch.cuda.device_count() if devices & {"auto", "cuda"} else 0
    return os.environ.get("CUDA_VISIBLE_DEVICES", ",".join(map(str, range(count)))).split(",")[:count]


class Processes(Launcher):
    """Worker processes of this machine."""

    package: ClassVar[str] = "loky"

    def __init__(self) -> None:
        self._queue: deque[tuple[int, RunConfig]] = deque()
        self._ended: SimpleQueue[tuple[int, Outcome] | None] = SimpleQueue()
        self._gpus: list[str] = []
        self._threads: int | None = None
        self._workers = 1
        self._pids: dict[int, int] = {}  # of the workers, by slot
        self._stopping = False

    def capacity(self, configs: Sequence[RunConfig]) -> int:
        """One for each worker process."""
        return count_workers(configs)

    def submit(self, configs: Sequence[RunConfig]) -> None:
        """Queue the runs for the workers."""
        self._queue.extend(enumerate(configs))
        self._gpus, self._workers = visible_gpus(configs), count_workers(configs)
        self._threads = max(1, cpu_count() // self._workers) if self._workers > 1 else None

    def outcomes(self) -> Iterator[tuple[int, Outcome]]:
        """Start the workers, and report runs as they end."""
        with ThreadPoolExecutor(self._workers) as threads:
            slots = [threads.submit(self._fill_slot, slot) for slot in range(self._workers)]
            for slot in slots:
                slot.add_done_callback(self._leave_slot)
            for _ in slots:
                while ended := self._ended.get():
                    yield ended
            for slot in slots:
                slot.result()

    def _leave_slot(self, slot: Future[None]) -> None:
        self._ended.put(None)

    def _fill_slot(self, slot: int) -> None:
        """Take runs from the queue until it is empty or the sweep is to stop."""
        executor: ProcessPoolExecutor | None = None
        while self._queue and not self._is_stopping():
            try:
                number, config = self._queue.popleft()
            except IndexError:  # another slot took the last one
                break
            try:
                if executor is None:
                    gpu = {"CUDA_VISIBLE_DEVICES": self._gpus[slot % len(self._gpus)]} if self._gpus[1:] else None
                    executor = ProcessPoolExecutor(1, initializer=_begin, initargs=(os.getpid(),), env=gpu)
                    self._pids[slot] = executor.submit(os.getpid).result()
                    if self._is_stopping():  # before its number was known
                        break
                threads = config.threads or self._threads
                outcome = executor.submit(_work, replace(config, threads=threads), os.getpid()).result()
            except BrokenProcessPool as error:
                how = "SIGKILL" if "SIGKILL" in str(error) else "a crash"
                hint = ": did it run out of memory?" if how == "SIGKILL" else ""
                outcome = Outcome("lost", f"its process was ended by {how}{hint}", str(error))
                self._pids.pop(slot, None)
                executor = None
            self._ended.put((number, outcome))
        if executor is not None:
            self._pids.pop(slot, None)
            executor.shutdown(wait=True, kill_workers=True)  # it has nothing left to do, and would take a second

    def _is_stopping(self) -> bool:  # a signal handler sets it
        return self._stopping

    def cancel(self) -> None:
        """Ask the workers to end after their epoch."""
        self._stopping = True
        self._signal(signal.SIGTERM)

    def kill(self) -> None:
        """End the workers at once."""
        self._signal(signal.SIGKILL)

    def _signal(self, number: int) -> None:
        for pid in list(self._pids.values()):
            with suppress(ProcessLookupError):
                os.kill(pid, number)


def _begin(parent: int) -> None:
    """Prepare a worker."""
    end_with_parent(parent)
    keep_memory()


def _work(config: RunConfig, parent: int) -> Outcome:
    """A run in a worker."""
    outcome = train_and_report(config)
    if outcome.status == "stopped" and os.getppid() != parent:
        os._exit(1)  # nobody is left to report to
    return outcome
