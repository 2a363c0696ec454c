"""Data sets: a training and a test split that live on the device whole, and the recipes of imbalance.

A data set is a function ``load(source, *, options) -> Data``, registered in ``DATASETS``, one file for each family.
Libraries that take a second to import, and that only some data sets need, are imported where they are used.
A recipe says how many training samples of each group remain; it never touches the test split.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from l2m.data.fingerprint import fingerprint
from l2m.data.split import Batch as Batch
from l2m.data.split import Split as Split
from l2m.data.validation import Units, hold_out
from l2m.errors import UserError, printable
from l2m.registry import Registry
from l2m.seeding import derive

if TYPE_CHECKING:
    from l2m.config.run import RunConfig

DATASETS: Registry[Any] = Registry("dataset", __name__)
RECIPES: Registry[Any] = Registry("imbalance", __name__)


@dataclass(frozen=True)
class Data:
    """A data set ready to train on.

    Attributes:
        group_names: k names, in the order of the groups.
        classes: number of classes, None for regression and reconstruction.
        preprocessing: how the inputs are made, as plain numbers and text, and the ``vocabulary`` that tokens are
            indices of; saved with the model.
        augmentation: (CPU generator, stored pixels of a training batch (M, C, H, W) as float32) -> new pixels of the
            same shape, range and memory format. None: training sees the images as evaluation does.
        class_names: names of the classes, in the order of the labels. None: their numbers. Like those of the groups
            they are made printable, for records, tables and terminals.
        refit: (indices (m,) of training samples) -> the same data with inputs, the targets' unit and the vocabulary
            fitted on these samples alone. None: nothing is fitted on samples, or it is not fitted again.
        held_rows: number of last rows of the training split that were stored as a held-out part: held out if the run
            holds any out, and never trained on.
        held_out: the part of the training split that the run does not train on; ``test`` too, if it is tested on it.
        units, tested_units: of all training and of the tested samples, if a split must not separate some.
        tested_numbers: of the tested samples (N,) in the training split, if they are held out of it.
        thinned: whether only those training samples were read that the recipe leaves.
        description: what the files of a user's own data were read as, in plain values.
    """

    train: Split
    test: Split
    group_names: tuple[str, ...]
    classes: int | None
    preprocessing: Mapping[str, Any]
    augmentation: Callable[[torch.Generator, Tensor], Tensor] | None = None
    class_names: tuple[str, ...] | None = None
    refit: Callable[[Tensor], Data] | None = None
    held_rows: int = 0
    held_out: Split | None = None
    units: Units | None = None
    tested_units: Units | None = None
    tested_numbers: Tensor | None = None
    thinned: bool = False
    description: Mapping[str, Any] | None = None

    def __post_init__(self) -> None:
        for names in ("group_names", "class_names"):
            if getattr(self, names) is not None:
                object.__setattr__(self, names, tuple(map(printable, getattr(self, names))))

    def described(self) -> dict[str, Any]:
        """What a model and new samples need to know of the data, as plain values and tensors."""
        return {
            "blank": {name: value for name, value in vars(self.train.blank()).items() if name != "rows"},
            "group_names": self.group_names,
            "classes": self.classes,
            "class_names": self.class_names,
            "preprocessing": dict(self.preprocessing),
        }

    @classmethod
    def like(cls, described: Mapping[str, Any]) -> Data:
        """Data of one blank sample, enough to build a model, from what :meth:`described` gave."""
        blank = Split(**described["blank"])
        return cls(blank, blank, **{key: value for key, value in described.items() if key != "blank"})

    @property
    def outputs(self) -> int:
        """Numbers that a model must give for each sample."""
        return self.train.inputs[0].numel() if self.train.targets is None else self.classes or 1

    @property
    def labels(self) -> tuple[str, ...]:
        """Names of the classes, in the order of the outputs; empty for other tasks than classification."""
        return self.class_names or tuple(map(str, range(self.classes or 0)))

    @property
    def target_unit(self) -> tuple[float, float]:
        """(mean, sd): a stored target or output t is mean + sd·t in its own unit, the unit of reported errors."""
        target = self.preprocessing.get("target", {"mean": 0.0, "sd": 1.0})
        return target["mean"], target["sd"]

    @property
    def vocabulary_size(self) -> int | None:
        """How many tokens there are, numbered from 0; None if the inputs are not tokens."""
        return len(self.preprocessing.get("vocabulary", ())) or None

    @property
    def proportions(self) -> NDArray[np.float64]:
        """α̃: the groups' shares of the training split, (k,)."""
        sizes = np.bincount(self.train.groups.cpu().numpy(), minlength=len(self.group_names))
        return np.asarray(sizes / sizes.sum())


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """No imbalance; the base of all recipes.

    Attributes:
        keep: which samples of a group remain: its first ones (the paper's regression sets) or a random choice
            drawn by ``data_seed`` (its image sets).
    """

    keep: Literal["random", "first"] = "random"

    def kept(self, sizes: Sequence[int]) -> list[int]:
        """How many samples of each group remain of ``sizes``."""
        return list(sizes)

    def select(self, groups: NDArray[np.int64], names: Sequence[str], data_seed: int) -> NDArray[np.int64]:
        """Indices of the samples that remain, ascending.

        Raises:
            UserError: a group would be left without samples.
        """
        sizes = np.bincount(groups, minlength=len(names)).tolist()
        rng = np.random.default_rng(derive(data_seed, "imbalance"))
        stay = []
        for group, count in enumerate(self.kept(sizes)):
            if not count:
                raise UserError(
                    f"group {group} ({names[group]}) is left with none of its {sizes[group]} training samples: "
                    "every group needs one, choose another imbalance or a larger share"
                )
            members = np.flatnonzero(groups == group)
            stay.append(members[:count] if self.keep == "first" else rng.choice(members, count, replace=False))
        return np.sort(np.concatenate(stay))


