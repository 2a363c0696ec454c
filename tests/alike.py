"""Whether two runs ended alike."""

from __future__ import annotations

import torch
from torch import Tensor

from l2m.config.run import RunConfig
from l2m.records import Records
from l2m.records.directory import RunDirectory


def left(run: RunConfig | Records) -> tuple[list[str], bytes, dict[str, Tensor]]:
    """What a finished run is compared by: metrics.csv without its seconds, groups.csv, the final parameters."""
    path = run.path if isinstance(run, Records) else RunDirectory(run).path
    rows = (path / "metrics.csv").read_text().splitlines()
    assert rows[0].endswith(",seconds")
    parameters = torch.load(path / "model.pt", weights_only=True)["parameters"]
    return [row.rpartition(",")[0] for row in rows], (path / "groups.csv").read_bytes(), parameters


def same(first: RunConfig | Records, second: RunConfig | Records) -> bool:
    """Whether two runs ended alike to the byte."""
    ours, theirs = left(first), left(second)
    alike = ours[2].keys() == theirs[2].keys() and all(torch.equal(ours[2][name], theirs[2][name]) for name in ours[2])
    return ours[:2] == theirs[:2] and alike
