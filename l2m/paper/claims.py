"""The paper's claims on its rows, each with a verdict from the records."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import pandas as pd

from l2m.paper import speed
from l2m.paper.cells import judge_against, measure
from l2m.paper.experiments import varied
from l2m.paper.results import Bench, Results
from l2m.paper.rows import ALL, BY_NAME, CONTROLS, PAPER, ROWS, VARIANTS, equal_strategies, with_equal
from l2m.paper.speed import Measured
from l2m.paper.verdict import NOT_RUN, Judgement, Line, Verdict, judge, paper_effect
from l2m.report.runs import EPOCHS, Runs
from l2m.report.statistics import significant, spread

BALANCED = ("mnist", "fashion_mnist", "cifar10")
"""Rows whose training set is not thinned, where the paper makes no claim of a tighter alignment."""

NO_NUMBERS = (None, None)

NEGLIGIBLE = 1.05
"""Up to this ratio of seconds of training to classical's, the overhead is negligible; ``ledger.yaml`` states it too."""

NEAR = 0.25
"""Share of the distance from α̃ to L/1ᵀL that may be left at E for the proportions to count as arrived."""


def sections(results: Results) -> dict[str, list[Line]]:
    """All claims of the paper, by heading; those not run with their cost."""
    all_runs = results.runs
    claims = {
        "Against classical training at E (Tables 1 and 2)": final(all_runs, "classical"),
        "Against focal loss and SMOTE at E (Table 1)": final(all_runs, "focal", "smote"),
        "Faster convergence (sections 4.1 to 4.3)": faster(all_runs),
        "Epochs to a level, and the metric at an epoch (sections 4.1 to 4.3)": prose(all_runs),
        "Tighter alignment of training and test error under imbalance (sections 4.1 to 4.3)": alignment(all_runs),
        "Worst class (v3, and the talk)": worst(all_runs),
        "Equal seconds (v3, Table 1)": equal_seconds(all_runs),
        "The mixing rate (v1, footnote 1)": mixing_rates(all_runs),
        "The limit of the mixing parameters (Proposition 2.3)": [arrived(all_runs)],
        "Cost": overhead(results.benches),
        "Guided mixup on other data (the talk)": [VALUATION],
    }
    return {heading: [_priced(line, results.benches) for line in lines] for heading, lines in claims.items() if lines}


def _priced(line: Line, benches: Sequence[Bench]) -> Line:
    """A line; if it is not run, its note says what running it costs."""
    row = next((word for word in line.key.split(".") if word in BY_NAME), None)
    if line.judged.verdict != "not run" or row is None:
        return line
    cost = next(filter(None, (bench.cost(row) for bench in benches)), "")
    note = "; ".join(filter(None, [line.judged.note, cost]))
    return line._replace(judged=line.judged._replace(note=note))


def final(all_runs: Sequence[Runs], *others: str) -> list[Line]:
    """Learn2mix against other strategies of the paper at E; the note has the verdicts before, and the level.

    Without lines for SMOTE where it is classical training, and on the first version's rows, which has no SMOTE.
    """
    lines = []
    for row in ALL:
        cells = measure(row, all_runs)
        for other in (s for s in others if s in cells and not (row in VARIANTS and s == "smote")):
            ours, theirs = cells["learn2mix"][-1], cells[other][-1]
            if theirs.equal_to:
                continue
            *before, judged = [cell.judged for cell in cells[other] if cell.judged]
            paper = " against ".join(cell.printed.text for cell in (ours, theirs) if cell.printed) or "none"
            if judged.paper:
                paper += f", Δ {paper_effect(judged.paper, ours.digits)}"
            text = _against(ours.values, theirs.values, judged, row.is_percent)
            if judged.verdict != "not run":
                notes = [judged.note, *(f"{name}: {one.verdict}" for name, one in zip(EPOCHS, before, strict=False))]
                for name, cell in (("learn2mix", ours), (other, theirs)):
                    if cell.level and not cell.level.is_within:
                        side = "above" if cell.level.off > 0 else "below"
                        notes.append(f"{name} lies {abs(cell.level.off):.{cell.digits}f} {side} the paper's")
                judged = judged._replace(note="; ".join(filter(None, notes)))
            key, claim = f"final.{row.name}", row.title
            if other != "classical":
                key, claim = f"{key}.{other}", f"{claim}: better than {other}"
            lines.append(Line(key, claim, paper, text, judged))
    return lines


