"""Writes the files of a comparison's report."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pandas as pd

from l2m.comparison.figures import draw_differences
from l2m.comparison.report import Report
from l2m.comparison.tables import format_csv, format_markdown, format_terminal
from l2m.files import reporting, write_whole
from l2m.records import WRITE_REMEDY
from l2m.report import drawing


def write_report(report: Report) -> Report:
    """Write the report's files; the report with its text."""
    write_file(report.path / "runs.csv", as_csv(report.findings.runs))
    write_file(report.path / "held_out.csv", as_csv(report.held_out.reset_index()))
    write_file(report.path / "comparison.csv", format_csv(report).encode())
    write_file(report.path / "comparison.json", report.to_json().encode())
    write_file(report.path / "comparison.md", format_markdown(report, "comparison.png").encode())
    drawing.save(draw_differences(report.findings), report.path / "comparison")
    return replace(report, text=format_terminal(report))


def write_file(file: Path, content: bytes) -> None:
    """Write a file whole, or say how to have it written."""
    with reporting("written", file, WRITE_REMEDY):
        write_whole(file, content)


def as_csv(table: pd.DataFrame) -> bytes:
    """A table without its index."""
    return table.to_csv(index=False, lineterminator="\n").encode()
