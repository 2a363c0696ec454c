"""A model that a run has trained, from the run's directory alone: no data set is read."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from l2m import models
from l2m.config.checking import read_config
from l2m.config.run import RunConfig
from l2m.data import Data, Split
from l2m.errors import UserError, cause
from l2m.files import read_text
from l2m.records.directory import MODEL
from l2m.tasks import TASKS, Task
from l2m.training.device import choose_device, compute_like

MOST = 10
"""Runs that are listed for a person to choose from."""


@dataclass(frozen=True)
class Trained:
    """A trained model, and what it was trained on.

    Attributes:
        folder: the run's directory.
        config: the run's.
        model: in evaluation mode, on ``device``; takes inputs as :meth:`l2m.data.Split.batch` gives them, inside
            :func:`l2m.training.device.compute_like` if its outputs are to be those of the run's records.
        data: of one blank sample, with the names of groups and classes and the fitted preprocessing.
        device: where it computes.
    """

    folder: Path
    config: RunConfig
    model: nn.Module
    data: Data
    device: torch.device

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the classes, in the order of the outputs; empty if the task is no classification."""
        return self.data.labels

    def split(self, inputs: Tensor) -> Split:
        """Unlabelled samples (N, ...) at rest: stored pixels, tokens or numbers, as the training set's were."""
        blank = self.data.train
        targets = None if blank.targets is None else blank.targets.expand(len(inputs), *blank.targets.shape[1:])
        return replace(
            blank, inputs=inputs.to(blank.inputs.dtype), targets=targets, groups=blank.groups.expand(len(inputs))
        )

    @torch.inference_mode()
    def outputs(self, split: Split) -> Tensor:
        """Outputs (N, outputs) in float32 on the CPU, in the run's precision: logits, values or pixels."""
        found = []
        with compute_like(self.config, self.device):
            for batch in split.to(self.device).passes():
                found.append(self.model(batch.inputs).float().cpu())
        return torch.cat(found)

    def predicted(self, outputs: Tensor) -> Tensor:
        """What outputs (N, outputs) mean: probabilities of the classes, values in the unit of their file, or pixels."""
        if self.data.classes:
            return outputs.softmax(1)
        mean, sd = self.data.target_unit
        (unit,) = self.data.preprocessing.get("target_unit", (1.0,))
        return outputs if self.data.train.targets is None else (outputs * sd + mean) * unit

    @property
    def task(self) -> Task:
        """Its loss and its metric."""
        return TASKS[self.config.task]


def load(folder: str | Path, device: str = "cpu") -> Trained:
    """The model of a finished run.

    Args:
        folder: the run's directory, ``<results_dir>/runs/<dataset>/<strategy>/seed<k>-<digest>``, or a folder above it
            that holds no other.
        device: ``cpu``, ``cuda``, ``cuda:N`` or ``auto``.

    Raises:
        UserError: the folder holds no run, the run is not finished, its model is not there or can't be used, or this
            machine has no such device.
    """
    folder, target = find(Path(folder).expanduser()), choose_device(device)
    config = _config(folder)
    saved = _saved(folder / MODEL)
    try:
        data = Data.like({key: value for key, value in saved.items() if key != "parameters"})
        with torch.random.fork_rng([]):
            model = models.MODELS.build(config.model, data)
        model.load_state_dict(saved["parameters"])
    except Exception as error:  # whatever a damaged file, or a changed model, makes torch say
        raise UserError(
            f"{folder / MODEL} does not fit model={config.model['name']} of this version ({cause(error)}): use "
            "force=true to train it anew"
        ) from error
    return Trained(folder, config, model.to(target, memory_format=torch.channels_last).eval(), data, target)


def find(folder: Path) -> Path:
    """The directory of the one run in a folder, which may be that itself.

    Raises:
        UserError: there is none, or there are several.
    """
    if (folder / "config.yaml").is_file():
        return folder
    found = sorted(file.parent for file in folder.rglob("seed*/config.yaml"))
    if not found:
        what = "holds no run" if folder.is_dir() else f"is no folder (looked for it from {Path.cwd()})"
        raise UserError(f"{folder} {what}: name a run's directory, as python -m l2m.run prints it at its end")
    if len(found) > 1:
        more = f"\n  and {len(found) - MOST} more" if len(found) > MOST else ""
        raise UserError(f"{folder} holds {len(found)} runs: name one of them{_told_apart(found[:MOST])}{more}")
    return found[0]


def _told_apart(folders: list[Path]) -> str:
    """A line a run, with what its configuration has that the others' have not."""
    from l2m.config.description import label, settings

    known = {}
    for folder in folders:
        with suppress(ValueError):  # of a damaged file
            known[folder] = settings(read_config(folder / "config.yaml"))
    apart = {folder: f": {label(own, list(known.values()))}" for folder, own in known.items()}
    return "".join(f"\n  {folder}{apart.get(folder, '')}" for folder in folders)


def _config(folder: Path) -> RunConfig:
    """The configuration of a run that is done."""
    try:
        config = read_config(folder / "config.yaml")
        status = json.loads(read_text(folder / "run.json"))["status"]
    except (ValueError, LookupError, TypeError, RecursionError) as error:
        raise UserError(f"{folder} can't be read as a run ({cause(error)}): use force=true to train it anew") from error
    if status != "done":
        raise UserError(
            f"{folder} is not finished (status {status}): name another, or repeat the command that began it"
        )
    return config


def _saved(file: Path) -> dict[str, Any]:
    """What ``model.pt`` holds."""
    if not file.is_file():
        raise UserError(
            f"{file} is not there, as where records are copied without models: use force=true to train it anew"
        )
    try:
        saved = torch.load(file, map_location="cpu", weights_only=True)
        whole = saved.keys() >= {"parameters", "blank", "preprocessing"}
    except Exception as error:  # torch.load has no exception of its own
        raise UserError(f"{file} can't be read ({cause(error)}): use force=true to train the run anew") from error
    if not whole:
        raise UserError(
            f"{file} was written by an earlier version, without the shapes of the data: use force=true to train the "
            "run anew"
        )
    return dict(saved)
