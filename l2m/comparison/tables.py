"""The report of a comparison for the terminal, as Markdown and as CSV."""

import io
import math
import re
from collections.abc import Iterator
from dataclasses import replace
from textwrap import fill

import pandas as pd
from rich.console import Console

from l2m.comparison.config import BASELINE
from l2m.comparison.findings import DRAWS, Findings, format_seconds
from l2m.comparison.report import Protocol, Report, recommend
from l2m.errors import shown
from l2m.report.summary import terminal_table
from l2m.training.scores import BINS

WIDTH = 79

MOST_CLASSES = 8
"""Classes of a confusion matrix that fits the terminal."""

NOTES = {
    "calibration_error": (
        f"Calibration error: expected, {BINS} bins of equal width, of the predicted class (Guo et al., 2017, On "
        "Calibration of Modern Neural Networks)."
    ),
    "worst_group": "Worst group: the lowest accuracy of any group.",
    "roc_auc": "ROC AUC and PR AUC: of two classes PR AUC is the rarer one's; of more both are means over the classes.",
}


def format_terminal(report: Report) -> str:
    """What the command prints, at most 79 columns wide: the advice first, then tables, then what they mean."""
    out = io.StringIO()
    console = Console(
        file=out, highlight=False, markup=False, emoji=False, soft_wrap=False, width=WIDTH, color_system=None
    )
    for text in recommend(report):
        print(fill(text, WIDTH), file=out)
    print(f"To use it: {report.usage}", file=out)
    for title, head, cells in _tables(report):
        print(f"\n{title}", file=out)
        console.print(terminal_table((head, *map(str, cells)), cells.itertuples()))
    print(file=out)
    for text in format_caption(report):
        print(fill(text, WIDTH), file=out)
    print(f"\npage: {report.path / 'comparison.html'}", file=out)
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines())


def format_deciding(report: Report) -> pd.DataFrame:
    """The score that decides, a row a candidate: held-out and test mean, difference to classical, p, seconds."""
    findings, advice = report.findings, report.advice
    cells = findings.cells.xs(findings.metric, level=1)
    marks = {name: "* " if name == advice.name else "= " if name in advice.group else "" for name in cells.index}
    cells.insert(0, "held-out", [marks[name] + report.held_out_text(name) for name in cells.index])
    return cells.assign(seconds=[format_seconds(findings, name) for name in cells.index])


def _tables(report: Report) -> Iterator[tuple[str, str, pd.DataFrame]]:
    """The title, the first column's head, and the cells of each table that fits the terminal."""
    findings, name = report.findings, report.advice.name
    score = findings.scores[findings.metric]
    cells = format_deciding(report).set_axis(["held-out ± se", "test ± sd", f"− {BASELINE}", "p", "sec."], axis=1)
    title = f"{shown(report.protocol.title)}: {score.title}{', in %' * score.percent}"
    yield title, "strategy", cells.drop(columns="p")  # marks say as much as p
    titles = {False: "other scores on the test part, means"}
    if findings.task == "classification":
        titles = {
            True: "other scores of the predicted classes on the test part, means in %",
            False: "scores of the probabilities, means in % except log loss",
        }
    means = findings.cells["mean"].str.replace(r" ± \S+", "", regex=True).unstack(sort=False)  # with sd it is too wide
    others = {key: each for key, each in findings.scores.items() if key != findings.metric}
    for by_label, title in titles.items():
        heads = {key: each.title.replace(" ", "\n", 1) for key, each in others.items() if each.by_label is by_label}
        yield title, "strategy", means[list(heads)].set_axis([*heads.values()], axis=1)
    if report.confusion:
        yield f"{name} by class on the test part, in %", "class", format_classes(report)
    if report.confusion and len(report.classes) <= MOST_CLASSES:
        yield f"{name}: test samples by true and predicted class", "true class", format_confusion(report)