def faster(all_runs: Sequence[Runs]) -> list[Line]:
    """The mean over all epochs of the test metric, learn2mix against each strategy that the paper compares with."""
    lines = []
    for row in ROWS:
        runs = row.runs(all_runs)
        means, equal = {s: run.curve().mean() for s, run in with_equal(runs).items()}, equal_strategies(runs)
        for other in (s for s in PAPER[1:] if s in row.strategies and s not in equal):
            claim = f"{row.title}: faster than {_with_equals(other, equal)}"
            lines.append(_line(f"faster.{row.name}.{other}", claim, means, other, row.is_percent))
    return lines


def alignment(all_runs: Sequence[Runs]) -> list[Line]:
    """The distance of test loss and training loss at E, learn2mix against classical, where the paper claims it."""
    lines = []
    for row in (row for row in ROWS if row.name not in BALANCED):
        gaps = {s: gap(run) for s, run in row.runs(all_runs).items() if s in ("learn2mix", "classical")}
        lines.append(_line(f"alignment.{row.name}", row.title, gaps, "classical", is_percent=False))
    return lines


def gap(run: Runs) -> pd.Series[float]:
    """|test loss − Σ α̃_i L_i| of the last epoch, by seed; L_i of eq. 10, a group's last."""
    made = {}
    for seed, table in run.groups.items():
        train = (run.proportions * table.groupby("group")["train_loss"].last().to_numpy()).sum()
        made[seed] = abs(float(run.metrics[seed]["test_loss"].iloc[-1]) - float(train))
    return pd.Series(made, dtype=float)


def worst(all_runs: Sequence[Runs]) -> list[Line]:
    """Worst-class accuracy at E on Imagenette and IMDB, which v3 and the talk draw."""
    lines = []
    for row in (BY_NAME["imagenette"], BY_NAME["imdb"]):
        ends = {s: run.at(1.0, "worst_group") for s, run in row.runs(all_runs).items()}
        lines.append(_line(f"worst.{row.name}", f"{row.title}: worst class at E", ends, "classical", True))
    return lines


def controls(results: Results) -> list[Line]:
    """Learn2mix at E beside equal shares throughout, and the training set's in every batch; equal runs once."""
    lines = []
    for row in ROWS:
        runs = row.runs(results.runs)
        ends, equal = {s: run.at(1.0) for s, run in with_equal(runs).items()}, equal_strategies(runs)
        for other in (s for s in CONTROLS if s not in equal):
            claim = f"{row.title}: {_with_equals(other, equal)}"
            line = _line(f"controls.{row.name}.{other}", claim, ends, other, row.is_percent)
            lines.append(_priced(line, results.benches))
    return lines


def _line(key: str, claim: str, values: Mapping[str, pd.Series[float]], other: str, is_percent: bool) -> Line:
    """Learn2mix against ``other`` where the paper has no numbers; higher is better for accuracies alone."""
    ours, theirs = values.get("learn2mix"), values.get(other)
    judged = judge_against(other, ours, theirs, NO_NUMBERS, is_percent)
    return Line(key, claim, "none", _against(ours, theirs, judged, is_percent), judged)


