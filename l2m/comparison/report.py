"""All that a comparison ends in: the advice, the scores behind it, and what they mean in words and as plain values."""

import json
import shlex
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from l2m.comparison.advice import Advice
from l2m.comparison.config import BASELINE
from l2m.comparison.findings import Findings, format_seconds
from l2m.comparison.thresholds import MOVED, moved_rows
from l2m.report.statistics import digits_of, signed, significant, standard_error
from l2m.training.results import Floats
from l2m.training.scores import by_class


@dataclass(frozen=True)
class Protocol:
    """How a comparison was made.

    Attributes:
        of_images: whether samples are images, which are in folders.
        title: the data set as a heading has it (:func:`l2m.config.description.title`).
        rates: by candidate, the chosen setting.
        tried: by candidate, among how many settings; empty if none were chosen.
        epochs: the most there can be, if they were chosen.
        epochs_by: the title of the score that ``early_stopping_metric`` names, if any: it chose them.
        edges: strategies whose learning rate is the lowest or the highest of those to choose among.
        samples, smallest: of the test part, all and those of its smallest group, which is named.
        trained_on: samples of the training set.
        shares: of the classes in the training set.
        advised: of several splits, what each alone advised. Their ``rates`` are those of the first.
    """

    dataset: str
    of_images: bool
    title: str
    data_seed: int
    validation_fraction: float
    choice_seeds: int
    rates: Mapping[str, Mapping[str, float]]
    tried: Mapping[str, int]
    epochs: int | None
    edges: tuple[str, ...]
    samples: int
    smallest: tuple[str, int]
    trained_on: int
    shares: tuple[float, ...]
    advised: tuple[str, ...] = ()
    epochs_by: str | None = None

    def rates_text(self, name: str) -> str:
        """The chosen setting of a candidate as ``learning_rate=0.001, epochs=17``."""
        text = ", ".join(f"{key}={value:.4g}" for key, value in self.rates[name].items())
        return text + f" in the first of {len(self.advised)} splits" * bool(self.advised)

    @property
    def overlap(self) -> float:
        """Samples of a held-out part by those that are trained on."""
        return self.validation_fraction / (1 - self.validation_fraction)

    @property
    def test_overlap(self) -> float:
        """Samples of the test part by those of the training set."""
        return self.samples / self.trained_on


@dataclass(frozen=True)
class Report:
    """What a comparison found; ``print`` shows what the command does.

    Attributes:
        advice: by held-out scores alone.
        held_out: ``metric`` on each held-out part of the training set (parts, candidates), the best mean first; a share
            is in [0, 1].
        findings: scores on the test part.
        confusion: by candidate, mean numbers of test samples (k, k) by true and predicted class; empty for other tasks.
        classes: their k names.
        path: the folder of its files.
        advised: how to predict with the advised candidate (:func:`l2m.comparison.advised.describe`).
        text: what the command prints.
    """

    advice: Advice
    held_out: pd.DataFrame
    findings: Findings
    protocol: Protocol
    confusion: Mapping[str, Floats]
    classes: tuple[str, ...]
    path: Path
    advised: Mapping[str, Any] = field(default_factory=dict)
    text: str = ""

    def __str__(self) -> str:
        return self.text

    @property
    def recommended(self) -> str:
        """The name of the advised candidate."""
        return self.advice.name

    @property
    def usage(self) -> str:
        """A command that predicts new samples with the advised candidate."""
        data = "new" if self.protocol.of_images else "new.csv"
        return shlex.join(["l2m", "predict", f"run={self.path}", f"data={data}"])

    def held_out_text(self, name: str) -> str:
        """The mean over held-out parts and its standard error, as ``91.2 ± 0.8``, in % if it is a share."""
        score = self.findings.scores[self.findings.metric]
        values = self.held_out[name] * score.scale
        digits, error = significant(values, score.percent), standard_error(values, self.protocol.overlap)
        return f"{values.mean():.{digits}f} ± {error:.{digits}f}"

    def by_class(self, name: str) -> pd.DataFrame:
        """A row a class: test ``samples``, ``recall`` and ``precision`` in [0, 1]."""
        recall, precision = by_class(self.confusion[name])
        samples = self.confusion[name].sum(1).round().astype(int)
        return pd.DataFrame({"samples": samples, "recall": recall, "precision": precision}, index=list(self.classes))

    def to_json(self) -> str:
        """Everything as JSON; undefined numbers are null."""
        content = {
            "task": self.findings.task,
            "metric": self.findings.metric,
            "advice": asdict(self.advice),
            "sentences": recommend(self),
            "usage": self.usage,
            "advised": self.advised,
            "protocol": asdict(self.protocol),
            "held_out": {name: values.tolist() for name, values in self.held_out.items()},
            "test": _plain(self.findings.table.reset_index()),
            "runs": _plain(self.findings.runs),
            "classes": self.classes,
            "confusion": {name: matrix.tolist() for name, matrix in self.confusion.items()},
            "by_class": {
                name: _plain(self.by_class(name).rename_axis("class").reset_index()) for name in self.confusion
            },
        }
        return json.dumps(content, indent=1, default=dict) + "\n"


