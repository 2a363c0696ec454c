"""Recipes of imbalance. They keep ⌊ε n⌋ samples of a group, with ε an exact decimal: 960·(1 − 0.1·9) is 96."""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Annotated

from l2m.data import RECIPES, Recipe
from l2m.errors import UserError
from l2m.schema import Range


@RECIPES.register("none")
def none() -> Recipe:
    """Keep all samples."""
    return Recipe()


@RECIPES.register("step")
@dataclass(frozen=True, kw_only=True)
class Step(Recipe):
    """The listed groups keep a share ε, the others all samples (section B of the paper)."""

    groups: tuple[Annotated[int, Range(0)], ...]  # counted from 0; the paper counts from 1
    factor: Annotated[float, Range(0, 1, above=True)]  # ε

    def kept(self, sizes: Sequence[int]) -> list[int]:
        if beyond := [group for group in self.groups if group >= len(sizes)]:
            raise UserError(
                f"imbalance.groups={list(self.groups)} names group {beyond[0]}: groups are 0 to {len(sizes) - 1}"
            )
        epsilon = Fraction(str(self.factor))
        return [int(n * epsilon) if group in self.groups else n for group, n in enumerate(sizes)]


@RECIPES.register("linear")
@dataclass(frozen=True, kw_only=True)
class Linear(Recipe):
    """Group i, counted from 0, keeps ε_i = 1 − ``slope``·i; 0.1 is the second version's Imagenette."""

    slope: Annotated[float, Range(0, 1)] = 0.1

    def kept(self, sizes: Sequence[int]) -> list[int]:
        slope = Fraction(str(self.slope))
        return [max(int(n * (1 - slope * group)), 0) for group, n in enumerate(sizes)]


@RECIPES.register("logarithmic")
@dataclass(frozen=True, kw_only=True)
class Logarithmic(Recipe):
    """Group i of k, counted from 0, keeps ε_i = ``ratio``^(−i/(k − 1)); 40 is the second version's CIFAR-100."""

    ratio: Annotated[float, Range(1)] = 40.0

    def kept(self, sizes: Sequence[int]) -> list[int]:
        last = max(len(sizes) - 1, 1)
        return [int(n * self.ratio ** (-group / last) * (1 + 1e-12)) for group, n in enumerate(sizes)]  # whole ones too
