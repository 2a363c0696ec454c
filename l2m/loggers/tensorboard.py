"""TensorBoard: event files in the run's directory, or in a folder for all runs."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import yaml

from l2m.config.run import RunConfig
from l2m.loggers import LOGGERS, Logger, epoch_numbers, run_title
from l2m.records import EpochRow, GroupRow


@LOGGERS.register("tensorboard")
@dataclass(kw_only=True)
class TensorBoard(Logger):
    """Scalars over epochs."""

    package: ClassVar[str] = "tensorboard"

    folder: str | None = None  # of event files, a folder a run; None: the run's directory

    def start(self, config: RunConfig, path: Path, before: str | None) -> str:
        self._folder = Path(self.folder) / run_title(path) if self.folder else path
        self._is_resumed = before is not None
        self._text = yaml.safe_dump(config.to_dict(), sort_keys=False)
        self._writer: Any = None
        if not self._is_resumed:
            for file in self._folder.glob("events.out.tfevents.*"):
                file.unlink()
        return str(self._folder)

    def epoch(self, row: EpochRow, groups: Sequence[GroupRow]) -> None:
        from torch.utils.tensorboard import SummaryWriter

        if self._writer is None:
            self._writer = SummaryWriter(str(self._folder), purge_step=row.epoch if self._is_resumed else None)
            if not self._is_resumed:
                self._writer.add_text("config", f"```\n{self._text}```")
        for name, value in epoch_numbers(row, groups).items():
            self._writer.add_scalar(name, value, row.epoch)

    def end(self, status: str) -> None:
        if self._writer:
            self._writer.close()