def _plain(frame: pd.DataFrame) -> Any:
    return json.loads(frame.to_json(orient="records", double_precision=15))


def recommend(report: Report) -> list[str]:
    """Sentences: what to use, how sure that is, what a wrong choice would cost, what the test part says of it."""
    advice, findings, protocol = report.advice, report.findings, report.protocol
    name, metric = advice.name, findings.metric
    score = findings.scores[metric]
    points = " points" * score.percent
    sentences = [*_choose(report), *_describe_gains(report)]
    loss, count = advice.expected_loss * score.scale, len(report.held_out.columns)
    best = f"one of these {len(advice.group)}" if advice.group[1:] else name
    likely = "more than 99 %" if advice.probability > 0.99 else f"{100 * advice.probability:.0f} %"
    sentences.append(
        f"How sure: by the noise between held-out parts alone, the best of all {count} is {best} "
        f"with a probability of {likely}, and the best may be ahead of {name} "
        f"by {loss:.{digits_of(loss, score.percent)}f}{points} on average."
    )
    sentences.append(_describe_test(report))
    if protocol.advised:
        values = [findings.values(metric, each)[protocol.data_seed + n] for n, each in enumerate(protocol.advised)]
        counts = [f"{each} in {count}" for each, count in Counter(protocol.advised).most_common()]
        mean = f"{np.mean(values):.{digits_of(float(np.mean(values)), score.percent)}f}{' %' * score.percent}"
        of_splits = f"Of {len(values)} splits, each alone advised {_listed(counts)}, with a mean of {mean}"
        sentences.append(f"{of_splits} on its own test part.")
    worse = [
        f"{each.title} ({findings.difference(other, name)})"
        for other, each in findings.scores.items()
        if other != metric and findings.row(other, name).verdict < 0
    ]
    if worse:
        sentences.append(f"Beware: reliably worse than {BASELINE} there, ± over seeds: {_listed(worse)}.")
    return sentences


def _choose(report: Report) -> list[str]:
    """The candidates that are close to the best by their held-out scores, and which of them to use."""
    advice, findings = report.advice, report.findings
    name, best, score = advice.name, advice.best, findings.scores[findings.metric]
    percent, points = (" %", " points") if score.percent else ("", "")
    digits = significant(report.held_out[name] * score.scale, score.percent)
    margin = f"{advice.margin * score.scale:.{digits}f}{points}, a typical standard error of a difference"
    setting, value = f"{name} ({report.protocol.rates_text(name)})", f"{report.held_out_text(name)}{percent}"
    parts = f"({len(report.held_out)} parts, mean ± standard error; optimistic, as this score also chose)"
    others = [each for each in advice.group if each != name]
    further = [str(each) for each in report.held_out if each not in advice.group]
    if not others:
        where = f"its {score.title} on held-out parts of the training set is {value} {parts}"
        return [f"Use {setting}: {where}.", f"No other candidate is within {margin}."]
    reason = "which has the best mean" if name == best else "the simplest of them"
    first = (
        f"{len(advice.group)} of {len(report.held_out.columns)} candidates are within {margin}, of the best mean of "
        f"{score.title} on held-out parts of the training set: a rule for choosing, not a test. "
        f"Use {setting}, {reason}: {value} {parts}."
    )
    outside = f"Further behind: {_listed(further)}." if further else "These are all."
    sentences = [first, f"The rest of them: {_listed(others)}." if len(others) <= len(further) else outside]
    if name != best:
        sentences.append(f"The best mean is that of {best}, {report.held_out_text(best)}{percent}.")
    return sentences


