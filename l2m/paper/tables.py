"""The paper's Tables 1 and 2 with ours and the paper's numbers side by side, in Markdown, LaTeX and CSV.

Everything here is a function of the records: the same text to the byte, wherever it is made.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import pandas as pd

from l2m.paper import hyperparameters, imbalance, latex, mixers, speed, when
from l2m.paper import markdown as md
from l2m.paper.cells import Cell, measure
from l2m.paper.results import Results
from l2m.paper.rows import ALL, Row, missing
from l2m.paper.verdict import BESIDE_RULE, EFFECT_RULE, LEVEL_RULE, Judgement, paper_effect
from l2m.report.runs import EPOCHS

METRICS = {1: "Test accuracy in %", 2: "Test error"}

UNITS = (
    "Errors are squared: of the mean for Mean Estimation, in points for Wine Quality, in units of 100 000 $ for "
    "California Housing, summed over an image's pixels for reconstruction."
)


def both(results: Results) -> tuple[Table, Table]:
    """Tables 1 and 2 of the test metric."""
    return table(1, results), table(2, results)


def files(results: Results, main: tuple[Table, Table]) -> dict[str, str]:
    """The text of each file in ``results/tables``, by name; ``main`` is :func:`both`."""
    made = {}
    for number, whole in enumerate(main, start=1):
        worst = table(number, results, "worst_group")
        made[f"table{number}.md"] = f"# Table {number}\n\n{markdown(whole)}"
        made[f"table{number}.tex"] = tex(whole, f"tab:l2m-table{number}")
        made[f"table{number}.csv"] = csv(frame(whole))
        made[f"worst_group{number}.md"] = f"# Table {number}, worst group\n\n{markdown(worst)}"
        made[f"worst_group{number}.csv"] = csv(frame(worst))
    settings, cells = hyperparameters.table(results.runs)
    made["table3.tex"] = hyperparameters.tex(cells, "tab:l2m-table3")
    text = md.page(md.table(hyperparameters.HEAD, "lrrrrrllr", cells), hyperparameters.CAPTION)
    claims, made["thresholds.md"] = speed.tables(speed.reached(results.runs), speed.at_epoch(results.runs))
    made["thresholds.csv"] = csv(claims)
    for name, title, (numbers, page) in (
        ("table3", "Table 3", (settings, text)),
        ("table1_v3", "Table 1 of the third version", speed.seconds_table(speed.equal_seconds(results.runs))),
        ("mixers", "Other mixers", mixers.table(results.runs)),
        ("imbalance_and_rate", "Imbalance and learning rate", imbalance.table(results.runs)),
    ):
        made |= {f"{name}.md": f"# {title}\n\n{page}", f"{name}.csv": csv(numbers)}
    return made


def blocks(results: Results, main: tuple[Table, Table]) -> dict[str, str]:
    """The tables between marks in README.md and docs/, by the marks' name."""
    blocks = {"results": overview(main), "when": when.overview(results), "opponents": when.opponents(results)}
    blocks["imbalance"] = imbalance.gains(results.runs)
    unbroken = "\N{NO-BREAK SPACE}±\N{NO-BREAK SPACE}"  # a number and its spread stay together on narrow screens
    return {name: re.sub(r"(?<=\d) ± (?=\d)", unbroken, text) for name, text in blocks.items()}


def csv(frame: pd.DataFrame) -> str:
    """Six significant digits; missing values are empty."""
    text: str = frame.to_csv(index=False, float_format="%.6g", lineterminator="\n")
    return text


@dataclass(frozen=True)
class Table:
    title: str  # of the cells
    cells: Mapping[Row, Mapping[str, list[Cell]]]  # by row and strategy, at the three checkpoints
    # by row and strategy, those of the paper's five seeds that have no run
    lacking: Mapping[str, Mapping[str, tuple[int, ...]]]
    # how many runs failed or are still running, by data set, strategy and status
    unfinished: Mapping[tuple[str, str, str], int]
    judged: bool  # whether it shows the paper's numbers and the verdict


def table(number: int, results: Results, column: str = "test_metric") -> Table:
    """Table ``number`` of the paper, 1 or 2, from ``column`` of the records' ``metrics.csv``."""
    rows = [row for row in ALL if row.table == number]
    worst = column == "worst_group"
    names = {row.name for row in rows}
    return Table(
        title=METRICS[number] + " of the worst group" * worst,
        cells={row: measure(row, results.runs, column) for row in rows},
        lacking=missing(rows, results.runs, lambda row: row.strategies),
        unfinished={key: n for key, n in sorted(results.unfinished.items()) if key[0] in names},
        judged=not worst,
    )


