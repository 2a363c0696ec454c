"""The paper's claims on its rows, each with a verdict from the records."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np
import pandas as pd

from l2m.paper import speed
from l2m.paper.cells import measure
from l2m.paper.experiments import varied
from l2m.paper.results import Bench, Results
from l2m.paper.rows import ALL, BY_NAME, CONTROLS, PAPER, ROWS, VARIANTS, equal_strategies, with_equal
from l2m.paper.speed import Measured
from l2m.paper.verdict import NOT_RUN, Judgement, Line, Verdict, judge, judge_against, paper_effect
from l2m.report.runs import EPOCHS, Runs
from l2m.report.statistics import significant, spread

BALANCED = ("mnist", "fashion_mnist", "cifar10")
"""Rows whose training set is not thinned, where the paper makes no claim of a tighter alignment."""

NEGLIGIBLE = 1.05
"""Up to this ratio of seconds of training to classical's, the overhead is negligible; ``ledger.yaml`` states it too."""

NEAR = 0.25
"""Share of the distance from α̃ to L/1ᵀL that may be left at E for the proportions to count as arrived."""


def sections(results: Results) -> dict[str, list[Line]]:
    """All claims of the paper, by heading; those not run with their cost."""
    all_runs = results.runs
    claims: dict[str, Iterable[Line]] = {
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
    priced = {heading: [_priced(line, results.benches) for line in lines] for heading, lines in claims.items()}
    return {heading: lines for heading, lines in priced.items() if lines}


def _priced(line: Line, benches: Sequence[Bench]) -> Line:
    """A line; if it is not run, its note says what running it costs."""
    row = next((word for word in line.key.split(".") if word in BY_NAME), None)
    if line.judged.verdict != "not run" or row is None:
        return line
    cost = next(filter(None, (bench.cost(row) for bench in benches)), "")
    note = "; ".join(filter(None, [line.judged.note, cost]))
    return line._replace(judged=line.judged._replace(note=note))


def final(all_runs: Sequence[Runs], *others: str) -> Iterator[Line]:
    """Learn2mix against other strategies of the paper at E; the note has the verdicts before, and the level."""
    for row in ALL:
        cells = measure(row, all_runs)
        for other in (s for s in others if s in cells and not (row in VARIANTS and s == "smote")):  # v1 has no SMOTE
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
            yield Line(key, claim, paper, text, judged)


def faster(all_runs: Sequence[Runs]) -> Iterator[Line]:
    """The mean over all epochs of the test metric, learn2mix against each strategy that the paper compares with."""
    for row in ROWS:
        runs = row.runs(all_runs)
        means, equal = {s: run.curve().mean() for s, run in with_equal(runs).items()}, equal_strategies(runs)
        for other in (s for s in PAPER[1:] if s in row.strategies and s not in equal):
            claim = f"{row.title}: faster than {_with_equals(other, equal)}"
            yield _line(f"faster.{row.name}.{other}", claim, means, other, row.is_percent)


def alignment(all_runs: Sequence[Runs]) -> Iterator[Line]:
    """The distance of test loss and training loss at E, learn2mix against classical, where the paper claims it."""
    for row in (row for row in ROWS if row.name not in BALANCED):
        gaps = {s: gap(run) for s, run in row.runs(all_runs).items() if s in ("learn2mix", "classical")}
        yield _line(f"alignment.{row.name}", row.title, gaps, "classical", is_percent=False)


def gap(run: Runs) -> pd.Series[float]:
    """|test loss − Σ α̃_i L_i| of the last epoch, by seed; L_i of eq. 10, a group's last."""
    made = {}
    for seed, table in run.groups.items():
        train = (run.proportions * table.groupby("group")["train_loss"].last().to_numpy()).sum()
        made[seed] = abs(float(run.metrics[seed]["test_loss"].iloc[-1]) - float(train))
    return pd.Series(made, dtype=float)


def worst(all_runs: Sequence[Runs]) -> Iterator[Line]:
    """Worst-class accuracy at E on Imagenette and IMDB, which v3 and the talk draw."""
    for row in (BY_NAME["imagenette"], BY_NAME["imdb"]):
        ends = {s: run.at(1.0, "worst_group") for s, run in row.runs(all_runs).items()}
        yield _line(f"worst.{row.name}", f"{row.title}: worst class at E", ends, "classical", True)


def controls(results: Results) -> Iterator[Line]:
    """Learn2mix at E beside equal shares throughout, and the training set's in every batch; equal runs once."""
    for row in ROWS:
        runs = row.runs(results.runs)
        ends, equal = {s: run.at(1.0) for s, run in with_equal(runs).items()}, equal_strategies(runs)
        for other in (s for s in CONTROLS if s not in equal):
            claim = f"{row.title}: {_with_equals(other, equal)}"
            line = _line(f"controls.{row.name}.{other}", claim, ends, other, row.is_percent)
            yield _priced(line, results.benches)


def _line(key: str, claim: str, values: Mapping[str, pd.Series[float]], other: str, is_percent: bool) -> Line:
    """Learn2mix against ``other`` where the paper has no numbers; higher is better for accuracies alone."""
    ours, theirs = values.get("learn2mix"), values.get(other)
    judged = judge_against(other, ours, theirs, (None, None), is_percent)
    return Line(key, claim, "none", _against(ours, theirs, judged, is_percent), judged)


def prose(all_runs: Sequence[Runs]) -> Iterator[Line]:
    """Epochs to a level, and the metric at an epoch: the paper's claims in :mod:`l2m.paper.speed`."""
    for ours, line, judged in _against_learn2mix(speed.reached(all_runs)):
        equal = equal_strategies(line.row.runs(all_runs))
        if line.strategy not in equal:
            level = "a lost level" if line.claim.at is None else f"{line.claim.at:g}" + " %" * line.row.is_percent
            claim = f"epochs to {level}, against {_with_equals(line.strategy, equal)}"
            both = (speed.or_never(each.cell.values, judged.difference.n) for each in (ours, line))
            text = f"{' against '.join(both)}{_difference(judged, 1)}"
            yield _of_prose("threshold", line, claim, "" if judged.verdict == "not run" else text, judged)
    for ours, line, judged in _against_learn2mix(speed.at_epoch(all_runs)):
        claim = f"at epoch {line.claim.at}, against {line.strategy}"
        text = _against(ours.cell.values, line.cell.values, judged, line.row.is_percent)
        yield _of_prose("at", line, claim, text, judged)


def _against_learn2mix(lines: Iterable[Measured]) -> Iterator[tuple[Measured, Measured, Judgement]]:
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


def equal_seconds(all_runs: Sequence[Runs]) -> Iterator[Line]:
    """v3's last checkpoint: learn2mix against classical training for E epochs, after as many seconds as that took."""
    for ours, theirs, judged in _against_learn2mix(speed.equal_seconds(all_runs)):
        if theirs.strategy == "classical":
            paper = f"{ours.paper} against {theirs.paper} after {theirs.claim.at} s"
            text = _against(ours.cell.values, theirs.cell.values, judged, True)
            yield Line(f"seconds.{theirs.row.name}", theirs.row.title, paper, text, judged)


def mixing_rates(all_runs: Sequence[Runs]) -> Iterator[Line]:
    """Footnote 1 of v1: every mixing rate from 0.01 to 0.5 improves on classical training; rows with other rates."""
    for row in ROWS:
        rates, classical = varied(row, all_runs, "strategy.mixing_rate"), row.runs(all_runs).get("classical")
        advised = {rate: run for rate, run in rates.items() if 0.01 <= run.settings["strategy.mixing_rate"] <= 0.5}
        if len(advised) < 2 or classical is None:
            continue
        base = classical.at(1.0)
        digits = significant(base, row.is_percent)
        judged = {rate: judge(run.at(1.0), base, (None, None), row.is_percent) for rate, run in advised.items()}
        worst: tuple[Verdict, ...] = ("opposite", "too few seeds", "inconclusive", "same sign")
        verdict = min((one.verdict for one in judged.values()), key=worst.index)
        differences = ((rate, one.difference) for rate, one in judged.items())
        text = "; ".join(f"γ = {rate}: Δ {each.text(digits)} (n = {each.n})" for rate, each in differences)
        note = ", ".join(f"γ = {rate}: {one.verdict}" for rate, one in judged.items() if one.verdict != verdict)
        claim = f"{row.title}: better than classical at E for every mixing rate in [0.01, 0.5] (footnote 1)"
        yield Line(f"mixing_rate.{row.name}", claim, "improved performance", text, Judgement(verdict, note))


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
    claim = "α → L/1ᵀL on the rows (Proposition 2.3)"
    if not text:
        return Line("arrived", claim, "none", "", NOT_RUN)
    note = f"confirmed if at most {NEAR:.0%} of the way from α̃ is left in every run; at most {max(left):.0%} is"
    ours = f"largest |α_E − L/1ᵀL| of a group and seed: {', '.join(text)}"
    judged = Judgement("confirmed" if max(left) <= NEAR else "contradicted", note)
    return Line("arrived", claim, "α* = L(θ*)/1ᵀL(θ*)", ours, judged)


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
            lines.append(Line(f"overhead.{row.name}", row.title, "negligible", text, Judgement(verdict)))
    claim = "The overhead of mixing parameters is negligible (section 4.1)"
    none = Judgement("not run", "`make bench` measures it, in an hour")
    return lines or [Line("overhead", claim, "none", "", none)]


VALUATION = Line(
    "valuation",
    "Guided mixup is better than mixup on seven data sets (the talk's table of test accuracies)",
    "CIFAR-10 96.62 against 96.41, CIFAR-100 81.55 against 80.08",
    "",
    Judgement(
        "not run",
        "`+experiment=mixup_table` is its CIFAR-10 and CIFAR-100: 20 runs of 600 epochs of a ResNet-18, days of a GPU",
    ),
)


def _with_equals(strategy: str, equal: Mapping[str, str]) -> str:
    """A strategy, and those whose runs are the same by construction: ``classical = smote``."""
    return " = ".join([strategy, *(each for each, other in equal.items() if other == strategy)])


def _against(
    ours: pd.Series[float] | None, theirs: pd.Series[float] | None, judged: Judgement, is_percent: bool
) -> str:
    """``90.9 ± 0.8 (n = 6) against 89.8 ± 1.1, Δ +1.1 ± 0.6, n = 5``; empty where one is not run."""
    if ours is None or theirs is None or judged.verdict == "not run":
        return ""
    digits, n = significant(ours, is_percent), judged.difference.n
    both = [spread(each, digits) + f" (n = {len(each)})" * (len(each) != n) for each in (ours, theirs)]
    return f"{' against '.join(both)}{_difference(judged, digits)}"


def _difference(judged: Judgement, digits: int) -> str:
    difference = judged.difference.text(digits)
    return f"{f', Δ {difference}' if difference else ''}, n = {judged.difference.n}"