def prose(all_runs: Sequence[Runs]) -> list[Line]:
    """Epochs to a level, and the metric at an epoch: the paper's claims in :mod:`l2m.paper.speed`."""
    lines = []
    for ours, line, judged in _against_learn2mix(speed.reached(all_runs)):
        equal = equal_strategies(line.row.runs(all_runs))
        if line.strategy not in equal:
            level = "a lost level" if line.claim.at is None else f"{line.claim.at:g}" + " %" * line.row.is_percent
            claim = f"epochs to {level}, against {_with_equals(line.strategy, equal)}"
            both = (speed.or_never(each.cell.values, judged.difference.n) for each in (ours, line))
            text = f"{' against '.join(both)}{_difference(judged, 1)}"
            lines.append(_of_prose("threshold", line, claim, "" if judged.verdict == "not run" else text, judged))
    for ours, line, judged in _against_learn2mix(speed.at_epoch(all_runs)):
        claim = f"at epoch {line.claim.at}, against {line.strategy}"
        text = _against(ours.cell.values, line.cell.values, judged, line.row.is_percent)
        lines.append(_of_prose("at", line, claim, text, judged))
    return lines


def _against_learn2mix(lines: Sequence[Measured]) -> Iterator[tuple[Measured, Measured, Judgement]]:
    """Learn2mix's line, which is the first of its claim, each other that the paper has, and the verdict."""
    for line in lines:
        if line.strategy == "learn2mix":
            ours = line
        elif line.cell.judged and line.strategy in line.claim.values:
            yield ours, line, line.cell.judged


def _of_prose(kind: str, line: Measured, claim: str, text: str, judged: Judgement) -> Line:
    source, printed = line.claim.source, [line.claim.values[s] for s in ("learn2mix", line.strategy)]
    paper = " against ".join(number.text for number in printed if number) or "lost"
    key = f"{kind}.{line.row.name}.{source[:2]}.{line.strategy}"
    return Line(key, f"{line.row.title}: {claim} ({source})", paper, text, judged)


def equal_seconds(all_runs: Sequence[Runs]) -> list[Line]:
    """v3's last checkpoint: learn2mix against classical training for E epochs, after as many seconds as that took."""
    lines = []
    for ours, theirs, judged in _against_learn2mix(speed.equal_seconds(all_runs)):
        if theirs.strategy == "classical":
            paper = f"{ours.paper} against {theirs.paper} after {theirs.claim.at} s"
            text = _against(ours.cell.values, theirs.cell.values, judged, True)
            lines.append(Line(f"seconds.{theirs.row.name}", theirs.row.title, paper, text, judged))
    return lines


def mixing_rates(all_runs: Sequence[Runs]) -> list[Line]:
    """Footnote 1 of v1: every mixing rate from 0.01 to 0.5 improves on classical training; rows with other rates."""
    lines = []
    for row in ROWS:
        rates, classical = varied(row, all_runs, "strategy.mixing_rate"), row.runs(all_runs).get("classical")
        advised = {rate: run for rate, run in rates.items() if 0.01 <= run.settings["strategy.mixing_rate"] <= 0.5}
        if len(advised) < 2 or classical is None:
            continue
        base = classical.at(1.0)
        judged = {f"γ = {rate}": judge(run.at(1.0), base, NO_NUMBERS, row.is_percent) for rate, run in advised.items()}
        verdicts = [one.verdict for one in judged.values()]
        worst: tuple[Verdict, ...] = ("opposite", "too few seeds", "inconclusive")
        verdict: Verdict = next((word for word in worst if word in verdicts), "same sign")
        digits = significant(base, row.is_percent)
        text = "; ".join(
            f"{rate}: Δ {one.difference.text(digits)} (n = {one.difference.n})" for rate, one in judged.items()
        )
        note = ", ".join(f"{rate}: {one.verdict}" for rate, one in judged.items() if one.verdict != verdict)
        claim = f"{row.title}: better than classical at E for every mixing rate in [0.01, 0.5] (footnote 1)"
        lines.append(Line(f"mixing_rate.{row.name}", claim, "improved performance", text, Judgement(verdict, note)))
    return lines


