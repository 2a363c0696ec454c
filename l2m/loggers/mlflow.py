"""MLflow: a run of an experiment, on a tracking server or in a local store."""

import os
import re
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

from filelock import FileLock

from l2m.config.run import RunConfig
from l2m.loggers import LOGGERS, Logger, epoch_numbers, run_title
from l2m.records import EpochRow, GroupRow

METRICS_PER_CALL = 1000
"""MLflow's limit."""

DEFAULTS = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",  # so that training waits seconds, not minutes, for a missing server
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_LOGGING_LEVEL": "WARNING",
}
"""Defaults of MLflow's environment variables; those that are set are kept."""

STATUS = {"done": "FINISHED", "failed": "FAILED", "stopped": "KILLED"}


@LOGGERS.register("mlflow")
@dataclass(kw_only=True)
class MLflow(Logger):
    """Metrics over epochs, and the configuration as parameters."""

    package: ClassVar[str] = "mlflow"

    uri: str | None = None  # of the store; None: MLFLOW_TRACKING_URI, or MLflow's default
    experiment: str = "l2m"

    def start(self, config: RunConfig, path: Path, before: str | None) -> str:
        for name, value in DEFAULTS.items():
            os.environ.setdefault(name, value)
        from mlflow.entities import Param
        from mlflow.exceptions import MlflowException
        from mlflow.tracking import MlflowClient

        self._last_epoch = 0
        # Two processes at a time would create a local store twice
        with FileLock(Path(tempfile.gettempdir()) / f"l2m-mlflow-{os.getuid()}.lock"):
            self._client = MlflowClient(self.uri)
            experiment = self._client.get_experiment_by_name(self.experiment)
            if experiment is None:
                with suppress(MlflowException):  # another machine's run may have made it
                    self._client.create_experiment(self.experiment)
                experiment = self._client.get_experiment_by_name(self.experiment)
        run: Any = None
        if before:
            with suppress(MlflowException):
                run = self._client.get_run(before)
        if run and run.info.lifecycle_stage == "active":
            self._client.update_run(before, status="RUNNING")
            self._last_epoch = max((m.step for m in self._client.get_metric_history(before, "test_loss")), default=0)
        else:
            run = self._client.create_run(
                experiment.experiment_id,
                run_name=run_title(path),
                tags={
                    "l2m.path": str(path),
                    **dict.fromkeys(config.tags, "true"),
                    **({"mlflow.note.content": config.notes} if config.notes else {}),
                },
            )
            flat: dict[str, Any] = {}
            for key, value in config.to_dict().items():
                flat |= {f"{key}.{name}": v for name, v in value.items()} if isinstance(value, dict) else {key: value}
            params = [Param(key, str(value)[:500]) for key, value in flat.items()]
            self._client.log_batch(run.info.run_id, params=params)
        self._run = str(run.info.run_id)
        return self._run

    def epoch(self, row: EpochRow, groups: Sequence[GroupRow]) -> None:
        from mlflow.entities import Metric

        if row.epoch <= self._last_epoch:
            return
        now = int(1000 * time.time())
        names = [re.sub(r"[^\w. -]|^\.*$", "_", group.name) for group in groups]  # as MLflow takes them
        counts = Counter(names)
        named = [
            replace(group, name=name if counts[name] == 1 else f"{name} {number}")
            for number, (group, name) in enumerate(zip(groups, names, strict=True))
        ]
        metrics = [Metric(name, value, now, row.epoch) for name, value in epoch_numbers(row, named).items()]
        for first in range(0, len(metrics), METRICS_PER_CALL):
            self._client.log_batch(self._run, metrics=metrics[first : first + METRICS_PER_CALL])

    def end(self, status: str) -> None:
        self._client.set_terminated(self._run, STATUS[status])
