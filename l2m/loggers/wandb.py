"""Weights & Biases: a run of a project, online or in a folder to synchronise later."""

import os
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

from l2m.config.run import RunConfig
from l2m.loggers import LOGGERS, Logger, epoch_numbers, run_title
from l2m.records import EpochRow, GroupRow

EXIT = {"done": 0, "failed": 1, "stopped": 130}

TIMEOUT = "30"
"""Seconds to wait for a server at the start of a run, unless W&B's own variable is set."""


@LOGGERS.register("wandb")
@dataclass(kw_only=True)
class WandB(Logger):
    """Numbers over epochs, and the configuration."""

    package: ClassVar[str] = "wandb"

    project: str = "l2m"
    entity: str | None = None  # user or team; None: the account's default
    mode: Literal["online", "offline"] | None = None  # None: WANDB_MODE, or online; offline: wandb/ in results_dir

    def start(self, config: RunConfig, path: Path, before: str | None) -> str:
        os.environ.setdefault("WANDB_INIT_TIMEOUT", TIMEOUT)
        import wandb

        name = before or uuid.uuid4().hex[:8]
        Path(config.results_dir).mkdir(parents=True, exist_ok=True)
        self._run: Any = wandb.init(
            project=self.project, entity=self.entity, mode=self.mode, id=name, resume="allow", name=run_title(path),
            group=f"{config.dataset['name']}/{config.strategy['name']}", config=config.to_dict(),
            dir=config.results_dir, reinit="create_new", tags=config.tags, notes=config.notes,
            settings=wandb.Settings(console="off", silent=True),
        )  # fmt: skip
        return name

    def epoch(self, row: EpochRow, groups: Sequence[GroupRow]) -> None:
        self._run.log(epoch_numbers(row, groups), step=row.epoch)  # W&B ignores a step that it has

    def end(self, status: str) -> None:
        self._run.finish(exit_code=EXIT[status])
