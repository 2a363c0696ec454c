"""A comparison on a pandas DataFrame: ``l2m.compare(frame, target)``."""

import hashlib
import io
import json
import re
from pathlib import Path
from typing import Any

import pandas as pd

import l2m.catalog  # noqa: F401 (the choices that a configuration is checked against)
from l2m.comparison.config import check_comparison
from l2m.comparison.report import Report
from l2m.comparison.splits import run_comparison, runners_of
from l2m.config.composing import compose_checked
from l2m.data.own.columns import check_columns
from l2m.data.own.table_files import typed_as_text
from l2m.errors import UserError
from l2m.files import write_whole


def compare_frame(frame: pd.DataFrame, target: str | int, **options: Any) -> Report:
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
    if options.get("dry_run"):
        raise UserError("dry_run=True has no report to return: drop it, or use the command python -m l2m.compare")
    if not isinstance(frame, pd.DataFrame):
        raise UserError(f"frame is a {type(frame).__name__}: it must be a pandas DataFrame")
    frame = frame.set_axis([*map(str, frame.columns)], axis=1)
    if (twice := frame.columns.duplicated()).any():
        raise UserError(f"the DataFrame has two columns {frame.columns[twice][0]}: rename one of them")
    check_columns([str(target)], frame.columns, "target", "the DataFrame")
    table = typed_as_text(frame.reset_index(drop=True), options.get("dataset.decimal", "point"))
    name, content = hashlib.sha256(table.to_csv(index=False).encode()).hexdigest()[:16], io.BytesIO()
    table.to_parquet(content, index=False)  # text in CSV may be taken for a missing cell, or a footer
    file = Path(options.get("results_dir", "outputs")) / "tables" / f"{name}.parquet"
    if not file.exists():  # another version of pyarrow may write other bytes
        write_whole(file, content.getvalue(), remedy="choose another results_dir")
    given = {"dataset.path": file, "dataset.target": str(target)} | options
    words = ["dataset=csv", *(f"{key}={_word(value)}" for key, value in given.items())]
    comparison = compose_checked("compare", words, check_comparison)
    runners = runners_of(comparison, words)
    report = run_comparison(comparison, runners)
    for runner in runners:
        runner.print_left_out()
    return report


def _word(value: Any) -> str:
    """A value as Hydra reads it: of its quoted text only quotes, ``${`` and backslashes before them are escaped."""
    value = value.tolist() if hasattr(value, "tolist") else str(value) if isinstance(value, Path) else value
    if isinstance(value, str):
        value = re.sub(r"(\\*)\$\{", lambda match: match[1] * 2 + r"\${", value)
        escaped = re.sub(r'(\\*)("|$)', lambda match: match[1] * 2 + match[2].replace('"', r"\""), value)
        return f'"{escaped}"'
    if isinstance(value, (list, tuple)):
        return f"[{','.join(map(_word, value))}]"
    return json.dumps(value, ensure_ascii=False)
