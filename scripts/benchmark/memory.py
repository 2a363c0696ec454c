"""Peak memory of a run, in its own process, against what it must hold; on a GPU, the GPU's memory."""

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

from benchmark.random_data import load_or_draw
from benchmark.rows import ROWS, STEPS_TIMED
from l2m import compose
from l2m.catalog import registries
from l2m.data import Batch
from l2m.data.torchvision_import import torchvision
from l2m.training.device import choose_device, keep_memory, torch_state
from l2m.training.engine import Trainer

STEPS = 3
"""Later steps need no more memory."""


def measure(name: str, strategy: str, times: int = 3, device: str = "auto", random: bool = False) -> dict[str, Any]:
    """Bytes of a row under a strategy: of several processes, the one whose peak is the median."""
    runs = (run_module("benchmark.memory", name, strategy, device, *["random"] * random) for _ in range(times))
    return sorted(runs, key=itemgetter("peak"))[times // 2]


def run_module(module: str, *arguments: str) -> dict[str, Any]:
    """The JSON that a module prints when run in its own process, whose peak is then its own."""
    command = [sys.executable, "-m", module, *arguments]
    scripts = str(Path(__file__).resolve().parents[1])
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([scripts, *filter(None, [os.environ.get("PYTHONPATH")])])}
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    printed: dict[str, Any] = json.loads(done.stdout)
    return printed


def resident_bytes(which: str) -> int:
    """Memory of this process: ``VmRSS`` now, or ``VmHWM`` at its peak (getrusage's peak includes the parent's)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith(f"{which}:"))


def _measure(name: str, strategy: str, device: str, random: bool) -> dict[str, Any]:
    keep_memory()
    registries()
    assert torchvision
    if strategy == "smote":
        importlib.import_module("imblearn.over_sampling")
    config = compose(f"dataset={name}", f"strategy={strategy}", f"device={device}")
    torch.nn.functional.conv2d(torch.rand(8, 3, 32, 32), torch.rand(4, 3, 3, 3))  # torch's own memory at first use
    before = resident_bytes("VmRSS")
    on_gpu = choose_device(device).type == "cuda"
    peak_bytes = torch.cuda.max_memory_allocated if on_gpu else lambda: resident_bytes("VmHWM") - before
    loaded, kind = load_or_draw(config, random=random)
    stages = {"loaded": peak_bytes()}
    with torch_state(config):
        trainer = Trainer(config, loaded=loaded)
        stages["prepared"] = peak_bytes()
        trainer.steps = min(STEPS, trainer.steps)
        plan = trainer.strategy.plan
        trainer.strategy.plan = lambda epoch: plan(epoch)[: trainer.steps]  # type: ignore[index, method-assign]
        trainer.train_epoch()
        if name not in STEPS_TIMED:
            trainer.evaluate()
        peak = peak_bytes()
        batch = trainer.train_set.batch(torch.arange(config.batch_size, device=trainer.device))
        activations = _activations(trainer, batch)
    parameters = _bytes(trainer.model.parameters())
    splits = (loaded.train, loaded.test, trainer.train_set, trainer.test_set)  # SMOTE trains on another set
    on_device = {split.inputs.data_ptr(): split for split in splits if split.inputs.device.type == trainer.device.type}
    parts = {
        "data at rest": sum(
            _bytes(part for part in (split.inputs, split.targets, split.groups) if part is not None)
            for split in on_device.values()
        ),
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
    """Bytes of the batch and of what its forward pass keeps for the backward pass."""
    own = {parameter.untyped_storage().data_ptr() for parameter in trainer.model.parameters()}
    kept = {batch.inputs.untyped_storage().data_ptr(): batch.inputs.untyped_storage().nbytes()}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    trainer.model.train()
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        trainer.task.loss(trainer.model(batch.inputs), batch.targets).mean()
    return sum(kept.values())


def _bytes(tensors: Iterable[Tensor]) -> int:
    return sum(tensor.nbytes for tensor in tensors)


if __name__ == "__main__":
    row, strategy, device, *random = sys.argv[1:]
    assert row in ROWS
    print(json.dumps(_measure(row, strategy, device, bool(random))))
