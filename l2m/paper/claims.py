"""What the paper claims of its rows, each claim beside what the records say of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

import numpy as np
import pandas as pd

from l2m.paper import costs as bench
from l2m.paper import epochs_to_level as thresholds
from l2m.paper import published
from l2m.paper.cells import is_percent, measure, scaled
from l2m.paper.costs import Bench
from l2m.paper.experiments import varied
from l2m.paper.results import Results
from l2m.paper.rows import CONTROLS, PAPER, ROWS, V3, VARIANTS, Row, equal_strategies
from l2m.paper.verdict import NOT_RUN, Judgement, Line, Verdict, beside, judge, paper_effect
from l2m.report.runs import EPOCHS, Runs
from l2m.report.statistics import interval, significant, spread

BALANCED = ("mnist", "fashion_mnist", "cifar10")
"""Rows whose training set is not thinned, where the paper makes no claim of a tighter alignment."""

NO_NUMBERS = (None, None)

NEGLIGIBLE = 1.05
"""Seconds of learn2mix's training, divided by classical's, up to which its overhead counts as negligible."""

NEAR = 0.25
"""Share of the distance from α̃ to L/1ᵀL that may be left at E for the proportions to count as arrived."""


def final(found: Sequence[Runs]) -> list[Line]:
    """Learn2mix against classical at E, in every row; the note has the verdicts before, and the level."""
    return [_at_checkpoints(row, "classical", found) for row in (*ROWS, *VARIANTS)]


def others(found: Sequence[Runs]) -> list[Line]:
    """The same against focal loss and SMOTE; without lines for SMOTE where it is classical training."""
    lines = []
    for row in (*ROWS, *VARIANTS):
        if row.table == 1:
            equal = equal_strategies(row.runs(found))
            compared = ("focal",) if row in VARIANTS else ("focal", "smote")  # the first version has no SMOTE
            strategies = [strategy for strategy in compared if strategy not in equal]
            lines += [_at_checkpoints(row, strategy, found) for strategy in strategies]
    return lines


def _at_checkpoints(row: Row, other: str, found: Sequence[Runs]) -> Line:
    cells = measure(row, found)
    ours, theirs = cells["learn2mix"], cells[other]
    *before, judged = [cell.judged for cell in theirs if cell.judged]
    paper = " against ".join(cell.printed.text for cell in (ours[-1], theirs[-1]) if cell.printed) or "none"
    text = _against(ours[-1].values, theirs[-1].values, judged, is_percent(row))
    if judged.paper:
        paper += f", Δ {paper_effect(judged.paper, significant(ours[-1].values, is_percent(row)))}"
    if judged.verdict != "not run":
        earlier = [f"{name}: {one.verdict}" for name, one in zip(EPOCHS, before, strict=False)]
        outside = [
            f"{name} lies {abs(cell.level.off):.{significant(cell.values, is_percent(row))}f} "
            f"{'above' if cell.level.off > 0 else 'below'} the paper's"
            for name, cell in (("learn2mix", ours[-1]), (other, theirs[-1]))
            if cell.level and not cell.level.is_within
        ]
        judged = judged._replace(note="; ".join(filter(None, [judged.note, *earlier, *outside])))
    claim = row.title if other == "classical" else f"{row.title}: better than {other}"
    return Line(f"final.{row.name}" + f".{other}" * (other != "classical"), claim, paper, text, judged)


def faster(found: Sequence[Runs]) -> list[Line]:
    """The mean over all epochs of the test metric, learn2mix against each strategy that the paper compares with."""
    lines = []
    for row in ROWS:
        runs = row.runs(found)
        means = {s: scaled(run.curve().mean(), row) for s, run in runs.items()}
        equal = equal_strategies(runs)
        for other in PAPER[1:] if row.table == 1 else PAPER[1:2]:
            if other not in equal:
                claim = f"{row.title}: faster than {_with_equals(other, equal)}"
                lines.append(_line(f"faster.{row.name}.{other}", claim, means, other, row))
    return lines


def speed(found: Sequence[Runs]) -> list[Line]:
    """Epochs to a level, and the metric at an epoch: the lines of :mod:`l2m.paper.epochs_to_level`."""
    lines = []
    reached, at = thresholds.reached(found), thresholds.at_epoch(found)
    for line in reached:
        if line.judged and line.strategy in line.claim.epochs:
            row, source = thresholds.BY_NAME[line.claim.row], line.claim.source
            if line.strategy in (equal := equal_strategies(row.runs(found))):
                continue
            ours = next(one for one in reached if one.claim is line.claim and one.strategy == "learn2mix")
            level = "a lost level" if line.claim.level is None else f"{line.claim.level:g}" + " %" * is_percent(row)
            claim = f"{row.title}: epochs to {level}, against {_with_equals(line.strategy, equal)} ({source})"
            paper = f"{line.claim.epochs['learn2mix'].text} against {line.claim.epochs[line.strategy].text}"
            text = ""
            if line.judged.verdict != "not run":
                text = f"{thresholds.or_never(ours)} against {thresholds.or_never(line)}{_apart(line.judged, 1)}"
            key = f"threshold.{row.name}.{source[:2]}.{line.strategy}"
            lines.append(Line(key, claim, paper, text, line.judged))
    for one in at:
        if one.judged and one.strategy in one.claim.values:
            row, source = thresholds.BY_NAME[one.claim.row], one.claim.source
            mine = next(other for other in at if other.claim is one.claim and other.strategy == "learn2mix")
            printed = [one.claim.values["learn2mix"], one.claim.values[one.strategy]]
            paper = " against ".join(number.text for number in printed if number) or "lost"
            claim = f"{row.title}: at epoch {one.claim.epoch}, against {one.strategy} ({source})"
            text = _against(mine.values, one.values, one.judged, is_percent(row))
            lines.append(Line(f"at.{row.name}.{source[:2]}.{one.strategy}", claim, paper, text, one.judged))
    return lines


def alignment(found: Sequence[Runs]) -> list[Line]:
    """The distance of test loss and training loss at E, learn2mix against classical, where the paper claims it."""
    lines = []
    for row in ROWS:
        if row.name not in BALANCED:
            gaps = {s: gap(run) for s, run in row.runs(found).items() if s in ("learn2mix", "classical")}
            lines.append(_line(f"alignment.{row.name}", row.title, gaps, "classical", row, percent=False))
    return lines


def gap(run: Runs) -> pd.Series[float]:
    """|test loss − Σ α̃_i L_i| of the last epoch, by seed; L_i of eq. 10, the last there is of a group."""
    made = {}
    for seed, table in run.groups.items():
        train = (run.proportions * table.groupby("group")["train_loss"].last().to_numpy()).sum()
        made[seed] = abs(float(run.metrics[seed]["test_loss"].iloc[-1]) - float(train))
    return pd.Series(made, dtype=float)


def worst(found: Sequence[Runs]) -> list[Line]:
    """Worst-class accuracy at E on Imagenette and IMDB, which v3 and the talk draw."""
    lines = []
    for row in ROWS:
        if row.name in ("imagenette", "imdb"):
            ends = {s: scaled(run.at(1.0, "worst_group"), row) for s, run in row.runs(found).items()}
            lines.append(_line(f"worst.{row.name}", f"{row.title}: worst class at E", ends, "classical", row))
    return lines


def equal_seconds(found: Sequence[Runs]) -> list[Line]:
    """v3's last checkpoint: learn2mix against classical training for E epochs, after as many seconds as that took."""
    lines = []
    for claim in published.equal_seconds():
        row = V3.get(claim.row, thresholds.BY_NAME[claim.row])
        runs = row.runs(found, equal_seconds=True)
        ends = {s: scaled(run.at(1.0), row) for s, run in runs.items()}
        line = _line(f"seconds.{claim.row}", thresholds.BY_NAME[claim.row].title, ends, "classical", row)
        paper = " against ".join(claim.values[s].text for s in ("learn2mix", "classical"))
        lines.append(line._replace(paper=f"{paper} after {claim.seconds} s"))
    return lines


