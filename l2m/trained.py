"""Loads a trained model from its run's directory alone, without the data set."""

from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

import l2m.catalog  # noqa: F401 (the choices that a configuration is checked against)
from l2m import models
from l2m.config.checking import read_config
from l2m.config.run import RunConfig
from l2m.data import Data, Split
from l2m.errors import UserError, cause, shown
from l2m.records.directory import MODEL
from l2m.records.reading import NewerRecord, read_info, read_model, read_tables
from l2m.strategies import STRATEGIES, Strategy
from l2m.tasks import TASKS, Task
from l2m.training.device import choose_device, compute_like
from l2m.training.results import Floats

LISTED = 10  # runs to choose from
AGAIN = "use python -m l2m.run with force=true to train the run again"  # force=true of predict does not train


@dataclass(frozen=True)
class Trained:
    """A trained model and the description of its data.

    Attributes:
        folder, config: the run's.
        model: in evaluation mode, on ``device``; its inputs are those of :meth:`l2m.data.Split.batch`. Inside
            :func:`l2m.training.device.compute_like` its outputs equal those of the run's records.
        data: one blank sample, with the names of groups and classes and the fitted preprocessing.
    """

    folder: Path
    config: RunConfig
    model: nn.Module
    data: Data
    device: torch.device

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the classes, in the order of the outputs; empty unless the task is classification."""
        return self.data.labels

    def split(self, inputs: Tensor) -> Split:
        """Unlabelled stored samples (N, ...): pixels, tokens or numbers, like those of the training set."""
        blank = self.data.train
        targets = None if blank.targets is None else blank.targets.expand(len(inputs), *blank.targets.shape[1:])
        return replace(
            blank, inputs=inputs.to(blank.inputs.dtype), targets=targets, groups=blank.groups.expand(len(inputs))
        )

    @torch.inference_mode()
    def outputs(self, split: Split) -> Tensor:
        """Outputs (N, outputs) in float32 on the CPU, in the run's precision: logits, values or pixels."""
        with compute_like(self.config, self.device):
            return torch.cat([self.model(batch.inputs).float().cpu() for batch in split.to(self.device).passes()])

    def predicted(self, outputs: Tensor) -> Tensor:
        """From outputs (N, outputs) to class probabilities, values in the unit of their file in float64, or pixels."""
        if self.data.classes:
            return outputs.softmax(1)
        mean, sd = self.data.target_unit
        (unit,) = self.data.preprocessing.get("target_unit", (1.0,))
        return outputs if self.data.train.targets is None else (outputs.double() * sd + mean) * unit

    @property
    def task(self) -> Task:
        """Its loss and its metric."""
        return TASKS[self.config.task]

    @property
    def is_skewed(self) -> bool:
        """Whether its probabilities may be those of a population with other shares of the classes."""
        return (self.config.strategy["name"], self.config.mixing["name"]) != ("classical", "none")

    def shares(self) -> Floats:
        """The shares (k,) of the classes that its probabilities are for: those of the batches of the model's epoch.

        Raises:
            UserError: something else than the batches moved its priors, or the run's tables cannot be read.
        """
        config, strategy = self.config, STRATEGIES[self.config.strategy["name"]]
        samples_only = (strategy.loss, strategy.adjust) == (Strategy.loss, Strategy.adjust)
        if not samples_only or config.mixing["name"] != "none" or self.data.group_names != self.class_names:
            raise UserError(
                f"priors needs a run whose batches alone say what shares it was trained for: {self.folder} weighs or "
                "mixes samples, or has other groups than classes, use threshold or costs"
            )
        try:
            info = read_info(self.folder)
            metrics, groups = read_tables(self.folder, config, info)
        except ValueError as error:
            raise UserError(f"{self.folder} cannot be read as a run ({error}): drop priors") from error
        counts = groups.loc[groups["epoch"] == info.get("best_epoch", len(metrics)), "count"].to_numpy(np.float64)
        return np.asarray(counts.clip(1) / counts.clip(1).sum())


def load(folder: str | Path, device: str = "cpu") -> Trained:
    """The model of a finished run.

    Args:
        folder: the run's directory, ``<results_dir>/runs/<dataset>/<strategy>/seed<k>-<digest>``, or a folder above it
            with no other run.
        device: ``cpu``, ``cuda``, ``cuda:N`` or ``auto``.

    Raises:
        UserError: the folder holds no run, the run is not finished, its model is missing or unusable, or this machine
            has no such device.
    """
    folder, target = find_run(Path(folder).expanduser()), choose_device(device)
    config, file = _config(folder), folder / MODEL
    if not file.is_file():
        raise UserError(f"{file} is missing, perhaps because records were copied without models: {AGAIN}")
    try:
        saved = read_model(file)
    except ValueError as error:
        raise UserError(f"{file} cannot be read ({error}): {AGAIN}") from error
    try:
        parameters = saved.pop("parameters")
        data = Data.like(saved)
        with torch.random.fork_rng([]):
            model = models.build_to_load(config.model, data)
        model.load_state_dict(parameters)
    except Exception as error:  # a damaged file or a changed model raises many types
        raise UserError(
            f"{file} does not fit model={config.model['name']} of this version ({cause(error)}): {AGAIN}"
        ) from error
    return Trained(folder, config, model.to(target, memory_format=torch.channels_last).eval(), data, target)


def find_run(folder: Path) -> Path:
    """The directory of the only run in a folder, possibly the folder itself.

    Raises:
        UserError: there is no run, or there are several.
    """
    if (folder / "config.yaml").is_file():
        return folder
    runs = sorted(file.parent for file in folder.rglob("seed*/config.yaml"))
    if not runs:
        problem = "holds no run" if folder.is_dir() else f"is not a directory (looked for it from {Path.cwd()})"
        raise UserError(f"{folder} {problem}: name a run's directory, as python -m l2m.run prints it at its end")
    if len(runs) > 1:
        more = f"\n  and {len(runs) - LISTED} more" if len(runs) > LISTED else ""
        raise UserError(f"{folder} holds {len(runs)} runs: name one of them{_differences(runs[:LISTED])}{more}")
    return runs[0]


def _differences(folders: list[Path]) -> str:
    """A line a run, with the settings that only its configuration has."""
    from l2m.config.description import label, settings

    readable = {}
    for folder in folders:
        with suppress(ValueError):  # of a damaged file
            readable[folder] = settings(read_config(folder / "config.yaml"))
    labels = {folder: f": {label(own, list(readable.values()))}" for folder, own in readable.items()}
    return "".join(f"\n  {folder}{labels.get(folder, '')}" for folder in folders)


def _config(folder: Path) -> RunConfig:
    """The configuration of a finished run."""
    try:
        config, status = read_config(folder / "config.yaml"), read_info(folder)["status"]
    except NewerRecord as error:
        raise UserError(f"{folder} is of a newer version ({error}): update l2m") from error
    except ValueError as error:
        raise UserError(f"{folder} cannot be read as a run ({shown(error)}): {AGAIN}") from error
    if status != "done":
        raise UserError(
            f"{folder} is not finished (status {status}): name another run, or repeat the command that began it"
        )
    return config
