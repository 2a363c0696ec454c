"""Early stopping: the best epoch by a metric on a held-out part of the training set."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from l2m.config.run import STOPPING_METRICS, RunConfig
from l2m.data import Data, Split
from l2m.tasks import TASKS
from l2m.training.evaluation import Evaluation


class EarlyStopping:
    """Keeps the metric of each epoch and the parameters of the best, of equals the first.

    Args:
        task: the name of the run's.
        metric: ``early_stopping_metric``; None is the task's first.
        patience: ``early_stopping``.
        held_out: the part, on the device; None: it is the run's test part.
        squared_unit: from the mean loss of a regression to its metric; 1 for other tasks.
    """

    def __init__(
        self, task: str, metric: str | None, patience: int, held_out: Split | None, squared_unit: float = 1.0
    ) -> None:
        self._patience, self._held_out, self._squared_unit = patience, held_out, squared_unit
        self.metric = metric or STOPPING_METRICS[task][0]
        rising = TASKS[task].higher_is_better
        self._worst = min if rising else max
        self._sign = 1 if rising and self.metric != "log_loss" else -1
        self.values: list[float] = []
        self.best_epoch = 0
        self.parameters: dict[str, Tensor] = {}

    @classmethod
    def of(cls, config: RunConfig, data: Data, device: torch.device) -> EarlyStopping | None:
        """That of a run on these data; None if it has none."""
        if config.early_stopping is None:
            return None
        if data.held_out is None:
            raise ValueError("early stopping needs data with a held-out part")
        part = None if data.held_out is data.test else data.held_out.to(device)
        metric, patience = config.early_stopping_metric, config.early_stopping
        return cls(config.task, metric, patience, part, data.target_unit[1] ** 2)

    def measure(self, tested: Evaluation | None, evaluate: Callable[[Split], Evaluation]) -> Tensor:
        """The metric, (), on the device, from the results on the test part or those that ``evaluate`` gives."""
        held_out = evaluate(self._held_out) if self._held_out else tested
        if held_out is None:
            raise ValueError("there is neither a held-out part nor a test part")
        match self.metric:
            case "balanced_accuracy":
                return held_out.class_metric.nanmean()
            case "worst_group":
                return self._sign * (self._sign * held_out.group_metric).min()
            case "log_loss" | "mean_squared_error":
                return held_out.loss * self._squared_unit
            case _:
                return held_out.metric

    def add(self, value: float, model: nn.Module) -> None:
        """Add the metric of an epoch, after which the model is this one."""
        self.values.append(value)
        if not self.best_epoch or self._sign * value > self._sign * self.values[self.best_epoch - 1]:
            self.best_epoch = len(self.values)
            self.parameters = {name: each.clone() for name, each in model.state_dict().items()}

    @property
    def is_over(self) -> bool:
        """Whether the last epochs, as many as the patience, were no better than an earlier one."""
        return len(self.values) - self.best_epoch >= self._patience

    def info(self) -> dict[str, Any]:
        """What ``run.json`` says of it."""
        by_epoch = [float(f"{value:.7g}") for value in self.values]
        return {"best_epoch": self.best_epoch, "held_out": {"metric": self.metric, "by_epoch": by_epoch}}

    def state_dict(self) -> dict[str, Any]:
        """All that changes from epoch to epoch."""
        return {"values": self.values, "best_epoch": self.best_epoch, "parameters": self.parameters}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from a ``state_dict``."""
        self.values, self.best_epoch, self.parameters = list(state["values"]), state["best_epoch"], state["parameters"]
