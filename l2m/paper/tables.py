"""The paper's Tables 1 and 2 with ours and the paper's numbers side by side, in Markdown, LaTeX and CSV.

Everything here is a function of the records: the same text to the byte, wherever it is made.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from l2m.paper import epochs_to_level as thresholds
from l2m.paper import equal_seconds, hyperparameters, imbalance, latex, mixers, when
from l2m.paper.cells import Cell, describe_level, is_percent, measure, told
from l2m.paper.results import Results
from l2m.paper.rows import ROWS, VARIANTS, Row, commands, missing
from l2m.paper.verdict import BESIDE_RULE, EFFECT_RULE, LEVEL_RULE, Judgement, paper_effect
from l2m.report.runs import EPOCHS
from l2m.report.statistics import interval, significant, spread

METRICS = {1: "Test accuracy in %", 2: "Test error"}

UNITS = (
    "Errors are squared: of the mean for Mean Estimation, in points for Wine Quality, in units of 100 000 $ for "
    "California Housing, summed over an image's pixels for reconstruction."
)


def both(found: Results) -> tuple[Table, Table]:
    """Tables 1 and 2 of the test metric."""
    return table(1, found), table(2, found)


def files(found: Results, main: tuple[Table, Table]) -> dict[str, str]:
    """What ``results/tables`` holds, of which ``main`` is :func:`both`: the text of each file, by its name."""
    made = {}
    for number, whole in enumerate(main, start=1):
        worst = table(number, found, "worst_group")
        made[f"table{number}.md"] = f"# Table {number}\n\n{markdown(whole)}"
        made[f"table{number}.tex"] = tex(whole, f"tab:l2m-table{number}")
        made[f"table{number}.csv"] = csv(frame(whole))
        made[f"worst_group{number}.md"] = f"# Table {number}, worst group\n\n{markdown(worst)}"
        made[f"worst_group{number}.csv"] = csv(frame(worst))
    settings = hyperparameters.settings(found.runs)
    made["table3.md"] = f"# Table 3\n\n{hyperparameters.markdown(settings)}"
    made["table3.tex"] = hyperparameters.tex(settings, "tab:l2m-table3")
    made["table3.csv"] = csv(hyperparameters.frame(settings))
    ended = equal_seconds.ended(found.runs)
    made["table1_v3.md"] = f"# Table 1 of the third version\n\n{equal_seconds.markdown(ended)}"
    made["table1_v3.csv"] = csv(equal_seconds.frame(ended))
    speed = thresholds.reached(found.runs), thresholds.at_epoch(found.runs)
    made["thresholds.md"] = thresholds.markdown(*speed)
    made["thresholds.csv"] = csv(thresholds.frame(*speed))
    mixed = mixers.compared(found.runs)
    made["mixers.md"] = f"# Other mixers\n\n{mixers.markdown(mixed, found.runs)}"
    made["mixers.csv"] = csv(mixers.frame(mixed))
    places = imbalance.grid(found.runs)
    made["imbalance_and_rate.md"] = f"# Imbalance and learning rate\n\n{imbalance.markdown(places)}"
    made["imbalance_and_rate.csv"] = csv(imbalance.frame(places))
    return made


def blocks(found: Results, main: tuple[Table, Table]) -> dict[str, str]:
    """What stands between marks in README.md and docs/, by the marks' name."""
    return {"results": overview(main), "when": when.overview(found), "opponents": when.opponents(found)}


def csv(frame: pd.DataFrame) -> str:
    """Six significant digits; what is missing is empty."""
    text: str = frame.to_csv(index=False, float_format="%.6g", lineterminator="\n")
    return text


@dataclass(frozen=True)
class Table:
    """A table of the paper.

    Attributes:
        title: what is in the cells.
        cells: by row and strategy, at the three checkpoints.
        lacking: by row and strategy, the seeds of the paper's five that have no run.
        unfinished: how many runs failed, or go on, by data set, strategy and status.
        judged: whether the paper's numbers and the verdict stand in it.
    """

    title: str
    cells: Mapping[Row, Mapping[str, list[Cell]]]
    lacking: Mapping[str, Mapping[str, tuple[int, ...]]]
    unfinished: Mapping[tuple[str, str, str], int]
    judged: bool = True


