"""A comparison on a pandas DataFrame: ``l2m.compare(frame, target)``."""

import hashlib
import json
from pathlib import Path
from typing import Any

import pandas as pd

import l2m.catalog  # noqa: F401 (the choices that a configuration is checked against)
from l2m.comparison.config import check_comparison
from l2m.comparison.report import Report
from l2m.comparison.splits import run_comparison, runners_of
from l2m.config.composing import compose_checked
from l2m.data.own.columns import check_columns
from l2m.errors import UserError
from l2m.files import write_whole


def compare_frame(frame: pd.DataFrame, target: str, **options: Any) -> Report:
    """Compare strategies on a table, as ``python -m l2m.compare dataset=csv`` does.

    The table is written to ``<results_dir>/tables/``, so that the trained models can be loaded and used later.

    Args:
        frame: a row a sample; all columns but the target and those in ``dataset.ignore`` are inputs.
        target: the column of labels, or with ``**{"dataset.task": "regression"}`` of values.
        options: keys of the command, such as ``strategies=["learn2mix"]``, ``metric="pr_auc"``, ``seeds=5``, ``epochs``
            or ``**{"dataset.group": "ward"}``.

    Raises:
        UserError: a column or an option is not valid, or the comparison is not possible.
    """
    if not isinstance(frame, pd.DataFrame):
        raise UserError(f"frame is a {type(frame).__name__}: it must be a pandas DataFrame")
    check_columns([target], frame.columns, "target", "the DataFrame")
    content = frame.to_csv(index=False).encode()
    name = hashlib.sha256(content).hexdigest()[:16]
    file = Path(options.get("results_dir", "outputs")) / "tables" / f"{name}.csv"
    write_whole(file, content, remedy="choose another results_dir")
    given = {"dataset.path": str(file), "dataset.target": target} | options
    words = ["dataset=csv", *(f"{key}={json.dumps(value, ensure_ascii=False)}" for key, value in given.items())]
    comparison = compose_checked("compare", words, check_comparison)
    runners = runners_of(comparison, words)
    report = run_comparison(comparison, runners)
    for runner in runners:
        runner.print_left_out()
    return report
