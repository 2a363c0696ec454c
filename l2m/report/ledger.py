"""The ledger: claim, the paper's number, ours, verdict, note. Numbers from records, judgement from ``ledger.yaml``."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any, get_args

import pandas as pd
import yaml

from l2m.report import alternatives, published, studies, thresholds
from l2m.report.cells import is_percent, measure, scaled
from l2m.report.hyperparameters import proportions
from l2m.report.rows import CONTROLS, ROWS, V3, VARIANTS
from l2m.report.runs import EPOCHS, Reading, Runs
from l2m.report.statistics import interval, significant, spread
from l2m.report.verdict import RULE, Judgement, Line, Verdict, judge

BALANCED = ("mnist", "fashion_mnist", "cifar10")
"""Rows whose training set is not thinned, where the paper makes no claim of a tighter alignment."""

NO_NUMBERS = (None, None)

BAR = r"\|"
"""A bar in a cell, which would end it."""


def final(found: Iterable[Runs]) -> list[Line]:
    """Learn2mix against classical at E, in every row; the note tells the verdicts before."""
    lines = []
    for row in (*ROWS, *VARIANTS):
        cells = measure(row, found)
        ours, theirs = cells["learn2mix"], cells["classical"]
        *before, judged = [cell.judged for cell in ours if cell.judged]
        if judged.verdict != "not run":
            earlier = [f"{name}: {verdict}" for name, (verdict, *_) in zip(EPOCHS, before, strict=False)]
            judged = judged._replace(note="; ".join(filter(None, [judged.note, *earlier])))
        paper = " against ".join(cell.printed.text for cell in (ours[-1], theirs[-1]) if cell.printed) or "none"
        told = _against(ours[-1].values, theirs[-1].values, judged, is_percent(row))
        lines.append(Line(f"final.{row.name}", row.title, paper, told, judged))
    return lines


def faster(found: Iterable[Runs]) -> list[Line]:
    """The mean over all epochs of the test metric, learn2mix against each strategy that the paper compares with."""
    lines = []
    for row in ROWS:
        runs = row.runs(found)
        means = {s: scaled(run.curve().mean(), row) for s, run in runs.items()}
        for other in ("classical", "focal", "smote") if row.table == 1 else ("classical",):
            claim = f"{row.title}: faster than {other}"
            lines.append(_line(f"faster.{row.name}.{other}", claim, means, other, is_percent(row)))
    return lines


def speed(found: Iterable[Runs]) -> list[Line]:
    """Epochs to a level, and the metric at an epoch: the lines of :mod:`l2m.report.thresholds`."""
    lines = []
    reached, at = thresholds.reached(found), thresholds.at_epoch(found)
    for line in reached:
        if line.judged and line.strategy in line.claim.epochs:
            row, source = thresholds.BY_NAME[line.claim.row], line.claim.source
            ours = next(one for one in reached if one.claim is line.claim and one.strategy == "learn2mix")
            level = "a lost level" if line.claim.level is None else f"{line.claim.level:g}" + " %" * is_percent(row)
            claim = f"{row.title}: epochs to {level}, against {line.strategy} ({source})"
            paper = f"{line.claim.epochs['learn2mix'].text} against {line.claim.epochs[line.strategy].text}"
            told = ""
            if line.judged.verdict != "not run":
                told = f"{thresholds.or_never(ours)} against {thresholds.or_never(line)}{_apart(line.judged, 1)}"
            key = f"threshold.{row.name}.{source[:2]}.{line.strategy}"
            lines.append(Line(key, claim, paper, told, line.judged))
    for one in at:
        if one.judged and one.strategy in one.claim.values:
            row, source = thresholds.BY_NAME[one.claim.row], one.claim.source
            mine = next(other for other in at if other.claim is one.claim and other.strategy == "learn2mix")
            printed = [one.claim.values["learn2mix"], one.claim.values[one.strategy]]
            paper = " against ".join(number.text for number in printed if number) or "lost"
            claim = f"{row.title}: at epoch {one.claim.epoch}, against {one.strategy} ({source})"
            told = _against(mine.values, one.values, one.judged, is_percent(row))
            lines.append(Line(f"at.{row.name}.{source[:2]}.{one.strategy}", claim, paper, told, one.judged))
    return lines


def alignment(found: Iterable[Runs]) -> list[Line]:
    """The distance of test loss and training loss at E, learn2mix against classical, where the paper claims it."""
    lines = []
    for row in ROWS:
        if row.name not in BALANCED:
            gaps = {s: gap(run) for s, run in row.runs(found).items() if s in ("learn2mix", "classical")}
            lines.append(_line(f"alignment.{row.name}", row.title, gaps, "classical", False, higher_is_better=False))
    return lines


def gap(run: Runs) -> pd.Series[float]:
    """|test loss − Σ α̃_i L_i| of the last epoch, by seed; L_i of eq. 10, the last there is of a group."""
    made = {}
    for seed, table in run.groups.items():
        train = (proportions(run) * table.groupby("group")["train_loss"].last().to_numpy()).sum()
        made[seed] = abs(float(run.metrics[seed]["test_loss"].iloc[-1]) - float(train))
    return pd.Series(made, dtype=float)


def worst(found: Iterable[Runs]) -> list[Line]:
    """Worst-class accuracy at E on Imagenette and IMDB, which v3 and the talk draw."""
    lines = []
    for row in ROWS:
        if row.name in ("imagenette", "imdb"):
            ends = {s: scaled(run.at(1.0, "worst_group"), row) for s, run in row.runs(found).items()}
            lines.append(_line(f"worst.{row.name}", f"{row.title}: worst class at E", ends, "classical", True))
    return lines


def equal_seconds(found: Iterable[Runs]) -> list[Line]:
    """v3's last checkpoint: learn2mix against classical training for E epochs, after as many seconds as that took."""
    lines = []
    for claim in published.equal_seconds():
        row = V3.get(claim.row, thresholds.BY_NAME[claim.row])
        runs = row.runs(found, equal_seconds=True)
        ends = {s: scaled(run.at(1.0), row) for s, run in runs.items()}
        line = _line(f"seconds.{claim.row}", thresholds.BY_NAME[claim.row].title, ends, "classical", percent=True)
        paper = " against ".join(claim.values[s].text for s in ("learn2mix", "classical"))
        lines.append(line._replace(paper=f"{paper} after {claim.seconds} s"))
    return lines


