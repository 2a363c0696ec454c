"""Many runs side by side, each in a process that may die without harm to the others.

A slot is a thread of this process with a worker process of its own (loky), so that one that runs out of memory or is
killed takes nothing with it. A worker does one run after another and keeps the data set it has loaded.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import traceback
from collections import Counter, deque
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from types import FrameType

import torch
from loky import ProcessPoolExecutor, cpu_count
from loky.process_executor import BrokenProcessPool

from l2m.config import RunConfig
from l2m.device import keep_memory
from l2m.errors import UserError, cause
from l2m.plan import Planned, told
from l2m.progress import watch
from l2m.records import RunDirectory
from l2m.stopping import Stopped, handled_by, obey


@dataclass(frozen=True)
class Outcome:
    """How a run ended: ``done``, ``failed`` or ``stopped``, and what there is to say of it."""

    status: str
    told: str


class Tally:
    """How the runs of a sweep ended so far, told as they end."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._ended: list[tuple[Planned, Outcome]] = []

    def add(self, run: Planned, outcome: Outcome) -> None:
        """Tell how a run ended."""
        self._ended.append((run, outcome))
        if outcome.status == "done":
            print(f"[{len(self._ended)}/{self._total}] {outcome.told}", flush=True)
        elif outcome.status == "failed":
            print(f"error: {run.command}: {outcome.told}", file=sys.stderr, flush=True)

    def failed(self, signals: Sequence[int]) -> list[tuple[Planned, str]]:
        """The runs that failed, with the reason.

        Raises:
            Stopped: the first of ``signals``, if there is one, ended the sweep.
        """
        if signals:
            ended = Counter(outcome.status for _, outcome in self._ended)
            rest = self._total - ended["done"] - ended["failed"]
            counts = f"{ended['done']} of {self._total} runs done, {ended['failed']} failed, {rest} to do"
            raise Stopped(signals[0], counts)
        return [(run, outcome.told) for run, outcome in self._ended if outcome.status == "failed"]


def sweep(runs: Sequence[Planned]) -> list[tuple[Planned, str]]:
    """Do the runs that are not done, and tell how they end.

    Returns:
        Those that failed, with the reason.

    Raises:
        Stopped: a signal ended the sweep; the runs it was at have left checkpoints.
    """
    to_do = [run for run in runs if run.to_do]
    workers = _workers([run.config for run in to_do])
    print(told(runs, workers), flush=True)
    return _Sweep(to_do, workers).run() if to_do else []


def _workers(configs: Sequence[RunConfig]) -> int:
    """How many runs side by side: as asked; else one where seconds are compared, one a GPU, or one a core.

    Two to four share a single GPU if they are small: if each asks for one CPU thread. They leave it idle between steps.
    """
    asked = next((config.workers for config in configs if config.workers), None)
    if asked is None and any(config.equal_seconds for config in configs):
        asked = 1
    if asked is None and (cards := _cards(configs)):
        shared = min(4, max(2, cpu_count())) if all(config.threads == 1 for config in configs) else 1
        asked = len(cards) if len(cards) > 1 else shared
    asked = asked or cpu_count() // max((config.threads or 1 for config in configs), default=1)
    return max(1, min(asked, len(configs)))


def _cards(configs: Sequence[RunConfig]) -> list[str]:
    """The GPUs that slots take in turns, as ``CUDA_VISIBLE_DEVICES`` names them; where runs name one, that alone."""
    devices: set[str] = {config.device for config in configs}
    if named := [device for device in devices if device.startswith("cuda:")]:
        return named[:1]
    count = torch.cuda.device_count() if devices & {"auto", "cuda"} else 0
    return os.environ.get("CUDA_VISIBLE_DEVICES", ",".join(map(str, range(count)))).split(",")[:count]


class _Sweep:
    def __init__(self, to_do: Sequence[Planned], workers: int) -> None:
        self._queue, self._tally, self._workers = deque(to_do), Tally(len(to_do)), workers
        self._threads = max(1, cpu_count() // workers)
        self._cards = _cards([run.config for run in to_do])
        self._pids: dict[int, int] = {}  # of the workers, by slot
        self._asked: list[int] = []  # signals
        self._lock = threading.Lock()

    def run(self) -> list[tuple[Planned, str]]:
        with handled_by(self._stop), ThreadPoolExecutor(self._workers) as slots:
            for slot in [slots.submit(self._slot, number) for number in range(self._workers)]:
                slot.result()
        return self._tally.failed(self._asked)

    def _slot(self, number: int) -> None:
        """Take runs from the queue until it is empty or a signal came."""
        executor: ProcessPoolExecutor | None = None
        while not self._asked:
            with self._lock:
                if not self._queue:
                    break
                run = self._queue.popleft()
            try:
                if executor is None:
                    card = {"CUDA_VISIBLE_DEVICES": self._cards[number % len(self._cards)]} if self._cards[1:] else None
                    executor = ProcessPoolExecutor(1, initializer=_begin, initargs=(os.getpid(),), env=card)
                    self._pids[number] = executor.submit(os.getpid).result()
                    if self._asked:  # before its number was known
                        break
                threads = run.config.threads or (self._threads if self._workers > 1 else None)
                outcome = executor.submit(_work, replace(run.config, threads=threads), os.getpid()).result()
            except BrokenProcessPool as error:
                outcome = self._died(run.config, error)
                self._pids.pop(number, None)
                executor = None
            with self._lock:
                self._tally.add(run, outcome)
        if executor is not None:
            self._pids.pop(number, None)
            executor.shutdown(wait=True, kill_workers=True)  # it has nothing left to do; to take its leave is a second

    def _died(self, config: RunConfig, error: BrokenProcessPool) -> Outcome:
        """Of a run whose worker is gone: marked failed, unless it was we who ended it."""
        if self._asked:
            return Outcome("stopped", "")
        how = "SIGKILL" if "SIGKILL" in str(error) else "a crash"
        problem = f"its process was ended by {how}" + (": was there memory enough?" if how == "SIGKILL" else "")
        RunDirectory(config).mark_failed(problem, str(error))
        return Outcome("failed", problem)

    def _stop(self, number: int, frame: FrameType | None) -> None:
        """Ask the workers to end after their epoch, or the second time at once."""
        again = bool(self._asked)
        self._asked.append(number)
        if not again:
            print("\nstopping: every run ends its epoch (once more: at once)", file=sys.stderr, flush=True)
        for pid in list(self._pids.values()):
            try:
                os.kill(pid, signal.SIGKILL if again else signal.SIGTERM)
            except ProcessLookupError:
                continue


def _begin(parent: int) -> None:
    """Prepare a worker."""
    obey(parent)
    keep_memory()


def _work(config: RunConfig, parent: int) -> Outcome:
    """A run in a worker."""
    outcome = attempt(config)
    if outcome.status == "stopped" and os.getppid() != parent:
        os._exit(1)  # nobody is there to be told
    return outcome


def attempt(config: RunConfig) -> Outcome:
    """Train a run, wherever this is, and tell how it ended."""
    try:
        return Outcome("done", watch(config, beside_others=True))
    except Stopped as stopped:
        return Outcome("stopped", str(stopped))
    except Exception as error:
        if config.debug or not isinstance(error, UserError):  # a fault of ours, or the machine's
            traceback.print_exc()
        return Outcome("failed", str(error) if isinstance(error, UserError) else cause(error))
