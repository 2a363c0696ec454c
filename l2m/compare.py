"""``python -m l2m.compare dataset=digits``: compare strategies on one data set.

Rates are chosen on a held-out part of the training set, and the advice follows from several such parts. The strategies
are also trained on the whole of it over several seeds and reported on the test part, on which nothing was chosen. All
runs are ordinary runs: finished ones are skipped.

Called as a function, ``l2m.compare(frame, target, **options)``, the module does so with a DataFrame
(:func:`l2m.comparison.frames.compare_frame`).
"""

from __future__ import annotations

import shlex
import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

from l2m.cli import interrupts  # noqa: F401
from l2m.cli.command import Checked, Refused, Sweep, run_command
from l2m.cli.help import Help
from l2m.comparison.config import CompareConfig, check_comparison
from l2m.config.choices import GROUPS

if TYPE_CHECKING:
    import pandas as pd

    from l2m.comparison.report import Report

HELP = Help(
    [
        "Compare strategies on one data set with each other and with usual opponents:",
        "choose rates and advise by held-out parts, report on the test part.",
        "",
        "  python -m l2m.compare dataset=digits",
        "  python -m l2m.compare dataset=digits strategies=[learn2mix,balanced] seeds=10",
        "  python -m l2m.compare dataset=digits dry_run=true",
    ],
    CompareConfig,
    (*GROUPS, "logger"),
    ("imbalance", "model", "optimizer", "mixing"),
    "model.hidden=32",
    common=("strategies", "opponents", "metric", "seeds", "held_out_parts", "choose", "epochs", "dry_run"),
)


def main() -> None:
    """Run the command line; a user's error is one sentence, with exit status 1."""
    run_command("compare", check_comparison, _compare, HELP)


def _compare(comparisons: Checked, refused: Refused, sweep: Sweep | None) -> bool:
    """Run the comparisons, one after the other; whether one failed."""
    from l2m.comparison.splits import run_comparison, runners_of

    failed = bool(refused)
    for comparison, command in comparisons:
        runners = runners_of(comparison, shlex.split(command))
        if comparison.options.dry_run:
            for runner in runners:
                runner.print_plan()
            continue
        print(f"\n{run_comparison(comparison, runners)}")
        failed |= bool([runner for runner in runners if runner.print_left_out()])
    return failed


class _CallableModule(ModuleType):
    """``l2m.compare`` is a command, and in Python a function."""

    def __call__(self, frame: pd.DataFrame, target: str, **options: Any) -> Report:
        from l2m.comparison.frames import compare_frame

        return compare_frame(frame, target, **options)


sys.modules[__name__].__class__ = _CallableModule

if __name__ == "__main__":
    main()