def _describe_gains(report: Report) -> list[str]:
    """How far ahead the advised candidate is of plain training, of a threshold moved instead, and of learn2mix."""
    advice, held_out = report.advice, report.held_out
    plain = next((each for each in MOVED if advice.name.startswith(each)), BASELINE)
    moved = [each for each in held_out if each in moved_rows(plain)][:1]
    tuned = " tuned by log loss" * any(report.protocol.tried and row in held_out for row in moved_rows(BASELINE))
    names = {
        BASELINE: f", plain training{tuned}",
        **dict.fromkeys(moved, f", {plain} with its threshold moved"),
        "learn2mix": "",
    }
    points = ", in points" * report.findings.scores[report.findings.metric].percent
    gains = [
        f"{_gap(report, advice.name, each)} over {each}{what}"
        for each, what in names.items()
        if each in held_out and each != advice.name
    ]
    text = [f"Gain of {advice.name} there{points} (± standard error): {', '.join(gains)}."] if gains else []
    if BASELINE in advice.group and advice.group[1:]:
        is_ahead = _gap(report, advice.name, BASELINE).startswith("+")
        within, none = "The gain over plain training is within that margin.", "No gain over plain training was seen."
        text.append(within if is_ahead else none)
    return text


def _gap(report: Report, ours: str, theirs: str) -> str:
    """How much better the first is on the same held-out parts, and the standard error of that, as ``+3.2 ± 1.1``."""
    score = report.findings.scores[report.findings.metric]
    values = (report.held_out[ours] - report.held_out[theirs]) * score.scale * (1 if score.higher_is_better else -1)
    digits = significant(report.held_out[ours] * score.scale, score.percent)
    error = standard_error(values, report.protocol.overlap)
    return f"{signed(float(values.mean()), digits)} ± {error:.{digits}f}"


def _describe_test(report: Report) -> str:
    """What the test part says of the advised candidate."""
    findings, name, metric = report.findings, report.advice.name, report.findings.metric
    score = findings.scores[metric]
    points = " points" if score.percent else ""

    def mean(of: str) -> str:
        values = findings.values(metric, of)
        return f"{values.mean():.{significant(values, score.percent)}f}{' %' * score.percent}"

    def over_samples(half_width: float) -> list[str]:
        shown = score.scale * half_width
        return [f"± {shown:.{digits_of(shown, score.percent)}f} over test samples"] if shown else []

    where = "On the test parts" if report.protocol.advised else "On the test part, which had no say in this"
    row, digits = findings.row(metric, name), significant(findings.values(metric, name), score.percent)
    text = f"{where}: {name} {mean(name)}"
    text += "".join(f" ({each}, 95 %)" for each in over_samples(row.half_width_over_samples))
    if name != BASELINE:
        reliable = {0: "no reliable difference", 1: "reliably better", -1: "reliably worse"}[row.verdict]
        unit = "splits and seeds" if report.protocol.advised else "seeds"
        over_seeds = f"± {score.scale * row.interval_half_width:.{digits}f} over {unit}"
        widths = ", ".join([over_seeds, *over_samples(row.interval_half_width_over_samples)])
        difference = signed(score.scale * row.minus_classical, digits)
        text += f", {difference}{points} against {BASELINE} ({widths}, 95 %: {reliable})"
    means = findings.table["mean"].xs(metric, level="score") * (1 if score.higher_is_better else -1)
    shown = (means * score.scale).round(digits)
    better, others = means[shown > shown[name]], len(means) - 1
    if better.empty:
        text += f". None of the other {others} has a better mean there"
    else:
        verb, best = "have" if better.size > 1 else "has", str(better.idxmax())
        text += f". {better.size} of the other {others} {verb} a better mean there, the best {best}, {mean(best)}"
    return f"{text}. {name} takes {format_seconds(findings, name)} s a training."


def _listed(names: Sequence[str]) -> str:
    *most, last = names
    return f"{', '.join(most)} and {last}" if most else last
