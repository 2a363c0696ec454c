"""Predictions as a table, and in a few lines what they come to."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd
import torch
from torch import Tensor

from l2m.errors import shown
from l2m.trained import Trained

MOST = 20
"""Lines that a list in a summary has at most."""


def predictions(trained: Trained, inputs: Tensor, told: pd.DataFrame) -> pd.DataFrame:
    """A row for each sample: what is told of it, what the model says, and how good that is.

    Args:
        inputs: samples (N, ...) at rest.
        told: N rows, with ``actual`` and ``group`` where these are known (:mod:`l2m.data.own.new_samples`).

    Returns:
        ``told`` with ``predicted``, a class or a value; for a classification ``probability NAME`` of each class; for a
        reconstruction ``squared error``, summed over an image.
    """
    split = trained.split(inputs)
    outputs = trained.outputs(split)
    table = told.drop(columns="actual", errors="ignore")
    if split.targets is None:
        seen = torch.cat([batch.targets for batch in split.passes()])
        losses = trained.task.loss(outputs, seen)
        return table.assign(**{"squared error": trained.task.score(outputs, seen, losses).numpy()})
    found = trained.predicted(outputs).numpy()
    names = trained.class_names
    table["predicted"] = pd.Series(names, dtype=object)[found.argmax(1)].to_numpy() if names else found[:, 0]
    if "actual" in told:
        table["actual"] = told["actual"]
    chances = pd.DataFrame(found, table.index, [f"probability {name}" for name in names]) if names else None
    return table if chances is None else pd.concat([table, chances], axis=1)


def summary(trained: Trained, table: pd.DataFrame) -> Iterator[str]:
    """Lines that tell what was predicted and, of the samples whose answer is known, how well, group by group."""
    if "squared error" in table:
        score = table["squared error"]
        yield f"squared error {score.mean():.5g} an image, from {score.min():.5g} to {score.max():.5g}"
        return
    predicted = table["predicted"]
    if trained.class_names:
        counts = predicted.value_counts()
        yield from _columns("predicted", pd.DataFrame({"samples": counts, "share": counts / len(table)}))
    else:
        yield f"predicted: {predicted.mean():.5g} on average, from {predicted.min():.5g} to {predicted.max():.5g}"
    if "unseen" in table:
        new = table.loc[table["unseen"] != "", "unseen"]
        yield f"{len(new)} samples have categories that the training part did not have"
        yield from _columns("unseen", pd.DataFrame({"samples": new.value_counts()}))
    if "actual" not in table:
        return
    known = table.dropna(subset="actual")
    right = known["predicted"] == known["actual"]
    score = right.astype(float) if trained.class_names else (known["predicted"] - known["actual"]) ** 2
    yield f"{trained.task.metric} {score.mean():.5g} over the {len(known)} samples whose answer is told"
    group = "group" if "group" in known else "actual" if trained.class_names else None
    if group:
        of = score.groupby(known[group])
        yield from _columns(
            "group" if group == "group" else "class",
            pd.DataFrame({"samples": of.size(), trained.task.metric: of.mean()}),
        )


def _columns(name: str, table: pd.DataFrame) -> Iterator[str]:
    """A table in lines, the first of them its heading."""
    rows = table.head(MOST)
    labels = [shown(label, 30) for label in rows.index]
    width = max(len(label) for label in [name, *labels])
    yield f"  {name:{width}}  " + "  ".join(f"{column:>9}" for column in table)
    for label, values in zip(labels, rows.itertuples(index=False), strict=True):
        cells = zip(table, values, strict=True)
        yield f"  {label:{width}}  " + "  ".join(f"{value:>{max(9, len(str(column)))}.4g}" for column, value in cells)
    if len(table) > MOST:
        yield f"  and {len(table) - MOST} more"