def caption(table: Table, has_effects: bool = True) -> str:
    """What the cells, n and ± are, the rules of the verdicts, and chance's part in them.

    A table without effects and levels has the verdict on learn2mix − classical at E alone.
    """
    cells = [cell for by_strategy in table.cells.values() for cells in by_strategy.values() for cell in cells]
    counts = {len(cell.values) for cell in cells} - {0}
    n = f"n is {' to '.join(map(str, sorted({min(counts), max(counts)})))}" if counts else "none is run"
    words = [
        f"{table.title}: mean ± sd (ddof 1) over n seeds at epochs ⌊0.25E⌋, ⌊0.5E⌋ and E; {n}.",
        "" if cells[0].is_percent else UNITS,
        "Δ: this strategy − classical on the same seeds ± half of its 95 % t-interval, bold where that leaves 0 out.",
        "= another strategy: the two are equal by construction, as all groups are as large, and run once."
        * any(cell.equal_to for cell in cells),
    ]
    if table.judged:
        words.append("Small: the paper's mean ± sd (ddof 0) of five runs, where it has a number for these settings.")
        if has_effects and (levels := [cell.level for cell in cells if cell.level and not cell.equal_to]):
            outside, chance = sum(not level.is_within for level in levels), sum(level.chance for level in levels)
            words.append(
                f"{LEVEL_RULE} Of {len(levels)} means {outside} are outside; chance alone would put {chance:.1f} there."
            )
        column = (
            "Last column: learn2mix − this strategy, same seeds; in brackets, the paper's ± 2 of its standard errors."
        )
        after_name = "In brackets after a data set: the effect of learn2mix against classical at E."
        words += [column, EFFECT_RULE, BESIDE_RULE] if has_effects else [after_name, EFFECT_RULE]
    return " ".join(filter(None, words))


def markdown(table: Table) -> str:
    """One line a row and strategy; below it what is missing, and the commands that train it."""
    head = ["data set", "strategy", "n", *EPOCHS] + ["learn2mix − this"] * table.judged
    lines = []
    for row, by_strategy in table.cells.items():
        for strategy, cells in by_strategy.items():
            name = f"{strategy} = {cells[0].equal_to}" if cells[0].equal_to else strategy
            words = [f"**{row.title}**" if cells is next(iter(by_strategy.values())) else "", name]
            words.append(str(len(cells[0].values)))
            for cell in cells:
                lines_of = [cell.spread_text]
                if difference := cell.difference_text(bold=True):
                    lines_of.append(f"Δ {difference}")
                if cell.printed:
                    beside = ", ".join(filter(None, [f"paper {cell.printed.text}", cell.level_text]))
                    lines_of.append(f"<sub>{beside}</sub>")
                words.append("<br>".join(lines_of))
            lines.append([*words, "<br>".join(_effects(cells))] if table.judged else words)
    align = "llr" + "r" * len(EPOCHS) + "l" * table.judged
    return "\n".join([md.page(md.table(head, align, lines), caption(table)), *remedies(table)])


def tex(table: Table, label: str) -> str:
    """A ``longtable`` for the packages booktabs, longtable and xcolor: ours, and the paper's in grey."""
    columns = "l r " + " ".join(["r@{\\hskip 0.6em}r"] * len(EPOCHS))
    head = ["", "$n$", *(f"\\multicolumn{{2}}{{c}}{{${epoch}$}}" for epoch in EPOCHS)]
    lines = []
    for row, by_strategy in table.cells.items():
        judged = by_strategy["classical"][-1].judged
        verdict = f" \\textit{{({_effect(judged)})}}" if table.judged and judged else ""
        title = f"\\textbf{{{latex.escape(row.title)}}}{verdict}"
        lines += ["\\addlinespace", f"\\multicolumn{{8}}{{l}}{{\\rlap{{{title}}}}} \\\\*"]
        for strategy, cells in by_strategy.items():
            first, second = [latex.escape(strategy), str(len(cells[0].values))], ["\\quad $\\Delta$", ""]
            for cell in cells:
                first += [latex.number(cell.spread_text), latex.grey(cell.printed.text if cell.printed else "")]
                bold = cell.difference is not None and cell.difference.excludes_zero
                second += [latex.number(cell.difference_text(), bold=bold), ""]
            pair = any(cell.difference for cell in cells)
            lines += [latex.line(first, keep=pair), *([latex.line(second)] if pair else [])]
    return latex.longtable(columns, head, lines, caption(table, has_effects=False), label, remedies(table))


