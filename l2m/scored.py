"""Scores of finished runs on what they were tested on, kept in a CSV so that no model is asked twice."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from l2m import trained
from l2m.config import RunConfig
from l2m.data import load
from l2m.records import RunDirectory
from l2m.scores import SCORES, Predicted, predicted


class Scored:
    """The table of ``file``, a row a run: its directory below ``runs``, when it was done, seconds, scores."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._rows: dict[str, dict[str, Any]] = {}
        try:
            table = pd.read_csv(file, dtype={"run": str, "end": str}, float_precision="round_trip")
            self._rows = {str(row["run"]): {str(key): row[key] for key in row} for row in table.to_dict("records")}
        except (OSError, ValueError, LookupError):  # not there, or damaged: it is made anew
            pass

    def of(self, config: RunConfig) -> dict[str, Any]:
        """The row of a finished run.

        Raises:
            UserError: the run is not whole, or its data are not there.
        """
        records, names = RunDirectory(config).read(), SCORES[config.task]
        run, end = "/".join(records.path.parts[-3:]), records.info["end"]
        row = self._rows.get(run, {})
        if row.get("end") != end or not row.keys() >= {*names, "seconds"}:
            on = predictions(config)
            row = {"run": run, "end": end, "seconds": float(records.metrics["seconds"].iloc[-1])}
            row |= {name: score.of(on) for name, score in names.items()}
            self._rows[run] = row
        return row

    def csv(self) -> bytes:
        """The table, to be written to the file."""
        return pd.DataFrame(list(self._rows.values())).to_csv(index=False, lineterminator="\n").encode()


def predictions(config: RunConfig) -> Predicted:
    """What the model of a finished run makes of its test part, or of the validation part that took its place."""
    data = load(config)
    outputs = trained.load(RunDirectory(config).path, config.device).outputs(data.test)
    return predicted(outputs, data.test, data.target_unit)