def controls(found: Iterable[Runs]) -> list[Line]:
    """Learn2mix at E against equal shares throughout, and against the training set's in every batch."""
    lines = []
    for row in ROWS:
        ends = {s: scaled(run.at(1.0), row) for s, run in row.runs(found).items()}
        for other in CONTROLS:
            claim = f"{row.title}: better than {other} at E"
            lines.append(_line(f"controls.{row.name}.{other}", claim, ends, other, is_percent(row)))
    return lines


def overhead() -> list[Line]:
    """The cost of a step, which records can't tell."""
    judged = Judgement("not run", "", math.nan, math.nan, 0)
    return [Line("overhead", "The overhead of mixing parameters is negligible (section 4.1)", "none", "", judged)]


def sections(reading: Reading) -> dict[str, list[Line]]:
    """All claims, by heading."""
    found = reading.runs
    return {
        "Test metric at E (Tables 1 and 2)": final(found),
        "Faster convergence (sections 4.1 to 4.3)": faster(found),
        "Epochs to a level, and the metric at an epoch (sections 4.1 to 4.3)": speed(found),
        "Tighter alignment of training and test error under imbalance (sections 4.1 to 4.3)": alignment(found),
        "Worst class (v3, and the talk)": worst(found),
        "Equal seconds (v3, Table 1)": equal_seconds(found),
        "Cost": overhead(),
        "Beside two controls (not in the paper)": controls(found),
        **studies.lines(reading.studies),
    }


INTRODUCTION = {
    "Beside two controls (not in the paper)": (
        "Balanced draws equal shares of all groups throughout; stratified gives every batch the training set's own. "
        "What learn2mix has over balanced it owes to adapting; what it has over classical but not over stratified, to "
        "the lower variance of its batches."
    ),
    "Faster convergence (sections 4.1 to 4.3)": (
        "Measured by the mean of the test metric over all epochs, which needs no level to be chosen. The paper has no "
        "number for it, so that direction only is the most there can be."
    ),
    "Epochs to a level, and the metric at an epoch (sections 4.1 to 4.3)": (
        "The prose prints no sd: ours stands in for it. Where a level is lost in the text, learn2mix's mean at the "
        "paper's epoch stands for it. All strategies are in `results/tables/thresholds.md`."
    ),
    "Equal seconds (v3, Table 1)": (
        "The paper's numbers are for an RTX 3090 and the printed seconds; ours for as long as classical training takes "
        "for the row's epochs (`python -m l2m.run -m +experiment=table1_v3`). So only the direction is judged. All "
        "strategies are in `results/tables/table1_v3.md`."
    ),
}