def format_classes(report: Report) -> pd.DataFrame:
    """Text by class: its test samples, recall and precision of the advised candidate and, if another, of classical."""
    names = dict.fromkeys((report.advice.name, BASELINE))
    cells = {"samples": report.by_class(BASELINE)["samples"].astype(str)}
    for number, name in enumerate(names):
        for column in ("recall", "precision"):
            text = report.by_class(name)[column].map(lambda value: "" if math.isnan(value) else f"{100 * value:.1f}")
            cells[f"{BASELINE} {column}" if number else column] = text
    return pd.DataFrame(cells).rename(index=lambda label: shown(label, 20))


def format_confusion(report: Report) -> pd.DataFrame:
    """Text by true class and predicted class: the mean over seeds of numbers of test samples."""
    matrix = report.confusion[report.advice.name]
    digits = 0 if (matrix % 1 == 0).all() else 1
    labels = [shown(label, 12 if len(report.classes) < 5 else 5) for label in report.classes]
    cells = [[f"{value:.{digits}f}" for value in row] for row in matrix.tolist()]
    return pd.DataFrame(cells, labels, [f"as {label}" for label in labels])


def format_caption(report: Report) -> list[str]:
    """What the numbers mean and what they do not cover, a paragraph each."""
    findings, protocol = report.findings, report.protocol
    title, others = findings.scores[findings.metric].title, len(findings.strategies) - 1
    interval = f"t-interval; the {others} intervals of a score hold at once with 95 % (Bonferroni)"
    share = f"{100 * protocol.validation_fraction:g} % of the training set"
    corrected = f", corrected for {others} comparisons (Holm)" if others > 1 else ""
    strict = " Holm is less strict than Bonferroni: an interval beside a mark may include 0." if others > 1 else ""
    unit, over, covers = "seeds", f"{findings.runs['seed'].nunique()} seeds", ""
    reliable = ", and the difference is larger than its uncertainty from the choice of test samples"
    uncovered = (
        f"another training set, as there is one split and one draw of any imbalance (data_seed={protocol.data_seed})"
    )
    if protocol.advised:
        unit, over, reliable = "splits", f"{len(protocol.advised)} splits, each the mean of its seeds,", ""
        covers = ". It covers the split, and is widened because training sets overlap (Nadeau and Bengio, 2003)"
        uncovered = "that a sample may be tested in one split and held out for the advice in another"
    paragraphs = [
        f"Held-out: {title} on {len(report.held_out)} parts of {share} each, of a training without that part; se is "
        "the standard error of its mean, widened because the parts' training sets overlap (Nadeau and Bengio, 2003). "
        "* marks the advised candidate; = those that, like it, are within one standard error of a difference from the "
        "best mean, from the median noise of all candidates. Simplest: linear models, then classical training, boosted "
        "trees, other strategies; of each, plain, with class weights, by the prior, with a chosen threshold.",
        f"Test: mean ± sd (ddof 1) over {over} on the test part, {protocol.samples} samples that were used neither "
        f"for choosing nor for the advice; its smallest group ({protocol.smallest[0]}) has {protocol.smallest[1]}. "
        f"− {BASELINE}: paired difference on the same {unit} ± half of its "
        f"{interval if others > 1 else '95 % t-interval'}{covers}. + and - mark reliably better and worse, score by "
        f"score: the paired t-test has p below 5 %{corrected}{reliable}.{strict} An sd of 0 is that of a model that "
        f"does not depend on the seed, or predicts one class always.",
        f"By {DRAWS} bootstrap draws of test samples, so to about 5 %, that uncertainty of differences in {title} is "
        f"{_range(findings)}"
        f"{', for all at once' if others > 1 else ''} with 95 %." * bool(reliable),
        f"Not covered: {uncovered}, and data gathered elsewhere.",
        *_describe_choice(protocol, title, share),
    ]
    notes = [note for score, note in NOTES.items() if findings.task == "classification"]
    return [
        *filter(None, paragraphs),
        " ".join([*notes, "Seconds: training only, while other runs shared the machine."]),
    ]


