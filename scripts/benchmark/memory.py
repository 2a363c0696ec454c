"""Peak memory of a run, in a process of its own, against what it has to hold; on a GPU, of the GPU's."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from collections.abc import Iterable
from operator import itemgetter
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmark.rows import FEW, ROWS
from benchmark.stand_in import available
from l2m import compose, data
from l2m.catalog import registries
from l2m.data import Batch
from l2m.data.torchvision_import import torchvision
from l2m.training.device import choose_device, keep_memory, torch_state
from l2m.training.engine import Trainer

STEPS = 3
"""That are taken; the next need no more."""


def measured(name: str, strategy: str, times: int = 3, device: str = "auto", random: bool = False) -> dict[str, Any]:
    """Bytes of a row under a strategy, trained in another process; of so many, that whose peak is the median."""
    told = (in_a_process("benchmark.memory", name, strategy, device, *["random"] * random) for _ in range(times))
    return sorted(told, key=itemgetter("peak"))[times // 2]


def in_a_process(module: str, *arguments: str) -> dict[str, Any]:
    """What a module prints as JSON, run by itself, so that its peak is its own."""
    command = [sys.executable, "-m", module, *arguments]
    scripts = str(Path(__file__).resolve().parents[1])
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([scripts, *filter(None, [os.environ.get("PYTHONPATH")])])}
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    printed: dict[str, Any] = json.loads(done.stdout)
    return printed


def resident(which: str) -> int:
    """Bytes of this process in memory, ``VmRSS`` now or ``VmHWM`` at most (getrusage's are its parent's too)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith(f"{which}:"))


def _held(name: str, strategy: str, device: str, random: bool) -> dict[str, Any]:
    """The same, in this process."""
    keep_memory()
    registries()
    assert torchvision
    if strategy == "smote":
        importlib.import_module("imblearn.over_sampling")
    config = compose(f"dataset={name}", f"strategy={strategy}", f"device={device}")
    torch.nn.functional.conv2d(torch.rand(8, 3, 32, 32), torch.rand(4, 3, 3, 3))  # what torch itself takes at first
    before = resident("VmRSS")
    on_gpu = choose_device(device).type == "cuda"
    most = torch.cuda.max_memory_allocated if on_gpu else lambda: resident("VmHWM") - before
    loaded, kind = available(config, random=random)
    stages = {"loaded": most()}
    with torch_state(config):
        trainer = Trainer(config, loaded=loaded)
        stages["prepared"] = most()
        trainer.steps = min(STEPS, trainer.steps)
        plan = trainer.strategy.plan
        trainer.strategy.plan = lambda epoch: plan(epoch)[: trainer.steps]  # type: ignore[index, method-assign]
        trainer.train_epoch()
        if name not in FEW:
            trainer.evaluate()
        peak = most()
        batch = trainer.train_set.batch(torch.arange(config.batch_size, device=trainer.device))
        activations = _activations(trainer, batch)
    parameters = _bytes(trainer.model.parameters())
    splits = (loaded.train, loaded.test, trainer.train_set, trainer.test_set)  # SMOTE's train_set is another one
    here = [split for split in splits if split.inputs.device.type == trainer.device.type]
    rest = {split.inputs.data_ptr(): _split_bytes(split) for split in here}
    parts = {
        "data at rest": sum(rest.values()),
        "activations of a batch": activations,
        "3 × parameters": 3 * parameters,
        "Adam": 2 * parameters,
    }
    return {
        "data": kind,
        "stages": stages,
        "peak": peak,
        "parts": parts,
        "of": peak / sum(parts.values()),
        "asked": 1.3,
    }


def _activations(trainer: Trainer, batch: Batch) -> int:
    """Bytes of the batch, and of what its forward pass keeps for the backward one."""
    own = {parameter.untyped_storage().data_ptr() for parameter in trainer.model.parameters()}
    kept: dict[int, int] = {batch.inputs.untyped_storage().data_ptr(): batch.inputs.untyped_storage().nbytes()}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    trainer.model.train()
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        trainer.task.loss(trainer.model(batch.inputs), batch.targets).mean()
    return sum(kept.values())


def _split_bytes(split: data.Split) -> int:
    return _bytes(part for part in (split.inputs, split.targets, split.groups) if part is not None)


def _bytes(tensors: Iterable[Tensor]) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


if __name__ == "__main__":
    row, under, where, *random_data = sys.argv[1:]
    assert row in ROWS
    print(json.dumps(_held(row, under, where, bool(random_data))))
