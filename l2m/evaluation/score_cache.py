"""Scores of finished runs on their test parts, cached in a file so that no model is evaluated twice."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from l2m import trained
from l2m.config.run import RunConfig
from l2m.data import load
from l2m.files import read_text
from l2m.records.directory import RunDirectory
from l2m.training.scores import SCORES, SampleResults, sample_results


class ScoreCache:
    """The content of ``file`` (JSON): by a run's directory below ``runs``, its end, seconds and scores."""

    def __init__(self, file: Path) -> None:
        try:
            self._rows: dict[str, dict[str, Any]] = {run: {**row} for run, row in json.loads(read_text(file)).items()}
        except (ValueError, TypeError, AttributeError, RecursionError):  # missing or damaged: it is written anew
            self._rows = {}

    def row(self, config: RunConfig) -> dict[str, Any]:
        """The row of a finished run, computed if it is not in the file.

        Raises:
            UserError: the run is damaged, or its data are missing.
        """
        records, names = RunDirectory(config).read(), SCORES[config.task]
        run, end = run_name(config), records.info["end"]
        row = self._rows.get(run, {})
        if row.get("end") != end or not row.keys() >= {*names, "seconds"}:
            results = evaluate_test_part(config)
            row = {"end": end, "seconds": float(records.metrics["seconds"].iloc[-1])}
            row |= {name: score.of(results) for name, score in names.items()}
            self._rows[run] = row
        return row

    def content(self) -> bytes:
        """The new content of the file."""
        return (json.dumps(self._rows, indent=1) + "\n").encode()


def run_name(config: RunConfig) -> str:
    """A run's directory below ``runs``."""
    return "/".join(RunDirectory(config).path.parts[-3:])


def evaluate_test_part(config: RunConfig) -> SampleResults:
    """Results of a finished run's model on its test part, or on the validation part that replaces it."""
    data = load(config)
    outputs = trained.load(RunDirectory(config).path, config.device).outputs(data.test)
    return sample_results(outputs, data)