def mixing_rates(found: Sequence[Runs]) -> list[Line]:
    """Footnote 1 of v1: every mixing rate from 0.01 to 0.5 improves on classical training; rows with other rates."""
    lines = []
    for row in ROWS:
        rates, classical = varied(row, found, "strategy.mixing_rate"), row.runs(found).get("classical")
        advised = {rate: run for rate, run in rates.items() if 0.01 <= run.settings["strategy.mixing_rate"] <= 0.5}
        if len(advised) < 2 or classical is None:
            continue
        base = scaled(classical.at(1.0), row)
        judged = {
            rate: judge(scaled(run.at(1.0), row), base, NO_NUMBERS, is_percent(row)) for rate, run in advised.items()
        }
        verdicts = {one.verdict for one in judged.values()}
        verdict: Verdict = next(
            (word for word in ("opposite", "too few seeds", "inconclusive") if word in verdicts), "same sign"
        )
        digits = significant(base, is_percent(row))
        text = "; ".join(
            f"γ = {rate}: Δ {interval(one.difference, one.half, one.n, digits)} (n = {one.n})"
            for rate, one in judged.items()
        )
        note = ", ".join(f"γ = {rate}: {one.verdict}" for rate, one in judged.items() if one.verdict != verdict)
        whole = judged[next(iter(judged))]._replace(verdict=verdict, note=note)
        claim = f"{row.title}: better than classical at E for every mixing rate in [0.01, 0.5] (footnote 1)"
        lines.append(Line(f"mixing_rate.{row.name}", claim, "improved performance", text, whole))
    return lines


