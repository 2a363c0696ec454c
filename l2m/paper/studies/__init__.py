"""Studies: questions that a run does not answer. A study states its claims, and its numbers judge them.

A study is a dataclass, registered in ``STUDIES``. Its fields are its options; ``conf/study/`` has a file for each
study, which says what they mean. ``run`` makes tables. ``claims`` and ``figures`` are pure functions of these tables,
so the report needs only the results folder. :mod:`l2m.study` is the command.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple

import numpy as np
import pandas as pd

from l2m.registry import Registry

if TYPE_CHECKING:
    from matplotlib.figure import Figure

STUDIES: Registry[Any] = Registry("study", __name__)

Tables = Mapping[str, pd.DataFrame]
"""By name, as they are written to CSV."""

Finding = Literal[
    "reproduced", "direction only", "not reproduced", "contradicted", "inconclusive", "too few seeds", "not run"
]
"""The verdict on a claim, by its study's own rule; ``docs/studies.md`` says what the words mean."""


class Claim(NamedTuple):
    """A line of the ledger."""

    key: str  # letters and underscores, unique in the study
    claim: str  # what is claimed, and where: "α → c/Σc inside (0, 2/L*) (Proposition 2.3)"
    source: str  # the number or rule that the source gives; "none" where it gives none
    ours: str  # what the tables say, with how often or how many
    verdict: Finding
    note: str = ""


def grade(reproduced: bool | np.bool_, direction: bool | np.bool_ = False) -> Finding:
    """The verdict, given whether the claim holds and whether at least its direction does."""
    return "reproduced" if reproduced else "direction only" if direction else "not reproduced"


def count(holds: pd.Series[bool]) -> str:
    """``12 of 20``: how many are true."""
    return f"{int(holds.sum())} of {len(holds)}"


@dataclass(frozen=True)
class Setting:
    results_dir: str  # for ordinary runs that a study needs; the command writes the study's own tables
    data_dir: str  # where data sets lie
    report: Callable[[str], None]  # prints a line of progress


class Study:
    """What every study has; subclasses are dataclasses with ``kw_only=True``."""

    title: ClassVar[str]  # a heading: "Convergence of the mixing parameters"
    question: ClassVar[str]
    """Two to five sentences for the results page: the claim, where it stands, and the experiment."""
    rules: ClassVar[str] = ""  # the module that has the rules of the verdicts, if it is not the study's own
    variants: ClassVar[Sequence[Mapping[str, Any]]] = ({},)
    """Options that are not at their default, of each variant in the ledger; claims that depend on them name them."""

    @classmethod
    def introduction(cls) -> str:
        """The question, and where the rules of the verdicts are."""
        file = (cls.rules or cls.__module__).replace(".", "/")
        return f"{cls.question} The rules of the verdicts are in {file}.py."

    def run(self, setting: Setting) -> dict[str, pd.DataFrame]:
        """The study's numbers. The same options give the same tables."""
        raise NotImplementedError

    def claims(self, tables: Tables) -> list[Claim]:
        raise NotImplementedError

    def figures(self, tables: Tables) -> dict[str, Figure]:
        """Figures by name, drawn with the settings of :mod:`l2m.report.drawing`; not saved."""
        raise NotImplementedError