def table(number: int, found: Results, column: str = "test_metric") -> Table:
    """Table ``number`` of the paper, 1 or 2, from ``column`` of the records' ``metrics.csv``."""
    rows = [row for row in (*ROWS, *VARIANTS) if row.table == number]
    worst = column == "worst_group"
    names = {row.name for row in rows}
    return Table(
        title=METRICS[number] + (" of the worst group" if worst else ""),
        cells={row: measure(row, found.runs, column) for row in rows},
        lacking={row.name: lack for row in rows if (lack := missing(row, found.runs, row.strategies))},
        unfinished=Counter({key: n for key, n in sorted(found.unfinished.items()) if key[0] in names}),
        judged=not worst,
    )


def caption(table: Table) -> str:
    """What the cells hold, how many seeds there are, what ± is, and the rule of the verdict."""
    counts = {len(cells[0].values) for by_strategy in table.cells.values() for cells in by_strategy.values()} - {0}
    n = f"n is {' to '.join(map(str, sorted({min(counts), max(counts)})))}" if counts else "none is run"
    return " ".join(filter(None, [
        f"{table.title}: mean ± sd (ddof 1) over n seeds at epochs ⌊0.25E⌋, ⌊0.5E⌋ and E; {n}.",
        "" if is_percent(next(iter(table.cells))) else UNITS,
        "Δ: this strategy − classical on the same seeds ± half of its 95 % t-interval, bold where that leaves 0 out.",
        EQUAL_MARK if any(c[0].equal_to for by_strategy in table.cells.values() for c in by_strategy.values()) else "",
        *(_judged_caption(table) if table.judged else ()),
    ]))  # fmt: skip


EQUAL_MARK = "= another strategy: the two are equal by construction, as all groups are as large, and run once."


def _judged_caption(table: Table) -> Iterator[str]:
    """The rules of both verdicts, and how often chance alone puts a mean outside."""
    yield "Small: the paper's mean ± sd (ddof 0) of five runs, where it has a number for these settings."
    levels = [
        cell.level
        for by_strategy in table.cells.values()
        for cells in by_strategy.values()
        for cell in cells
        if cell.level and not cell.equal_to
    ]
    if levels:
        outside = sum(not level.is_within for level in levels)
        chance = sum(level.chance for level in levels)
        yield f"{LEVEL_RULE} Of {len(levels)} means {outside} are outside; chance alone would put {chance:.1f} there."
    yield "Last column: learn2mix − this strategy, same seeds; in brackets, the paper's ± 2 of its standard errors."
    yield f"{EFFECT_RULE} {BESIDE_RULE}"


def markdown(table: Table) -> str:
    """One line a row and strategy; below it what is missing, and the commands that train it."""
    head = ["data set", "strategy", "n", *EPOCHS] + ["learn2mix − this"] * table.judged
    lines = [f"| {' | '.join(head)} |", "|---|---|--:|" + "--:|" * len(EPOCHS) + "---|" * table.judged]
    for row, by_strategy in table.cells.items():
        for i, (strategy, cells) in enumerate(by_strategy.items()):
            name = f"{strategy} = {cells[0].equal_to}" if cells[0].equal_to else strategy
            words = ["" if i else f"**{row.title}**", name, str(len(cells[0].values))]
            words += [_markdown_cell(cell, is_percent(row)) for cell in cells]
            if table.judged:
                words.append("<br>".join(_effects(cells, is_percent(row))))
            lines.append(f"| {' | '.join(words)} |")
    return "\n".join([*lines, "", caption(table), "", *remedies(table)])


def tex(table: Table, label: str) -> str:
    """A ``longtable`` for the packages booktabs, longtable and xcolor: ours, and the paper's in grey."""
    columns = "l r " + " ".join(["r@{\\hskip 0.6em}r"] * len(EPOCHS))
    head = " & ".join(["", "$n$", *(f"\\multicolumn{{2}}{{c}}{{${epoch}$}}" for epoch in EPOCHS)])
    lines = []
    for row, by_strategy in table.cells.items():
        judged = [cell.judged.verdict for cell in by_strategy["classical"] if cell.judged]
        verdict = f" \\textit{{({', '.join(dict.fromkeys(judged))})}}" if table.judged else ""
        title = f"\\textbf{{{latex.escape(row.title)}}}{verdict}"
        lines += ["\\addlinespace", f"\\multicolumn{{8}}{{l}}{{\\rlap{{{title}}}}} \\\\*"]
        for strategy, cells in by_strategy.items():
            lines += _tex_lines(strategy, cells, is_percent(row))
    return latex.longtable(columns, head, lines, caption(table), label, remedies(table))