def arrived(found: Sequence[Runs]) -> list[Line]:
    """Proposition 2.3 on the rows: at E, learn2mix's proportions are near L/1ᵀL of the same epoch."""
    text, left = [], []
    for row in ROWS:
        if run := row.runs(found).get("learn2mix"):
            distances = []
            for table in run.groups.values():
                last = table[table["epoch"] == table["epoch"].max()]
                losses = last["train_loss"].to_numpy()
                shares = losses / losses.sum()
                ends = (last["proportion"].to_numpy(), run.proportions)
                distances.append([float(np.nanmax(np.abs(proportions - shares))) for proportions in ends])
            left.append(max(end / start for end, start in distances))
            text.append(f"{row.title} {max(end for end, _ in distances):.3f} (n = {len(distances)})")
    if not text:
        return [Line("arrived", "α → L/1ᵀL on the rows (Proposition 2.3)", "none", "", NOT_RUN)]
    note = f"confirmed if at most {NEAR:.0%} of the way from α̃ is left in every run; at most {max(left):.0%} is"
    judged = NOT_RUN._replace(verdict="confirmed" if max(left) <= NEAR else "contradicted", note=note)
    ours = f"largest |α_E − L/1ᵀL| of a group and seed: {', '.join(text)}"
    return [Line("arrived", "α → L/1ᵀL on the rows (Proposition 2.3)", "α* = L(θ*)/1ᵀL(θ*)", ours, judged)]


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
    none = Line("overhead", "The overhead of mixing parameters is negligible (section 4.1)", "none", "", NOT_RUN)
    return lines or [none._replace(judged=NOT_RUN._replace(note="`make bench` measures it, in an hour"))]


def valuation() -> list[Line]:
    """The talk's table of test accuracies of guided mixup on seven data sets, which is not run."""
    claim = "Guided mixup is better than mixup on seven data sets (the talk's table of test accuracies)"
    note = (
        "`+experiment=mixup_table` is its CIFAR-10 and CIFAR-100: 20 runs of 600 epochs of a ResNet-18, days of a GPU"
    )
    paper = "CIFAR-10 96.62 against 96.41, CIFAR-100 81.55 against 80.08"
    return [Line("valuation", claim, paper, "", NOT_RUN._replace(note=note))]


