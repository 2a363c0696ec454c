"""A Slurm cluster, through submitit, and the same jobs as local processes, to try the settings."""

import os
import signal
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Any, ClassVar

from l2m.config.run import RunConfig
from l2m.errors import UserError, cause
from l2m.schema import Range
from l2m.sweeps.launchers import LAUNCHERS, Launcher, Outcome, RemoteRun, with_resources

Whole = Annotated[int, Range(1)]

POLL = 1.0
"""Seconds between two checks of the jobs; submitit asks Slurm itself far less often."""


class Job(RemoteRun):
    """A run that continues from its checkpoint when Slurm requeues it after a timeout or preemption."""

    def __call__(self) -> Outcome:
        """Train it; a SIGTERM before the training, which submitit would ignore, ends the job."""
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        return super().__call__()

    def checkpoint(self) -> Any:
        """The job that submitit requeues."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self)


@dataclass(kw_only=True)
class Submitit(Launcher):
    """Jobs of submitit, one a run; the YAMLs of ``hydra/launcher`` describe the options."""

    package: ClassVar[str] = "submitit"
    cluster: ClassVar[str]

    folder: str | None = None
    timeout_min: Whole = 60
    cpus_per_task: Whole | None = None
    gpus_per_node: Whole | None = None
    max_num_timeout: Annotated[int, Range(0)] = 3
    setup: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        self._jobs: list[Any] = []

    def capacity(self, configs: Sequence[RunConfig]) -> int:
        return len(configs)

    def submit(self, configs: Sequence[RunConfig]) -> None:
        import submitit

        folder = self.folder or str(Path(configs[0].results_dir) / "submitit")
        cpus = self.cpus_per_task or max(config.threads or 1 for config in configs)
        jobs = [Job(with_resources(config, cpus, self.gpus_per_node), os.getcwd()) for config in configs]
        common = {field.name for field in fields(Submitit)}
        parameters = {field.name: getattr(self, field.name) for field in fields(self) if field.name not in common}
        parameters |= {"setup": list(self.setup) or None}
        try:
            retries = {f"{self.cluster}_max_num_timeout": self.max_num_timeout}
            executor = submitit.AutoExecutor(folder, cluster=self.cluster, **retries)
            executor.update_parameters(
                name="l2m",
                timeout_min=self.timeout_min,
                cpus_per_task=cpus,
                gpus_per_node=self.gpus_per_node,
                **{f"{self.cluster}_{key}": value for key, value in parameters.items()},
            )
            self._jobs = executor.submit_array(jobs)
        except (RuntimeError, OSError) as error:
            raise UserError(
                f"the runs cannot be submitted ({cause(error)}): sbatch and srun must be installed, and accept the "
                "settings under hydra.launcher"
            ) from error

    def outcomes(self) -> Iterator[tuple[int, Outcome]]:
        from submitit.helpers import as_completed

        number = {id(job): i for i, job in enumerate(self._jobs)}
        for job in as_completed(self._jobs, poll_frequency=POLL):
            yield number[id(job)], self._outcome(job)
        self._jobs = []  # one that outlives the interpreter's modules prints a traceback

    def _outcome(self, job: Any) -> Outcome:
        try:
            outcome: Outcome = job.result()
        except Exception as error:  # whatever the job raised, or its lack of a result
            last = str(error).strip().splitlines()[-1:] or [type(error).__name__]
            return Outcome("lost", f"its job {job.job_id} ended without a result ({last[0]}): see {job.paths.stderr}")
        return outcome

    def cancel(self) -> None:
        for job in self._jobs:
            if not job.done():
                job.cancel(check=False)


@LAUNCHERS.register("submitit_slurm")
@dataclass(kw_only=True)
class Slurm(Submitit):
    """Jobs of Slurm; most options are those of sbatch."""

    cluster: ClassVar[str] = "slurm"

    mem_gb: Annotated[float, Range(0, above=True)] | None = None
    partition: str | None = None
    account: str | None = None
    qos: str | None = None
    constraint: str | None = None
    exclude: str | None = None
    array_parallelism: Whole = 256
    signal_delay_s: Whole = 90
    additional_parameters: dict[str, Any] | None = None

    def capacity(self, configs: Sequence[RunConfig]) -> int:
        return min(len(configs), self.array_parallelism)


@LAUNCHERS.register("submitit_local")
@dataclass(kw_only=True)
class Local(Submitit):
    """The same jobs as processes of this machine, all at once: for trying settings."""

    cluster: ClassVar[str] = "local"

    def cancel(self) -> None:
        for job in self._jobs:
            with suppress(ProcessLookupError):
                if not job.done():
                    os.kill(int(job.job_id), signal.SIGTERM)
