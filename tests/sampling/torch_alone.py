"""A program that draws batches where only torch and numpy are installed, with what these need themselves.

It refuses to import anything else: ``python torch_alone.py`` ends with status 0 if nothing else is asked for.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.metadata import PackageNotFoundError, packages_distributions, requires
from pkgutil import iter_modules
from types import ModuleType


def needed_by(*names: str) -> set[str]:
    """The distributions of these names, and what they need."""
    needed: set[str] = set()
    waiting = list(names)
    while waiting:
        name = waiting.pop().lower().replace("_", "-")
        if name not in needed:
            needed.add(name)
            try:
                words = [re.match(r"[\w.-]+", each) for each in requires(name) or [] if "extra ==" not in each]
            except PackageNotFoundError:
                continue
            waiting += [word[0] for word in words if word]
    return needed


class Refuse:
    """An importer that comes first and refuses what is not allowed."""

    def __init__(self) -> None:
        distributions = needed_by("torch", "numpy")
        self._refused = {
            module
            for module, names in packages_distributions().items()
            if module != "l2m" and not distributions & {name.lower().replace("_", "-") for name in names}
        }

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> None:
        if name.partition(".")[0] in self._refused:
            raise ModuleNotFoundError(f"{name} is neither torch nor numpy, nor needed by them", name=name)


def main() -> None:
    sys.meta_path.insert(0, Refuse())  # type: ignore[arg-type]
    try:
        import pandas  # noqa: F401
    except ModuleNotFoundError:
        pass
    else:
        raise SystemExit("pandas was not refused")

    import numpy as np
    from torch.utils.data import DataLoader, default_collate

    import l2m.sampling
    from l2m import GroupLosses, Learn2MixBatchSampler, ShardedBatchSampler, StreamMixer

    for module in iter_modules(l2m.sampling.__path__):
        import_module(f"l2m.sampling.{module.name}")
    labels = np.repeat([0, 1], [90, 10])
    sampler = Learn2MixBatchSampler(labels, batch_size=10, mixing_rate=0.5)
    losses = GroupLosses(2)
    for batch in DataLoader(np.arange(100), batch_sampler=sampler):
        losses.add(1.0 + labels[batch], labels[batch])
    sampler.update(*losses.end_epoch())
    assert sampler.proportions[1] > 0.3
    assert len(list(ShardedBatchSampler(sampler, num_replicas=2, rank=0))) == 10
    mixer = StreamMixer({"a": range(9), "b": range(90)}, batch_size=3, update_every=1, ends="first")
    for sources, _ in DataLoader(mixer, batch_size=None, collate_fn=default_collate):
        mixer.add(1.0 + sources.double(), sources)
    assert mixer.proportions[1] > 0.5


if __name__ == "__main__":
    main()