def frame(table: Table) -> pd.DataFrame:
    """A line a row, strategy and checkpoint, unrounded; what is not run has n = 0."""
    unit = "accuracy_percent" if is_percent(next(iter(table.cells))) else "squared_error"
    lines: list[dict[str, Any]] = []
    for row, by_strategy in table.cells.items():
        for strategy, cells in by_strategy.items():
            for checkpoint, cell in zip(EPOCHS, cells, strict=True):
                line: dict[str, Any] = {
                    "data_set": row.name,
                    "strategy": strategy,
                    "checkpoint": checkpoint,
                    "epoch": cell.epoch,
                }
                line |= {"n": len(cell.values), "seeds": " ".join(map(str, cell.values.index))}
                line |= {f"mean_{unit}": cell.values.mean(), f"sd_{unit}": cell.values.std(ddof=1)}
                if table.judged:
                    mean, sd = (cell.printed.mean, cell.printed.sd) if cell.printed else (None, None)
                    line |= {f"paper_mean_{unit}": mean, f"paper_sd_{unit}": sd}
                apart, half, n = cell.difference or (None, None, None)
                line |= {f"minus_classical_{unit}": apart, f"interval_half_width_{unit}": half, "n_pairs": n}
                if table.judged:
                    line |= {"equal_to": cell.equal_to} | _judged_columns(cell, unit)
                lines.append(line)
    return pd.DataFrame(lines).astype({"epoch": "Int64", "n_pairs": "Int64"})


def _judged_columns(cell: Cell, unit: str) -> dict[str, Any]:
    """Level and effect of a cell; ``first_rule`` is the verdict by the rule that stood here before."""
    made: dict[str, Any] = {"level": None, f"level_tolerance_{unit}": None}
    if cell.level:
        made = {"level": cell.level.word, f"level_tolerance_{unit}": cell.level.tolerance}
    if judged := cell.judged:
        paper = judged.paper or (None, None)
        made |= {"effect": judged.verdict, f"learn2mix_minus_this_{unit}": judged.difference}
        made |= {f"effect_half_width_{unit}": judged.half, "n_effect": judged.n}
        made |= {f"paper_effect_{unit}": paper[0], f"paper_effect_error_{unit}": paper[1]}
        made |= {"note": judged.note, "first_rule": judged.first}
    return made


def summary(tables: Iterable[Table]) -> str:
    """Learn2mix against classical at E for every row, 80 columns wide."""
    form = "{:28} {:>11} {:>11} {:>12} {}"
    lines = [form.format("test metric at E", "learn2mix", "classical", "difference", "effect")]
    for row, cells, judged in _ends(tables):
        means = (_spread(cell, is_percent(row)) for cell in cells)
        lines.append(form.format(row.title, *means, _difference(judged, cells[0], is_percent(row)), judged.verdict))
    return "\n".join(lines)


def overview(tables: Iterable[Table]) -> str:
    """The same beside the paper's numbers, in Markdown, with its caption; the effect comes first."""
    head = ("test metric at E", "n", "effect", "Δ", "paper's Δ", "learn2mix", "paper", "classical", "paper", "level")
    lines = [f"| {' | '.join(head)} |", "|---|--:|---|" + "--:|" * 6 + "---|"]
    for row, cells, judged in _ends(tables):
        percent = is_percent(row)
        seeds = " / ".join(dict.fromkeys(str(len(cell.values)) for cell in cells))
        words = [row.title + (", %" if percent else ""), seeds, _effect(judged)]
        words += [_difference(judged, cells[0], percent), paper_effect(judged.paper, _digits(cells[0], percent))]
        for cell in cells:
            words += [_spread(cell, percent), cell.printed.text if cell.printed else ""]
        levels = " / ".join(cell.level.word for cell in cells if cell.level)
        lines.append(f"| {' | '.join([*words, levels])} |")
    caption = (
        "At E, the row's last epoch: accuracy in %, else an error, where less is better (its unit: "
        "`results/tables/table2.md`); mean ± sd (ours ddof 1, the paper's ddof 0); Δ: learn2mix − classical, ours on "
        "the same seeds ± half of its 95 % t-interval, the paper's ± 2 of its standard errors. Effect: whether our Δ "
        "excludes 0 and agrees with the paper's (confirmed; else smaller or larger), leaves it open (inconclusive) or "
        "contradicts it. Level: whether our means of learn2mix / classical are within a tolerance of the paper's. The "
        "rules are in [the ledger](REPRODUCTION.md); they replaced a first rule after most runs were in, and it says "
        "why. What is not run lacked data or hours: `make reproduce` trains it."
    )
    return "\n".join([*lines, "", caption, ""])


