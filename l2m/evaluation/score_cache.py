"""Scores of finished runs on what they were tested on, kept in a file so that no model is asked twice."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from l2m import trained
from l2m.config.run import RunConfig
from l2m.data import load
from l2m.evaluation.scores import SCORES, Predicted, predicted
from l2m.files import read_text
from l2m.records.directory import RunDirectory


class Scored:
    """What ``file`` (JSON) holds: by a run's directory below ``runs``, when it was done, seconds, scores."""

    def __init__(self, file: Path) -> None:
        try:
            self._rows: dict[str, dict[str, Any]] = {run: {**row} for run, row in json.loads(read_text(file)).items()}
        except (ValueError, TypeError, AttributeError, RecursionError):  # not there, or damaged: it is made anew
            self._rows = {}

    def of(self, config: RunConfig) -> dict[str, Any]:
        """The row of a finished run.

        Raises:
            UserError: the run is not whole, or its data are not there.
        """
        records, names = RunDirectory(config).read(), SCORES[config.task]
        run, end = run_name(config), records.info["end"]
        row = self._rows.get(run, {})
        if row.get("end") != end or not row.keys() >= {*names, "seconds"}:
            on = predictions(config)
            row = {"end": end, "seconds": float(records.metrics["seconds"].iloc[-1])}
            row |= {name: score.of(on) for name, score in names.items()}
            self._rows[run] = row
        return row

    def content(self) -> bytes:
        """What is to be written to the file."""
        return (json.dumps(self._rows, indent=1) + "\n").encode()


def run_name(config: RunConfig) -> str:
    """A run's directory below ``runs``."""
    return "/".join(RunDirectory(config).path.parts[-3:])


def predictions(config: RunConfig) -> Predicted:
    """What the model of a finished run makes of its test part, or of the validation part that took its place."""
    data = load(config)
    outputs = trained.load(RunDirectory(config).path, config.device).outputs(data.test)
    return predicted(outputs, data.test, data.target_unit)
