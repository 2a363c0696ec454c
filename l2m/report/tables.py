"""The paper's Tables 1 and 2 with ours and the paper's numbers side by side, in Markdown, LaTeX and CSV.

Everything here is a function of the records: the same text to the byte, wherever it is made.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from l2m.report import equal_seconds, hyperparameters, latex, mixers, thresholds
from l2m.report.cells import Cell, is_percent, measure, told
from l2m.report.rows import ROWS, VARIANTS, Row, commands, missing
from l2m.report.runs import EPOCHS, Reading
from l2m.report.statistics import significant, spread
from l2m.report.verdict import RULE

METRICS = {1: "Test accuracy in %", 2: "Test error"}

UNITS = (
    "Errors are squared: of the mean for Mean Estimation, in points for Wine Quality, in units of 100 000 $ for "
    "California Housing, summed over an image's pixels for reconstruction."
)


def both(found: Reading) -> tuple[Table, Table]:
    """Tables 1 and 2 of the test metric."""
    return table(1, found), table(2, found)


def files(found: Reading, main: tuple[Table, Table]) -> dict[str, str]:
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
    return made


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


def table(number: int, found: Reading, column: str = "test_metric") -> Table:
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
    return " ".join([
        f"{table.title}: mean ± sd (ddof 1) over n seeds at epochs ⌊0.25E⌋, ⌊0.5E⌋ and E; {n}.",
        "" if is_percent(next(iter(table.cells))) else UNITS,
        "Δ: this strategy − classical on the same seeds ± half of its 95 % t-interval, bold where that leaves 0 out.",
        f"Small: the paper's mean ± sd (ddof 0) of five runs, where it has a number for these settings. {RULE}"
        if table.judged
        else "",
    ]).replace("  ", " ").strip()  # fmt: skip


def markdown(table: Table) -> str:
    """One line a row and strategy; below it what is missing, and the commands that train it."""
    head = ["data set", "strategy", "n", *EPOCHS] + ["verdict"] * table.judged
    lines = [f"| {' | '.join(head)} |", "|---|---|--:|" + "--:|" * len(EPOCHS) + "---|" * table.judged]
    for row, by_strategy in table.cells.items():
        for i, (strategy, cells) in enumerate(by_strategy.items()):
            words = ["" if i else f"**{row.title}**", strategy, str(len(cells[0].values))]
            words += [_markdown_cell(cell, is_percent(row)) for cell in cells]
            if table.judged:
                words.append("<br>".join(_verdicts(cells)))
            lines.append(f"| {' | '.join(words)} |")
    return "\n".join([*lines, "", caption(table), "", *remedies(table)])


def tex(table: Table, label: str) -> str:
    """A ``longtable`` for the packages booktabs, longtable and xcolor: ours, and the paper's in grey."""
    columns = "l r " + " ".join(["r@{\\hskip 0.6em}r"] * len(EPOCHS))
    head = " & ".join(["", "$n$", *(f"\\multicolumn{{2}}{{c}}{{${epoch}$}}" for epoch in EPOCHS)])
    lines = []
    for row, by_strategy in table.cells.items():
        verdict = f" \\textit{{({', '.join(_verdicts(by_strategy['learn2mix']))})}}" if table.judged else ""
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
                    line |= {"verdict": cell.judged.verdict, "note": cell.judged.note} if cell.judged else {}
                lines.append(line)
    return pd.DataFrame(lines).astype({"epoch": "Int64", "n_pairs": "Int64"})


def summary(tables: Iterable[Table]) -> str:
    """Learn2mix against classical at E for every row, 80 columns wide."""
    form = "{:28} {:>11} {:>11} {:>12} {}"
    lines = [form.format("test metric at E", "learn2mix", "classical", "difference", "verdict")]
    for row, cells, difference, verdict in _ends(tables):
        lines.append(form.format(row.title, *(_spread(cell, is_percent(row)) for cell in cells), difference, verdict))
    return "\n".join(lines)


def overview(tables: Iterable[Table]) -> str:
    """The same beside the paper's numbers, in Markdown, with its caption."""
    head = ("test metric at E", "n", "learn2mix", "paper", "classical", "paper", "Δ", "verdict")
    lines = [f"| {' | '.join(head)} |", "|---|" + "--:|" * 6 + "---|"]
    for row, cells, difference, verdict in _ends(tables):
        words = [row.title + (", %" if is_percent(row) else ""), str(len(cells[0].values))]
        for cell in cells:
            words += [_spread(cell, is_percent(row)), cell.printed.text if cell.printed else ""]
        lines.append(f"| {' | '.join([*words, difference, verdict])} |")
    told = (
        "At E, the row's last epoch: accuracy in %, else an error, where less is better (its unit: "
        "`results/tables/table2.md`); mean ± sd (ours ddof 1, the paper's ddof 0); Δ: learn2mix − classical on the "
        "same seeds ± half of its 95 % t-interval. What is not run lacked data or hours: `make reproduce` trains it."
    )
    return "\n".join([*lines, "", told, RULE, ""])


def _ends(tables: Iterable[Table]) -> Iterator[tuple[Row, tuple[Cell, Cell], str, str]]:
    """Of each row learn2mix's and classical's cells at E, their difference in words, and the verdict."""
    for table in tables:
        for row, by_strategy in table.cells.items():
            ours, theirs = by_strategy["learn2mix"][-1], by_strategy["classical"][-1]
            yield row, (ours, theirs), told(ours, is_percent(row)), _verdicts(by_strategy["learn2mix"])[0]


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


def _verdicts(cells: list[Cell]) -> list[str]:
    """That at E, which is the row's, then those before it, if they are learn2mix's; one, if nothing is run."""
    found = [(cell.judged, name) for cell, name in zip(cells[::-1], EPOCHS[::-1], strict=False) if cell.judged]
    if {judged.verdict for judged, _ in found} == {"not run"}:
        return ["not run"]
    return [judged.verdict if name == "E" else f"{name}: {judged.verdict}" for judged, name in found]


def _spread(cell: Cell, percent: bool) -> str:
    return spread(cell.values, significant(cell.values, percent))


def _markdown_cell(cell: Cell, percent: bool) -> str:
    words = [_spread(cell, percent)]
    if difference := told(cell, percent):
        words.append(f"Δ **{difference}**" if cell.stands_apart else f"Δ {difference}")
    if cell.printed:
        words.append(f"<sub>paper {cell.printed.text}</sub>")
    return "<br>".join(words)


def _tex_lines(strategy: str, cells: list[Cell], percent: bool) -> list[str]:
    first, second = [latex.escape(strategy), str(len(cells[0].values))], ["\\quad $\\Delta$", ""]
    for cell in cells:
        first += [latex.number(_spread(cell, percent)), latex.grey(cell.printed.text if cell.printed else "")]
        second += [latex.number(told(cell, percent), bold=cell.stands_apart), ""]
    lines = [first, second] if any(cell.difference for cell in cells) else [first]
    return [f"{' & '.join(words)} \\\\{'*' if words is not lines[-1] else ''}" for words in lines]
