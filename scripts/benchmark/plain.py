"""Plain PyTorch training, as most people write it: the engine is measured against it.

It has a ``TensorDataset`` and a shuffled ``DataLoader``. For learn2mix it composes each batch from one tensor a class,
as the authors' code does. It evaluates both sets after every epoch, and reads numbers with ``.item()`` at each step.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from l2m import models
from l2m.config.run import RunConfig
from l2m.data import Data, Split

Step = tuple[Tensor, ...]


class Plain:
    """Trains a row. Data stay on the CPU; batches move to the device."""

    def __init__(self, config: RunConfig, data: Data, device: torch.device) -> None:
        self.device = device
        self.config, self.learn2mix = config, config.strategy["name"] == "learn2mix"
        self.classifies = config.task == "classification"
        self.train, self.test = (_tensors(split) for split in (data.train, data.test))
        self.model = _relu_first(models.MODELS.build(config.model, data)).to(device)
        self.optimizer = torch.optim.Adam(self.model.parameters(), config.learning_rate)
        self.criterion: Callable[[Tensor, Tensor], Tensor] = (
            nn.CrossEntropyLoss() if self.classifies else lambda outputs, targets: nn.functional.mse_loss(
                outputs, targets.flatten(1)
            )
        )  # fmt: skip
        self.groups = len(data.group_names)
        self.proportions = torch.bincount(data.train.groups, minlength=self.groups) / len(data.train)
        self.by_group = [
            [part[self.train[2] == group] for part in self.train]
            for group in range(self.groups if self.learn2mix else 0)
        ]

    def epoch(self) -> None:
        """Train for an epoch and evaluate both sets."""
        self.model.train()
        losses, seen = torch.zeros(self.groups), torch.zeros(self.groups)
        running = 0.0
        for inputs, targets, groups in self._mixed() if self.learn2mix else self._batches(self.train, shuffle=True):
            self.optimizer.zero_grad()
            outputs = self.model(inputs)
            loss = self.criterion(outputs, targets)
            loss.backward()
            self.optimizer.step()
            running += loss.item()
            if self.learn2mix:
                with torch.no_grad():
                    for group in range(self.groups):
                        if (mask := groups == group).any():
                            losses[group] += self.criterion(outputs[mask], targets[mask]).item()
                            seen[group] += 1
        if self.learn2mix:
            mean = losses / seen.clamp(min=1)
            self.proportions += 0.1 * (mean / mean.sum() - self.proportions)
        self.evaluate(self.train)
        self.evaluate(self.test)

    @torch.no_grad()
    def evaluate(self, tensors: Step) -> float:
        """Mean loss or accuracy over a set."""
        self.model.eval()
        total = 0.0
        for inputs, targets, _ in self._batches(tensors, shuffle=False):
            outputs = self.model(inputs)
            if self.classifies:
                total += (outputs.argmax(1) == targets).sum().item()
            else:
                total += self.criterion(outputs, targets).item() * len(targets)
        return total / len(tensors[0])

    def _batches(self, tensors: Step, shuffle: bool) -> Iterable[Step]:
        for step in DataLoader(TensorDataset(*tensors), batch_size=self.config.batch_size, shuffle=shuffle):
            yield tuple(part.to(self.device) for part in step)

    def _mixed(self) -> Iterable[Step]:
        orders = [torch.randperm(len(own[0])) for own in self.by_group]
        used = [0] * self.groups
        for _ in range(len(self.train[0]) // self.config.batch_size):
            parts = []
            for group, own in enumerate(self.by_group):
                count = max(1, int(self.proportions[group].item() * self.config.batch_size))
                index = orders[group][torch.arange(used[group], used[group] + count) % len(orders[group])]
                used[group] += count
                parts.append([part[index] for part in own])
            inputs, targets, groups = (torch.cat(part).to(self.device) for part in zip(*parts, strict=True))
            yield inputs, targets, groups


def _tensors(split: Split) -> Step:
    """Normalised inputs, targets and groups."""
    whole = split.batch(slice(None))
    return whole.inputs.contiguous(), whole.targets.contiguous(), whole.groups


def _relu_first(model: nn.Module) -> nn.Module:
    """ReLU before pooling, as in the paper's figures; the suite pools first, which is the same function."""
    if isinstance(model, nn.Sequential):
        layers = list(model)
        for at in range(len(layers) - 1):
            if isinstance(layers[at], nn.MaxPool2d) and isinstance(layers[at + 1], nn.ReLU):
                layers[at], layers[at + 1] = layers[at + 1], layers[at]
        return nn.Sequential(*layers)
    return model
