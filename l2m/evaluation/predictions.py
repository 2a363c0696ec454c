"""Predictions as a table, and their summary in a few lines."""

from collections.abc import Iterator
from textwrap import indent
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from l2m.errors import shown
from l2m.evaluation.decisions import Decision
from l2m.tasks import Task
from l2m.trained import Trained
from l2m.training.results import Floats

FORMULAS = ("=", "+", "-", "@", "\t", "\r")  # what a spreadsheet computes begins so, unless it is a number as a whole
LISTED = 20  # rows of a list in a summary, at most


def predict(trained: Trained, inputs: Tensor, samples: pd.DataFrame, decision: Decision) -> pd.DataFrame:
    """A row for each sample: its description, the model's prediction, and the error of a reconstruction.

    Args:
        inputs: stored samples (N, ...), not normalised.
        samples: N rows, with ``actual`` and ``group`` if these are known (:mod:`l2m.data.own.new_samples`).

    Returns:
        ``samples`` with ``predicted``, a class or a value; for a classification ``probability NAME`` of each class; for
        a reconstruction ``squared error``, summed over an image.
    """
    split = trained.split(inputs)
    outputs = trained.outputs(split)
    if split.targets is None:
        targets = torch.cat([batch.targets for batch in split.passes()])
        losses = trained.task.loss(outputs, targets)
        table = samples.drop(columns="actual", errors="ignore")
        return table.assign(**{"squared error": trained.task.score(outputs, targets, losses).numpy()})
    return tabulate(trained.predicted(outputs).numpy(), trained.class_names, samples, decision)


def tabulate(values: Floats, names: tuple[str, ...], samples: pd.DataFrame, decision: Decision) -> pd.DataFrame:
    """The rows of :func:`predict` for probabilities (N, k) of the classes ``names``, or for values (N, 1)."""
    table, predicted = samples.drop(columns="actual", errors="ignore"), values[:, 0]
    if names:
        values = values * decision.population
        values /= values.sum(1, keepdims=True)
        predicted = np.array(names, dtype=object)[(values * decision.preference).argmax(1)]
    table["predicted"] = predicted
    if "actual" in samples:
        table["actual"] = samples["actual"]
    if not names:
        return table
    return pd.concat([table, pd.DataFrame(values, table.index, [f"probability {name}" for name in names])], axis=1)


def format_csv(table: pd.DataFrame) -> bytes:
    """The table as a file. A text that a spreadsheet would take for a formula gets an apostrophe in front."""
    cells = table.reset_index()
    texts = cells.select_dtypes(exclude="number")
    cells[texts.columns] = texts.map(_without_formula)
    for name, digits in (("predicted", 12), ("actual", 15)):  # values may be large and differ by little
        if name in cells and cells[name].dtype.kind == "f":
            cells[name] = cells[name].map(f"{{:.{digits}g}}".format, na_action="ignore")
    text: str = cells.to_csv(index=False, float_format="%.7g", lineterminator="\n")
    return text.encode(errors="backslashreplace")  # a file's name may hold any bytes


def _without_formula(cell: Any) -> Any:
    if not isinstance(cell, str) or not cell.startswith(FORMULAS):
        return cell
    try:
        float(cell)
    except ValueError:
        return f"'{cell}"
    return cell


def summarize(task: Task, classes: tuple[str, ...], table: pd.DataFrame) -> Iterator[str]:
    """Lines on the predictions and, for samples with a known answer, their metric, group by group."""
    if "squared error" in table:
        score = table["squared error"]
        yield f"squared error {score.mean():.5g} an image, from {score.min():.5g} to {score.max():.5g}"
        return
    predicted = table["predicted"]
    if classes:
        counts = predicted.value_counts()
        yield from _aligned("predicted", pd.DataFrame({"samples": counts, "share": counts / len(table)}))
    else:
        yield f"predicted: {predicted.mean():.5g} on average, from {predicted.min():.5g} to {predicted.max():.5g}"
    if "unseen" in table:
        new = table.loc[table["unseen"] != "", "unseen"]
        yield f"{len(new)} samples are unlike all of the training part: new categories, or numbers far off"
        yield from _aligned("unseen", pd.DataFrame({"samples": new.str.split("; ").explode().value_counts()}))
    if "actual" not in table:
        return
    answered, metric = table.dropna(subset="actual"), task.metric
    if classes:
        unknown = answered.loc[~answered["actual"].isin(classes), "actual"]
        if len(unknown):
            yield f"answers that are not a class of the model, not counted below: {len(unknown)}"
            yield from _aligned("answer", pd.DataFrame({"samples": unknown.value_counts()}))
        answered = answered.drop(unknown.index)
    if answered.empty:
        return
    is_right = answered["predicted"] == answered["actual"]
    score = is_right.astype(float) if classes else (answered["predicted"] - answered["actual"]) ** 2
    yield f"{metric} {score.mean():.5g} over the {len(answered)} sample{'s'[: len(answered) > 1]} with a known answer"
    if classes:
        recall, precision = (score.groupby(answered[column]) for column in ("actual", "predicted"))
        by_class = pd.DataFrame({"samples": recall.size(), "recall": recall.mean(), "precision": precision.mean()})
        yield from _aligned("class", by_class[by_class["samples"].notna()])
    if "group" in answered:
        groups = score.groupby(answered["group"])
        yield from _aligned("group", pd.DataFrame({"samples": groups.size(), metric: groups.mean()}))


def _aligned(name: str, table: pd.DataFrame) -> Iterator[str]:
    rows = table.head(LISTED).rename(lambda label: shown(label, 30)).rename_axis(index=None, columns=name)
    yield indent(rows.to_string(col_space=dict.fromkeys(rows, 10), float_format="{:.4g}".format), "  ")
    if len(table) > LISTED:
        yield f"  and {len(table) - LISTED} more"