def arrived(all_runs: Sequence[Runs]) -> Line:
    """Proposition 2.3 on the rows: at E, learn2mix's proportions are near L/1ᵀL of the same epoch."""
    text, left = [], []
    for row in ROWS:
        if run := row.runs(all_runs).get("learn2mix"):
            ends = []
            for table in run.groups.values():
                last = table[table["epoch"] == table["epoch"].max()]
                shares = last["train_loss"].to_numpy() / last["train_loss"].sum()
                end, start = (float(np.nanmax(np.abs(p - shares))) for p in (last["proportion"], run.proportions))
                ends.append(end)
                left.append(end / start)
            text.append(f"{row.title} {max(ends):.3f} (n = {len(ends)})")
    line = Line("arrived", "α → L/1ᵀL on the rows (Proposition 2.3)", "none", "", NOT_RUN)
    if not text:
        return line
    note = f"confirmed if at most {NEAR:.0%} of the way from α̃ is left in every run; at most {max(left):.0%} is"
    judged = NOT_RUN._replace(verdict="confirmed" if max(left) <= NEAR else "contradicted", note=note)
    ours = f"largest |α_E − L/1ᵀL| of a group and seed: {', '.join(text)}"
    return line._replace(paper="α* = L(θ*)/1ᵀL(θ*)", ours=ours, judged=judged)


def overhead(benches: Sequence[Bench]) -> list[Line]:
    """Seconds of learn2mix's training divided by classical's, row by row, as ``make bench`` measured them."""
    lines = []
    for row in ROWS:
        ratios = {one.machine: ratio for one in benches if (ratio := one.ratio(row.name))}
        if ratios:
            text = "; ".join(f"{q[0]:.2f} ({q[1]:.2f} to {q[2]:.2f}) on {machine}" for machine, q in ratios.items())
            verdict: Verdict = "inconclusive"
            if all(high <= NEGLIGIBLE for *_, high in ratios.values()):
                verdict = "confirmed"
            elif all(low > NEGLIGIBLE for _, low, _ in ratios.values()):
                verdict = "contradicted"
            lines.append(Line(f"overhead.{row.name}", row.title, "negligible", text, NOT_RUN._replace(verdict=verdict)))
    none = NOT_RUN._replace(note="`make bench` measures it, in an hour")
    return lines or [
        Line("overhead", "The overhead of mixing parameters is negligible (section 4.1)", "none", "", none)
    ]


VALUATION = Line(
    "valuation",
    "Guided mixup is better than mixup on seven data sets (the talk's table of test accuracies)",
    "CIFAR-10 96.62 against 96.41, CIFAR-100 81.55 against 80.08",
    "",
    NOT_RUN._replace(
        note="`+experiment=mixup_table` is its CIFAR-10 and CIFAR-100: 20 runs of 600 epochs of a ResNet-18, days of a "
        "GPU"
    ),
)


def _with_equals(strategy: str, equal: Mapping[str, str]) -> str:
    """A strategy, and those whose runs are the same by construction: ``classical = smote``."""
    return " = ".join([strategy, *(each for each, other in equal.items() if other == strategy)])


def _against(
    ours: pd.Series[float] | None, theirs: pd.Series[float] | None, judged: Judgement, is_percent: bool
) -> str:
    """``90.9 ± 0.8 against 89.8 ± 1.1, Δ +1.1 ± 0.6, n = 5``; empty where one is not run.

    A mean over more seeds than both have comes with its own n.
    """
    if ours is None or theirs is None or judged.verdict == "not run":
        return ""
    digits, n = significant(ours, is_percent), judged.difference.n
    both = [spread(each, digits) + f" (n = {len(each)})" * (len(each) != n) for each in (ours, theirs)]
    return f"{' against '.join(both)}{_difference(judged, digits)}"


def _difference(judged: Judgement, digits: int) -> str:
    difference = judged.difference.text(digits)
    return f"{f', Δ {difference}' if difference else ''}, n = {judged.difference.n}"
