"""Processes of this machine: the default launcher.

Each of several threads has a worker process of its own (loky): if one runs out of memory or is killed, the others go
on. A worker trains one run, or one group of runs, after another and keeps the loaded data set.
"""

import os
import signal
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from queue import SimpleQueue
from threading import Event, RLock
from typing import ClassVar

import torch
from loky import ProcessPoolExecutor, cpu_count
from loky.process_executor import BrokenProcessPool
from tqdm import tqdm

from l2m.config.run import RunConfig
from l2m.sweeps.launchers import Launcher, Outcome, train_group_and_report, with_resources
from l2m.sweeps.plan import plan
from l2m.sweeps.progress import Shown
from l2m.sweeps.together import groups
from l2m.training.device import keep_memory
from l2m.training.run import needs
from l2m.training.stopping import end_with_parent


def count_workers(configs: Sequence[RunConfig]) -> int:
    """The number of parallel runs: ``workers``, else 1 with ``equal_seconds``, else one a GPU or one a core.

    Two to four runs with one CPU thread each share a single GPU: small runs leave it idle between steps.
    """
    workers = next((config.workers for config in configs if config.workers), None)
    if workers is None and any(config.equal_seconds for config in configs):
        workers = 1
    if workers is None and (gpus := visible_gpus(configs)):
        shared = min(4, max(2, cpu_count())) if all(config.threads == 1 for config in configs) else 1
        workers = len(gpus) if len(gpus) > 1 else shared
    workers = workers or cpu_count() // max((config.threads or 1 for config in configs), default=1)
    return max(1, min(workers, len(configs)))


def visible_gpus(configs: Sequence[RunConfig]) -> list[str]:
    """The GPUs for the slots, as in ``CUDA_VISIBLE_DEVICES``; if a run names one, only that."""
    devices: set[str] = {config.device for config in configs}
    if named := [device for device in devices if device.startswith("cuda:")]:
        return named[:1]
    count = torch.cuda.device_count() if devices & {"auto", "cuda"} else 0
    return os.environ.get("CUDA_VISIBLE_DEVICES", ",".join(map(str, range(count)))).split(",")[:count]


KEEP = {"LOKY_MAX_MEMORY_LEAK_SIZE": "1e18"}
"""loky would take a loaded data set for a leak of memory, and replace the process."""

_sending: Connection
"""In a worker: where it sends epochs to show, and how runs end."""


@dataclass
class _Worker:
    """A worker process, which starts with its first run and again after it died."""

    environment: dict[str, str] | None
    executor: ProcessPoolExecutor | None = None
    pid: int | None = None

    def start(self) -> ProcessPoolExecutor:
        self.receiving, self.sending = Pipe(duplex=False)  # open on both sides, as loky may replace the process
        arguments, environment = (os.getpid(), self.sending), (self.environment or {}) | KEEP
        self.executor = ProcessPoolExecutor(1, initializer=_begin, initargs=arguments, env=environment)
        return self.executor

    def close(self) -> None:
        if self.executor:  # killing it, as it is idle, saves a second
            self.executor.shutdown(wait=True, kill_workers=True)
        self.executor = self.pid = None