def markdown(reading: Reading) -> str:
    """The whole of ``REPRODUCTION.md``."""
    claims, introductions = sections(reading), INTRODUCTION | studies.introductions()
    counts = Counter(line.judged.verdict for lines in claims.values() for line in lines)
    lines = [
        "# Reproduction",
        "",
        "What the paper claims, what these records say, and where the two part. Written by `make tables` from "
        "`results/`: the numbers are those of the records, the notes are in `l2m/report/ledger.yaml`.",
        "",
        f"{sum(counts.values())} claims: " + ", ".join(f"{counts[name]} {name}" for name in get_args(Verdict)) + ".",
        "",
        RULE,
        "",
        "Ours is learn2mix's mean ± sd (ddof 1) against the other strategy's; Δ is learn2mix − the other on the same "
        "seeds ± half of its 95 % t-interval, and n how many seeds both have. v1, v2 and v3 are the paper's versions.",
    ]
    for heading, told in claims.items():
        lines += ["", f"## {heading}", ""]
        if heading in introductions:
            lines += [introductions[heading], ""]
        if note := _notes().get(told[0].key.partition(".")[0]) if len(told) > 1 else None:
            lines += [note, ""]
        lines += ["| claim | paper | ours | verdict | note |", "|---|---|---|---|---|"]
        for line in told:
            note = " ".join(filter(None, [_sentence(line.judged.note), _notes().get(line.key, "")]))
            parts = (line.claim, line.paper, line.ours, line.judged.verdict, note)
            lines.append(f"| {' | '.join(part.replace('|', BAR) for part in parts)} |")
    if made := {row: some for row in ROWS if (some := alternatives.alternatives(row, reading.runs))}:
        lines += ["", "## Which settings come closest to the paper's numbers", "", alternatives.CAPTION]
        for row, settings in made.items():
            lines += ["", f"### {row.title}", "", *alternatives.markdown(row, settings)]
            if note := _notes().get(f"alternatives.{row.name}"):
                lines += ["", note]
    lines += ["", "## Where the paper, its authors' code and this suite part", ""]
    lines += ["The default is the paper's text; what can be switched names its key.", ""]
    lines += ["| what | paper | authors' code | here |", "|---|---|---|---|"]
    for entry in _content()["deviations"]:
        lines.append(f"| {entry['what']} | {entry['paper']} | {entry['authors']} | {entry['here']} |")
    return "\n".join([*lines, ""])


def _line(
    key: str,
    claim: str,
    values: Mapping[str, pd.Series[float]],
    other: str,
    percent: bool,
    higher_is_better: bool | None = None,
) -> Line:
    """Learn2mix against ``other`` where the paper has no numbers; higher is better for accuracies alone."""
    ours, theirs = values.get("learn2mix"), values.get(other)
    judged = judge(ours, theirs, NO_NUMBERS, percent if higher_is_better is None else higher_is_better, other)
    told = "" if ours is None or theirs is None else _against(ours, theirs, judged, percent)
    if judged.verdict == "direction only":
        judged = judged._replace(note="")
    return Line(key, claim, "none", told, judged)


def _against(ours: pd.Series[float], theirs: pd.Series[float], judged: Judgement, percent: bool) -> str:
    """``90.9 ± 0.8 against 89.8 ± 1.1, Δ +1.1 ± 0.6, n = 5``; empty where one is not run."""
    if judged.verdict == "not run":
        return ""
    digits = significant(ours, percent)
    return f"{spread(ours, digits)} against {spread(theirs, digits)}{_apart(judged, digits)}"


def _apart(judged: Judgement, digits: int) -> str:
    difference = interval(judged.difference, judged.half, judged.n, digits)
    return f"{f', Δ {difference}' if difference else ''}, n = {judged.n}"


def _sentence(text: str) -> str:
    """A capital at the start, unless that is a Greek letter, whose capital reads as a Latin one."""
    return f"{text[0].upper() if text[0].isascii() else text[0]}{text[1:]}." if text else ""


@cache
def _content() -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load(Path(__file__).with_suffix(".yaml").read_text(encoding="utf-8"))
    return content


def _notes() -> dict[str, str]:
    notes: dict[str, str] = _content()["notes"]
    return notes
