"""A Ray cluster: each run is a task."""

import logging
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

from l2m.config.run import RunConfig
from l2m.errors import UserError, cause
from l2m.schema import Range
from l2m.sweeps.launchers import LAUNCHERS, Launcher, Outcome, RemoteRun, with_resources

POLL = 1.0
"""Seconds to wait for Ray at a time, so that signals are handled."""


@LAUNCHERS.register("ray")
@dataclass(kw_only=True)
class Ray(Launcher):
    """Tasks of a Ray cluster; the YAML of ``hydra/launcher`` describes the options."""

    package: ClassVar[str] = "ray"

    address: str = "auto"
    cpus: Annotated[int, Range(1)] | None = None
    gpus: Annotated[float, Range(0)] = 0.0
    max_retries: Annotated[int, Range(0)] = 0

    def __post_init__(self) -> None:
        self._tasks: list[Any] = []

    def _connect(self) -> Any:
        import ray

        if not ray.is_initialized():
            try:
                ray.init(self.address, log_to_driver=False, logging_level=logging.ERROR)
            except (ConnectionError, ValueError, RuntimeError) as error:
                raise UserError(
                    f"there is no Ray cluster at hydra.launcher.address={self.address} ({cause(error)}): start one "
                    "with `ray start --head`, and on other machines `ray start --address=...`"
                ) from error
        return ray

    def capacity(self, configs: Sequence[RunConfig]) -> int:
        cores = self._connect().cluster_resources().get("CPU", 1)
        return max(1, min(len(configs), int(cores // (self.cpus or 1))))

    def submit(self, configs: Sequence[RunConfig]) -> None:
        """Submit the runs; each waits until a machine has enough free cores."""
        ray, here = self._connect(), os.getcwd()
        self._tasks = []  # a search submits several times
        for config in configs:
            cpus = self.cpus or config.threads or 1
            run = RemoteRun(with_resources(config, cpus, self.gpus), here)
            task = ray.remote(num_cpus=cpus, num_gpus=self.gpus, max_retries=self.max_retries)(RemoteRun.__call__)
            self._tasks.append(task.remote(run))

    def outcomes(self) -> Iterator[tuple[int, Outcome]]:
        ray = self._connect()
        left = {task: number for number, task in enumerate(self._tasks)}
        while left:
            ready, _ = ray.wait(list(left), timeout=POLL)
            for task in ready:
                try:
                    outcome = ray.get(task)
                except ray.exceptions.RayError as error:
                    why = str(error).strip().partition("\n")[0]
                    outcome = Outcome("lost", f"its task was lost ({type(error).__name__}: {why})")
                yield left.pop(task), outcome

    def cancel(self) -> None:
        ray = self._connect()
        for task in self._tasks:
            ray.cancel(task)