class Processes(Launcher):
    """Worker processes of this machine."""

    package: ClassVar[str] = "loky"

    def __init__(self) -> None:
        self._configs: list[RunConfig] = []
        self._rounds: list[list[list[int]]] = [[], []]  # groups of runs that others need, and of the sweep's
        self._workers: list[_Worker] = []
        self._free: SimpleQueue[_Worker] = SimpleQueue()
        self._stopping = Event()

    def capacity(self, configs: Sequence[RunConfig]) -> int:
        return count_workers(configs)

    def submit(self, configs: Sequence[RunConfig]) -> None:
        count, gpus = count_workers(configs), visible_gpus(configs)
        threads = max(1, cpu_count() // count) if count > 1 else None
        warnings.filterwarnings("ignore", "A worker ", UserWarning)  # loky takes a loaded data set for a leak
        needed = [run.config for run in plan((each, "") for config in configs for each in needs(config)) if run.to_do]
        self._configs = [with_resources(config, threads, len(gpus)) for config in (*configs, *needed)]
        device = torch.device("cuda" if gpus else "cpu")
        runs = groups(self._configs[: len(configs)], count, device)
        together = [group for group in groups(self._configs[len(configs) :], count, device) if group[1:]]
        self._rounds = [[[len(configs) + number for number in group] for group in together], runs]
        environments = [{"CUDA_VISIBLE_DEVICES": gpus[i % len(gpus)]} if gpus[1:] else None for i in range(count)]
        if environments != [worker.environment for worker in self._workers]:
            self.close()
            self._workers = [_Worker(each) for each in environments]
        self._free = SimpleQueue()
        for worker in self._workers:
            self._free.put(worker)

    def outcomes(self) -> Iterator[tuple[int, Outcome]]:
        ended: SimpleQueue[tuple[int, Outcome] | None] = SimpleQueue()
        with ThreadPoolExecutor(len(self._workers)) as threads:
            needed, runs = self._rounds
            list(threads.map(self._train, needed))  # a run that lacks one that failed says so itself
            groups_left = [threads.submit(self._train, group, ended.put) for group in runs]
            for trained in groups_left:
                trained.add_done_callback(lambda _: ended.put(None))
            for _ in groups_left:
                yield from iter(ended.get, None)
            for trained in groups_left:
                trained.result()

    def _train(self, group: list[int], report: Callable[[tuple[int, Outcome]], None] = lambda ended: None) -> None:
        """Train runs in a free worker and report how each ended; none if the sweep is stopping.

        If the worker dies, each of several left is trained again alone, to report the one that ends it.
        """
        worker, left = self._free.get(), list(group)
        try:
            if self._stopping.is_set():
                return
            executor = worker.executor or worker.start()
            worker.pid = executor.submit(os.getpid).result()
            if self._stopping.is_set():  # perhaps before its pid was known
                return
            configs = [self._configs[number] for number in group]
            done = executor.submit(_work, configs, os.getpid(), self.show is not None)
            done.add_done_callback(lambda _: worker.sending.send(None))  # it ended or died
            for message in iter(worker.receiving.recv, None):
                if isinstance(message, Shown):
                    if self.show:
                        self.show(message)
                    continue
                number, outcome = message
                left.remove(group[number])
                report((group[number], outcome))
            done.result()
            return
        except BrokenProcessPool as error:
            worker.executor = worker.pid = None
            how, hint = ("SIGKILL", ": did it run out of memory?") if "SIGKILL" in str(error) else ("a crash", "")
            lost = Outcome("lost", f"its process was ended by {how}{hint}", str(error))
        finally:
            self._free.put(worker)
        for number in left:
            if not left[1:] or self._stopping.is_set():
                report((number, lost))
            else:
                self._train([number], report)

    def close(self) -> None:
        for worker in self._workers:
            worker.close()

    def cancel(self) -> None:
        self._stopping.set()
        self._signal(signal.SIGTERM)

    def kill(self) -> None:
        self._signal(signal.SIGKILL)

    def _signal(self, number: int) -> None:
        for worker in self._workers:
            if worker.pid is not None:
                with suppress(ProcessLookupError):
                    os.kill(worker.pid, number)


def _begin(parent: int, sending: Connection) -> None:
    global _sending
    _sending = sending
    end_with_parent(parent)
    keep_memory()
    tqdm.set_lock(RLock())  # that of `datasets`: its own, for processes, would be left behind with a warning


def _work(configs: Sequence[RunConfig], parent: int, is_watched: bool) -> None:
    """Train runs and send the number of each, and how it ended, as it ends; if somebody watches, epochs too."""
    for number, outcome in train_group_and_report(configs, _send if is_watched else None):
        if outcome.status == "stopped" and os.getppid() != parent:
            os._exit(1)  # nobody is left to report to
        _send((number, outcome))


def _send(message: Shown | tuple[int, Outcome]) -> None:
    with suppress(OSError):
        _sending.send(message)
