"""Early stopping: the best epoch by a metric on a held-out part of the training set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from l2m.config.run import METRICS, RunConfig
from l2m.data import Data, Split
from l2m.errors import UserError
from l2m.training.results import sample_results
from l2m.training.scores import SCORES


class EarlyStopping:
    """Keeps the metric of each epoch and the parameters of the best, of equals the first.

    Args:
        metric, patience: ``early_stopping_metric``, None for the task's first, and ``early_stopping``.
        data: on the CPU, with the held-out part as test part. None: the metric is measured elsewhere.
        held_out: the part, on the device; None: it is the run's test part.
    """

    def __init__(
        self, task: str, metric: str | None, patience: int, data: Data | None = None, held_out: Split | None = None
    ) -> None:
        self._patience, self._data, self.held_out = patience, data, held_out
        self.metric = metric or METRICS[task][0]
        self._score = SCORES[task][self.metric]
        self._sign = 1 if self._score.higher_is_better else -1
        self.values: list[float] = []
        self.best_epoch = 0
        self.parameters: dict[str, Tensor] = {}

    @classmethod
    def of(cls, config: RunConfig, data: Data, device: torch.device) -> EarlyStopping | None:
        """That of a run; None if it has none, a UserError if its metric is not defined on the held-out part."""
        if config.early_stopping is None:
            return None
        if data.held_out is None:
            raise ValueError("early stopping needs data with a held-out part")
        part = None if data.held_out is data.test else data.held_out.to(device)
        metric, patience = config.early_stopping_metric, config.early_stopping
        if metric in ("roc_auc", "pr_auc") and len(torch.as_tensor(data.held_out.targets).unique()) == 1:
            raise UserError(
                f"early_stopping_metric={metric} is not defined on a held-out part of one class: hold out more, or use "
                "another metric"
            )
        return cls(config.task, metric, patience, replace(data, test=data.held_out), part)

    def measure(self, outputs: Sequence[Tensor]) -> float:
        """The metric, from batches of outputs for the held-out part; waits for the device."""
        if self._data is None:
            raise ValueError("early stopping without data measures nothing itself")
        return self._score.of(sample_results(torch.cat([*outputs]).flatten(1).cpu(), self._data))

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