def _describe_choice(protocol: Protocol, title: str, share: str) -> list[str]:
    """How rates were chosen."""
    if not protocol.tried:
        return ["Rates and epochs are those of the data set; none were chosen."]
    fewest, most = min(protocol.tried.values()), max(protocol.tried.values())
    each = f"{most} settings each" if fewest == most else f"{fewest} to {most} settings"
    seeds = f"{protocol.choice_seeds} seed{'s' * (protocol.choice_seeds > 1)}"
    paragraphs = [
        f"Rates were chosen among {each}, by {title} on the first held-out part, {share}, over {seeds}, or by log loss "
        f"for models whose threshold is moved too, which their own {title} may suffer from; everything else is at its "
        "default."
    ]
    if protocol.epochs:
        paragraphs.append(
            f"Epochs are the median of the best, by {protocol.epochs_by or 'that score'}, of the {seeds} with early "
            f"stopping, {protocol.epochs} at most. The test part had no say."
        )
    if protocol.edges:
        paragraphs.append(
            "With the lowest or the highest of the learning rates that were tried, so that a wider range of "
            f"learning_rates may improve them: {', '.join(protocol.edges)}."
        )
    return paragraphs


def format_markdown(report: Report, figure: str) -> str:
    """A page: the advice, the figure, all scores with their differences, classes, rates, the caption."""
    (smallest, count), classes = report.protocol.smallest, tuple(map(_escape, report.classes))
    report = replace(report, protocol=replace(report.protocol, smallest=(_escape(smallest), count)), classes=classes)
    findings, protocol = report.findings, report.protocol
    heads = {name: f"{score.title}{', %' * score.percent}" for name, score in findings.scores.items()}
    deciding = format_deciding(report)
    deciding.columns = ["held-out ± se", f"test {heads[findings.metric]}", f"− {BASELINE}", "p", "seconds"]
    deciding.insert(0, "rates", [protocol.rates_text(name) for name in deciding.index])
    cells = findings.cells.drop(columns="p")
    others = [name for name in findings.scores if name != findings.metric]
    scores = pd.concat([cells.xs(name, level=1) for name in others], axis=1)
    scores.columns = [head for name in others for head in (heads[name], f"− {BASELINE}")]
    parts = [
        f"# Strategies on {_escape(protocol.title)}",
        *recommend(report),
        f"To use it:\n\n    {report.usage}",
        f"![Differences to {BASELINE} with their intervals]({figure})",
        _markdown_table(deciding),
        _markdown_table(scores),
    ]
    if report.confusion:
        parts += [
            f"Recall and precision of {report.advice.name} by class on the test part, in %:",
            _markdown_table(format_classes(report), "class"),
            f"Test samples by true and predicted class of {report.advice.name}, mean over seeds:",
            _markdown_table(format_confusion(report), "true class"),
        ]
    return "".join(f"{part}\n\n" for part in [*parts, *format_caption(report)])[:-1]


def _markdown_table(cells: pd.DataFrame, first: str = "strategy") -> str:
    head, *rows = (f"| {' | '.join(row)} |" for row in [(first, *cells), *cells.itertuples()])
    return "\n".join([head, "|---|" + "--:|" * len(cells.columns), *rows])


def _escape(name: str) -> str:
    """A name that a user has given, without meaning for Markdown."""
    return re.sub(r"([!-+/:-@\[-`{-~])", r"\\\1", name)


def format_csv(report: Report) -> str:
    """A line a strategy and score of the test part, unrounded; shares in [0, 1]."""
    table, findings = report.findings.table.drop(columns="verdict"), report.findings
    table["decides"] = table.index.get_level_values("score") == findings.metric
    table["recommended"] = table.index.get_level_values("strategy") == report.advice.name
    return table.to_csv(lineterminator="\n")


def _range(findings: Findings) -> str:
    """The narrowest and the widest interval over test samples."""
    score = findings.scores[findings.metric]
    halves = findings.table["interval_half_width_over_samples"].xs(findings.metric, level="score")
    low, high = (f"{score.scale * value:{'.1f' if score.percent else '.3g'}}" for value in (halves.min(), halves.max()))
    return f"± {low}" if low == high else f"± {low} to ± {high}"
