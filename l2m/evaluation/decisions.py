"""Predicted classes by thresholds or costs, and probabilities for a population with other shares of the classes."""

import re
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from l2m.errors import UserError, did_you_mean, shown


class Decision(NamedTuple):
    """Factors (k,): of the model's probabilities, which then sum to 1, and of these, to choose the largest product."""

    population: NDArray[np.float64]
    preference: NDArray[np.float64]


def decide(
    names: tuple[str, ...],
    shares: Callable[[], NDArray[np.floating]],
    threshold: str | Sequence[float] | None,
    costs: str | None,
    priors: str | None,
) -> Decision:
    """The factors for options of ``python -m l2m.predict``; with several, thresholds and costs see the corrected p.

    Args:
        names: of the k classes; empty for other tasks.
        shares: gives those of the classes (k,) that the model's probabilities are for.
        threshold: the k thresholds, or ``NAME:t,...`` in (0, 1): the class with the largest p / t. Of two classes one
            is enough, the other has 1 − t; a number alone is for the second.
        costs: ``NAME:c,...`` of missing each class: the class with the largest p · c, of the least expected cost.
        priors: ``NAME:share,...`` of each class in the population; p is multiplied by share / share in training.

    Raises:
        UserError: an option is not valid, or is not for this model.
    """
    population = preference = np.ones(len(names))
    for option, text in {"threshold": threshold, "costs": costs, "priors": priors}.items():
        if text and not names:
            raise UserError(f"{option}={text} is for classes, and the model predicts values: drop it")
    if threshold and costs:
        raise UserError(f"threshold={threshold} and costs={costs} would both choose the class: use one of them")
    if priors:
        population = _by_class("priors", priors, names) / shares()
    if isinstance(threshold, str) and threshold:
        alone = ":" not in threshold and len(names) == 2
        preference = 1 / _by_class("threshold", f"{names[1]}:{threshold}" if alone else threshold, names)
    elif threshold:
        preference = 1 / np.asarray(threshold)
    if costs:
        preference = _by_class("costs", costs, names)
    return Decision(population, preference)


def _by_class(option: str, text: str, names: tuple[str, ...]) -> NDArray[np.float64]:
    """The numbers (k,) in ``NAME:number,...``; a name may have commas and colons."""
    known = "|".join(map(re.escape, sorted(names, key=len, reverse=True)))
    pairs = [part.rpartition(":") for part in re.findall(rf"(?:{known}):[^,]*|[^,]+", text)]
    try:
        numbers = {name: float(number) for name, _, number in pairs}
    except ValueError:
        numbers = {}
    if len(names) == 2 and len(pairs) == len(numbers) == 1 and option != "costs":
        numbers |= {name: 1 - sum(numbers.values()) for name in names if name not in numbers}
    values = np.array([numbers.get(name, np.nan) for name in names])
    for name in numbers:
        if name and name not in names and len(pairs) <= len(numbers):
            raise UserError(
                f"{option}={shown(text, 60)} names {shown(name, 30)}, which is no class{did_you_mean(name, names)}: "
                f"choose among {shown(', '.join(names), 60)}"
            )
    most, each, rule = 1.0, 1 / len(names), "a number between 0 and 1"
    if option == "costs":
        most, each, rule = np.inf, 1, "a number above 0"
    if option == "priors":
        rule += ", with the sum 1,"
    is_sum_right = option != "priors" or abs(values.sum() - 1) < 1e-3
    if not (len(pairs) <= len(numbers) == len(names) and ((values > 0) & (values < most)).all() and is_sum_right):
        example = ",".join(f"{name}:{each:.2g}" for name in names)
        raise UserError(
            f"{option}={shown(text, 60)} does not have {rule} for each of the {len(names)} classes: write it as "
            f"'{option}={shown(example)}'"
        )
    return values