def _ends(tables: Iterable[Table]) -> Iterator[tuple[Row, tuple[Cell, Cell], Judgement]]:
    """Of each row learn2mix's and classical's cells at E, and the verdict on their difference."""
    for table in tables:
        for row, by_strategy in table.cells.items():
            ours, theirs = by_strategy["learn2mix"][-1], by_strategy["classical"][-1]
            if theirs.judged:
                yield row, (ours, theirs), theirs.judged


def remedies(table: Table) -> list[str]:
    """What is missing or left out, and the commands that train it, in Markdown."""
    lines = []
    if table.unfinished:
        told = ", ".join(
            f"{n} {status} of {name} {strategy}" for (name, strategy, status), n in table.unfinished.items()
        )
        lines += [f"Left out because they are not finished: {told}.", ""]
    if table.lacking:
        lines += ["What is not run, or has fewer than five seeds, is trained by", "", "```sh"]
        lines += [*commands(table.lacking), "```", ""]
    return lines


def _effects(cells: list[Cell], percent: bool) -> list[str]:
    """The effect at E, which is the row's, then those before it; one, if nothing is run."""
    found = [(cell, cell.judged, name) for cell, name in zip(cells[::-1], EPOCHS[::-1], strict=True) if cell.judged]
    if {judged.verdict for _, judged, _ in found} <= {"not run"}:
        return ["not run"] if found else [""]
    lines = []
    for cell, judged, name in found:
        paper = paper_effect(judged.paper, _digits(cell, percent))
        words = [f"{name}:", _difference(judged, cell, percent), f"({paper})" if paper else "", _effect(judged)]
        lines.append(" ".join(filter(None, words)))
    return lines


def _effect(judged: Judgement) -> str:
    """The verdict, with what its word does not say."""
    unclear = judged.paper is not None and judged.paper.is_unclear
    return judged.verdict + ", opposite" * judged.is_opposite + ", unclear in the paper" * unclear


def _difference(judged: Judgement, cell: Cell, percent: bool) -> str:
    return interval(judged.difference, judged.half, judged.n, _digits(cell, percent))


def _digits(cell: Cell, percent: bool) -> int:
    return significant(cell.values, percent)


def _spread(cell: Cell, percent: bool) -> str:
    return spread(cell.values, _digits(cell, percent))


def _markdown_cell(cell: Cell, percent: bool) -> str:
    words = [_spread(cell, percent)]
    if difference := told(cell, percent):
        words.append(f"Δ **{difference}**" if cell.stands_apart else f"Δ {difference}")
    if cell.printed:
        words.append(
            f"<sub>{', '.join(filter(None, [f'paper {cell.printed.text}', describe_level(cell, percent)]))}</sub>"
        )
    return "<br>".join(words)


def _tex_lines(strategy: str, cells: list[Cell], percent: bool) -> list[str]:
    first, second = [latex.escape(strategy), str(len(cells[0].values))], ["\\quad $\\Delta$", ""]
    for cell in cells:
        first += [latex.number(_spread(cell, percent)), latex.grey(cell.printed.text if cell.printed else "")]
        second += [latex.number(told(cell, percent), bold=cell.stands_apart), ""]
    lines = [first, second] if any(cell.difference for cell in cells) else [first]
    return [f"{' & '.join(words)} \\\\{'*' if words is not lines[-1] else ''}" for words in lines]