class Source(NamedTuple):
    """Where a data set lies, the seed of its random draws, and its recipe of imbalance."""

    folder: Path
    data_seed: int
    recipe: Recipe

    def stay(self, groups: NDArray[np.int64], names: Sequence[str]) -> NDArray[np.int64]:
        """Indices of the training samples that the recipe leaves, ascending; as :meth:`Recipe.select`."""
        return self.recipe.select(groups, names, self.data_seed)


@lru_cache(maxsize=1)  # a sweep over strategies and seeds loads its data set once
def _load(choice: tuple[tuple[str, Any], ...], source: Source, part: tuple[str, float, int], files: str | None) -> Data:
    data: Data = DATASETS.build(dict(choice), source)
    groups, names = data.train.groups, data.group_names
    rows, held = torch.arange(len(groups)).tensor_split([len(groups) - data.held_rows])
    kept = rows if data.thinned else torch.from_numpy(source.stay(groups[rows].numpy(), names))
    kept, held = hold_out(kept, held, data, part, source.data_seed)
    if len(kept) < len(data.train):
        if data.refit:
            fitted = data.refit(kept)
            description = {**(data.description or {}), **(fitted.description or {})} or None
            data = replace(fitted, description=description, held_rows=data.held_rows)
        held_out = data.train.subset(held) if len(held) else None
        test, tested = data.test, data.tested_units
        if held_out and part[0] == "validation_fraction":
            test, tested = held_out, data.units and data.units.select(held.numpy())
            data = replace(data, tested_numbers=held)
        data = replace(data, train=data.train.subset(kept), test=test, held_out=held_out, tested_units=tested)
    check_tested(data)
    return replace(data, refit=None)  # which holds the rows as they were read


def check_tested(data: Data) -> None:
    """Raise a UserError if a group has no test sample."""
    tested = torch.bincount(data.test.groups, minlength=len(data.group_names))
    if not tested.all():
        name = data.group_names[tested.argmin()]
        raise UserError(f"group {name} has no test sample: every group needs one, add some or drop the group")


def load(config: RunConfig) -> Data:
    """The data set of a run, on the CPU, with the recipe of imbalance applied to the training split.

    A part of what the recipe leaves of the training split may be held out; with ``validation_fraction`` it replaces the
    test split. The preprocessing of a user's own data is fitted on the samples that are left to train on.

    Raises:
        UserError: the data set is not there and cannot be downloaded; or a group is left without samples, or with too
            few to hold one out.
    """
    source = Source(Path(config.data_dir), config.data_seed, RECIPES.build(config.imbalance))
    files = fingerprint(config.dataset, source.folder)
    return _load(tuple(sorted(config.dataset.items())), source, config.held_out, files)
