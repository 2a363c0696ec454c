"""TensorBoard: event files in the run's directory, or in a folder for all runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import yaml

from l2m.loggers import LOGGERS, Logger, numbers, title

if TYPE_CHECKING:
    from l2m.config.run import RunConfig
    from l2m.records import EpochRow, GroupRow


@LOGGERS.register("tensorboard")
@dataclass(kw_only=True)
class TensorBoard(Logger):
    """Scalars over epochs."""

    package: ClassVar[str] = "tensorboard"

    folder: str | None = None
    """Where event files go, a folder a run; None is the run's own directory."""

    def __post_init__(self) -> None:
        self._writer: Any = None

    def start(self, config: RunConfig, path: Path, before: str | None) -> str:
        """Take the folder; event files of a run that is not gone on with are removed from it."""
        self._place = Path(self.folder) / title(path) if self.folder else path
        self._goes_on = before is not None
        self._text = yaml.safe_dump(config.to_dict(), sort_keys=False)
        if not self._goes_on:
            for file in self._place.glob("events.out.tfevents.*"):
                file.unlink()
        return str(self._place)

    def epoch(self, row: EpochRow, groups: Sequence[GroupRow]) -> None:
        """Write the numbers; those that are there of this epoch and later ones are replaced."""
        from torch.utils.tensorboard import SummaryWriter

        if self._writer is None:
            self._writer = SummaryWriter(str(self._place), purge_step=row.epoch if self._goes_on else None)
            if not self._goes_on:
                self._writer.add_text("config", f"```\n{self._text}```")
        for name, value in numbers(row, groups).items():
            self._writer.add_scalar(name, value, row.epoch)

    def end(self, status: str) -> None:
        """Write what is left."""
        if self._writer:
            self._writer.close()
