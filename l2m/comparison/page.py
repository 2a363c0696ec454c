"""``comparison.html``: a comparison's advice, scores, curves and confusion matrices on one page, with no other file."""

import json
from collections.abc import Mapping
from itertools import product
from pathlib import Path
from typing import Any

import pandas as pd

from l2m.comparison.config import BASELINE
from l2m.comparison.report import Report, recommend
from l2m.comparison.tables import format_caption, format_deciding
from l2m.report import page
from l2m.report.page_data import effect, verdict_of
from l2m.report.runs import EPOCHS, read_runs
from l2m.report.statistics import paired, significant

VERDICTS = {1: "better", -1: "worse", 0: "undecided"}


def render(report: Report) -> str:
    """The page of a report; curves are those of its runs on the whole training set, which lie in its results folder."""
    results, findings, protocol = report.path.parents[1], report.findings, report.protocol
    trained = findings.runs.get("run", pd.Series(dtype=str)).dropna().unique()
    folders = [results / "runs" / run for run in trained]
    runs = read_runs(results, may_be_empty=True, folders=folders).runs
    sections = [page.section("runs", runs, results)] if runs else []
    described = [file for folder in folders[:1] if (file := folder / "data.json").exists()]
    return page.render(
        Path(__file__).with_name("comparison.html"),
        report=report,
        sentences=recommend(report),
        deciding=format_deciding(report),
        heads={name: score.title + ", %" * score.percent for name, score in findings.scores.items()},
        cells=findings.cells,
        predicted=[f"as {label}" for label in report.classes],
        baseline=BASELINE,
        caption=format_caption(report),
        columns=json.loads(described[0].read_text(encoding="utf-8")) if described else {},
        sections=sections,
        epochs=EPOCHS,
        root="../../",
        rates=protocol.rates_text,
        data=page.data(sections, runs, root="../../", panels=panels(report)),
    )


def panels(report: Report) -> Mapping[str, Any]:
    """By score, its differences to classical training and to the advised candidate, as the plot of effects has them.

    All intervals of a panel hold at once with 95 % (Bonferroni). Against classical the verdict is the report's.
    """
    findings, made = report.findings, {}
    overlap = report.protocol.test_overlap if report.protocol.advised else 0.0
    for name, score in findings.scores.items():
        values = {strategy: findings.values(name, strategy) for strategy in findings.strategies}
        effects: dict[str, Any] = {opponent: {} for opponent in (BASELINE, report.recommended)}
        for opponent, strategy in product(effects, values):
            if strategy == opponent:
                continue
            ours, theirs = values[strategy], values[opponent]
            difference = paired(ours, theirs, len(values) - 1, overlap)
            is_reported = opponent == BASELINE
            found = VERDICTS[findings.row(name, strategy).verdict] if is_reported else None
            verdict = found or verdict_of(difference, score.higher_is_better)
            digits = significant(ours, score.percent)
            effects[opponent][strategy] = [effect(difference, digits, float(theirs.mean()), verdict)]
        made[name] = {"title": score.title, "is_percent": score.percent, "higher": score.higher_is_better,
                      "effects": {"test_metric": effects}}  # fmt: skip
    return made