def frame(table: Table) -> pd.DataFrame:
    """A line a row, strategy and checkpoint, unrounded; what is not run has n = 0."""
    unit = "_accuracy_percent" if next(iter(table.cells)).is_percent else "_squared_error"
    lines = [
        {"data_set": row.name, "strategy": strategy, "checkpoint": checkpoint, "epoch": cell.epoch} | cell.columns(unit)
        for row, by_strategy in table.cells.items()
        for strategy, cells in by_strategy.items()
        for checkpoint, cell in zip(EPOCHS, cells, strict=True)
    ]
    made = pd.DataFrame(lines).astype({"epoch": "Int64", "n_pairs": "Int64"})
    return made if table.judged else made.loc[:, :"n_pairs"].drop(columns=[f"paper_mean{unit}", f"paper_sd{unit}"])


def summary(tables: Iterable[Table]) -> str:
    """Learn2mix against classical at E for every row, 80 columns wide."""
    form = "{:28} {:>11} {:>11} {:>12} {}"
    lines = [form.format("test metric at E", "learn2mix", "classical", "difference", "effect")]
    for row, ours, theirs, judged in _ends(tables):
        difference = judged.difference.text(ours.digits)
        lines.append(form.format(row.title, ours.spread_text, theirs.spread_text, difference, judged.verdict))
    return "\n".join(lines)


def overview(tables: Iterable[Table]) -> str:
    """The same beside the paper's numbers, in Markdown, with its caption; the effect comes first."""
    head = ("test metric at E", "n", "effect", "Δ", "paper's Δ", "learn2mix", "paper", "classical", "paper", "level")
    lines = []
    for row, ours, theirs, judged in _ends(tables):
        seeds = " / ".join(dict.fromkeys(str(len(cell.values)) for cell in (ours, theirs)))
        words = [row.title + ", %" * row.is_percent, seeds, _effect(judged)]
        words += [judged.difference.text(ours.digits), paper_effect(judged.paper, ours.digits)]
        for cell in (ours, theirs):
            words += [cell.spread_text, cell.printed.text if cell.printed else ""]
        lines.append([*words, " / ".join(cell.level.word for cell in (ours, theirs) if cell.level)])
    caption = (
        "At E, the row's last epoch: accuracy in %, else an error, where less is better (its unit: "
        "`results/tables/table2.md`); mean ± sd (ours ddof 1, the paper's ddof 0); Δ: learn2mix − classical, ours on "
        "the same seeds ± half of its 95 % t-interval, the paper's ± 2 of its standard errors. Effect: whether our Δ "
        "excludes 0 and agrees with the paper's (confirmed; else smaller or larger), leaves it open (inconclusive) or "
        "contradicts it; same sign where the paper prints no number to agree with; unclear in the paper where its Δ is "
        "below 2 of its standard errors. Level: whether our means of learn2mix / classical are within a tolerance of "
        "the paper's. n: seeds, of each where they differ. The rules are in [the ledger](REPRODUCTION.md); they "
        "replaced a first rule after most runs were in, and it says why. What is not run lacked data or hours: "
        "`make reproduce` trains it."
    )
    return md.page(md.table(head, "lrlrrrrrrl", lines), caption)


def _ends(tables: Iterable[Table]) -> Iterator[tuple[Row, Cell, Cell, Judgement]]:
    """Of each row learn2mix's and classical's cells at E, and the verdict on their difference."""
    for table in tables:
        for row, by_strategy in table.cells.items():
            ours, theirs = by_strategy["learn2mix"][-1], by_strategy["classical"][-1]
            if theirs.judged:
                yield row, ours, theirs, theirs.judged


def remedies(table: Table) -> list[str]:
    """What is missing or left out, and the commands that train it, in Markdown."""
    counts = [f"{n} {status} of {name} {strategy}" for (name, strategy, status), n in table.unfinished.items()]
    left_out = [f"Left out because they are not finished: {', '.join(counts)}.", ""] if counts else []
    return left_out + md.training(table.lacking)


def _effects(cells: list[Cell]) -> list[str]:
    """The effect at E, which is the row's, then those before it; one, if nothing is run."""
    judged = [(cell, cell.judged, name) for cell, name in zip(cells[::-1], EPOCHS[::-1], strict=True) if cell.judged]
    if {one.verdict for _, one, _ in judged} <= {"not run"}:
        return ["not run"] if judged else [""]
    lines = []
    for cell, one, name in judged:
        paper = paper_effect(one.paper, cell.digits)
        words = [f"{name}:", one.difference.text(cell.digits), f"({paper})" if paper else "", _effect(one)]
        lines.append(" ".join(filter(None, words)))
    return lines


def _effect(judged: Judgement) -> str:
    """The verdict, and what its word leaves open: an interval on the other side of 0 than the paper's effect is."""
    opposite = judged.verdict == "inconclusive" and judged.difference.excludes_zero
    unclear = judged.verdict != "not run" and judged.paper is not None and judged.paper.is_unclear
    return judged.verdict + ", opposite" * opposite + ", unclear in the paper" * unclear
