"""Weights & Biases: a run of a project, online or in a folder to be synchronised later."""

from __future__ import annotations

import os
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from l2m.loggers import LOGGERS, Logger, numbers, title

if TYPE_CHECKING:
    from l2m.config.run import RunConfig
    from l2m.records import EpochRow, GroupRow

EXIT = {"done": 0, "failed": 1, "stopped": 130}

TIMEOUT = "30"
"""Seconds that a server is waited for at the start of a run, unless W&B's own variable says otherwise."""


@LOGGERS.register("wandb")
@dataclass(kw_only=True)
class WandB(Logger):
    """Numbers over epochs, and the configuration."""

    package: ClassVar[str] = "wandb"

    project: str = "l2m"
    """The name that the runs stand under."""
    entity: str | None = None
    """The user or team; None is the account's default."""
    mode: Literal["online", "offline"] | None = None
    """None is what WANDB_MODE says, or online; offline runs lie in ``wandb/`` of the results_dir."""

    def start(self, config: RunConfig, path: Path, before: str | None) -> str:
        """Begin a run, or go on with one."""
        os.environ.setdefault("WANDB_INIT_TIMEOUT", TIMEOUT)
        import wandb

        name = before or uuid.uuid4().hex[:8]
        Path(config.results_dir).mkdir(parents=True, exist_ok=True)
        self._run: Any = wandb.init(
            project=self.project, entity=self.entity, mode=self.mode, id=name, resume="allow", name=title(path),
            group=f"{config.dataset['name']}/{config.strategy['name']}", config=config.to_dict(),
            dir=config.results_dir, reinit="create_new",
            settings=wandb.Settings(console="off", silent=True),
        )  # fmt: skip
        return name

    def epoch(self, row: EpochRow, groups: Sequence[GroupRow]) -> None:
        """Log the numbers; W&B leaves out a step that it has."""
        self._run.log(numbers(row, groups), step=row.epoch)

    def end(self, status: str) -> None:
        """Finish the run; a stopped one goes on under its name."""
        self._run.finish(exit_code=EXIT[status])
