"""A Slurm cluster, through submitit; and its stand-in on one machine, to try the settings with."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, ClassVar

from l2m.config.run import RunConfig
from l2m.errors import UserError, cause
from l2m.schema import Range
from l2m.sweeps.launchers import LAUNCHERS, Launcher, Outcome, RemoteRun, with_resources

Whole = Annotated[int, Range(1)]

POLL = 1.0
"""Seconds between two looks at the jobs; Slurm itself is asked far less often, by submitit."""


class Job(RemoteRun):
    """A run that goes on from its checkpoint when Slurm starts it again, after its time was out or it was preempted."""

    def __call__(self) -> Outcome:
        """Train it; a SIGTERM that comes before the training ends the job, which submitit would let pass."""
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        return super().__call__()

    def checkpoint(self) -> Any:
        """What submitit queues again."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self)


@dataclass(kw_only=True)
class Submitit(Launcher):
    """Jobs of submitit's, one a run; options of both clusters. What the jobs print is in ``folder``."""

    package: ClassVar[str] = "submitit"
    cluster: ClassVar[str]

    folder: str | None = None
    """Where submitit keeps its files of the jobs, and what they print; None is ``submitit`` in the results_dir."""
    timeout_min: Whole = 60
    """Minutes that a run may take until it is queued again."""
    cpus_per_task: Whole | None = None
    """Cores, and threads, of a run; None is its threads, or 1."""
    gpus_per_node: Whole | None = None
    max_num_timeout: Annotated[int, Range(0)] = 3
    """How often a run whose time is out is queued again."""
    setup: tuple[str, ...] = ()
    """Shell commands that a job begins with."""

    def __post_init__(self) -> None:
        self._jobs: list[Any] = []

    def _parameters(self) -> dict[str, Any]:
        """Those of the cluster alone, by submitit's names."""
        return {"setup": list(self.setup) or None}

    def capacity(self, configs: Sequence[RunConfig]) -> int:
        """All of them."""
        return len(configs)

    def submit(self, configs: Sequence[RunConfig]) -> None:
        """Submit the runs as one array of jobs."""
        import submitit

        folder = self.folder or str(Path(configs[0].results_dir) / "submitit")
        cpus = self.cpus_per_task or max(config.threads or 1 for config in configs)
        jobs = [Job(with_resources(config, cpus, self.gpus_per_node), os.getcwd()) for config in configs]
        try:
            retries = {f"{self.cluster}_max_num_timeout": self.max_num_timeout}
            executor = submitit.AutoExecutor(folder, cluster=self.cluster, **retries)
            executor.update_parameters(
                name="l2m",
                timeout_min=self.timeout_min,
                cpus_per_task=cpus,
                gpus_per_node=self.gpus_per_node,
                **{f"{self.cluster}_{key}": value for key, value in self._parameters().items()},
            )
            self._jobs = executor.submit_array(jobs)
        except (RuntimeError, OSError) as error:
            raise UserError(
                f"the runs cannot be submitted ({cause(error)}): sbatch and srun must be installed, and accept the "
                "settings under hydra.launcher"
            ) from error

    def outcomes(self) -> Iterator[tuple[int, Outcome]]:
        """The runs, as they end."""
        from submitit.helpers import as_completed

        number = {id(job): i for i, job in enumerate(self._jobs)}
        for job in as_completed(self._jobs, poll_frequency=POLL):
            yield number[id(job)], self._outcome(job)

    def _outcome(self, job: Any) -> Outcome:
        try:
            outcome: Outcome = job.result()
        except Exception as error:  # whatever was raised there, or that no result came
            last = str(error).strip().splitlines()[-1:] or [type(error).__name__]
            return Outcome("lost", f"its job {job.job_id} ended without a result ({last[0]}): see {job.paths.stderr}")
        return outcome

    def cancel(self) -> None:
        """Cancel the jobs that are not done."""
        for job in self._jobs:
            if not job.done():
                job.cancel(check=False)


@LAUNCHERS.register("submitit_slurm")
@dataclass(kw_only=True)
class Slurm(Submitit):
    """Jobs of Slurm's; the options are sbatch's."""

    cluster: ClassVar[str] = "slurm"

    mem_gb: Annotated[float, Range(0, above=True)] | None = None
    partition: str | None = None
    account: str | None = None
    qos: str | None = None
    constraint: str | None = None
    exclude: str | None = None
    array_parallelism: Whole = 256
    """Runs side by side."""
    signal_delay_s: Whole = 90
    """Seconds before the time is out at which it is."""
    additional_parameters: dict[str, Any] = field(default_factory=dict)

    def capacity(self, configs: Sequence[RunConfig]) -> int:
        """As many as the array may have."""
        return min(len(configs), self.array_parallelism)

    def _parameters(self) -> dict[str, Any]:
        names = ("mem_gb", "partition", "account", "qos", "constraint", "exclude", "array_parallelism")
        own = {name: getattr(self, name) for name in (*names, "signal_delay_s", "additional_parameters")}
        return super()._parameters() | own


@LAUNCHERS.register("submitit_local")
@dataclass(kw_only=True)
class Local(Submitit):
    """The same jobs as processes of this machine, all at once: to try with, not to work with."""

    cluster: ClassVar[str] = "local"

    def cancel(self) -> None:
        """Ask the jobs that are not done to end after their epoch."""
        for job in self._jobs:
            with suppress(ProcessLookupError):
                if not job.done():
                    os.kill(int(job.job_id), signal.SIGTERM)