def controls(found: Sequence[Runs]) -> list[Line]:
    """Learn2mix at E beside equal shares throughout, and the training set's in every batch; equal runs once."""
    lines = []
    for row in ROWS:
        runs = row.runs(found)
        ends = {s: scaled(run.at(1.0), row) for s, run in runs.items()}
        equal = equal_strategies(runs)
        for other in CONTROLS:
            if other not in equal:
                name = _with_equals(other, equal)
                ours, theirs = ends.get("learn2mix"), ends.get(other)
                judged = beside(ours, theirs, is_percent(row))
                text = _against(ours, theirs, judged, is_percent(row))
                lines.append(Line(f"controls.{row.name}.{other}", f"{row.title}: {name}", "none", text, judged))
    return lines


def sections(results: Results) -> dict[str, list[Line]]:
    """All claims of the paper, by heading; those that are not run come with their cost."""
    found = results.runs
    priced = partial(_priced, benches=results.benches)
    claims = {
        "Against classical training at E (Tables 1 and 2)": final(found),
        "Against focal loss and SMOTE at E (Table 1)": others(found),
        "Faster convergence (sections 4.1 to 4.3)": faster(found),
        "Epochs to a level, and the metric at an epoch (sections 4.1 to 4.3)": speed(found),
        "Tighter alignment of training and test error under imbalance (sections 4.1 to 4.3)": alignment(found),
        "Worst class (v3, and the talk)": worst(found),
        "Equal seconds (v3, Table 1)": equal_seconds(found),
        "The mixing rate (v1, footnote 1)": mixing_rates(found),
        "The limit of the mixing parameters (Proposition 2.3)": arrived(found),
        "Cost": overhead(results.benches),
        "Guided mixup on other data (the talk)": valuation(),
    }
    return {heading: [priced(line) for line in lines] for heading, lines in claims.items() if lines}


def _priced(line: Line, benches: Sequence[Bench]) -> Line:
    """A line that is not run, with what running it costs."""
    row = next((word for word in line.key.split(".") if word in thresholds.BY_NAME), None)
    if line.judged.verdict != "not run" or row is None:
        return line
    note = "; ".join(filter(None, [line.judged.note, bench.cost(row, benches)]))
    return line._replace(judged=line.judged._replace(note=note))


def _with_equals(strategy: str, equal: Mapping[str, str]) -> str:
    """A strategy, and those of which its runs are by construction: ``classical = smote``."""
    return " = ".join([strategy, *(each for each, other in equal.items() if other == strategy)])


def _line(
    key: str, claim: str, values: Mapping[str, pd.Series[float]], other: str, row: Row, percent: bool | None = None
) -> Line:
    """Learn2mix against ``other`` where the paper has no numbers; higher is better for accuracies alone."""
    ours, theirs = values.get("learn2mix"), values.get(other)
    percent = is_percent(row) if percent is None else percent
    judged = judge(ours, theirs, NO_NUMBERS, percent)
    return Line(key, claim, "none", _against(ours, theirs, judged, percent), judged)


def _against(ours: pd.Series[float] | None, theirs: pd.Series[float] | None, judged: Judgement, percent: bool) -> str:
    """``90.9 ± 0.8 against 89.8 ± 1.1, Δ +1.1 ± 0.6, n = 5``; empty where one is not run.

    A mean of more seeds than both have comes with its own n.
    """
    if ours is None or theirs is None or judged.verdict == "not run":
        return ""
    digits = significant(ours, percent)
    means = [
        spread(values, digits) + (f" (n = {len(values)})" if len(values) != judged.n else "")
        for values in (ours, theirs)
    ]
    return f"{' against '.join(means)}{_apart(judged, digits)}"


def _apart(judged: Judgement, digits: int) -> str:
    difference = interval(judged.difference, judged.half, judged.n, digits)
    return f"{f', Δ {difference}' if difference else ''}, n = {judged.n}"
