"""Runs a comparison on one split into training and test part, or on several, whose intervals then cover the split."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from l2m.comparison.advice import advise
from l2m.comparison.advised import describe
from l2m.comparison.candidates import final_run
from l2m.comparison.config import BASELINE, Comparison
from l2m.comparison.findings import judge
from l2m.comparison.report import Report
from l2m.comparison.runner import ComparisonRunner
from l2m.comparison.writing import write_report
from l2m.data import load
from l2m.errors import UserError


def runners_of(comparison: Comparison, words: Sequence[str]) -> list[ComparisonRunner]:
    """A runner for each split, whose comparison has a ``data_seed`` of its own."""
    first, runners = comparison.options.data_seed, []
    for seed in range(first, first + comparison.options.splits):
        options = replace(comparison.options, data_seed=seed, splits=1)
        bases = {name: replace(base, data_seed=seed) for name, base in comparison.bases.items()}
        runners.append(ComparisonRunner(Comparison(options, bases), words))
    return runners


def run_comparison(comparison: Comparison, runners: Sequence[ComparisonRunner]) -> Report:
    """Run a comparison and write its report; the report of several splits is written beside those of each.

    A UserError is raised as by :meth:`ComparisonRunner.run`, and if all splits have the same test part.
    """
    options = comparison.options
    if options.splits == 1:
        return write_report(runners[0].run())
    base = replace(comparison.bases[BASELINE], imbalance={"name": "none"})  # which thins the training rows alone
    first, second = (load(final_run(replace(base, data_seed=base.data_seed + n), base.seed)).test for n in (0, 1))
    drawn = [test.inputs if test.rows is None else test.rows for test in (first, second)]
    if drawn[0].equal(drawn[1]):
        raise UserError(
            f"splits={options.splits} needs a test part that data_seed draws, and that of {options.dataset['name']} is "
            "always the same: use splits=1"
        )
    reports = []
    for number, runner in enumerate(runners):
        print(f"\nsplit {number + 1} of {options.splits}, data_seed={options.data_seed + number}", flush=True)
        reports.append(write_report(runner.run()))
    return write_report(replace(combine(reports), path=comparison.path))


def combine(reports: Sequence[Report]) -> Report:
    """The report of several splits, of the candidates that all have: a split takes the place of a seed."""
    one = reports[0]
    names = [name for name in map(str, one.held_out) if all(name in report.held_out for report in reports)]
    seeds = [report.protocol.data_seed for report in reports]
    held_out = pd.concat([report.held_out[names] for report in reports], keys=seeds, names=["data_seed"])
    score = one.findings.scores[one.findings.metric]
    held_out = held_out[held_out.mean().sort_values(ascending=not score.higher_is_better, kind="stable").index]
    columns = [*one.findings.scores, "seconds"]
    means = [report.findings.runs.groupby("strategy")[columns].mean().loc[list(held_out)] for report in reports]
    runs = pd.concat([mean.assign(seed=seed) for mean, seed in zip(means, seeds, strict=True)]).reset_index()
    sign, tables = 1 if score.higher_is_better else -1, [held_out, *(report.held_out[names] for report in reports)]
    of_all, *advised = (advise(sign * each, overlap=one.protocol.overlap) for each in tables)
    return Report(
        of_all,
        held_out,
        judge(runs, one.findings.task, one.findings.metric, overlap=one.protocol.test_overlap),
        replace(one.protocol, advised=tuple(advice.name for advice in advised)),
        {name: np.mean([each.confusion[name] for each in reports], axis=0) for name in names if one.confusion},
        one.classes,
        one.path,
        describe(one, of_all.name),
    )
